// What callers must not be able to do to a kubelet: its real HTTPS server, real log files, and a streaming server in the
// runtime's place. After each attack another caller is still served.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request as httpsRequest } from 'node:https';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { Registry } from 'prom-client';
import { createCa, issue, type KeyedCertificate } from '../../apiserver/auth/certificates.ts';
import type { Client } from '../../client/contract.ts';
import { FakeClock } from '../../lib/fake-clock.ts';
import { silentLog } from '../../lib/log.ts';
import { seededRandom } from '../../lib/random.ts';
import { until } from '../../lib/test-until.ts';
import { realClock } from '../../platform/environment.ts';
import type { CriClient } from '../cri/client.ts';
import { aPod, observed, seen } from '../pod/fixtures.ts';
import { KubeletAccess } from './authorize.ts';
import { type KubeletServer, type ServedPod, startKubeletServer } from './server.ts';
import type { StatsReader } from './stats.ts';
import { LINGER_MS } from './upgrade.ts';

const random = seededRandom(5);
const about = { nowMs: realClock.now(), validityMs: 3_600_000, random };
const clock = new FakeClock(realClock.now());
const LOG_LINES = 300_000;

let server: KubeletServer;
let runtime: Server;
const streams = new Set<Socket>();
let directory: string;
let ca: KeyedCertificate;
let admin: KeyedCertificate;
/** Where the runtime streams what is asked for next. */
let target: string;
let asked: string[] = [];

const inTheRuntime = (what: string) => async (id: string, more: unknown) => {
  asked.push(`${what} ${id} ${JSON.stringify(more)}`);
  return target;
};

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kubelet-hostile-'));
  const logPath = join(directory, '0.log');
  const line = `2026-01-01T00:00:00.000000000Z stdout F ${'x'.repeat(150)}\n`;
  await writeFile(logPath, line.repeat(LOG_LINES));
  await writeFile(join(directory, 'short.log'), line);
  ca = createCa({ commonName: 'ca', ...about });
  const serving = issue(ca, { commonName: 'system:node:n', sans: ['127.0.0.1'], usages: ['server'], ...about });
  admin = issue(ca, { commonName: 'api', organizations: ['system:masters'], usages: ['client'], ...about });
  runtime = createServer((socket) => {
    streams.add(socket);
    socket.on('close', () => streams.delete(socket));
    socket.on('error', () => undefined);
    socket.once('data', (head) => {
      if (head.includes('/silent')) return;
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n');
      if (head.includes('/end')) socket.end('bye');
      else socket.pipe(socket);
    });
  });
  await new Promise<void>((resolve) => runtime.listen(0, '127.0.0.1', resolve));
  target = streaming('/echo');
  const containers = [seen('main', { logPath }), seen('quiet', { logPath: join(directory, 'short.log') })];
  const spec = {
    containers: [
      { name: 'main', image: 'i' },
      { name: 'quiet', image: 'i' },
    ],
  };
  const status = ['main', 'quiet'].map((name) => ({
    ...{ name, ready: true, restartCount: 0, image: 'i', imageID: 'i' },
    ...{ state: { running: {} }, containerID: `containerd://id-${name}` },
  }));
  const served: ServedPod = { pod: aPod(spec), observed: observed(containers), status: { containerStatuses: status } };
  const denied = { create: async () => ({ status: { allowed: false, authenticated: false } }) };
  const client = { resource: () => denied } as unknown as Client;
  server = await startKubeletServer({
    ...{ host: '127.0.0.1', port: 0, clock, log: silentLog, metrics: new Registry() },
    tls: { key: serving.key, cert: serving.certificate, clientCa: ca.certificate },
    access: new KubeletAccess({ client, clock, nodeName: 'n' }),
    cri: {
      exec: inTheRuntime('exec'),
      attach: inTheRuntime('attach'),
      portForward: inTheRuntime('portForward'),
    } as unknown as CriClient,
    stats: {} as unknown as StatsReader,
    find: (namespace, name) => (namespace === 'shop' && name === 'web' ? served : undefined),
    pods: () => [served],
    unhealthy: () => undefined,
  });
});
after(async () => {
  await server.close();
  for (const socket of streams) socket.destroy();
  await new Promise((resolve) => runtime.close(resolve));
  await rm(directory, { recursive: true });
  assert.equal(clock.pending, 0, 'a timer was left');
});

const streaming = (path: string): string => `http://127.0.0.1:${(runtime.address() as AddressInfo).port}${path}`;
const identityOf = ({ certificate, key }: KeyedCertificate) => ({ cert: certificate, key });

async function tls(identity: object = identityOf(admin)): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const at = { host: '127.0.0.1', port: server.port, ca: ca.certificate, allowHalfOpen: true, ...identity };
    const socket = connectTls(at, () => resolve(socket));
    socket.on('error', reject);
  });
}

