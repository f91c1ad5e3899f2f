import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Node, PersistentVolume, PersistentVolumeClaim, Pod, StorageClass } from '../../api/generated/types.ts';
import { ClusterCache } from '../cache.ts';
import { decide, feasibleNodesToFind } from '../decide.ts';
import { fitError } from '../fit-error.ts';
import type { Listers } from '../framework.ts';
import { podInfo } from '../pod-info.ts';
import { pickCandidate, splitByBudget } from '../preemption.ts';
import { defaultProfile } from '../profile.ts';

const profile = defaultProfile('default-scheduler', { bind: { name: 'none', bind: async () => undefined } });

interface Volumes {
  readonly claims?: readonly PersistentVolumeClaim[];
  readonly volumes?: readonly PersistentVolume[];
  readonly classes?: readonly StorageClass[];
}

function listersOf({ claims = [], volumes = [], classes = [] }: Volumes): Listers {
  return {
    namespaceLabels: () => undefined,
    spreadSelector: () => undefined,
    claim: (_, name) => claims.find((claim) => claim.metadata.name === name),
    volume: (name) => volumes.find((volume) => volume.metadata.name === name),
    volumes: () => volumes,
    storageClass: (name) => classes.find((each) => each.metadata.name === name),
    budgets: () => [],
  };
}

const node = (name: string, change: Partial<Node> = {}): Node => ({
  metadata: { name, labels: { 'kubernetes.io/hostname': name } },
  spec: {},
  status: { allocatable: { cpu: '4', memory: '8Gi', pods: '10' } },
  ...change,
});
const pod = (spec: Partial<Pod['spec']> = {}): Pod => ({
  metadata: { name: 'p', namespace: 'default', uid: 'u' },
  spec: { containers: [{ name: 'c', image: 'web:1' }], ...spec },
});

function ask(nodes: readonly Node[], asked: Pod, volumes: Volumes = {}): string {
  const { columns, nominated } = new ClusterCache();
  for (const each of nodes) columns.setNode(each);
  const decision = decide(
    { info: podInfo(asked), columns, listers: listersOf(volumes) },
    { profile, nominated, start: 0, percentageOfNodesToScore: 100, random: () => 0 },
  );
  return decision.kind === 'node' ? columns.names[decision.slot]! : fitError(decision.diagnosis);
}

const byName = (...names: string[]): Pod =>
  pod({
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: names }] }],
        },
      },
    },
  });

test('a DaemonSet pod goes to its node and to no other', () => {
  const nodes = [node('a'), node('b', { spec: { taints: [{ key: 't', effect: 'NoSchedule' }] } }), node('c')];
  assert.equal(ask(nodes, byName('c')), 'c');
  assert.equal(
    ask(nodes, byName('b')),
    "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 node(s) didn't satisfy plugin(s) [NodeAffinity].",
  );
  assert.equal(ask(nodes, byName()), '0/3 nodes are available: pod affinity terms conflict.');
});

test('a pod that asks for devices through claims is refused by name', () => {
  assert.match(
    ask([node('a')], pod({ resourceClaims: [{ name: 'gpu' }] })),
    /dynamic resource allocation is not supported/,
  );
});

test('a node that holds the image is preferred', () => {
  const status = {
    allocatable: { cpu: '4', memory: '8Gi', pods: '10' },
    images: [{ names: ['web:1'], sizeBytes: 2 ** 30 }],
  };
  assert.equal(ask([node('a'), node('b', { status }), node('c')], pod()), 'b');
});

test('host ports: the wildcard meets every address', () => {
  const { columns, nominated } = new ClusterCache();
  columns.setNode(node('a'));
  const withPort = (hostIP: string): Pod =>
    pod({ containers: [{ name: 'c', ports: [{ containerPort: 80, hostPort: 80, hostIP }] }] });
  columns.addPod(podInfo({ ...withPort('10.0.0.1'), metadata: { name: 'q', namespace: 'default' } }), 0);
  const outcome = (asked: Pod) =>
    decide(
      { info: podInfo(asked), columns, listers: listersOf({}) },
      { profile, nominated, start: 0, percentageOfNodesToScore: 100, random: () => 0 },
    ).kind;
  assert.equal(outcome(withPort('10.0.0.2')), 'node');
  assert.equal(outcome(withPort('10.0.0.1')), 'unschedulable');
  assert.equal(outcome(withPort('')), 'unschedulable');
});

