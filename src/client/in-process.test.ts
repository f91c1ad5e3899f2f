import assert from 'node:assert/strict';
import { it } from 'node:test';
import { clientSuite } from './client.suite.ts';
import { testCluster } from './test-cluster.ts';

clientSuite('the pipeline in process', testCluster);

it('a write is a copy: the callee changes nothing of what the caller holds', async () => {
  const cluster = await testCluster();
  const mine = { metadata: { namespace: 'default', name: 'mine', labels: { a: '1' } }, data: { k: 'v' } };
  const before = structuredClone(mine);
  const created = await cluster.client.resource('configmaps').create(mine);
  assert.deepEqual(mine, before);
  assert.notEqual(created.data, mine.data);
  await cluster.close();
});

it('reads are shared: the same object twice, not a copy', async () => {
  const cluster = await testCluster();
  const maps = cluster.client.resource('configmaps');
  await maps.create({ metadata: { namespace: 'default', name: 'shared' } });
  const listed = (await maps.list()).items.find((one) => one.metadata.name === 'shared');
  assert.equal(await maps.get({ namespace: 'default', name: 'shared' }), listed);
  await cluster.close();
});
