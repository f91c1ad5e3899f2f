import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { LabelSelector, Node, Pod, PodAffinityTerm, Taint, Toleration } from '../api/generated/types.ts';
import { labelSelectorFromObject } from '../machinery/selector-parse.ts';
import { ClusterCache } from './cache.ts';
import { checkNode, decide, scoreNodes } from './decide.ts';
import type { Listers } from './framework.ts';
import { type NaiveCluster, naiveReasons, naiveTotals } from './naive-twin.ts';
import { podInfo } from './pod-info.ts';
import { defaultProfile } from './profile.ts';

const ZONE = 'topology.kubernetes.io/zone';
const HOST = 'kubernetes.io/hostname';
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined, freq: 3 });
const app = fc.constantFrom('a', 'b');
const apps: fc.Arbitrary<LabelSelector> = app.map((value) => ({ matchLabels: { app: value } }));
const topology = fc.constantFrom(ZONE, HOST, 'disk');
const effect = fc.constantFrom('NoSchedule', 'PreferNoSchedule', 'NoExecute') as fc.Arbitrary<Taint['effect']>;

const anyNode = fc.record({
  zone: fc.constantFrom('z1', 'z2', 'z3', undefined),
  disk: fc.constantFrom('ssd', 'hdd', undefined),
  cpu: fc.constantFrom('2', '4', '4', '8', '0'),
  memory: fc.constantFrom('2Gi', '8Gi', '8Gi'),
  pods: fc.constantFrom('3', '10', '10', '10'),
  unschedulable: fc.boolean(),
  taints: fc.oneof(
    { arbitrary: fc.constant([]), weight: 3 },
    {
      arbitrary: fc.array(fc.record({ key: fc.constantFrom('t1', 't2'), value: fc.constantFrom('x', 'y'), effect }), {
        maxLength: 2,
      }),
      weight: 1,
    },
  ),
});

function node(index: number, n: typeof anyNode extends fc.Arbitrary<infer T> ? T : never): Node {
  const labels = { [HOST]: `n${index}`, ...(n.zone && { [ZONE]: n.zone }), ...(n.disk && { disk: n.disk }) };
  return {
    metadata: { name: `n${index}`, labels },
    spec: { taints: n.taints, unschedulable: n.unschedulable && index % 4 === 0 },
    status: { allocatable: { cpu: n.cpu, memory: n.memory, pods: n.pods } },
  };
}

const term: fc.Arbitrary<PodAffinityTerm> = fc.record(
  {
    topologyKey: topology,
    labelSelector: apps,
    namespaces: fc.constantFrom(['default'], ['other'], ['default', 'other']),
    namespaceSelector: fc.constantFrom<LabelSelector>({}, { matchLabels: { team: 'red' } }),
  },
  { requiredKeys: ['topologyKey', 'labelSelector'] },
);
const terms = fc.array(term, { maxLength: 2 });
const weighted = fc.array(fc.record({ weight: fc.integer({ min: 1, max: 100 }), podAffinityTerm: term }), {
  maxLength: 2,
});
const toleration: fc.Arbitrary<Toleration> = fc.record(
  {
    key: fc.constantFrom('t1', 't2'),
    operator: fc.constantFrom('Exists', 'Equal'),
    value: fc.constantFrom('x', 'y'),
    effect,
  },
  { requiredKeys: ['key', 'operator'] },
);
const nodeTerm = fc.record({
  matchExpressions: fc.constantFrom(
    [{ key: 'disk', operator: 'In' as const, values: ['ssd'] }],
    [{ key: 'disk', operator: 'DoesNotExist' as const }],
    [{ key: ZONE, operator: 'NotIn' as const, values: ['z1'] }],
  ),
});
const constraint = fc.record(
  {
    maxSkew: fc.integer({ min: 1, max: 2 }),
    topologyKey: topology,
    whenUnsatisfiable: fc.constantFrom('DoNotSchedule' as const, 'ScheduleAnyway' as const),
    labelSelector: apps,
    minDomains: fc.integer({ min: 1, max: 3 }),
    nodeAffinityPolicy: fc.constantFrom('Honor' as const, 'Ignore' as const),
    nodeTaintsPolicy: fc.constantFrom('Honor' as const, 'Ignore' as const),
  },
  { requiredKeys: ['maxSkew', 'topologyKey', 'whenUnsatisfiable', 'labelSelector'] },
);

