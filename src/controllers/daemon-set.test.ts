import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DaemonSet } from '../api/generated/types.ts';
import { decideDaemonPods } from './daemon-decision.ts';
import { daemonPod, daemonTolerations } from './daemon-placement.ts';
import { daemonSetController, FailedPodBackoff } from './daemon-set.ts';
import { addNode, makeReady, podsOf, report, settled, withWorkloads } from './test-workloads.ts';

function setOf(spec: Partial<DaemonSet['spec']> = {}): DaemonSet {
  return {
    metadata: { name: 'agent', namespace: 'default' },
    spec: {
      selector: { matchLabels: { app: 'agent' } },
      template: { metadata: { labels: { app: 'agent' } }, spec: { containers: [{ name: 'c', image: 'one' }] } },
      ...spec,
    },
  };
}

test('pods come on suitable nodes, are replaced one by one, and history is kept', () =>
  withWorkloads([daemonSetController()], async (cluster) => {
    const sets = cluster.client.resource('daemonsets.apps');
    for (const name of ['a', 'b']) await addNode(cluster, name, { role: 'worker' });
    await addNode(cluster, 'c');
    const template = setOf().spec.template;
    const spec = { ...template.spec!, nodeSelector: { role: 'worker' } };
    await sets.create(setOf({ template: { ...template, spec } }));
    await settled(cluster);
    assert.equal((await podsOf(cluster)).length, 2);
    await addNode(cluster, 'd', { role: 'worker' });
    await settled(cluster);
    await makeReady(cluster);
    const ref = { namespace: 'default', name: 'agent' };
    const { observedGeneration, desiredNumberScheduled, numberAvailable } = (await sets.get(ref)).status!;
    assert.deepEqual([observedGeneration, desiredNumberScheduled, numberAvailable], [1, 3, 3]);

    const image = { spec: { template: { spec: { containers: [{ name: 'c', image: 'two' }] } } } };
    await sets.patch(ref, { type: 'strategic', body: image });
    for (let i = 0; i < 4; i++) {
      await settled(cluster);
      await makeReady(cluster);
    }
    await settled(cluster);
    const pods = await podsOf(cluster);
    assert.deepEqual(
      pods.map((pod) => pod.spec.containers[0]!.image),
      ['two', 'two', 'two'],
    );
    assert.equal((await sets.get(ref)).status?.updatedNumberScheduled, 3);
    const { items } = await cluster.client.resource('controllerrevisions.apps').list();
    assert.deepEqual(items.map((revision) => revision.revision).sort(), [1, 2]);
    assert.ok((await cluster.events()).some((text) => text.startsWith('SuccessfulCreate: Created pod: agent-')));

    // The template of before gets its revision back, with the highest number.
    const first = items.find((revision) => revision.revision === 1)!;
    await sets.patch(ref, { type: 'strategic', body: first.data! });
    await settled(cluster);
    const after = await cluster.client.resource('controllerrevisions.apps').list();
    assert.equal(after.items.find((r) => r.metadata.name === first.metadata.name)?.revision, 3);
    assert.equal(after.items.length, 2);
  }));

test('a failed pod is deleted at once, the next one after a second', () =>
  withWorkloads([daemonSetController()], async (cluster) => {
    await addNode(cluster, 'a');
    await cluster.client.resource('daemonsets.apps').create(setOf());
    await settled(cluster);
    const fail = async (): Promise<string> => {
      const [pod] = await podsOf(cluster);
      await report(cluster, pod!, { phase: 'Failed' });
      await settled(cluster);
      return pod!.metadata.name;
    };
    const first = await fail();
    assert.notEqual((await podsOf(cluster))[0]?.metadata.name, first);
    const second = await fail();
    assert.equal((await podsOf(cluster))[0]?.metadata.name, second);
    await cluster.pass(1001);
    assert.notEqual((await podsOf(cluster))[0]?.metadata.name, second);
    assert.ok((await cluster.events()).some((text) => text.startsWith('FailedDaemonPod: Found failed daemon pod')));
  }));

test('OnDelete replaces only what is deleted', () => {
  const daemonSet = setOf({ updateStrategy: { type: 'OnDelete' } });
  const nodes = ['a', 'b'].map((name) => ({ metadata: { name }, spec: {} }));
  const pod = daemonPod(daemonSet, 'old', 'a');
  const decision = decideDaemonPods({
    daemonSet,
    nodes,
    pods: [{ ...pod, metadata: { ...pod.metadata, name: 'p' } }],
    hash: 'new',
    nowMs: 0,
    failedDelayMs: () => 0,
  });
  assert.deepEqual([decision.create, decision.remove], [['b'], []]);
});

test('daemons tolerate what nodes suffer, and what is declared stays', () => {
  const declared = { key: 'mine', operator: 'Exists' as const };
  const doubled = { key: 'node.kubernetes.io/not-ready', operator: 'Exists' as const, effect: 'NoExecute' as const };
  const found = daemonTolerations({ containers: [], hostNetwork: true, tolerations: [declared, doubled] });
  assert.deepEqual(
    found.map((one) => `${one.key}:${one.effect}`),
    [
      'mine:undefined',
      'node.kubernetes.io/not-ready:NoExecute',
      'node.kubernetes.io/unreachable:NoExecute',
      'node.kubernetes.io/disk-pressure:NoSchedule',
      'node.kubernetes.io/memory-pressure:NoSchedule',
      'node.kubernetes.io/pid-pressure:NoSchedule',
      'node.kubernetes.io/unschedulable:NoSchedule',
      'node.kubernetes.io/network-unavailable:NoSchedule',
    ],
  );
});

test('the pause doubles up to a quarter of an hour, and a long quiet time forgets', () => {
  const failures = new FailedPodBackoff();
  assert.equal(failures.waitMs('n', 0), 0);
  failures.deleted('n', 0);
  failures.deleted('n', 0);
  assert.equal(failures.waitMs('n', 500), 1500);
  for (let i = 0; i < 20; i++) failures.deleted('n', 0);
  assert.equal(failures.waitMs('n', 0), 15 * 60_000);
  failures.deleted('n', 3 * 15 * 60_000);
  assert.equal(failures.waitMs('n', 3 * 15 * 60_000), 1000);
});
