import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Node, Pod } from '../api/generated/types.ts';
import { rfc3339, rfc3339Micro } from '../lib/clock.ts';
import { type NodeHealth, observeHealth, unknownConditions } from './node-health.ts';
import { nodeLifecycleController } from './node-lifecycle.ts';
import { decideTaints } from './node-taints.ts';
import { DEFAULT_EVICTION_RATES, EvictionLimiter, zonesOf } from './node-zones.ts';
import { taintEvictionController } from './taint-eviction.ts';
import { type Running, runTestControllers, testPod } from './test-controllers.ts';

const READY = [{ type: 'Ready', status: 'True', reason: 'KubeletReady' }];

function node(
  name: string,
  ready: string,
  labels: { [key: string]: string } = {},
  taints: Node['spec']['taints'] = [],
): Node {
  return {
    metadata: { name, labels },
    spec: { taints },
    status: { conditions: [{ type: 'Ready', status: ready }] },
  };
}

describe('node lifecycle', () => {
  let cluster: Running;
  let alive: Set<string>;
  beforeEach(async () => {
    cluster = await runTestControllers(nodeLifecycleController(), taintEvictionController());
    alive = new Set();
    await cluster.client.resource('serviceaccounts').create({ metadata: { namespace: 'default', name: 'default' } });
  });
  afterEach(() => cluster.close());
  const nodes = () => cluster.client.resource('nodes');
  const leases = () => cluster.client.resource('leases.coordination.k8s.io');

  async function join(name: string): Promise<void> {
    alive.add(name);
    await nodes().create({ metadata: { name }, spec: {} });
    await setReady(name, 'True');
    const renewTime = rfc3339Micro(cluster.clock.now());
    const metadata = { namespace: 'kube-node-lease', name };
    await leases().create({ metadata, spec: { holderIdentity: name, renewTime } });
    await cluster.pass(0);
  }
  function setReady(name: string, status: string): Promise<Node> {
    const at = rfc3339(cluster.clock.now());
    const conditions = [{ ...READY[0]!, status, lastHeartbeatTime: at, lastTransitionTime: at }];
    return nodes().patch({ name }, { type: 'strategic', body: { status: { conditions } } }, { subresource: 'status' });
  }
  /** Time goes on, with the kubelets that live renewing their leases every ten seconds. */
  async function live(seconds: number): Promise<void> {
    for (let i = 0; i < seconds; i += 5) {
      for (const name of alive) {
        const body = { spec: { renewTime: rfc3339Micro(cluster.clock.now()) } };
        const ref = { namespace: 'kube-node-lease', name };
        if (i % 10 === 0) await leases().patch(ref, { type: 'merge', body });
      }
      await cluster.pass(5_000);
    }
  }
  async function run(name: string, on: string, tolerations: Pod['spec']['tolerations'] = []): Promise<void> {
    await cluster.client.resource('pods').create(testPod(name, { nodeName: on, tolerations }));
    const body = { status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] } };
    const ref = { namespace: 'default', name };
    await cluster.client.resource('pods').patch(ref, { type: 'strategic', body }, { subresource: 'status' });
  }
  const pod = (name: string): Promise<Pod> => cluster.client.resource('pods').get({ namespace: 'default', name });
  const readiness = async (name: string): Promise<string | undefined> =>
    (await nodes().get({ name })).status?.conditions?.find((one) => one.type === 'Ready')?.status;
  const taints = async (name: string): Promise<string[]> =>
    ((await nodes().get({ name })).spec.taints ?? []).map((one) => `${one.key}:${one.effect}`).sort();

  it('a node whose lease is renewed stays ready though its status is never posted again', async () => {
    await join('a');
    await live(300);
    assert.equal(await readiness('a'), 'True');
    assert.deepEqual(await taints('a'), []);
  });

  it('a silent node becomes Unknown, its pods not ready, and its pods leave when they no longer tolerate it', async () => {
    await join('a');
    await join('b');
    await run('p', 'b');
    await run('patient', 'b', [{ operator: 'Exists' }]);
    alive.delete('b');
    await live(45);
    assert.equal(await readiness('b'), 'True');
    assert.equal((await pod('p')).status?.conditions?.find((one) => one.type === 'Ready')?.status, 'True');
    await live(15);
    const ready = (await nodes().get({ name: 'b' })).status?.conditions?.find((one) => one.type === 'Ready');
    assert.deepEqual(
      [ready?.status, ready?.reason, ready?.message],
      ['Unknown', 'NodeStatusUnknown', 'Kubelet stopped posting node status.'],
    );
    assert.deepEqual(await taints('b'), [
      'node.kubernetes.io/unreachable:NoExecute',
      'node.kubernetes.io/unreachable:NoSchedule',
    ]);
    assert.equal((await pod('p')).status?.conditions?.find((one) => one.type === 'Ready')?.status, 'False');
    assert.ok((await cluster.events()).includes('NodeNotReady: Node b status is now: NodeNotReady'));
    assert.ok((await cluster.events()).includes('NodeNotReady: Node is not ready'));
    assert.equal((await pod('p')).metadata.deletionTimestamp, undefined, 'tolerated for 300 s by admission');
    await live(300);
    const evicted = await pod('p');
    assert.ok(evicted.metadata.deletionTimestamp);
    const condition = evicted.status?.conditions?.find((one) => one.type === 'DisruptionTarget');
    assert.equal(condition?.reason, 'DeletionByTaintManager');
    assert.equal((await pod('patient')).metadata.deletionTimestamp, undefined);
    assert.equal(await readiness('a'), 'True');
  });

  it('a node that comes back loses the taints, and its pods stay', async () => {
    await join('a');
    await join('b');
    await run('p', 'b');
    alive.delete('b');
    await live(100);
    alive.add('b');
    await setReady('b', 'True');
    await live(10);
    assert.deepEqual(await taints('b'), []);
    await live(400);
    assert.equal((await pod('p')).metadata.deletionTimestamp, undefined);
    assert.ok((await cluster.events()).some((event) => event.includes('Cancelling deletion of Pod default/p')));
  });

  it('when every node is silent nothing is evicted', async () => {
    await join('a');
    await join('b');
    await run('p', 'b');
    alive.clear();
    await live(700);
    assert.equal(await readiness('a'), 'Unknown');
    assert.equal((await pod('p')).metadata.deletionTimestamp, undefined);
    assert.ok((await taints('a')).every((taint) => taint.endsWith('NoSchedule')));
  });

  it('a kubelet’s own NotReady is tainted at once and unready pods are its own affair', async () => {
    await join('a');
    await join('b');
    await run('p', 'b');
    await setReady('b', 'False');
    await cluster.pass(0);
    assert.deepEqual(await taints('b'), [
      'node.kubernetes.io/not-ready:NoExecute',
      'node.kubernetes.io/not-ready:NoSchedule',
    ]);
    assert.equal((await pod('p')).status?.conditions?.find((one) => one.type === 'Ready')?.status, 'True');
  });

  it('a user’s NoExecute taint evicts at once what does not tolerate it, and later what tolerates it for a while', async () => {
    await join('a');
    const key = 'example.com/out';
    await run('now', 'a');
    await run('later', 'a', [{ key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 60 }]);
    await run('never', 'a', [{ key, operator: 'Exists' }]);
    const body = { spec: { taints: [{ key, effect: 'NoExecute' }] } };
    await nodes().patch({ name: 'a' }, { type: 'merge', body });
    await live(5);
    const going = async (): Promise<boolean[]> =>
      Promise.all(['now', 'later', 'never'].map(async (name) => !!(await pod(name)).metadata.deletionTimestamp));
    assert.deepEqual(await going(), [true, false, false]);
    await live(60);
    assert.deepEqual(await going(), [true, true, false]);
  });
});

