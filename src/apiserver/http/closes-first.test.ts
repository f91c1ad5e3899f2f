import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { closesFirst } from './closes-first.ts';

async function listening(): Promise<Server> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

function descriptor(server: Server): number {
  return (server as unknown as { readonly _handle: { readonly fd: number } })._handle.fd;
}

test('what is opened later lies below', async (t) => {
  const server = await closesFirst(listening);
  t.after(() => server.close());
  const later = Array.from({ length: 100 }, () => openSync('/dev/null', 'r'));
  for (const fd of later) {
    assert.ok(fd < descriptor(server), `${fd}, the listener at ${descriptor(server)}`);
    closeSync(fd);
  }
});

const PROGRAM = `
import { createServer } from 'node:net';
const { closesFirst } = await import(process.argv[1]);
const server = createServer((socket) => socket.on('error', () => undefined).write('hello'));
await closesFirst(() => new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined))));
process.stdout.write(String(server.address().port));
`;
const CONNECTIONS = 40;
const ROUNDS = 5;

/** What becomes of a connection that is made as soon as one of those of a killed process has ended. */
async function afterKill(): Promise<'refused' | 'taken'> {
  const module = join(import.meta.dirname, 'closes-first.ts');
  const child = spawn(process.execPath, ['--input-type=module', '--eval', PROGRAM, module]);
  const [port] = (await once(child.stdout, 'data')) as [Buffer];
  const sockets: Socket[] = [];
  for (let i = 0; i < CONNECTIONS; i++) {
    const socket = connect(Number(port.toString()), '127.0.0.1')
      .on('error', () => undefined)
      .resume();
    await once(socket, 'data');
    sockets.push(socket);
  }
  const ended = Promise.race(sockets.map(closed));
  await kill(child, ended);
  const next = connect(Number(port.toString()), '127.0.0.1')
    .on('error', () => undefined)
    .resume();
  let taken = false;
  next.once('connect', () => {
    taken = true;
  });
  await closed(next);
  for (const socket of sockets) socket.destroy();
  return taken ? 'taken' : 'refused';
}

/** Whether in good order or not. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

async function kill(child: ChildProcess, until: Promise<unknown>): Promise<void> {
  child.kill('SIGKILL');
  await until;
}

test('a process that is killed refuses connections before it loses those that it has', async () => {
  for (let i = 0; i < ROUNDS; i++) assert.equal(await afterKill(), 'refused');
});
