import assert from 'node:assert/strict';
import { it } from 'node:test';
import { testCluster } from './test-cluster.ts';
import { waitFor, waitForCached } from './wait.ts';

const AT = { namespace: 'default', name: 'a' };

it('resolves as soon as the object is as wanted, over an informer and over a watch', async () => {
  const cluster = await testCluster();
  const maps = cluster.client.resource('configmaps');
  const informer = cluster.informers.for('configmaps');
  await cluster.informers.start(cluster.signal);
  const big = (map: { data?: { readonly [key: string]: string } } | undefined): boolean => map?.data?.size === 'big';
  const waits = [
    waitForCached(informer, 'default/a', big, cluster.signal),
    waitFor(maps, AT, big, cluster),
    waitFor(maps, AT, (map) => map !== undefined, cluster),
  ];
  await cluster.pass(0);
  await maps.create({ metadata: AT, data: { size: 'small' } });
  assert.equal((await waits[2])?.data?.size, 'small');
  await maps.patch(AT, { type: 'merge', body: { data: { size: 'big' } } });
  for (const one of await Promise.all(waits.slice(0, 2))) assert.equal(one?.data?.size, 'big');
  const gone = Promise.all([
    waitForCached(informer, 'default/a', (map) => map === undefined, cluster.signal),
    waitFor(maps, AT, (map) => map === undefined, cluster),
  ]);
  await cluster.pass(0);
  await maps.delete(AT);
  assert.deepEqual(await gone, [undefined, undefined]);
  await cluster.close();
});

it('ends with the signal’s reason', async () => {
  const cluster = await testCluster();
  const informer = cluster.informers.for('configmaps');
  await cluster.informers.start(cluster.signal);
  const stop = new AbortController();
  const options = { env: cluster.env, signal: stop.signal };
  const never = (): boolean => false;
  const waits = [
    waitForCached(informer, 'default/a', never, stop.signal),
    waitFor(cluster.client.resource('configmaps'), AT, never, options),
  ];
  const ends = Promise.all(waits.map((wait) => assert.rejects(wait, /enough/)));
  await cluster.pass(0);
  stop.abort(new Error('enough'));
  await ends;
  await cluster.close();
});