/** Which kinds of rules a pod has: most have one, so that they do not all fail for the same reason. */
type Rules = 'plain' | 'near' | 'apart' | 'prefer' | 'spread' | 'soft' | 'nodes' | 'all';

const anyPod = fc.record({
  app: maybe(app),
  namespace: fc.constantFrom('default', 'default', 'other'),
  terminating: fc.boolean(),
  cpu: maybe(fc.constantFrom('0', '250m', '1')),
  memory: maybe(fc.constantFrom('64Mi', '1Gi')),
  port: maybe(fc.constantFrom(80, 81)),
  tolerations: fc.array(toleration, { maxLength: 2 }),
  selector: maybe(fc.constantFrom(['disk', 'ssd'] as const, [ZONE, 'z1'] as const)),
  nodeTerms: maybe(fc.array(nodeTerm, { minLength: 1, maxLength: 2 })),
  preferredNodes: fc.array(fc.record({ weight: fc.integer({ min: 1, max: 100 }), preference: nodeTerm }), {
    maxLength: 2,
  }),
  near: terms,
  apart: terms,
  preferNear: weighted,
  preferApart: weighted,
  constraints: fc.array(constraint, { maxLength: 2 }),
  rules: fc.constantFrom<Rules>('plain', 'near', 'apart', 'prefer', 'prefer', 'spread', 'soft', 'soft', 'nodes', 'all'),
  on: fc.nat(),
});
type AnyPod = typeof anyPod extends fc.Arbitrary<infer T> ? T : never;

function pod(index: number, p: AnyPod, nodeName?: string): Pod {
  const has = (rules: Rules): boolean => p.rules === rules || p.rules === 'all';
  const requests: Record<string, string> = {};
  if (p.cpu) requests.cpu = p.cpu;
  if (p.memory) requests.memory = p.memory;
  const ports = p.port && has('nodes') ? [{ containerPort: p.port, hostPort: p.port }] : [];
  const when = has('soft') ? 'ScheduleAnyway' : 'DoNotSchedule';
  const constraints = has('soft') || has('spread') ? p.constraints : [];
  const nodeSelector: Record<string, string> = {};
  if (p.selector && has('nodes')) nodeSelector[p.selector[0]] = p.selector[1];
  return {
    metadata: {
      name: `p${index}`,
      namespace: p.namespace,
      uid: `u${index}`,
      labels: p.app ? { app: p.app } : {},
      ...(p.terminating && nodeName && { deletionTimestamp: '2026-01-01T00:00:00Z' }),
    },
    spec: {
      containers: [{ name: 'c', resources: { requests }, ports }],
      tolerations: p.tolerations,
      ...(nodeName && { nodeName }),
      nodeSelector,
      affinity: {
        nodeAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: has('prefer') ? p.preferredNodes : [],
          ...(p.nodeTerms &&
            has('nodes') && { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: p.nodeTerms } }),
        },
        podAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: has('near') ? p.near : [],
          preferredDuringSchedulingIgnoredDuringExecution: has('prefer') ? p.preferNear : [],
        },
        podAntiAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: has('apart') ? p.apart : [],
          preferredDuringSchedulingIgnoredDuringExecution: has('prefer') ? p.preferApart : [],
        },
      },
      topologySpreadConstraints: constraints.map((c) => (p.rules === 'all' ? c : { ...c, whenUnsatisfiable: when })),
    },
  };
}

const namespaceLabels = (name: string): Record<string, string> => (name === 'other' ? { team: 'red' } : {});
const spreadSelector = ({ metadata }: Pod): LabelSelector | undefined =>
  metadata.labels?.app === 'a' ? { matchLabels: { app: 'a' } } : undefined;
