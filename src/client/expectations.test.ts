import assert from 'node:assert/strict';
import { it } from 'node:test';
import { EXPECTATIONS_TIMEOUT_MS, Expectations } from './expectations.ts';
import { testCluster } from './test-cluster.ts';

it('is satisfied once the cache shows what was written, by whatever way it came there', async () => {
  const cluster = await testCluster();
  const maps = cluster.client.resource('configmaps');
  const informer = cluster.informers.for('configmaps');
  await cluster.informers.start(cluster.signal);
  const expectations = new Expectations(cluster.clock, informer);
  assert.ok(expectations.satisfied('owner'));
  const made = await maps.create({ metadata: { namespace: 'default', name: 'a' } });
  expectations.wrote('owner', made);
  assert.equal(expectations.satisfied('owner'), informer.get('default/a') !== undefined);
  await cluster.pass(0);
  assert.ok(expectations.satisfied('owner'));
  // Made and gone again before anyone looked: the version has passed.
  const brief = await maps.create({ metadata: { namespace: 'default', name: 'brief' } });
  await maps.delete(brief.metadata);
  expectations.wrote('owner', brief);
  await cluster.pass(0);
  assert.ok(expectations.satisfied('owner'));
  expectations.deleting('owner', made);
  expectations.deleting('other', made);
  assert.equal(expectations.satisfied('owner'), false);
  await maps.delete(made.metadata);
  await cluster.pass(0);
  assert.ok(expectations.satisfied('owner'));
  expectations.wrote('late', { metadata: { name: 'x', uid: 'u', resourceVersion: '999999999' } });
  assert.equal(expectations.satisfied('late'), false);
  await cluster.pass(EXPECTATIONS_TIMEOUT_MS + 1);
  assert.ok(expectations.satisfied('late'));
  await cluster.close();
});