/** Sends bytes; what comes until the kubelet ends its half. */
async function raw(text: string, identity?: object): Promise<string> {
  const socket = await tls(identity);
  const answer = collected(socket);
  socket.write(text);
  await new Promise((resolve) => socket.once('end', resolve).once('close', resolve));
  socket.destroy();
  return answer();
}

function collected(socket: TLSSocket): () => string {
  let text = '';
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
  });
  return () => text;
}

const get = (path: string, identity?: object): Promise<string> =>
  raw(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`, identity);
const upgrade = (path: string, say = ''): string =>
  `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n${say}`;
const code = (answer: string): number => Number(/^HTTP\/1\.1 (\d+) /.exec(answer)?.[1]);

async function stillServed(): Promise<void> {
  assert.match(await get('/healthz'), /^HTTP\/1\.1 200 OK[\s\S]*ok$/);
}

test('who shows no certificate, or one of somebody else, gets nothing', async () => {
  const own = createCa({ commonName: 'ca', ...about });
  const forged = issue(own, { commonName: 'api', organizations: ['system:masters'], usages: ['client'], ...about });
  const nobody = issue(ca, { commonName: 'nobody', usages: ['client'], ...about });
  const old = { ...about, nowMs: about.nowMs - 7_200_000 };
  const expired = issue(ca, { commonName: 'api', organizations: ['system:masters'], usages: ['client'], ...old });
  const serving = issue(ca, { commonName: 'api', organizations: ['system:masters'], usages: ['server'], ...about });
  for (const path of [
    '/pods',
    '/containerLogs/shop/web/main',
    '/exec/shop/web/main?command=id&output=1',
    '/healthz',
    '/',
  ]) {
    for (const [name, identity, expected] of [
      ['none', {}, 401],
      ['forged', identityOf(forged), 401],
      ['expired', identityOf(expired), 401],
      ['a server’s', identityOf(serving), 401],
      ['nobody', identityOf(nobody), 403],
    ] as const) {
      assert.equal(code(await get(path, identity)), expected, `${path} with ${name}`);
      assert.equal(code(await raw(upgrade(path), identity)), expected, `upgrade of ${path} with ${name}`);
    }
  }
  const token = 'GET /pods HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer x\r\n\r\n';
  assert.equal(code(await raw(token, {})), 401);
  assert.deepEqual(asked, []);
});

test('paths that lead nowhere, and names that are none', async () => {
  for (const [path, expected] of [
    ['/nothing', 404],
    ['//', 404],
    ['/containerLogs', 404],
    ['/containerLogs/shop/web', 404],
    ['/containerLogs/shop/web/other', 404],
    ['/containerLogs/shop/other/main', 404],
    ['/containerLogs/shop/web/..%2f..%2f..%2fetc%2fpasswd', 404],
    ['/containerLogs/shop/..%2f..%2fetc/passwd', 404],
    ['/containerLogs/../../etc/passwd', 404],
    ['/containerLogs/shop/web/__proto__', 404],
    ['/containerLogs/constructor/toString/main', 404],
    ['/containerLogs/shop/web/%zz', 400],
    ['/containerLogs/shop/web/main%00', 404],
    ['/containerLogs/shop/web/main?tailLines=-1', 422],
    ['/containerLogs/shop/web/main?tailLines=1e99', 422],
    ['/containerLogs/shop/web/main?limitBytes=x', 422],
    ['/containerLogs/shop/web/main?sinceTime=never', 422],
    ['/containerLogs/shop/web/main?stream=constructor', 422],
    ['/exec/shop/web/main?command=id&output=1', 400],
    ['/logs/../../etc/passwd', 404],
    ['http://[', 400],
    ['*', 404],
  ] as const) {
    assert.equal(code(await get(path)), expected, path);
  }
  await stillServed();
});

test('upgrades that are malformed are refused before the runtime hears of them', async () => {
  asked = [];
  for (const [path, expected] of [
    ['/exec/shop/web/other?command=id&output=1', 404],
    ['/exec/shop/other/main?command=id&output=1', 404],
    ['/exec/shop/web?command=id&output=1', 404],
    ['/exec/shop/web/wrong-uid/main?command=id&output=1', 404],
    ['/exec/shop/web/..%2fmain?command=id&output=1', 404],
    ['/exec/shop/web/main?command=id', 400],
    ['/exec/shop/web/%zz?command=id&output=1', 400],
    ['/attach/shop/web/main', 400],
    ['/attach/shop/web/main?tty=1&error=1', 400],
    ['/portForward/shop/other?port=80', 404],
    ['/portForward/shop/web?port=0', 400],
    ['/portForward/shop/web?port=65536', 400],
    ['/portForward/shop/web?port=x', 400],
    ['/portForward/shop/web/wrong-uid?port=80', 404],
    ['/healthz', 404],
    ['http://[', 400],
  ] as const) {
    assert.equal(code(await raw(upgrade(path))), expected, path);
  }
  assert.deepEqual(asked, []);
  const answer = await raw(
    'GET /exec HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: \r\nContent-Length: -1\r\n\r\n',
  );
  assert.equal(code(answer), 400);
  await stillServed();
});

test('a runtime that does not answer is a gateway that failed', async () => {
  const closed = createServer();
  await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
  const { port } = closed.address() as AddressInfo;
  await new Promise((resolve) => closed.close(resolve));
  target = `http://127.0.0.1:${port}/x`;
  assert.equal(code(await raw(upgrade('/exec/shop/web/main?command=id&output=1'))), 502);
  target = streaming('/echo');
});

