// The same decision, written to be obviously right and slow: objects, no columns, no memory. Only tests use it.
import type { LabelSelector, Node, Pod, PodAffinityTerm } from '../api/generated/types.ts';
import { matchesTerm, requiredNodeMatcher } from '../machinery/node-selector.ts';
import { labelSelectorFromObject } from '../machinery/selector-parse.ts';
import { podInfo, portsConflict } from './pod-info.ts';
import { parse, podAmounts } from './resources.ts';
import { toleratesAny, untoleratedTaint } from './taints.ts';

export interface NaiveCluster {
  readonly nodes: readonly Node[];
  /** Pods with spec.nodeName. */
  readonly pods: readonly Pod[];
  readonly namespaceLabels: (namespace: string) => { readonly [key: string]: string } | undefined;
  readonly spreadSelector: (pod: Pod) => LabelSelector | undefined;
}

type Check = (cluster: NaiveCluster, pod: Pod, node: Node) => readonly string[];

const on = (cluster: NaiveCluster, node: Node): Pod[] =>
  cluster.pods.filter((pod) => pod.spec.nodeName === node.metadata.name);
const nodeOfPod = (cluster: NaiveCluster, pod: Pod): Node | undefined =>
  cluster.nodes.find((node) => node.metadata.name === pod.spec.nodeName);
const label = (node: Node | undefined, key: string): string | undefined => node?.metadata.labels?.[key];
const selects = (selector: LabelSelector | undefined, pod: Pod): boolean =>
  selector !== undefined && labelSelectorFromObject(selector).matches(pod.metadata.labels);

function meant(cluster: NaiveCluster, owner: Pod, term: PodAffinityTerm, pod: Pod): boolean {
  const listed = term.namespaces ?? [];
  const own = listed.length === 0 && !term.namespaceSelector ? [owner.metadata.namespace] : listed;
  const namespace = pod.metadata.namespace ?? '';
  const bySelector =
    term.namespaceSelector !== undefined &&
    labelSelectorFromObject(term.namespaceSelector).matches(cluster.namespaceLabels(namespace));
  return (own.includes(namespace) || bySelector) && selects(term.labelSelector, pod);
}

function fits(cluster: NaiveCluster, pod: Pod, node: Node): string[] {
  const allocatable = parse(node.status?.allocatable);
  const there = on(cluster, node);
  const reasons = there.length + 1 > (allocatable.get('pods') ?? 0) ? ['Too many pods'] : [];
  for (const [name, amount] of podAmounts(pod)) {
    const used = there.reduce((sum, other) => sum + (podAmounts(other).get(name) ?? 0), 0);
    if (amount > 0 && amount > (allocatable.get(name) ?? 0) - used) reasons.push(`Insufficient ${name}`);
  }
  return reasons;
}

function spreads(cluster: NaiveCluster, pod: Pod, node: Node): string[] {
  const hard = (pod.spec.topologySpreadConstraints ?? []).filter((c) => c.whenUnsatisfiable === 'DoNotSchedule');
  for (const constraint of hard) {
    const value = label(node, constraint.topologyKey);
    if (value === undefined) return ["node(s) didn't match pod topology spread constraints (missing required label)"];
    const counted = cluster.nodes.filter(
      (other) =>
        hard.every((c) => label(other, c.topologyKey) !== undefined) &&
        (constraint.nodeAffinityPolicy === 'Ignore' || (requiredNodeMatcher(pod)?.matches(other) ?? true)) &&
        (constraint.nodeTaintsPolicy !== 'Honor' || !untoleratedTaint(other.spec.taints ?? [], pod.spec.tolerations)),
    );
    const byValue = new Map<string, number>();
    for (const other of counted) {
      const key = label(other, constraint.topologyKey)!;
      byValue.set(key, (byValue.get(key) ?? 0) + matching(cluster, pod, constraint.labelSelector, other));
    }
    const minimum = byValue.size < (constraint.minDomains ?? 1) ? 0 : Math.min(...byValue.values());
    const self = selects(constraint.labelSelector, pod) ? 1 : 0;
    if ((byValue.get(value) ?? 0) + self - minimum > constraint.maxSkew) {
      return ["node(s) didn't match pod topology spread constraints"];
    }
  }
  return [];
}

function matching(cluster: NaiveCluster, pod: Pod, selector: LabelSelector | undefined, node: Node): number {
  return on(cluster, node).filter(
    (other) =>
      other.metadata.namespace === pod.metadata.namespace &&
      !other.metadata.deletionTimestamp &&
      selects(selector, other),
  ).length;
}