const listers: Listers = {
  namespaceLabels,
  spreadSelector: (info) => {
    const selector = spreadSelector(info.pod);
    return selector && { key: JSON.stringify(selector), selector: labelSelectorFromObject(selector) };
  },
  claim: () => undefined,
  volume: () => undefined,
  volumes: () => [],
  storageClass: () => undefined,
  budgets: () => [],
};
const profile = defaultProfile('default-scheduler', { bind: { name: 'none', bind: async () => undefined } });

function compare(cache: ClusterCache, cluster: NaiveCluster, asked: Pod): void {
  const { columns, nominated } = cache;
  const cycle = { info: podInfo(asked), columns, listers };
  const totals = naiveTotals(cluster, asked);
  for (const each of cluster.nodes) {
    const rejection = checkNode(cycle, { profile, nominated }, columns.slots.get(each.metadata.name)!);
    assert.deepEqual(rejection?.reasons ?? [], naiveReasons(cluster, asked, each), each.metadata.name);
  }
  const options = { profile, nominated, start: 0, percentageOfNodesToScore: 100, random: () => 0 };
  const decision = decide(cycle, options);
  assert.equal(decision.kind, totals.size > 0 ? 'node' : 'unschedulable');
  if (decision.kind !== 'node') return;
  assert.equal(totals.get(columns.names[decision.slot]!), Math.max(...totals.values()));
  const names = [...totals.keys()];
  const nodes = Int32Array.from(names, (name) => columns.slots.get(name)!);
  const scores = scoreNodes(cycle, profile, nodes, nodes.length);
  for (const [i, name] of names.entries()) {
    assert.equal(scores[i]! - scores[0]!, totals.get(name)! - totals.get(names[0]!)!, `${name} against ${names[0]}`);
  }
}

test('columns decide as the naive twin does, also after nodes and pods came and went', () => {
  const steps = fc.array(
    fc.oneof(
      fc.record({ kind: fc.constant('pod' as const), pod: anyPod }),
      fc.record({ kind: fc.constant('pod' as const), pod: anyPod }),
      fc.record({ kind: fc.constant('pod' as const), pod: anyPod }),
      fc.record({ kind: fc.constant('pod' as const), pod: anyPod }),
      fc.record({ kind: fc.constant('removePod' as const), at: fc.nat() }),
      fc.record({ kind: fc.constant('node' as const), at: fc.nat(), node: anyNode }),
      fc.record({ kind: fc.constant('removeNode' as const), at: fc.nat() }),
    ),
    { minLength: 8, maxLength: 30, size: 'max' },
  );
  fc.assert(
    fc.property(fc.array(anyNode, { minLength: 2, maxLength: 8 }), steps, (first, then) => {
      const cache = new ClusterCache();
      const nodes = new Map(first.map((n, i) => [`n${i}`, node(i, n)]));
      const pods = new Map<string, Pod>();
      for (const each of nodes.values()) cache.setNode(each);
      const cluster = (): NaiveCluster => ({
        nodes: [...nodes.values()],
        pods: [...pods.values()],
        namespaceLabels,
        spreadSelector,
      });
      then.forEach((step, i) => {
        if (step.kind === 'pod') {
          const asked = pod(i, step.pod);
          compare(cache, cluster(), asked);
          const names = [...nodes.keys()];
          if (names.length === 0) return;
          const placed = pod(i, step.pod, names[step.pod.on % names.length]!);
          pods.set(placed.metadata.name, placed);
          cache.setPod(podInfo(placed), placed.spec.nodeName!);
        } else if (step.kind === 'removePod') {
          const gone = [...pods.values()][step.at % (pods.size || 1)];
          if (!gone) return;
          pods.delete(gone.metadata.name);
          cache.removePod(podInfo(gone).key);
        } else if (step.kind === 'node') {
          const index = step.at % 10;
          nodes.set(`n${index}`, node(index, step.node));
          cache.setNode(nodes.get(`n${index}`)!);
        } else {
          const name = [...nodes.keys()][step.at % (nodes.size || 1)];
          if (name === undefined) return;
          nodes.delete(name);
          cache.removeNode(name);
        }
      });
    }),
    { numRuns: 300 },
  );
});
