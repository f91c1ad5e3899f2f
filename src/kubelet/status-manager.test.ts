import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Pod, PodStatus } from '../api/generated/types.ts';
import { type TestCluster, testCluster } from '../client/test-cluster.ts';
import { aPod } from './pod/fixtures.ts';
import { StatusManager, sameStatus, statusPatch } from './status-manager.ts';

let cluster: TestCluster;
before(async () => {
  cluster = await testCluster();
  await cluster.client.resource('serviceaccounts').create({ metadata: { name: 'default', namespace: 'default' } });
});
after(() => cluster.close());

const running = (more: Partial<PodStatus> = {}): PodStatus => ({
  phase: 'Running',
  conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z' }],
  podIP: '10.0.0.1',
  podIPs: [{ ip: '10.0.0.1' }],
  containerStatuses: [],
  ...more,
});

async function newPod(name: string): Promise<Pod> {
  const spec = { nodeName: 'n1', containers: [{ name: 'c', image: 'i' }] };
  return cluster.client.resource('pods').create({ metadata: { name, namespace: 'default' }, spec });
}

const read = (name: string): Promise<Pod | undefined> =>
  cluster.client
    .resource('pods')
    .get({ namespace: 'default', name })
    .catch(() => undefined);

test('writes what changed, once, and leaves the conditions of others alone', async () => {
  const pod = await newPod('a');
  const gate = { type: 'strategic' as const, body: { status: { conditions: [{ type: 'gate', status: 'True' }] } } };
  await cluster.client.resource('pods').patch({ namespace: 'default', name: 'a' }, gate, { subresource: 'status' });
  const manager = new StatusManager(cluster.client, cluster.env, cluster.signal);
  manager.set(pod, running());
  await cluster.pass(0);
  const first = (await read('a'))!;
  assert.deepEqual([first.status?.phase, first.status?.podIP], ['Running', '10.0.0.1']);
  assert.deepEqual(first.status?.conditions?.map((c) => c.type).sort(), ['Ready', 'gate']);
  manager.set(pod, running());
  await cluster.pass(0);
  assert.equal((await read('a'))!.metadata.resourceVersion, first.metadata.resourceVersion);
  manager.set(pod, running({ podIP: '10.0.0.2', podIPs: [{ ip: '10.0.0.2' }], reason: 'x' }));
  await cluster.pass(0);
  assert.deepEqual((await read('a'))!.status?.podIPs, [{ ip: '10.0.0.2' }]);
  manager.set(pod, running({ podIP: '10.0.0.2', podIPs: [{ ip: '10.0.0.2' }] }));
  await cluster.pass(0);
  assert.equal((await read('a'))!.status?.reason, undefined);
});

test('a deleted pod leaves the API only when the node is clear of it', async () => {
  const pod = await newPod('b');
  const manager = new StatusManager(cluster.client, cluster.env, cluster.signal);
  manager.set(pod, running());
  await cluster.pass(0);
  await cluster.client.resource('pods').delete({ namespace: 'default', name: 'b' }, { gracePeriodSeconds: 30 });
  const deleting = (await read('b'))!;
  assert.ok(deleting.metadata.deletionTimestamp);
  manager.set(deleting, running({ phase: 'Failed' }));
  await cluster.pass(0);
  assert.equal((await read('b'))?.status?.phase, 'Failed');
  manager.finish(deleting);
  await cluster.pass(0);
  assert.equal(await read('b'), undefined);
});

test('the status of one pod never reaches another of its name', async () => {
  const pod = await newPod('c');
  const manager = new StatusManager(cluster.client, cluster.env, cluster.signal);
  manager.set({ ...pod, metadata: { ...pod.metadata, uid: 'another' } }, running());
  await cluster.pass(60_000);
  assert.equal((await read('c'))?.status?.phase, 'Pending');
});

test('order of keys and conditions, and empty values, make no difference', () => {
  const a: PodStatus = {
    phase: 'Running',
    conditions: [
      { type: 'Ready', status: 'True' },
      { type: 'ContainersReady', status: 'True' },
    ],
  };
  const b: PodStatus = {
    conditions: [
      { status: 'True', type: 'ContainersReady' },
      { type: 'Ready', status: 'True' },
    ],
    phase: 'Running',
    containerStatuses: [],
  };
  assert.equal(sameStatus(a, b), true);
  assert.equal(sameStatus(a, { ...a, phase: 'Failed' }), false);
});

test('a patch removes what is gone and names the pod', () => {
  const pod = { metadata: { name: 'p', uid: 'u' }, spec: { containers: [] } };
  const patch = statusPatch(pod, { phase: 'Running', message: 'm' }, { phase: 'Running' }) as {
    metadata: object;
    status: object;
  };
  assert.deepEqual(patch.metadata, { uid: 'u' });
  assert.deepEqual(patch.status, { phase: 'Running', message: null, conditions: [] });
});

test('a condition that somebody else has overruled is written again; what is older than the last write is not taken for that', async () => {
  const pod = await newPod('overruled');
  const ref = { namespace: 'default', name: 'overruled' };
  const manager = new StatusManager(cluster.client, cluster.env, cluster.signal);
  manager.set(pod, running());
  await cluster.pass(0);
  const written = (await read('overruled'))!;
  // The watch is behind: no reason to write again.
  manager.set(pod, running());
  await cluster.pass(0);
  assert.equal((await read('overruled'))!.metadata.resourceVersion, written.metadata.resourceVersion);
  const lost = { type: 'strategic' as const, body: { status: { conditions: [{ type: 'Ready', status: 'False' }] } } };
  const marked = await cluster.client.resource('pods').patch(ref, lost, { subresource: 'status' });
  manager.set(marked, running());
  await cluster.pass(0);
  const ready = (await read('overruled'))!.status?.conditions?.find((c) => c.type === 'Ready');
  assert.equal(ready?.status, 'True');
});

test('a resize that is over is taken out of the conditions; those of others are left alone', () => {
  const type = (name: string) => ({ type: name, status: 'True' });
  const before = { conditions: [type('PodResizePending'), type('PodResizeInProgress'), type('Other')] };
  const patch = statusPatch(aPod(), before, { conditions: [type('PodResizeInProgress'), type('Other')] });
  assert.deepEqual((patch as { status: { conditions: object[] } }).status.conditions, [
    type('PodResizeInProgress'),
    { type: 'PodResizePending', $patch: 'delete' },
  ]);
});