function near(cluster: NaiveCluster, pod: Pod, node: Node): string[] {
  const same = (a: Node | undefined, b: Node, key: string): boolean =>
    label(b, key) !== undefined && label(a, key) === label(b, key);
  const wanted = pod.spec.affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  const all = (other: Pod): boolean => wanted.every((term) => meant(cluster, pod, term, other));
  const companions = cluster.pods.filter(all);
  const hasKeys = wanted.every((term) => label(node, term.topologyKey) !== undefined);
  const together = wanted.every((term) =>
    companions.some((other) => same(nodeOfPod(cluster, other), node, term.topologyKey)),
  );
  const counted = companions.some((other) =>
    wanted.some((term) => label(nodeOfPod(cluster, other), term.topologyKey) !== undefined),
  );
  if (!hasKeys || !(together || (!counted && all(pod)))) return ["node(s) didn't match pod affinity rules"];
  const shunned = pod.spec.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  for (const term of shunned) {
    const met = cluster.pods.some(
      (other) => meant(cluster, pod, term, other) && same(nodeOfPod(cluster, other), node, term.topologyKey),
    );
    if (met) return ["node(s) didn't match pod anti-affinity rules"];
  }
  const refused = cluster.pods.some((other) =>
    (other.spec.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []).some(
      (term) => meant(cluster, other, term, pod) && same(nodeOfPod(cluster, other), node, term.topologyKey),
    ),
  );
  return refused ? ["node(s) didn't satisfy existing pods anti-affinity rules"] : [];
}

const CHECKS: readonly Check[] = [
  (_, pod, node) => {
    const taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' } as const;
    const refused = node.spec.unschedulable && !toleratesAny(pod.spec.tolerations, taint);
    return refused ? ['node(s) were unschedulable'] : [];
  },
  (_, pod, node) =>
    untoleratedTaint(node.spec.taints ?? [], pod.spec.tolerations) ? ['node(s) had untolerated taint(s)'] : [],
  (_, pod, node) =>
    (requiredNodeMatcher(pod)?.matches(node) ?? true) ? [] : ["node(s) didn't match Pod's node affinity/selector"],
  (cluster, pod, node) => {
    const taken = on(cluster, node).flatMap((other) => podInfo(other).hostPorts);
    const conflict = portsConflict(podInfo(pod).hostPorts, taken);
    return conflict ? ["node(s) didn't have free ports for the requested pod ports"] : [];
  },
  fits,
  spreads,
  near,
];

/** Why the node does not do; empty when it does. */
export function naiveReasons(cluster: NaiveCluster, pod: Pod, node: Node): readonly string[] {
  for (const check of CHECKS) {
    const reasons = check(cluster, pod, node);
    if (reasons.length > 0) return reasons;
  }
  return [];
}

type Score = (cluster: NaiveCluster, pod: Pod, feasible: readonly Node[]) => readonly number[];

function stretch(raw: readonly number[], reverse: boolean): number[] {
  const max = Math.max(0, ...raw);
  return raw.map((score) => {
    const share = max === 0 ? 0 : Math.floor((100 * score) / max);
    return reverse ? 100 - share : share;
  });
}

function nonZero(pod: Pod, name: string): number {
  return podAmounts(pod, true).get(name)!;
}

const leastAllocated: Score = (cluster, pod, feasible) =>
  feasible.map((node) => {
    const shares = ['cpu', 'memory'].flatMap((name) => {
      const capacity = parse(node.status?.allocatable).get(name) ?? 0;
      const used = [...on(cluster, node), pod].reduce((sum, other) => sum + nonZero(other, name), 0);
      if (capacity === 0) return [];
      return [used > capacity ? 0 : Math.floor(((capacity - used) * 100) / capacity)];
    });
    return shares.length === 0 ? 0 : Math.floor(shares.reduce((a, b) => a + b) / shares.length);
  });

const balanced: Score = (cluster, pod, feasible) => {
  const asked = podAmounts(pod);
  if (!asked.get('cpu') && !asked.get('memory')) return feasible.map(() => 0);
  return feasible.map((node) => {
    const [cpu, memory] = ['cpu', 'memory'].map((name) => {
      const capacity = parse(node.status?.allocatable).get(name) ?? 0;
      const used = [...on(cluster, node), pod].reduce((sum, other) => sum + (podAmounts(other).get(name) ?? 0), 0);
      return capacity === 0 ? undefined : Math.min(1, used / capacity);
    });
    return cpu === undefined || memory === undefined ? 100 : Math.trunc((1 - Math.abs(cpu - memory) / 2) * 100);
  });
};