const claim = (change: Partial<PersistentVolumeClaim['spec']> = {}, bound = false): PersistentVolumeClaim => ({
  metadata: {
    name: 'data',
    namespace: 'default',
    ...(bound && { annotations: { 'pv.kubernetes.io/bind-completed': 'yes' } }),
  },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...change },
});
const volumeOn = (name: string, host: string): PersistentVolume => ({
  metadata: { name },
  spec: {
    capacity: { storage: '2Gi' },
    accessModes: ['ReadWriteOnce'],
    storageClassName: 'local',
    nodeAffinity: {
      required: {
        nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [host] }] }],
      },
    },
  },
  status: { phase: 'Available' },
});
const local: StorageClass = {
  metadata: { name: 'local' },
  provisioner: 'kubernetes.io/no-provisioner',
  volumeBindingMode: 'WaitForFirstConsumer',
};
const withData = pod({ volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }] });

test('claims hold a pod to where its volumes are', () => {
  const nodes = [node('a'), node('b')];
  const volumes = [volumeOn('v', 'b')];
  assert.equal(ask(nodes, withData), '0/2 nodes are available: persistentvolumeclaim "data" not found.');
  assert.equal(
    ask(nodes, withData, { claims: [claim()] }),
    '0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.',
  );
  assert.equal(ask(nodes, withData, { claims: [claim({ volumeName: 'v' }, true)], volumes }), 'b');
  assert.equal(
    ask([node('a')], withData, { claims: [claim({ volumeName: 'v' }, true)], volumes }),
    "0/1 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity.",
  );
  const waiting = { claims: [claim({ storageClassName: 'local' })], classes: [local] };
  assert.equal(ask(nodes, withData, { ...waiting, volumes }), 'b');
  assert.equal(
    ask(nodes, withData, waiting),
    "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.",
  );
});

test('how many feasible nodes are enough', () => {
  const found = [50, 100, 1000, 5000, 10000].map((count) => feasibleNodesToFind(count, 0));
  assert.deepEqual(found, [50, 100, 420, 500, 500]);
  assert.equal(feasibleNodesToFind(1000, 20), 200);
});

test('budgets are spent by the evictions before', () => {
  const labelled = (name: string) =>
    podInfo({ ...pod(), metadata: { name, namespace: 'default', labels: { app: 'a' } } });
  const budget = {
    metadata: { name: 'b', namespace: 'default' },
    spec: { selector: { matchLabels: { app: 'a' } } },
    status: { disruptionsAllowed: 1, currentHealthy: 2, desiredHealthy: 1, expectedPods: 2 },
  };
  const { violating, others } = splitByBudget([labelled('x'), labelled('y')], () => [budget]);
  assert.deepEqual([others.map((p) => p.key), violating.map((p) => p.key)], [['default/x'], ['default/y']]);
});

test('the candidate that harms least is picked, measure by measure', () => {
  const victim = (priority: number, startTime: string) =>
    podInfo({ ...pod({ priority }), status: { startTime: `2026-01-01T0${startTime}:00:00Z` } });
  const candidate = (nodeName: string, violations: number, ...victims: ReturnType<typeof victim>[]) => ({
    nodeName,
    violations,
    victims,
  });
  const worst = candidate('violates', 1, victim(1, '1'));
  const high = candidate('high', 0, victim(9, '1'));
  const many = candidate('many', 0, victim(5, '1'), victim(5, '1'));
  const old = candidate('old', 0, victim(5, '1'));
  const young = candidate('young', 0, victim(5, '2'));
  assert.equal(pickCandidate([worst, high]).nodeName, 'high');
  assert.equal(pickCandidate([high, many]).nodeName, 'many');
  assert.equal(pickCandidate([many, old]).nodeName, 'old');
  assert.equal(pickCandidate([worst, high, many, old, young]).nodeName, 'young');
});
