import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Node } from '../api/generated/types.ts';
import { runSimulatedNodes, type SimulatedNodes, type SimulatedNodesOptions } from './simulated-nodes.ts';
import { asking, type TestCluster, testCluster } from './test-cluster.suite.ts';

/** Nodes whose taint of newcomers is taken away, as the node lifecycle controller would. */
async function withNodes(
  options: SimulatedNodesOptions,
  run: (cluster: TestCluster, nodes: SimulatedNodes) => Promise<void>,
): Promise<void> {
  const cluster = await testCluster();
  try {
    await cluster.registry.create('namespaces', { metadata: { name: 'kube-node-lease' } });
    const nodes = await runSimulatedNodes(cluster, options, cluster.signal);
    for (const name of nodes.names()) {
      const body = { spec: { taints: null } };
      await cluster.client.resource('nodes').patch({ name }, { type: 'merge', body });
    }
    cluster.startScheduler();
    await cluster.clock.advance(100);
    await run(cluster, nodes);
    await cluster.close();
    await nodes.done;
  } finally {
    await cluster.close();
  }
}

const getNode = async (cluster: TestCluster, name: string) => (await cluster.registry.get('nodes', name)) as Node;
const ready = (node: Node) => node.status?.conditions?.find((condition) => condition.type === 'Ready')?.status;

async function leaseTime(cluster: TestCluster, name: string): Promise<number> {
  const ref = { namespace: 'kube-node-lease', name };
  return Date.parse((await cluster.client.resource('leases.coordination.k8s.io').get(ref)).spec.renewTime!);
}

test('nodes register and keep their leases fresh; a failed one does not, until it recovers', () =>
  withNodes({ count: 3, zones: ['a', 'b'] }, async (cluster, nodes) => {
    const node = await getNode(cluster, 'node-1');
    assert.equal(ready(node), 'True');
    assert.equal(node.metadata.labels?.['topology.kubernetes.io/zone'], 'b');
    assert.equal(node.status?.allocatable?.pods, '110');
    nodes.fail('node-2');
    await cluster.clock.advance(60_000);
    const now = cluster.clock.now();
    assert.ok(now - (await leaseTime(cluster, 'node-1')) <= 10_000);
    assert.ok(now - (await leaseTime(cluster, 'node-2')) >= 50_000);
    nodes.recover('node-2');
    await cluster.clock.advance(11_000);
    assert.ok(cluster.clock.now() - (await leaseTime(cluster, 'node-2')) <= 11_000);
  }));

test('a pod runs, is ready, has an address of its own, and goes when it is deleted', () =>
  withNodes({ count: 2 }, async (cluster) => {
    await cluster.pod('one', asking('1'));
    await cluster.pod('two', asking('1'));
    await cluster.clock.advance(500);
    const [one, two] = [await cluster.getPod('one'), await cluster.getPod('two')];
    for (const pod of [one, two]) {
      assert.equal(pod.status?.phase, 'Running');
      assert.equal(pod.status?.conditions?.find((condition) => condition.type === 'Ready')?.status, 'True');
      assert.equal(pod.status?.conditions?.find((condition) => condition.type === 'PodScheduled')?.status, 'True');
      assert.equal(pod.status?.containerStatuses?.[0]?.ready, true);
    }
    assert.notEqual(one.status?.podIP, two.status?.podIP);
    const reasons = (await cluster.events('one')).map((event) => event.reason);
    assert.deepEqual([...reasons].sort(), ['Created', 'Pulled', 'Scheduled', 'Started']);
    await cluster.client.resource('pods').delete({ namespace: 'default', name: 'one' });
    assert.ok((await cluster.getPod('one')).metadata.deletionTimestamp);
    await cluster.clock.advance(500);
    await assert.rejects(cluster.getPod('one'), /not found/);
  }));

test('pods of a failed node stand still', () =>
  withNodes({ count: 1 }, async (cluster, nodes) => {
    await cluster.pod('one');
    await cluster.clock.advance(500);
    nodes.fail('node-0');
    await cluster.client.resource('pods').delete({ namespace: 'default', name: 'one' });
    await cluster.clock.advance(60_000);
    assert.equal((await cluster.getPod('one')).status?.phase, 'Running');
    nodes.recover('node-0');
    await cluster.clock.advance(500);
    await assert.rejects(cluster.getPod('one'), /not found/);
  }));

