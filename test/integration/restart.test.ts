// What a cluster owes after its processes were killed: every acknowledged write, and watches that go on where they were.
import assert from 'node:assert/strict';
import { stat, truncate } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import type { HttpsClient } from '../../src/client/https.ts';
import { killProcess, passingCluster, pidOf } from './crash.ts';
import { BUNDLE, eventually, requireBuilt, run } from './harness.ts';
import { adminClient, ResumingWatcher, WriteLoad } from './write-load.ts';

const PORT = 9201;
const KILLS = 20;

requireBuilt();

async function readyAgain(client: HttpsClient): Promise<void> {
  await eventually('the API server is ready', async () => {
    await client.request('GET', '/readyz');
    return true;
  });
}

function milliseconds(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b).map(Math.round);
  return `median ${sorted[sorted.length >> 1]} ms, ${sorted[0]} to ${sorted.at(-1)}`;
}

test(`kill -9 of the server ${KILLS} times under write load`, async (t) => {
  const c = await passingCluster(t, 'restart-load', { simulated: true });
  await c.tsukube(['up', '--simulated', '2', '--port', String(PORT)]);
  const client = await adminClient(c);
  t.after(() => client.close());
  const namespace = 'load';
  const created = await client.resource('namespaces').create({ metadata: { name: namespace }, spec: {} });
  const from = created.metadata.resourceVersion!;
  const watchers = [1, 2].map(() => adminClient(c).then((own) => new ResumingWatcher(own, namespace, from)));
  const [first, second] = await Promise.all(watchers);
  const load = new WriteLoad(c, namespace);
  t.after(async () => {
    await load.abandon();
    for (const watcher of [first, second]) await watcher!.stop().catch(() => undefined);
  });
  await load.start(4, 4);
  const outagesMs: number[] = [];
  let before = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    // Some are killed in the middle of their start-up work, some well after it.
    const enough = before + 50 + (kill % 5) * 200;
    await load.reached(enough);
    const pid = await killProcess(c, 'server');
    const killedMs = performance.now();
    await readyAgain(client);
    outagesMs.push(performance.now() - killedMs);
    before = load.acknowledged;
    assert.notEqual(await pidOf(c, 'server'), pid);
  }
  await load.reached(before + 200);
  await load.stop();
  await load.checkPresent();
  const { resourceVersion } = await client.resource('configmaps').list({ namespace });
  const marker = { metadata: { namespace, name: 'marker' }, data: { value: 'last' } };
  const last = await client.resource('configmaps').create(marker);
  assert.ok(Number(last.metadata.resourceVersion) > Number(resourceVersion));
  for (const watcher of [first!, second!]) {
    await watcher.reached(last.metadata.resourceVersion!);
    await watcher.stop();
    assert.ok(watcher.resumed >= KILLS, `the watch was resumed ${watcher.resumed} times`);
    load.checkHistory(watcher.seen);
  }
  const events = load.checkHistory(first!.seen);
  t.diagnostic(
    `${load.acknowledged} writes acknowledged, ${load.unknown} unknown, ${events} events seen by each watch`,
  );
  t.diagnostic(`from kill to ready: ${milliseconds(outagesMs)}`);
});

test('up again, down and up again: nothing is lost, and what is in the way is named', async (t) => {
  const c = await passingCluster(t, 'restart-up', { simulated: true });
  const busy = createServer();
  await new Promise<void>((resolve) => busy.listen(PORT, resolve));
  const refused = await run(process.execPath, [BUNDLE, 'up', '--simulated', '2', '--port', String(PORT)], {
    env: c.env,
  });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /port 9201 is in use by another program; choose another with --port/);
  await new Promise((resolve) => busy.close(resolve));

  const up = ['up', '--simulated', '2', '--port', String(PORT), '--json'];
  await c.tsukube(up);
  const first = await pidOf(c, 'server');
  await c.kubectl(['create', 'configmap', 'kept', '--from-literal=a=1']);
  const { uid } = (await c.json<{ metadata: { uid: string } }>(['get', 'configmap', 'kept'])).metadata;
  const again = JSON.parse(await c.tsukube(up)) as { alreadyRunning: boolean };
  assert.equal(again.alreadyRunning, true);
  assert.equal(await pidOf(c, 'server'), first, 'up of a running cluster leaves it alone');
  const other = await run(process.execPath, [BUNDLE, 'up', '--simulated', '3'], { env: c.env });
  assert.equal(other.code, 1);
  assert.match(other.stderr, /runs with other settings; "tsukube down --keep-data" first/);

  process.kill(await pidOf(c, 'server.supervisor'), 'SIGKILL');
  await c.tsukube(['up']);
  assert.notEqual(await pidOf(c, 'server'), first, 'a server that nobody guards is replaced');
  await c.kubectl(['get', 'configmap', 'kept']);

  // Guard and server gone, as after the power came back.
  process.kill(await pidOf(c, 'server.supervisor'), 'SIGKILL');
  await killProcess(c, 'server');
  const status = await run(process.execPath, [BUNDLE, 'status'], { env: c.env });
  assert.equal(status.code, 1);
  assert.match(status.stdout, /server does not run/);
  await c.tsukube(['up']);
  await c.kubectl(['get', 'configmap', 'kept']);

  await c.tsukube(['down', '--keep-data']);
  assert.equal((await run(process.execPath, [BUNDLE, 'status'], { env: c.env })).code, 1);
  await c.tsukube(['up']);
  const kept = await c.json<{ metadata: { uid: string }; data: object }>(['get', 'configmap', 'kept']);
  assert.deepEqual([kept.metadata.uid, kept.data], [uid, { a: '1' }]);
  assert.match(await c.tsukube(['status']), /node {6}node-1 {2}ready/, 'the settings are kept as well');

  await c.tsukube(['down', '--keep-data']);
  const data = join(c.root, 'store', 'data.mdb');
  const { size } = await stat(data);
  await truncate(data, size / 2);
  const damaged = await run(process.execPath, [BUNDLE, 'up'], { env: c.env });
  assert.equal(damaged.code, 1);
  assert.match(
    damaged.stderr,
    /the store in .* is damaged \(.*\); restore it from a snapshot, or remove it to begin anew/,
  );
});