const spreadScore: Score = (cluster, pod, feasible) => {
  const all = pod.spec.topologySpreadConstraints ?? [];
  const selector = cluster.spreadSelector(pod);
  const defaults = selector && [
    { topologyKey: 'kubernetes.io/hostname', maxSkew: 3, labelSelector: selector },
    { topologyKey: 'topology.kubernetes.io/zone', maxSkew: 5, labelSelector: selector },
  ];
  const stated = all.length > 0;
  const soft = stated ? all.filter((c) => c.whenUnsatisfiable === 'ScheduleAnyway') : (defaults ?? []);
  if (soft.length === 0) return feasible.map(() => 0);
  const complete = (node: Node): boolean => !stated || soft.every((c) => label(node, c.topologyKey) !== undefined);
  const scored = feasible.filter(complete);
  const raw = feasible.map((node) => {
    if (!complete(node)) return undefined;
    let score = 0;
    for (const constraint of soft) {
      const { topologyKey, maxSkew, labelSelector } = constraint;
      const value = label(node, topologyKey);
      if (value === undefined) continue;
      const host = topologyKey === 'kubernetes.io/hostname';
      const values = host ? scored.length : new Set(scored.map((other) => label(other, topologyKey) ?? '')).size;
      const domain = host
        ? [node]
        : cluster.nodes.filter(
            (other) =>
              complete(other) &&
              label(other, topologyKey) === value &&
              (('nodeAffinityPolicy' in constraint && constraint.nodeAffinityPolicy === 'Ignore') ||
                (requiredNodeMatcher(pod)?.matches(other) ?? true)) &&
              (!('nodeTaintsPolicy' in constraint && constraint.nodeTaintsPolicy === 'Honor') ||
                !untoleratedTaint(other.spec.taints ?? [], pod.spec.tolerations)),
          );
      const count = domain.reduce((sum, other) => sum + matching(cluster, pod, labelSelector, other), 0);
      score += count * Math.log(values + 2) + (maxSkew - 1);
    }
    return Math.round(score);
  });
  const known = raw.filter((score) => score !== undefined);
  const max = Math.max(0, ...known);
  const min = Math.min(...known);
  return raw.map((score) => {
    if (score === undefined) return 0;
    return max === 0 ? 100 : Math.floor((100 * (max + min - score)) / max);
  });
};

const affinityScore: Score = (cluster, pod, feasible) => {
  const weigh = (node: Node): number => {
    let sum = 0;
    const add = (owner: Pod, term: PodAffinityTerm, candidate: Pod, at: Node | undefined, weight: number): void => {
      const value = label(node, term.topologyKey);
      if (value === undefined || label(at, term.topologyKey) !== value) return;
      if (meant(cluster, owner, term, candidate)) sum += weight;
    };
    for (const other of cluster.pods) {
      const at = nodeOfPod(cluster, other);
      for (const [owner, candidate] of [
        [pod, other],
        [other, pod],
      ] as const) {
        const { podAffinity, podAntiAffinity } = owner.spec.affinity ?? {};
        for (const w of podAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []) {
          add(owner, w.podAffinityTerm, candidate, at, w.weight);
        }
        for (const w of podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []) {
          add(owner, w.podAffinityTerm, candidate, at, -w.weight);
        }
      }
      const required = other.spec.affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
      for (const term of required) add(other, term, pod, at, 1);
    }
    return sum;
  };
  const raw = feasible.map(weigh);
  const min = Math.min(...raw);
  const spread = Math.max(...raw) - min;
  return raw.map((score) => (spread > 0 ? Math.floor((100 * (score - min)) / spread) : 0));
};

const SCORES: readonly (readonly [Score, number])[] = [
  [
    (_, pod, feasible) => {
      const tolerations = pod.spec.tolerations?.filter((t) => !t.effect || t.effect === 'PreferNoSchedule');
      const raw = feasible.map(
        (node) =>
          (node.spec.taints ?? []).filter((t) => t.effect === 'PreferNoSchedule' && !toleratesAny(tolerations, t))
            .length,
      );
      return stretch(raw, true);
    },
    3,
  ],
  [
    (_, pod, feasible) => {
      const terms = pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
      const raw = feasible.map((node) =>
        terms.reduce((sum, { weight, preference }) => sum + (matchesTerm(node, preference) ? weight : 0), 0),
      );
      return stretch(raw, false);
    },
    2,
  ],
  [leastAllocated, 1],
  [spreadScore, 2],
  [affinityScore, 2],
  [balanced, 1],
];

/** The total of each feasible node, by name. */
export function naiveTotals(cluster: NaiveCluster, pod: Pod): ReadonlyMap<string, number> {
  const feasible = cluster.nodes.filter((node) => naiveReasons(cluster, pod, node).length === 0);
  if (feasible.length === 0) return new Map();
  const totals = feasible.map(() => 0);
  for (const [score, weight] of SCORES) {
    score(cluster, pod, feasible).forEach((value, i) => {
      totals[i]! += weight * value;
    });
  }
  return new Map(feasible.map((node, i) => [node.metadata.name, totals[i]!]));
}
