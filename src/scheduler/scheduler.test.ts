import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '../api/generated/types.ts';
import { asking, type TestCluster, testCluster } from '../simulated/test-cluster.suite.ts';
import { patchUnassigned } from './pod-status.ts';

async function withCluster(run: (cluster: TestCluster) => Promise<void>): Promise<void> {
  const cluster = await testCluster();
  try {
    await run(cluster);
  } finally {
    await cluster.close();
  }
}

const scheduled = (pod: Pod) => pod.status?.conditions?.find((condition) => condition.type === 'PodScheduled');

test('a pod is bound to a node that has room, with an event', () =>
  withCluster(async (cluster) => {
    await cluster.node('small', { cpu: '1' });
    await cluster.node('large', { cpu: '8' });
    cluster.startScheduler();
    await cluster.pod('web', asking('4'));
    await cluster.clock.advance(100);
    const pod = await cluster.getPod('web');
    assert.equal(pod.spec.nodeName, 'large');
    assert.equal(scheduled(pod)?.status, 'True');
    const [event] = await cluster.events('web');
    assert.equal(event?.reason, 'Scheduled');
    assert.equal(event?.message, 'Successfully assigned default/web to large');
    assert.equal(event?.source?.component, 'default-scheduler');
  }));

test('a pod that fits nowhere says why, and is placed when a node comes', () =>
  withCluster(async (cluster) => {
    await cluster.node('cordoned', { unschedulable: true });
    await cluster.node('small', { cpu: '1' });
    await cluster.node('tainted', { taints: [{ key: 'dedicated', value: 'db', effect: 'NoSchedule' }] });
    cluster.startScheduler();
    await cluster.pod('web', asking('2'));
    await cluster.clock.advance(100);
    const message =
      '0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable. ' +
      'no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.';
    const pod = await cluster.getPod('web');
    assert.equal(pod.spec.nodeName, undefined);
    assert.equal(scheduled(pod)?.status, 'False');
    assert.equal(scheduled(pod)?.reason, 'Unschedulable');
    assert.equal(scheduled(pod)?.message, message);
    const [event] = await cluster.events('web');
    assert.equal(event?.reason, 'FailedScheduling');
    assert.equal(event?.type, 'Warning');
    assert.equal(event?.message, message);
    await cluster.node('large', { cpu: '4' });
    await cluster.clock.advance(2_000);
    assert.equal((await cluster.getPod('web')).spec.nodeName, 'large');
  }));

test('no nodes at all has words of its own', () =>
  withCluster(async (cluster) => {
    cluster.startScheduler();
    await cluster.pod('web');
    await cluster.clock.advance(100);
    assert.equal(scheduled(await cluster.getPod('web'))?.message, 'no nodes available to schedule pods');
  }));

test('pods in flight count: a node is never given more than it has', () =>
  withCluster(async (cluster) => {
    await cluster.node('a', { cpu: '2' });
    await cluster.node('b', { cpu: '2' });
    cluster.startScheduler();
    await Promise.all(Array.from({ length: 6 }, (_, i) => cluster.pod(`web-${i}`, asking('1'))));
    await cluster.clock.advance(500);
    const pods = await Promise.all(Array.from({ length: 6 }, (_, i) => cluster.getPod(`web-${i}`)));
    const on = (name: string) => pods.filter((pod) => pod.spec.nodeName === name).length;
    assert.deepEqual([on('a'), on('b')], [2, 2]);
  }));

test('the deletion of a pod makes room for one that waits', () =>
  withCluster(async (cluster) => {
    await cluster.node('a', { cpu: '1' });
    cluster.startScheduler();
    await cluster.pod('first', asking('1'));
    await cluster.clock.advance(100);
    await cluster.pod('second', asking('1'));
    await cluster.clock.advance(100);
    assert.equal((await cluster.getPod('second')).spec.nodeName, undefined);
    await cluster.client.resource('pods').delete({ namespace: 'default', name: 'first' }, { gracePeriodSeconds: 0 });
    await cluster.clock.advance(2_000);
    assert.equal((await cluster.getPod('second')).spec.nodeName, 'a');
  }));

