// How connections end: a server that leaves, clients that vanish, clients that are asked to connect anew.
import assert from 'node:assert/strict';
import { type ClientHttp2Session, connect } from 'node:http2';
import { connect as connectTcp, createServer, type Socket } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { Registry } from 'prom-client';
import { Tables } from '../api/tables.ts';
import { silentLog } from '../lib/log.ts';
import { seededRandom } from '../lib/random.ts';
import { until } from '../lib/test-until.ts';
import { realClock } from '../platform/environment.ts';
import { openMemoryStore } from '../store/memory.ts';
import { type ApiServer, type ApiServerOptions, startApiServer } from './server.ts';

const TOKENS = new Map([['secret', { username: 'admin', groups: ['system:masters'] }]]);
const PRESENCE = {
  hostname: 'host',
  identityLeaseDurationSeconds: 3_600,
  identityRenewMs: 10_000,
  identitySweepMs: 3_600_000,
  masterLeaseSeconds: 15,
  masterRenewMs: 10_000,
};
const HEADERS = { authorization: 'Bearer secret' };

describe('connections of a server', () => {
  const closing: (() => Promise<void> | void)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });
  async function start(options: Partial<ApiServerOptions> = {}): Promise<ApiServer> {
    const env = { clock: realClock, random: seededRandom(5), log: silentLog, metrics: new Registry() };
    const store = openMemoryStore({ clock: realClock });
    const whole = { env, store, tables: new Tables(), staticTokens: TOKENS, ...options };
    const server = await startApiServer(whole, new AbortController().signal);
    closing.push(async () => {
      await server.close();
      await store.close();
    });
    return server;
  }
  function session(server: ApiServer, port = server.port): ClientHttp2Session {
    const made = connect(`https://127.0.0.1:${port}`, { ca: server.caCertificate });
    made.on('error', () => undefined);
    closing.push(() => made.destroy());
    return made;
  }
  /** One request: its status, its text so far, and how it ended. */
  function get(over: ClientHttp2Session, path: string) {
    const stream = over.request({ ...HEADERS, ':path': path });
    const seen = { status: 0, text: '', end: '' };
    stream.on('response', (headers) => {
      seen.status = Number(headers[':status']);
    });
    stream.on('data', (chunk: Buffer) => {
      seen.text += chunk.toString();
    });
    stream.once('end', () => {
      seen.end ||= 'end';
    });
    stream.once('error', () => {
      seen.end ||= 'error';
    });
    return seen;
  }
  const WATCH = '/api/v1/namespaces?watch=1';

  it('a server that leaves fails /readyz first, serves on for the delay, then ends watches in order and takes nothing new', async () => {
    const server = await start({ presence: PRESENCE });
    const client = session(server);
    let isGoingAway = false;
    client.on('goaway', () => {
      isGoingAway = true;
    });
    const watch = get(client, WATCH);
    await until('the watch has begun', () => watch.text.length > 0);
    const delay = Promise.withResolvers<void>();
    const leaving = server.leave({ delayMs: 2_000, graceMs: 5_000 }).then(() => delay.resolve());
    const ready = get(client, '/readyz');
    await until('it says so', () => ready.end !== '');
    assert.equal(ready.status, 500);
    const list = get(client, '/api/v1/namespaces');
    await until('it serves on', () => list.end === 'end');
    await until('the endpoints forget it', async () => {
      const endpoints = get(client, '/api/v1/namespaces/default/endpoints/kubernetes');
      await until('it answers', () => endpoints.end !== '');
      return !endpoints.text.includes('addresses');
    });
    assert.deepEqual([list.status, watch.end, isGoingAway], [200, '', false]);
    await leaving;
    await until('the watch ends as if its time were up', () => watch.end === 'end');
    await until('the client is told to go away', () => isGoingAway);
    const late = session(server);
    const refused = get(late, '/readyz');
    await until('nobody is let in', () => refused.end === 'error' || late.destroyed);
    assert.equal(refused.status, 0);
  });

  it('a client that vanished without a word is noticed by ping, and its watch is dropped', async () => {
    const metrics = new Registry();
    const env = { clock: realClock, random: seededRandom(6), log: silentLog, metrics };
    const server = await start({ env, connection: { pingAfterMs: 100, pingTimeoutMs: 200 } });
    const sockets: Socket[] = [];
    let isSilent = false;
    const relay = createServer((near) => {
      const far = connectTcp(server.port, '127.0.0.1');
      sockets.push(near, far);
      near.on('data', (chunk) => !isSilent && far.write(chunk));
      far.on('data', (chunk) => !isSilent && near.write(chunk));
      for (const socket of [near, far]) socket.on('error', () => undefined);
    });
    await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
    closing.push(() => {
      for (const socket of sockets) socket.destroy();
      relay.close();
    });
    const client = session(server, (relay.address() as { port: number }).port);
    const watch = get(client, WATCH);
    const watches = async (): Promise<number> => {
      const text = await metrics.getSingleMetricAsString('apiserver_longrunning_requests');
      const values = [...text.matchAll(/^apiserver_longrunning_requests\{[^}]*\} (\d+)/gm)].map((m) => Number(m[1]));
      return values.reduce((sum, value) => sum + value, 0);
    };
    await until('the watch has begun', () => watch.text.length > 0);
    const begunMs = performance.now();
    await until('pings are answered', () => performance.now() - begunMs > 700);
    assert.equal(await watches(), 1);
    isSilent = true;
    await until('the watch is dropped', async () => (await watches()) === 0);
  });

  it('by chance a client is asked to connect anew; its watch goes on', async () => {
    const server = await start({ connection: { goawayChance: 1, goawayAfterMs: 0 } });
    const client = session(server);
    let isGoingAway = false;
    client.on('goaway', () => {
      isGoingAway = true;
    });
    const watch = get(client, WATCH);
    await until('it is asked', () => isGoingAway);
    await until('the watch has begun', () => watch.text.length > 0);
    const other = session(await start());
    const calm = get(other, '/readyz');
    await until('nobody is asked by default', () => calm.end === 'end');
    const context = {
      user: { username: 'a', groups: ['system:masters'] },
      signal: new AbortController().signal,
      warn: () => undefined,
    };
    const resource = server.tables.preferred('', 'namespaces')!;
    await server.pipeline.create(context, { resource }, { metadata: { name: 'later' }, spec: {} } as never, {});
    await until('what happens later is told', () => watch.text.includes('"later"'));
    assert.equal(watch.end, '');
  });

  it('a request that is turned away has not been looked at; what came together with the one that caused it is taken', async () => {
    const server = await start({ connection: { goawayChance: 1, goawayAfterMs: 0 } });
    const rounds = 5;
    let taken = 0;
    for (let round = 0; round < rounds; round++) {
      const client = session(server);
      await new Promise((resolve) => client.once('remoteSettings', resolve));
      const names = Array.from({ length: 8 }, (_, i) => `burst-${round}-${i}`);
      // In one piece: the first of them makes the server say GOAWAY.
      const asked = names.map((name) => {
        const stream = client.request({ ...HEADERS, ':method': 'POST', ':path': '/api/v1/namespaces' });
        const outcome = { name, status: 0, isOver: false };
        stream.on('response', (headers) => {
          outcome.status = Number(headers[':status']);
        });
        stream.on('error', () => undefined);
        stream.once('close', () => {
          outcome.isOver = true;
        });
        stream.resume().end(JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }));
        return outcome;
      });
      await until('all are over', () => asked.every(({ isOver }) => isOver));
      const row = server.tables.preferred('', 'namespaces')!;
      for (const { name, status } of asked) {
        if (status === 201) taken++;
        assert.equal(server.caches.for(row).get(undefined, name) !== undefined, status === 201, `${name}: ${status}`);
      }
    }
    assert.ok(taken > rounds, `${taken} in ${rounds} bursts`);
  });

  it('nobody is asked twice in a row: what was turned away is answered on the new connection', async () => {
    const server = await start({ connection: { goawayChance: 1 } });
    const client = session(server);
    let isGoingAway = false;
    client.on('goaway', () => {
      isGoingAway = true;
    });
    for (let i = 0; i < 20; i++) {
      const burst = Array.from({ length: 5 }, () => get(client, '/readyz'));
      await until('all are answered', () => burst.every(({ end }) => end !== ''));
      assert.ok(burst.every(({ status }) => status === 200));
    }
    assert.equal(isGoingAway, false);
  });
});
