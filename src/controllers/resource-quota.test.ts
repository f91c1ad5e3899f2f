import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Pod, ResourceQuota } from '../api/generated/types.ts';
import { quotaStatus, resourceQuotaController } from './resource-quota.ts';
import { testPod } from './test-controllers.ts';
import { finish, settled, withWorkloads } from './test-workloads.ts';

const quotaOf = (hard: Record<string, string>, spec: Partial<ResourceQuota['spec']> = {}): ResourceQuota => ({
  metadata: { name: 'limits', namespace: 'default' },
  spec: { hard, ...spec },
});

const pods = { group: '', resource: 'pods' };

function podOf(milliCpu: number, phase: string, metadata: Partial<Pod['metadata']> = {}): Pod {
  const resources = { requests: { cpu: `${milliCpu}m` } };
  const pod = testPod('p', { containers: [{ name: 'c', image: 'i', resources }] }, metadata);
  return { ...pod, status: { phase: phase as 'Running' } };
}

test('usage is the sum over the pods that hold resources; the rest only count as objects', () => {
  const one = fc.record({
    cpu: fc.integer({ min: 1, max: 4000 }),
    phase: fc.constantFrom('Running', 'Failed', 'Pending'),
  });
  fc.assert(
    fc.property(fc.array(one, { maxLength: 20 }), (shapes) => {
      const objects = [[pods, shapes.map(({ cpu, phase }) => podOf(cpu, phase))]] as const;
      const quota = quotaOf({ pods: '9', cpu: '1', 'count/pods': '9', secrets: '1' });
      const { used = {} } = quotaStatus({ quota, objects, nowMs: 0 });
      const holding = shapes.filter(({ phase }) => phase !== 'Failed');
      const milli = holding.reduce((sum, { cpu }) => sum + cpu, 0);
      assert.equal(used.pods, String(holding.length));
      assert.equal(used['count/pods'], String(shapes.length));
      assert.equal(used.cpu, milli % 1000 === 0 ? String(milli / 1000) : `${milli}m`);
      assert.equal(used.secrets, '0');
    }),
  );
});

test('a pod that should be gone by now holds nothing; scopes choose', () => {
  const going = podOf(500, 'Running', { deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 30 });
  const at = (text: string) =>
    quotaStatus({ quota: quotaOf({ pods: '1' }), objects: [[pods, [going]]], nowMs: Date.parse(text) }).used?.pods;
  assert.deepEqual([at('2026-01-01T00:00:29Z'), at('2026-01-01T00:00:30Z')], ['1', '0']);
  const best = quotaOf({ pods: '1' }, { scopes: ['BestEffort'] });
  assert.equal(quotaStatus({ quota: best, objects: [[pods, [podOf(1, 'Running')]]], nowMs: 0 }).used?.pods, '0');
});

test('what is deleted or ended is given back', () =>
  withWorkloads([resourceQuotaController()], async (cluster) => {
    const quotas = cluster.client.resource('resourcequotas');
    await quotas.create(quotaOf({ pods: '5', configmaps: '3', 'count/leases.coordination.k8s.io': '4' }));
    await settled(cluster);
    const ref = { namespace: 'default', name: 'limits' };
    const used = async () => (await quotas.get(ref)).status?.used;
    const none = { pods: '0', configmaps: '0', 'count/leases.coordination.k8s.io': '0' };
    assert.deepEqual(await used(), none);
    const created = cluster.client.resource('pods');
    await created.create(testPod('a'));
    await created.create(testPod('b'));
    await cluster.client.resource('configmaps').create({ metadata: { name: 'c', namespace: 'default' } });
    await cluster.client
      .resource('leases.coordination.k8s.io')
      .create({ metadata: { name: 'l', namespace: 'default' }, spec: {} });
    await settled(cluster);
    assert.deepEqual(await used(), { pods: '2', configmaps: '1', 'count/leases.coordination.k8s.io': '1' });
    await finish(cluster, 'Succeeded', (pod) => pod.metadata.name === 'a');
    await cluster.client.resource('configmaps').delete({ namespace: 'default', name: 'c' });
    await settled(cluster);
    assert.deepEqual(await used(), { pods: '1', configmaps: '0', 'count/leases.coordination.k8s.io': '1' });
    await cluster.client.resource('leases.coordination.k8s.io').delete({ namespace: 'default', name: 'l' });
    await created.delete({ namespace: 'default', name: 'b' });
    await cluster.pass(30_000);
    await settled(cluster);
    assert.deepEqual(await used(), none);
  }));
