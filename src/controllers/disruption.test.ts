import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Pod, PodDisruptionBudget } from '../api/generated/types.ts';
import { rfc3339 } from '../lib/clock.ts';
import { decideBudget, disruptionController } from './disruption.ts';
import { replicaSetController } from './replica-set.ts';
import { makeReady, podsOf, settled, withWorkloads } from './test-workloads.ts';

const NOW = Date.UTC(2026, 0, 1);

function budgetOf(spec: PodDisruptionBudget['spec'], status?: PodDisruptionBudget['status']): PodDisruptionBudget {
  const selector = { matchLabels: { app: 'web' } };
  return {
    metadata: { name: 'pdb', namespace: 'default', generation: 1 },
    spec: { selector, ...spec },
    ...(status && { status }),
  };
}

function podOf(name: string, ready: boolean): Pod {
  return {
    metadata: { name, namespace: 'default', labels: { app: 'web' } },
    spec: { containers: [] },
    status: { conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  };
}

const percent = fc.nat(100).map((share) => `${share}%`);

test('as long as only what is allowed is disrupted, what is desired stays healthy', () => {
  const bound = fc.oneof(fc.nat(12), percent);
  const shape = fc.record({ replicas: fc.nat(12), unready: fc.nat(12), bound, max: fc.boolean() });
  fc.assert(
    fc.property(shape, ({ replicas, unready, bound, max }) => {
      const pods = Array.from({ length: replicas }, (_, i) => podOf(`p${i}`, i >= unready));
      const budget = budgetOf(max ? { maxUnavailable: bound } : { minAvailable: bound });
      const { status } = decideBudget({ budget, pods, nowMs: NOW, scaleOf: () => ({ uid: 'rs', replicas }) });
      const { disruptionsAllowed = 0, currentHealthy = 0, desiredHealthy = 0, expectedPods } = status;
      assert.equal(expectedPods, replicas);
      assert.equal(currentHealthy, Math.max(0, replicas - unready));
      assert.ok(disruptionsAllowed === 0 || currentHealthy - disruptionsAllowed >= desiredHealthy);
      assert.ok(disruptionsAllowed >= 0 && disruptionsAllowed <= currentHealthy);
      const share = typeof bound === 'number' ? bound : Math.ceil((Number.parseInt(bound, 10) * replicas) / 100);
      assert.equal(desiredHealthy, max ? Math.max(0, replicas - share) : share);
      const condition = status.conditions?.find((c) => c.type === 'DisruptionAllowed');
      assert.equal(condition?.status, disruptionsAllowed > 0 ? 'True' : 'False');
    }),
  );
});

test('an evicted pod counts as gone for two minutes, then again', () => {
  const pods = [podOf('a', true), podOf('b', true)];
  const status = { disruptedPods: { a: rfc3339(NOW - 60_000), gone: rfc3339(NOW) } };
  const at = (nowMs: number) =>
    decideBudget({ budget: budgetOf({ minAvailable: 1 }, status), pods, nowMs, scaleOf: () => undefined });
  const soon = at(NOW);
  assert.deepEqual([soon.status.currentHealthy, soon.status.disruptionsAllowed, soon.againMs], [1, 0, 60_000]);
  assert.deepEqual(Object.keys(soon.status.disruptedPods ?? {}), ['a']);
  const later = at(NOW + 60_000);
  assert.deepEqual([later.status.currentHealthy, later.notDeleted.map((pod) => pod.metadata.name)], [2, ['a']]);
});

test('a budget follows its pods and the scale of what manages them', () =>
  withWorkloads([disruptionController(), replicaSetController()], async (cluster) => {
    const budgets = cluster.client.resource('poddisruptionbudgets.policy');
    const labels = { app: 'web' };
    await cluster.client.resource('replicasets.apps').create({
      metadata: { name: 'web', namespace: 'default' },
      spec: {
        replicas: 4,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'i' }] } },
      },
    });
    await budgets.create(budgetOf({ maxUnavailable: '25%' }));
    await settled(cluster);
    const ref = { namespace: 'default', name: 'pdb' };
    const counts = async (): Promise<unknown[]> => {
      const { status } = await budgets.get(ref);
      return [
        status?.expectedPods,
        status?.currentHealthy ?? 0,
        status?.desiredHealthy,
        status?.disruptionsAllowed ?? 0,
      ];
    };
    assert.deepEqual(await counts(), [4, 0, 3, 0]);
    await makeReady(cluster);
    assert.deepEqual(await counts(), [4, 4, 3, 1]);
    const [pod] = await podsOf(cluster);
    await cluster.client.resource('pods').createOn({ namespace: 'default', name: pod!.metadata.name }, 'eviction', {
      apiVersion: 'policy/v1',
      kind: 'Eviction',
      metadata: { name: pod!.metadata.name, namespace: 'default' },
    });
    await settled(cluster);
    assert.deepEqual(await counts(), [4, 3, 3, 0]);
    await makeReady(cluster);
    assert.deepEqual(await counts(), [4, 4, 3, 1]);
    assert.equal((await budgets.get(ref)).status?.conditions?.[0]?.reason, 'SufficientPods');
  }));

test('nothing is allowed while the scale is unknown', () =>
  withWorkloads([disruptionController()], async (cluster) => {
    const owner = { apiVersion: 'example.com/v1', kind: 'Fleet', name: 'f', uid: 'f', controller: true };
    const pod = podOf('a', true);
    await cluster.client.resource('pods').create({
      metadata: { ...pod.metadata, ownerReferences: [owner] },
      spec: { containers: [{ name: 'c', image: 'i' }] },
    });
    await cluster.client.resource('poddisruptionbudgets.policy').create(budgetOf({ maxUnavailable: 1 }));
    await settled(cluster);
    const { status } = await cluster.client
      .resource('poddisruptionbudgets.policy')
      .get({ namespace: 'default', name: 'pdb' });
    assert.equal(status?.conditions?.[0]?.reason, 'SyncFailed');
    assert.equal(status?.disruptionsAllowed ?? 0, 0);
  }));
