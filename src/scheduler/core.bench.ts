// How many pods a second the core places: `node src/scheduler/core.bench.ts [nodes] [pods]`. A manual command, not a test.
import type { Node, Pod } from '../api/generated/types.ts';
import { seededRandom } from '../lib/random.ts';
import { labelSelectorFromObject } from '../machinery/selector-parse.ts';
import { ClusterCache } from './cache.ts';
import { decide } from './decide.ts';
import type { Listers, Profile } from './framework.ts';
import { podInfo } from './pod-info.ts';
import { defaultProfile } from './profile.ts';
import type { SpreadSelector } from './spread-selectors.ts';

const nodeCount = Number(process.argv[2] ?? 5000);
const podCount = Number(process.argv[3] ?? 20000);
const ZONES = 3;

function node(i: number): Node {
  const name = `node-${i}`;
  const labels = { 'kubernetes.io/hostname': name, 'topology.kubernetes.io/zone': `zone-${i % ZONES}` };
  const allocatable = { cpu: '32', memory: '128Gi', pods: '110', 'ephemeral-storage': '100Gi' };
  return { metadata: { name, labels }, spec: {}, status: { allocatable } };
}

function pod(i: number): Pod {
  return {
    metadata: { name: `pod-${i}`, namespace: 'default', uid: `uid-${i}`, labels: { app: `app-${i % 50}` } },
    spec: { containers: [{ name: 'main', image: 'web', resources: { requests: { cpu: '100m', memory: '128Mi' } } }] },
  };
}

const selectors = new Map<string, SpreadSelector>(
  Array.from({ length: 50 }, (_, i) => {
    const selector = { matchLabels: { app: `app-${i}` } };
    return [`app-${i}` as string, { key: JSON.stringify(selector), selector: labelSelectorFromObject(selector) }];
  }),
);

const plain: Listers = {
  namespaceLabels: () => undefined,
  spreadSelector: () => undefined,
  claim: () => undefined,
  volume: () => undefined,
  volumes: () => [],
  storageClass: () => undefined,
  budgets: () => [],
};
const owned: Listers = { ...plain, spreadSelector: (info) => selectors.get(info.pod.metadata.labels?.app ?? '') };

function run(title: string, listers: Listers, percentageOfNodesToScore: number): void {
  const cache = new ClusterCache();
  for (let i = 0; i < nodeCount; i++) cache.setNode(node(i));
  const profile: Profile = defaultProfile('default-scheduler', { bind: { name: 'none', bind: async () => undefined } });
  const random = seededRandom(1);
  const pods = Array.from({ length: podCount }, (_, i) => pod(i));
  let start = 0;
  let placed = 0;
  const begin = process.cpuUsage();
  for (const each of pods) {
    const info = podInfo(each);
    const decision = decide(
      { info, columns: cache.columns, listers },
      { profile, nominated: cache.nominated, start, percentageOfNodesToScore, random: () => random.next() },
    );
    start = decision.next;
    if (decision.kind !== 'node') continue;
    cache.assume(info, cache.columns.names[decision.slot]!);
    placed++;
  }
  const { user, system } = process.cpuUsage(begin);
  const seconds = (user + system) / 1e6;
  const rate = Math.round(podCount / seconds);
  process.stdout.write(
    `${title}: ${rate} pods/s, ${((seconds * 1e6) / podCount).toFixed(1)} us a pod, ${placed} placed\n`,
  );
}

run('plain pods, every node', plain, 100);
run('plain pods, sampled', plain, 0);
run('pods of a workload, every node', owned, 100);
run('pods of a workload, sampled', owned, 0);