describe('node rules', () => {
  it('a lease that went back in time is no sign of life', () => {
    const lease = (renewTime: string) => ({ metadata: { name: 'n' }, spec: { renewTime } });
    const at = (before: NodeHealth | undefined, renewTime: string, nowMs: number) =>
      observeHealth(before, node('n', 'True'), lease(renewTime), nowMs);
    const first = at(undefined, '2026-01-01T00:00:10.000000Z', 0);
    assert.equal(at(first, '2026-01-01T00:00:00.000000Z', 5).probeMs, 0);
    assert.equal(at(first, '2026-01-01T00:00:20.000000Z', 5).probeMs, 5);
  });

  it('a node that never said anything gets all four conditions; saying so twice changes nothing', () => {
    const silent = { ...node('n', 'True'), status: {} };
    const conditions = unknownConditions(silent, 0)!;
    assert.deepEqual(
      conditions.map((one) => `${one.type} ${one.reason}`),
      [
        'Ready NodeStatusNeverUpdated',
        'MemoryPressure NodeStatusNeverUpdated',
        'DiskPressure NodeStatusNeverUpdated',
        'PIDPressure NodeStatusNeverUpdated',
      ],
    );
    assert.equal(unknownConditions({ ...silent, status: { conditions } }, 9), undefined);
  });

  it('taints follow the conditions, keep foreign ones and the time of a swapped one', () => {
    const foreign = { key: 'mine', effect: 'NoSchedule' as const };
    const since = '2025-12-31T00:00:00Z';
    const before = [foreign, { key: 'node.kubernetes.io/not-ready', effect: 'NoExecute' as const, timeAdded: since }];
    const taints = decideTaints(node('n', 'Unknown', {}, before), true, Date.UTC(2026, 0, 1))!;
    assert.deepEqual(taints, [
      foreign,
      { key: 'node.kubernetes.io/unreachable', effect: 'NoSchedule', timeAdded: '2026-01-01T00:00:00Z' },
      { key: 'node.kubernetes.io/unreachable', effect: 'NoExecute', timeAdded: since },
    ]);
    assert.equal(decideTaints(node('n', 'Unknown', {}, taints), true, 5), undefined);
    assert.deepEqual(decideTaints(node('n', 'True', {}, taints), false, 5), [foreign]);
    const cordoned = { ...node('n', 'True'), spec: { unschedulable: true } };
    assert.equal(decideTaints(cordoned, false, 0)?.[0]?.key, 'node.kubernetes.io/unschedulable');
  });

  it('zones: normal, partly down (slower when large, stopped when small), wholly down, all down', () => {
    const zone = (name: string, ready: number, unready: number): Node[] => [
      ...Array.from({ length: ready }, (_, i) => node(`${name}r${i}`, 'True', { 'topology.kubernetes.io/zone': name })),
      ...Array.from({ length: unready }, (_, i) =>
        node(`${name}u${i}`, 'False', { 'topology.kubernetes.io/zone': name }),
      ),
    ];
    const key = (name: string): string => `:\0:${name}`;
    const zones = zonesOf(
      [...zone('normal', 5, 4), ...zone('small', 2, 8), ...zone('large', 20, 40), ...zone('down', 0, 3)],
      DEFAULT_EVICTION_RATES,
    );
    assert.deepEqual(
      ['normal', 'small', 'large', 'down'].map((name) => zones.state(key(name))),
      ['Normal', 'PartialDisruption', 'PartialDisruption', 'FullDisruption'],
    );
    assert.deepEqual(
      ['normal', 'small', 'large', 'down'].map((name) => zones.rate(key(name))),
      [0.1, 0, 0.01, 0.1],
    );
    const all = zonesOf([...zone('down', 0, 3), ...zone('too', 0, 1)], DEFAULT_EVICTION_RATES);
    assert.deepEqual([all.allDisrupted, all.rate(key('down'))], [true, 0]);
  });

  it('one eviction at once, then at the rate', () => {
    const limiter = new EvictionLimiter();
    assert.equal(limiter.take(0.1, 0), 0);
    assert.equal(limiter.take(0.1, 0), 10_000);
    assert.equal(Math.round(limiter.take(0.1, 4_000)), 6_000);
    assert.equal(limiter.take(0.1, 10_000), 0);
    assert.equal(limiter.take(0, 100_000), Number.POSITIVE_INFINITY);
  });
});