describe('connections that are left open', () => {
  test('a client that does not end its half is cut off, whether it was refused or its command has ended', async () => {
    target = streaming('/end');
    const refused = await tls({});
    const ended = await tls();
    const texts = [collected(refused), collected(ended)];
    const gone = [refused, ended].map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    refused.write(upgrade('/exec/shop/web/main?command=id&output=1'));
    ended.write(upgrade('/exec/shop/web/main?command=id&output=1'));
    await until('both are answered', () => /401 /.test(texts[0]!()) && /bye$/.test(texts[1]!()));
    await until('both are cut off', async () => {
      // They go on talking; nobody listens.
      for (const socket of [refused, ended]) if (socket.writable) socket.write('x');
      await clock.advance(LINGER_MS / 4);
      return refused.destroyed && ended.destroyed;
    });
    await Promise.all(gone);
    target = streaming('/echo');
    await stillServed();
  });

  test('who goes away while the runtime is silent leaves nothing open there', async () => {
    target = streaming('/silent');
    const before = streams.size;
    const sockets = await Promise.all(Array.from({ length: 20 }, () => tls()));
    for (const socket of sockets) socket.write(upgrade('/attach/shop/web/main?output=1'));
    await until('the runtime has all', () => streams.size === before + 20);
    for (const socket of sockets) socket.destroy();
    await until('the runtime has none', () => streams.size === before);
    target = streaming('/echo');
    await stillServed();
  });
});

describe('logs', () => {
  const MB = 1 << 20;

  /** How many bytes of the log somebody gets who reads. */
  async function whole(): Promise<number> {
    const options = { host: '127.0.0.1', port: server.port, ca: ca.certificate, ...identityOf(admin), agent: false };
    return new Promise<number>((resolve, reject) => {
      const request = httpsRequest({ ...options, path: '/containerLogs/shop/web/main' }, async (response) => {
        let count = 0;
        for await (const chunk of response) count += (chunk as Buffer).length;
        resolve(count);
      });
      request.on('error', reject).end();
    });
  }

  test('hundreds of followers of one log cost little each, and leave nothing when they go', async () => {
    const count = 500;
    const sockets: TLSSocket[] = [];
    const watchers = (): number => process.getActiveResourcesInfo().filter((name) => /FSEvent/i.test(name)).length;
    const before = process.memoryUsage().rss;
    const heard: (() => string)[] = [];
    for (let i = 0; i < count; i += 25) {
      const some = await Promise.all(Array.from({ length: 25 }, () => tls()));
      for (const socket of some) {
        heard.push(collected(socket));
        socket.write('GET /containerLogs/shop/web/quiet?follow=true HTTP/1.1\r\nHost: x\r\n\r\n');
      }
      sockets.push(...some);
    }
    await until('all have the line', () => heard.every((text) => text().includes('xxx')));
    const each = (process.memoryUsage().rss - before) / count;
    assert.ok(each < 600 * 1024, `${Math.round(each / 1024)} KiB for each follower, client included`);
    await stillServed();
    for (const socket of sockets) socket.destroy();
    await until('nobody watches the file', async () => {
      await clock.advance(1_000);
      return watchers() === 0;
    });
  });

  test('a reader that does not read holds no more than its buffers', async () => {
    const sockets = await Promise.all(Array.from({ length: 8 }, () => tls()));
    global.gc?.();
    const before = process.memoryUsage();
    for (const socket of sockets) {
      socket.pause();
      socket.on('error', () => undefined);
      socket.write('GET /containerLogs/shop/web/main HTTP/1.1\r\nHost: x\r\n\r\n');
    }
    // Who reads has all of it meanwhile, and would they be read to, so would the others.
    assert.equal(await whole(), LOG_LINES * 151);
    await stillServed();
    // The log is 50 MB, eight times.
    const { rss, external } = process.memoryUsage();
    assert.ok(rss - before.rss < 200 * MB, `${Math.round((rss - before.rss) / MB)} MB`);
    assert.ok(external - before.external < 100 * MB, `${Math.round((external - before.external) / MB)} MB`);
    for (const socket of sockets) socket.destroy();
    await stillServed();
  });
});