test('pods of other schedulers and gated pods are left alone until they are ours', () =>
  withCluster(async (cluster) => {
    await cluster.node('a');
    cluster.startScheduler();
    await cluster.pod('other', { schedulerName: 'mine' });
    await cluster.pod('gated', { schedulingGates: [{ name: 'example.com/wait' }] });
    await cluster.clock.advance(100);
    assert.equal((await cluster.getPod('other')).spec.nodeName, undefined);
    assert.equal((await cluster.getPod('gated')).spec.nodeName, undefined);
    const body = [{ op: 'remove', path: '/spec/schedulingGates' }];
    await cluster.client.resource('pods').patch({ namespace: 'default', name: 'gated' }, { type: 'json', body });
    await cluster.clock.advance(2_000);
    assert.equal((await cluster.getPod('gated')).spec.nodeName, 'a');
    assert.equal((await cluster.getPod('other')).spec.nodeName, undefined);
  }));

test('a pod of higher priority evicts the least important pod and takes its place', () =>
  withCluster(async (cluster) => {
    const { client, registry } = cluster;
    for (const [name, value] of [
      ['low', 1],
      ['middle', 10],
      ['high', 100],
    ] as const) {
      await registry.create('priorityclasses.scheduling.k8s.io', { metadata: { name }, value });
    }
    const withPriority = (name: string, priority: number) => ({ ...asking('1'), priorityClassName: name, priority });
    await cluster.node('a', { cpu: '1' });
    await cluster.node('b', { cpu: '1' });
    cluster.startScheduler();
    await cluster.pod('middle', withPriority('middle', 10));
    await cluster.pod('low', withPriority('low', 1));
    await cluster.clock.advance(100);
    const room = (await cluster.getPod('low')).spec.nodeName;
    assert.ok(room);
    await cluster.pod('high', withPriority('high', 100));
    await cluster.clock.advance(100);
    assert.equal((await cluster.getPod('high')).status?.nominatedNodeName, room);
    const victim = await cluster.getPod('low');
    assert.ok(victim.metadata.deletionTimestamp);
    const target = victim.status?.conditions?.find((condition) => condition.type === 'DisruptionTarget');
    assert.equal(target?.reason, 'PreemptionByScheduler');
    assert.equal(target?.message, 'default-scheduler: preempting to accommodate a higher priority pod');
    assert.ok((await cluster.events('low')).some((event) => event.reason === 'Preempted'));
    await client.resource('pods').delete({ namespace: 'default', name: 'low' }, { gracePeriodSeconds: 0 });
    await cluster.clock.advance(2_000);
    assert.equal((await cluster.getPod('high')).spec.nodeName, room);
    assert.equal((await cluster.getPod('middle')).metadata.deletionTimestamp, undefined);
  }));

test('metrics have upstream names', () =>
  withCluster(async (cluster) => {
    await cluster.node('a');
    cluster.startScheduler();
    await cluster.pod('web');
    await cluster.pod('huge', asking('100'));
    await cluster.clock.advance(100);
    const text = await cluster.env.metrics.metrics();
    assert.match(text, /scheduler_schedule_attempts_total\{result="scheduled",profile="default-scheduler"\} 1/);
    assert.match(text, /scheduler_pending_pods\{queue="unschedulable"\} 1/);
    assert.match(text, /scheduler_unschedulable_pods\{plugin="NodeResourcesFit",profile="default-scheduler"\} 1/);
    assert.match(text, /scheduler_cache_size\{type="nodes"\} 1/);
  }));

test('what was to be said of a pod without a node is not said once it has one', () =>
  withCluster(async (cluster) => {
    await cluster.node('large', { cpu: '8' });
    const asSeen = await cluster.pod('web', asking('4'));
    const pods = cluster.client.resource('pods');
    const condition = { type: 'PodScheduled', status: 'False', reason: 'SchedulerError', message: 'timed out' };
    const at = { now: '2026-01-01T00:00:00Z', signal: cluster.signal };
    const ref = { namespace: 'default', name: 'web' };
    await pods.patch(ref, { type: 'merge', body: { metadata: { labels: { changed: 'meanwhile' } } } });
    await patchUnassigned(cluster.client, asSeen, { condition }, at);
    assert.equal(scheduled(await cluster.getPod('web'))?.message, 'timed out');
    await pods.createOn(ref, 'binding', { target: { kind: 'Node', name: 'large' } });
    await patchUnassigned(cluster.client, asSeen, { condition: { ...condition, message: 'again' } }, at);
    const pod = await cluster.getPod('web');
    assert.equal(pod.spec.nodeName, 'large');
    assert.equal(scheduled(pod)?.status, 'True');
  }));