test('extended resources that are added to the capacity become allocatable', () =>
  withNodes({ count: 1 }, async (cluster) => {
    const body = [{ op: 'add', path: '/status/capacity/example.com~1gpu', value: '2' }];
    const query = { subresource: 'status' };
    await cluster.client.resource('nodes').patch({ name: 'node-0' }, { type: 'json', body }, query);
    await cluster.clock.advance(500);
    assert.equal((await getNode(cluster, 'node-0')).status?.allocatable?.['example.com/gpu'], '2');
  }));

test('nodes come and go', () =>
  withNodes({ count: 1, capacity: { cpu: '1', memory: '1Gi', pods: '10' } }, async (cluster, nodes) => {
    await cluster.pod('large', asking('1'));
    await cluster.pod('more', asking('1'));
    await cluster.clock.advance(500);
    const name = await nodes.add({ labels: { extra: 'yes' } });
    await cluster.client.resource('nodes').patch({ name }, { type: 'merge', body: { spec: { taints: null } } });
    await cluster.clock.advance(20_000);
    const pods = [await cluster.getPod('large'), await cluster.getPod('more')];
    assert.deepEqual(pods.map((pod) => pod.spec.nodeName).sort(), ['node-0', 'node-1']);
    assert.ok(pods.every((pod) => pod.status?.phase === 'Running'));
    await nodes.remove('node-1');
    await assert.rejects(getNode(cluster, 'node-1'), /not found/);
    assert.deepEqual(nodes.names(), ['node-0']);
  }));

test('500 pods on 100 nodes run, with one timer', () =>
  withNodes({ count: 100, events: false }, async (cluster) => {
    const names = Array.from({ length: 500 }, (_, i) => `web-${i}`);
    await Promise.all(names.map((name) => cluster.pod(name, asking('100m'), { labels: { app: 'web' } })));
    await cluster.clock.advance(2_000);
    const { items } = await cluster.client.resource('pods').list({ namespace: 'default' });
    assert.equal(items.filter((pod) => pod.status?.phase === 'Running').length, 500);
    const perNode = Map.groupBy(items, (pod) => pod.spec.nodeName);
    assert.equal(perNode.size, 100);
    assert.equal(new Set(items.map((pod) => pod.status?.podIP)).size, 500);
  }));

test('a node that is back says that its pods are ready, whatever was written in its absence', () =>
  withNodes({ count: 1 }, async (cluster, nodes) => {
    await cluster.pod('one', asking('1'));
    await cluster.clock.advance(500);
    nodes.fail('node-0');
    const conditions = [{ type: 'Ready', status: 'False' }];
    const ref = { namespace: 'default', name: 'one' };
    const lost = { type: 'strategic', body: { status: { conditions } } } as const;
    await cluster.client.resource('pods').patch(ref, lost, { subresource: 'status' });
    const isReady = async (): Promise<string | undefined> =>
      (await cluster.getPod('one')).status?.conditions?.find(({ type }) => type === 'Ready')?.status;
    await cluster.clock.advance(5_000);
    assert.equal(await isReady(), 'False');
    nodes.recover('node-0');
    await cluster.clock.advance(1_000);
    assert.equal(await isReady(), 'True');
  }));

