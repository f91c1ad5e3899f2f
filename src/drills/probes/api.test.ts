// The clients of drills against a whole API server: what they note is what happened.
import assert from 'node:assert/strict';
import { createServer, type Socket, connect as tcp } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { accessFrom, parseKubeconfig } from '../../client/kubeconfig.ts';
import { startEmbeddedCluster } from '../../cluster/embedded-cluster.ts';
import type { EmbeddedCluster } from '../../cluster/embedded-contract.ts';
import { until } from '../../lib/test-until.ts';
import { realClock, realEnvironment } from '../../platform/environment.ts';
import { checkHistories, checkWatch } from '../checkers/history.ts';
import { ApiProbe } from './api.ts';
import { Connection, NoAnswer, NotSent } from './connection.ts';
import { WatchProbe } from './watch.ts';

const { signal } = new AbortController();
const PATH = '/api/v1/namespaces/default/configmaps';

let cluster: EmbeddedCluster;
/** Between the clients and the server: cuts connections, or lets nothing through. */
const sockets = new Set<Socket>();
/** Of answers, until the connection is cut. */
let bytesLeft = Number.POSITIVE_INFINITY;
let silent: 'nothing' | 'answers' | 'everything' = 'nothing';
const relay = createServer((client) => {
  const server = tcp(Number(new URL(cluster.url).port), '127.0.0.1');
  for (const [from, to] of [
    [client, server],
    [server, client],
  ] as const) {
    sockets.add(from);
    from.on('error', () => undefined);
    from.on('close', () => to.destroy());
    from.on('data', (data) => {
      if (from === server) bytesLeft -= data.length;
      if (bytesLeft < 0) return cut();
      if (silent === 'nothing' || (silent === 'answers' && from === client)) to.write(data);
    });
  }
});
const cut = (): void => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
};

before(async () => {
  cluster = await startEmbeddedCluster(realEnvironment('silent'), { namespace: 'default' });
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
});
after(async () => {
  cut();
  relay.close();
  await cluster.dispose();
});

async function connection(pingMs?: number): Promise<Connection> {
  const access = await accessFrom(parseKubeconfig(cluster.kubeconfig));
  const servers = [`https://127.0.0.1:${(relay.address() as { port: number }).port}`];
  const options = { access: { ...access, servers }, clock: realClock, connectTimeoutMs: 2_000 };
  return new Connection({ ...options, ...(pingMs !== undefined && { pingMs }) });
}

