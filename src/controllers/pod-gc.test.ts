import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Pod } from '../api/generated/types.ts';
import { decidePodGc, podGarbageCollector, trackMissingNodes } from './pod-gc.ts';
import { runTestControllers, testPod } from './test-controllers.ts';

it('pods of a node that is gone are failed and deleted after the quarantine; those of a node that comes back stay', async () => {
  const cluster = await runTestControllers(podGarbageCollector());
  const { client } = cluster;
  await client.resource('serviceaccounts').create({ metadata: { namespace: 'default', name: 'default' } });
  const finalizers = ['example.com/look'];
  await client.resource('pods').create(testPod('lost', { nodeName: 'gone' }, { finalizers }));
  await client.resource('pods').create(testPod('kept', { nodeName: 'late' }));
  await cluster.pass(39_000);
  await client.resource('nodes').create({ metadata: { name: 'late' }, spec: {} });
  const lost = { namespace: 'default', name: 'lost' };
  assert.equal((await client.resource('pods').get(lost)).metadata.deletionTimestamp, undefined);
  await cluster.pass(40_000);
  const pod = await client.resource('pods').get(lost);
  assert.ok(pod.metadata.deletionTimestamp);
  assert.equal(pod.status?.phase, 'Failed');
  const condition = pod.status?.conditions?.find((one) => one.type === 'DisruptionTarget');
  assert.deepEqual(
    [condition?.status, condition?.reason, condition?.message],
    ['True', 'DeletionByPodGC', 'PodGC: node no longer exists'],
  );
  const kept = await client.resource('pods').get({ namespace: 'default', name: 'kept' });
  assert.equal(kept.metadata.deletionTimestamp, undefined);
  await cluster.close();
});

const at = (seconds: number): string => new Date(Date.UTC(2026, 0, 1, 0, 0, seconds)).toISOString();
const world = { node: () => undefined, goneNodes: new Set<string>(), threshold: 0 };
const finished = (name: string, seconds: number, status: Pod['status'] = { phase: 'Succeeded' }): Pod => ({
  ...testPod(name, { nodeName: 'n' }, { creationTimestamp: at(seconds) }),
  status,
});

it('finished pods beyond the threshold go: the evicted first, then the oldest', () => {
  const pods = [
    finished('old', 1),
    finished('new', 9),
    finished('evicted', 8, { phase: 'Failed', reason: 'Evicted' }),
    finished('running', 0, { phase: 'Running' }),
  ];
  const chosen = decidePodGc(pods, { ...world, threshold: 1 });
  assert.deepEqual(
    chosen.map(({ pod, why }) => `${pod.metadata.name} ${why}`),
    ['evicted terminated', 'old terminated'],
  );
  assert.deepEqual(decidePodGc(pods, { ...world, threshold: 3 }), []);
});

it('terminating pods go that have no node, or whose node is out of service and not ready', () => {
  const deletionTimestamp = at(5);
  const taints = [{ key: 'node.kubernetes.io/out-of-service', effect: 'NoExecute' as const }];
  const node = (ready: string) => ({
    metadata: { name: 'n' },
    spec: { taints },
    status: { conditions: [{ type: 'Ready', status: ready }] },
  });
  const pods = [testPod('nowhere', {}, { deletionTimestamp }), testPod('on', { nodeName: 'n' }, { deletionTimestamp })];
  const chosen = (ready: string): string[] =>
    decidePodGc(pods, { ...world, node: (name) => (name === 'n' ? node(ready) : undefined) }).map((one) => one.why);
  assert.deepEqual(chosen('True'), ['terminating-unscheduled']);
  assert.deepEqual(chosen('Unknown'), ['terminating-unscheduled', 'out-of-service']);
});

it('a node is missing since it was first missed without a break', () => {
  const since = new Map<string, number>();
  trackMissingNodes(since, new Set(['a']), 10);
  assert.deepEqual(trackMissingNodes(since, new Set(['a', 'b']), 20), [
    { name: 'a', sinceMs: 10 },
    { name: 'b', sinceMs: 20 },
  ]);
  trackMissingNodes(since, new Set(['b']), 30);
  assert.deepEqual(trackMissingNodes(since, new Set(['a']), 40), [{ name: 'a', sinceMs: 40 }]);
});