test('a pod is resized in place, waits for room, and is told what never fits', () =>
  withNodes({ count: 1, capacity: { cpu: '4', memory: '4Gi', pods: '10' } }, async (cluster) => {
    await cluster.pod('grows', asking('1'));
    await cluster.pod('other', asking('2'));
    await cluster.clock.advance(500);
    const resize = async (cpu: string) => {
      const { containers } = (await cluster.getPod('grows')).spec;
      const body = { spec: { containers: [{ name: containers[0]!.name, resources: { requests: { cpu } } }] } };
      const ref = { namespace: 'default', name: 'grows' };
      await cluster.client.resource('pods').patch(ref, { type: 'strategic', body }, { subresource: 'resize' });
      await cluster.clock.advance(100);
    };
    const seen = async () => {
      const pod = await cluster.getPod('grows');
      const [status] = pod.status?.containerStatuses ?? [];
      const pending = pod.status?.conditions?.find((c) => c.type === 'PodResizePending');
      return [status?.resources?.requests?.cpu, status?.allocatedResources?.cpu, pending?.reason, status?.restartCount];
    };
    assert.deepEqual(await seen(), ['1', '1', undefined, 0]);
    await resize('2');
    assert.deepEqual(await seen(), ['2', '2', undefined, 0]);
    await resize('5');
    assert.deepEqual(await seen(), ['2', '2', 'Infeasible', 0]);
    await resize('3');
    assert.deepEqual(await seen(), ['2', '2', 'Deferred', 0]);
    await cluster.clock.advance(60_000);
    assert.deepEqual(await seen(), ['2', '2', 'Deferred', 0]);
    await cluster.client.resource('pods').delete({ namespace: 'default', name: 'other' });
    await cluster.clock.advance(12_000);
    assert.deepEqual(await seen(), ['3', '3', undefined, 0]);
    await resize('9');
    await resize('3');
    assert.deepEqual(await seen(), ['3', '3', undefined, 0]);
    const reasons = (await cluster.events('grows')).map((e) => e.reason).filter((r) => r?.startsWith('Resize'));
    const once = ['ResizeCompleted', 'ResizeDeferred', 'ResizeInfeasible', 'ResizeStarted'];
    assert.deepEqual([...new Set(reasons)].sort(), once);
  }));

test('of two pods that ask for the same room at once one gets it, and the other when it is given back', () =>
  withNodes({ count: 1, capacity: { cpu: '4', memory: '4Gi', pods: '10' } }, async (cluster) => {
    const names = ['left', 'right'];
    for (const name of names) await cluster.pod(name, asking('1'));
    await cluster.clock.advance(500);
    const resize = async (name: string, cpu: string): Promise<void> => {
      const { containers } = (await cluster.getPod(name)).spec;
      const body = { spec: { containers: [{ name: containers[0]!.name, resources: { requests: { cpu } } }] } };
      await cluster.client
        .resource('pods')
        .patch({ namespace: 'default', name }, { type: 'strategic', body }, { subresource: 'resize' });
    };
    const held = async (): Promise<(string | undefined)[]> => {
      const pods = await Promise.all(names.map((name) => cluster.getPod(name)));
      return pods.map((pod) => pod.status?.containerStatuses?.[0]?.allocatedResources?.cpu).sort();
    };
    await Promise.all(names.map((name) => resize(name, '3')));
    await cluster.clock.advance(100);
    assert.deepEqual(await held(), ['1', '3']);
    const pods = await Promise.all(names.map((name) => cluster.getPod(name)));
    const winner = pods.find((pod) => pod.status?.containerStatuses?.[0]?.allocatedResources?.cpu === '3')!;
    await resize(winner.metadata.name!, '1');
    await cluster.clock.advance(12_000);
    assert.deepEqual(await held(), ['1', '3']);
    const other = names.find((name) => name !== winner.metadata.name)!;
    assert.equal((await cluster.getPod(other)).status?.containerStatuses?.[0]?.allocatedResources?.cpu, '3');
  }));

test('a container whose policy asks for it is started anew when it is resized', () =>
  withNodes({ count: 1 }, async (cluster) => {
    const resizePolicy = [{ resourceName: 'memory', restartPolicy: 'RestartContainer' as const }];
    const container = { name: 'c', image: 'a', resizePolicy, resources: { limits: { cpu: '1', memory: '1Gi' } } };
    await cluster.pod('anew', { containers: [container] });
    await cluster.clock.advance(500);
    const resize = async (limits: object) => {
      const body = { spec: { containers: [{ name: 'c', resources: { limits, requests: limits } }] } };
      const ref = { namespace: 'default', name: 'anew' };
      await cluster.client.resource('pods').patch(ref, { type: 'strategic', body }, { subresource: 'resize' });
      await cluster.clock.advance(100);
      return (await cluster.getPod('anew')).status?.containerStatuses?.[0];
    };
    const cpu = await resize({ cpu: '2' });
    assert.deepEqual([cpu?.restartCount, cpu?.resources?.limits], [0, { cpu: '2', memory: '1Gi' }]);
    const memory = await resize({ memory: '2Gi' });
    assert.deepEqual([memory?.restartCount, memory?.resources?.limits], [1, { cpu: '2', memory: '2Gi' }]);
    assert.equal(memory?.lastState?.terminated?.exitCode, 137);
  }));
