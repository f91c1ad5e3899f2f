// Connections by the breakable way: reset, silent, late, and whole again.
import assert from 'node:assert/strict';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { realEnvironment } from '../platform/environment.ts';
import { EmbeddedFaults } from './embedded-faults.ts';

const failed: string[] = [];
let server: Server;
let faults: EmbeddedFaults;
let port: number;
/** Echoes. */
before(async () => {
  server = createServer((socket) => socket.on('error', () => undefined).pipe(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port: own } = server.address() as { port: number };
  faults = new EmbeddedFaults({
    env: realEnvironment('error'),
    url: `https://127.0.0.1:${own}`,
    nodes: {
      list: () => ['n-0', 'n-1'],
      add: () => Promise.reject(new Error('no')),
      remove: () => Promise.reject(new Error('no')),
      fail: (name) => {
        if (name === 'n-9') throw new Error('there is no n-9');
        failed.push(`fail ${name}`);
      },
      recover: (name) => void failed.push(`recover ${name}`),
    },
    kubeconfigFor: (user, url) => `${user?.username ?? 'admin'} ${url}`,
  });
  port = Number(new URL(await faults.url()).port);
});
after(() => {
  faults.close();
  server.close();
});

function dial(to = port): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: to, noDelay: true });
    socket.once('connect', () => resolve(socket));
    socket.once('error', reject);
  });
}

function ask(socket: Socket, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.once('data', (data) => resolve(data.toString()));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed')));
    socket.write(text);
  });
}

test('kill resets connections and refuses new ones until it is healed', async () => {
  const socket = await dial();
  assert.equal(await ask(socket, 'a'), 'a');
  const over = new Promise((resolve) => socket.once('close', resolve));
  socket.on('error', () => undefined);
  const fault = faults.kill();
  await over;
  await assert.rejects(dial().then((next) => ask(next, 'b')));
  fault.heal();
  const again = await dial();
  assert.equal(await ask(again, 'c'), 'c');
  again.destroy();
});

test('pause holds what is sent, and it arrives in order when it is healed; partitions overlap', async () => {
  const socket = await dial();
  assert.equal(await ask(socket, 'a'), 'a');
  const pause = faults.pause();
  const partition = faults.partition();
  const heard: string[] = [];
  socket.on('data', (data) => heard.push(...data.toString()));
  socket.write('b');
  socket.write('c');
  pause.heal();
  // The server itself has answered twice: what could have passed would have.
  const direct = await dial((server.address() as { port: number }).port);
  for (const text of ['x', 'y']) assert.equal(await ask(direct, text), text);
  direct.destroy();
  assert.deepEqual(heard, []);
  partition.heal();
  partition.heal();
  while (heard.length < 2) await new Promise((resolve) => socket.once('data', resolve));
  assert.deepEqual(heard, ['b', 'c']);
  socket.destroy();
});

test('delay is at least as long as was asked, and keeps the order', async () => {
  const socket = await dial();
  using _ = faults.delay({ delayMs: 60, jitterMs: 10 });
  const began = performance.now();
  assert.equal(await ask(socket, 'x'), 'x');
  assert.ok(performance.now() - began >= 95, 'there and back');
  socket.destroy();
});

test('of several delays the newest counts, and one that is healed leaves the others', async () => {
  const socket = await dial();
  const older = faults.delay({ delayMs: 60 });
  const newer = faults.delay({ delayMs: 0 });
  newer.heal();
  const began = performance.now();
  assert.equal(await ask(socket, 'x'), 'x');
  assert.ok(performance.now() - began >= 115, 'there and back');
  older.heal();
  socket.destroy();
});

test('nodes that are cut off fall silent, and recover', () => {
  const fault = faults.partition({ nodes: ['n-1'] });
  faults.heal();
  fault.heal();
  assert.deepEqual(failed, ['fail n-1', 'recover n-1']);
});

test('a node that two faults cut off recovers with the last of them; one that is not there cuts off nobody', () => {
  failed.length = 0;
  const one = faults.partition({ nodes: ['n-0', 'n-1'] });
  const other = faults.partition({ nodes: ['n-1'] });
  one.heal();
  assert.deepEqual(failed, ['fail n-0', 'fail n-1', 'fail n-1', 'recover n-0']);
  other.heal();
  assert.equal(failed.at(-1), 'recover n-1');
  failed.length = 0;
  assert.throws(() => faults.partition({ nodes: ['n-0', 'n-9'] }), /no n-9/);
  assert.deepEqual(failed, ['fail n-0', 'recover n-0']);
});

test('kubeconfigs lead to the breakable way', async () => {
  assert.equal(await faults.kubeconfig(), `admin ${await faults.url()}`);
  assert.equal(await faults.kubeconfig({ username: 'eve' }), `eve ${await faults.url()}`);
});