describe('a client of drills', () => {
  it('takes an answer that is cut off for none', async (t) => {
    const main = await connection();
    t.after(() => main.close());
    const body = { metadata: { name: 'long' }, data: { text: 'x'.repeat(600_000) } };
    await main.ask({ method: 'POST', path: PATH, body, timeoutMs: 5_000 }, signal);
    bytesLeft = 300_000;
    const question = { method: 'GET', path: `${PATH}/long`, timeoutMs: 5_000 };
    await assert.rejects(main.ask(question, signal), NoAnswer);
    bytesLeft = Number.POSITIVE_INFINITY;
    assert.match((await main.insist(question, signal)).text, /x{600000}/);
  });

  it('writes, reads and watches through cuts, and its history holds', async (t) => {
    const [main, watching] = [await connection(), await connection(200)];
    t.after(() => {
      main.close();
      watching.close();
    });
    const options = {
      connection: main,
      clock: realClock,
      namespace: 'default',
      prefix: 'cut',
      keys: 3,
      timeoutMs: 5_000,
    };
    const probe = await ApiProbe.start(options, signal);
    const stop = new AbortController();
    const path = `${PATH}?labelSelector=drill%3Dcut`;
    const watch = new WatchProbe({
      connection: watching,
      clock: realClock,
      path,
      resourceVersion: probe.resourceVersion,
    });
    const watched = watch.run(stop.signal);
    for (let i = 0; i < 60; i++) {
      const both = Promise.all([probe.write(i, signal), probe.read(i, signal)]);
      if (i % 10 === 5) cut();
      for (const { outcome } of await both) assert.ok(i % 10 === 5 || outcome === 'ok', `question ${i}: ${outcome}`);
    }
    await probe.readAll(signal);
    const histories = probe.histories();
    const acknowledged = [...histories.values()].flatMap((one) => one.acknowledged);
    assert.ok(acknowledged.length >= 50, `${acknowledged.length} writes were acknowledged`);
    const newest = Math.max(...acknowledged.map((one) => Number(one.resourceVersion)));
    await watch.reached(String(newest), 20_000, signal);
    stop.abort();
    await watched;
    assert.deepEqual(checkHistories(histories), []);
    assert.deepEqual(checkWatch(histories, watch.events, probe.resourceVersion), []);
    assert.ok(main.connects > 1 && watch.resumed > 0 && watch.tooOld === 0);
    await probe.remove(signal);
    const { items } = await cluster.client
      .resource('configmaps')
      .list({ namespace: 'default', labelSelector: 'drill=cut' });
    assert.deepEqual(items, []);
  });

  it('finds out by a conflict that another wrote, and goes on from there', async (t) => {
    const main = await connection();
    t.after(() => main.close());
    const options = {
      connection: main,
      clock: realClock,
      namespace: 'default',
      prefix: 'other',
      keys: 1,
      timeoutMs: 5_000,
    };
    const probe = await ApiProbe.start(options, signal);
    const configmaps = cluster.client.resource('configmaps');
    const ref = { namespace: 'default', name: 'other-0' };
    await configmaps.patch(ref, { type: 'merge', body: { data: { value: 'foreign' } } });
    assert.deepEqual(await probe.write(0, signal), { outcome: 'ok', value: '0.1', retries: 0, isUnknown: false });
    // Nobody of the history wrote it: so the checker sees foreign writes, and lost ones all the more.
    assert.match(checkHistories(probe.histories()).join(), /not linearizable/);
    await probe.remove(signal);
  });

  it('gives up what is not answered, does not know what became of it, and leaves the connection', async (t) => {
    const main = await connection();
    t.after(() => {
      silent = 'nothing';
      main.close();
    });
    const question = { method: 'GET', path: PATH, timeoutMs: 300 };
    assert.equal((await main.ask({ ...question, timeoutMs: 5_000 }, signal)).code, 200);
    assert.deepEqual(main.servedBy.includes('kubernetes'), true);
    silent = 'everything';
    await assert.rejects(main.ask(question, signal), NoAnswer);
    silent = 'nothing';
    assert.equal((await main.ask({ ...question, timeoutMs: 5_000 }, signal)).code, 200);
    assert.equal(main.connects, 2);
  });

  it('does not say refused of a write whose answer was lost', async (t) => {
    const main = await connection();
    t.after(() => {
      silent = 'nothing';
      main.close();
    });
    const place = { connection: main, clock: realClock, namespace: 'default', prefix: 'lost', keys: 1 };
    const probe = await ApiProbe.start({ ...place, timeoutMs: 500 }, signal);
    silent = 'answers';
    const { outcome } = await probe.write(0, signal);
    silent = 'nothing';
    assert.equal(outcome, 'unknown');
    await until('it is seen to have been made', async () => {
      const found = await cluster.client.resource('configmaps').get({ namespace: 'default', name: 'lost-0' });
      return found.data?.value === '0.0';
    });
    main.renew();
    await probe.readAll(signal);
    assert.deepEqual(checkHistories(probe.histories()), []);
  });

  it('knows that nothing was sent where there is no server', async () => {
    const access = { ...(await accessFrom(parseKubeconfig(cluster.kubeconfig))), servers: ['https://127.0.0.1:1'] };
    const nowhere = new Connection({ access, clock: realClock, connectTimeoutMs: 2_000 });
    await assert.rejects(nowhere.ask({ method: 'GET', path: '/', timeoutMs: 2_000 }, signal), NotSent);
  });

  it('notices by pings that its connection is silent', async (t) => {
    const watching = await connection(100);
    t.after(() => {
      silent = 'nothing';
      watching.close();
    });
    const stop = new AbortController();
    const watch = new WatchProbe({ connection: watching, clock: realClock, path: PATH, resourceVersion: '0' });
    const watched = watch.run(stop.signal);
    await until('the watch is there', () => watch.events.length > 0);
    silent = 'everything';
    const resumed = watch.resumed;
    const silentMs = realClock.monotonic();
    await until('it goes on elsewhere', () => watch.resumed > resumed);
    // The server itself would take 45 s.
    assert.ok(realClock.monotonic() - silentMs < 20_000);
    silent = 'nothing';
    stop.abort();
    await watched;
  });
});
