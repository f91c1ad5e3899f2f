import type { AffinityTerm, NamespaceLabels } from '../affinity-term.ts';
import { type ClusterEvent, podOf } from '../cluster-events.ts';
import type { Columns } from '../columns.ts';
import {
  type Candidates,
  type Cycle,
  type FilterPlugin,
  MAX_NODE_SCORE,
  type NodeFilter,
  type NodeScorer,
  type PreFilterResult,
  type Rejection,
  type ScorePlugin,
  SKIP,
} from '../framework.ts';
import type { LabelColumn } from '../label-columns.ts';
import { counterOfTerms, domainSums } from '../pod-groups.ts';
import type { PodInfo } from '../pod-info.ts';

export const REASON_AFFINITY = "node(s) didn't match pod affinity rules";
export const REASON_ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules";
export const REASON_EXISTING_ANTI_AFFINITY = "node(s) didn't satisfy existing pods anti-affinity rules";

/** What required affinity of a placed pod is worth when scoring the pods that it wants near. */
const HARD_POD_AFFINITY_WEIGHT = 1;

/** Pods near to, or apart from, other pods, within the same value of a node label. */
export const interPodAffinity: FilterPlugin & ScorePlugin = {
  name: 'InterPodAffinity',
  interests: [
    { kinds: ['NodeAdd', 'NodeLabel', 'Namespace'] },
    {
      kinds: ['AssignedPodAdd', 'AssignedPodUpdate'],
      helps: (waiting, event) => event.kind !== 'AssignedPodAdd' || wants(waiting, event),
    },
    { kinds: ['AssignedPodDelete'] },
  ],
  preFilter: ({ info, columns, listers }: Cycle): PreFilterResult => {
    const wanted = info.terms?.requiredAffinity ?? [];
    const shunned = info.terms?.requiredAntiAffinity ?? [];
    const existing = domainsShunningPod(columns, info, listers.namespaceLabels);
    if (wanted.length === 0 && shunned.length === 0 && existing.length === 0) return SKIP;
    const filter = new PodAffinityFilter({
      near: affinityDomains(columns, info, wanted, listers.namespaceLabels),
      apart: shunned.map((term) => termDomain(columns, [term], term.topologyKey, listers.namespaceLabels)),
      existing,
    });
    return { kind: 'filter', filter };
  },
  preScore: ({ info, columns, listers }: Cycle): NodeScorer | undefined =>
    preferenceScorer(columns, info, listers.namespaceLabels),
};

/** A new pod helps a waiting one only if some affinity term of the latter means it. */
function wants(waiting: PodInfo, event: ClusterEvent): boolean {
  const pod = podOf(event);
  const terms = waiting.terms?.requiredAffinity ?? [];
  if (!pod) return true;
  return terms.some((t) => t.byNamespaceLabels || t.matches(pod.namespace, pod.pod.metadata.labels, () => undefined));
}

/** Values of one node label with the number of pods that stand on nodes with that value; 0 stands for no value. */
interface Domain {
  readonly column: LabelColumn;
  readonly counts: Float64Array;
}

function sumByDomain(columns: Columns, topologyKey: string, counts: Int32Array): Domain {
  const column = columns.label(topologyKey);
  const sums = new Float64Array(column.size);
  const { order } = columns;
  for (let i = 0; i < order.length; i++) {
    const slot = order[i]!;
    const count = counts[slot]!;
    if (count !== 0) sums[column.ids[slot]!]! += count;
  }
  sums[0] = 0;
  return { column, counts: sums };
}

function termDomain(
  columns: Columns,
  terms: readonly AffinityTerm[],
  topologyKey: string,
  namespaceLabels: NamespaceLabels,
): Domain {
  const column = columns.label(topologyKey);
  return { column, counts: domainSums(counterOfTerms(columns.groups, terms, namespaceLabels), column) };
}

interface NearDomains {
  readonly domains: readonly Domain[];
  /** No pod matches yet, and the pod means itself: the first of its kind may go anywhere. */
  readonly first: boolean;
}

/** A pod counts for affinity when all terms mean it. */
function affinityDomains(
  columns: Columns,
  info: PodInfo,
  terms: readonly AffinityTerm[],
  namespaceLabels: NamespaceLabels,
): NearDomains {
  const domains = terms.map((term) => termDomain(columns, terms, term.topologyKey, namespaceLabels));
  const none = domains.every(({ counts }) => counts.every((count, id) => id === 0 || count === 0));
  const self = terms.every((t) => t.matches(info.namespace, info.pod.metadata.labels, namespaceLabels));
  return { domains, first: none && self };
}

function domainsShunningPod(columns: Columns, info: PodInfo, namespaceLabels: NamespaceLabels): Domain[] {
  if (!columns.groups.carriesTerms) return [];
  const domains: Domain[] = [];
  for (const { kind, term, counts } of columns.groups.carriedTerms) {
    if (kind !== 'requiredAntiAffinity') continue;
    if (!term.matches(info.namespace, info.pod.metadata.labels, namespaceLabels)) continue;
    domains.push(sumByDomain(columns, term.topologyKey, counts));
  }
  return domains;
}

interface Domains {
  readonly near: NearDomains;
  readonly apart: readonly Domain[];
  readonly existing: readonly Domain[];
}

class PodAffinityFilter implements NodeFilter {
  readonly #domains: Domains;

  constructor(domains: Domains) {
    this.#domains = domains;
  }

  keep(nodes: Int32Array, count: number): number {
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const slot = nodes[i]!;
      if (this.#isNear(slot) && !occupied(this.#domains.apart, slot) && !occupied(this.#domains.existing, slot)) {
        nodes[kept++] = slot;
      }
    }
    return kept;
  }

  explain(slot: number): Rejection {
    if (!this.#isNear(slot)) return { reasons: [REASON_AFFINITY], resolvable: false };
    if (occupied(this.#domains.apart, slot)) return { reasons: [REASON_ANTI_AFFINITY], resolvable: true };
    return { reasons: [REASON_EXISTING_ANTI_AFFINITY], resolvable: true };
  }

  #isNear(slot: number): boolean {
    let found = true;
    for (const { column, counts } of this.#domains.near.domains) {
      const id = column.ids[slot]!;
      if (id === 0) return false;
      if (counts[id] === 0) found = false;
    }
    return found || this.#domains.near.first;
  }
}

function occupied(domains: readonly Domain[], slot: number): boolean {
  for (const { column, counts } of domains) {
    const id = column.ids[slot]!;
    if (id !== 0 && counts[id]! > 0) return true;
  }
  return false;
}

/** Sums, label by label, what the pod's own preferences and those of placed pods say of each domain. */
function preferenceScorer(columns: Columns, info: PodInfo, namespaceLabels: NamespaceLabels): NodeScorer | undefined {
  const sums = new Map<string, Domain>();
  const add = (topologyKey: string, counts: Int32Array, weight: number): void => {
    const domain = sumByDomain(columns, topologyKey, counts);
    const known = sums.get(topologyKey);
    for (let i = 0; i < domain.counts.length; i++) {
      domain.counts[i] = domain.counts[i]! * weight + (known?.counts[i] ?? 0);
    }
    sums.set(topologyKey, domain);
  };
  const own = (term: AffinityTerm, weight: number): void => {
    const counter = counterOfTerms(columns.groups, [term], namespaceLabels);
    if (counter.total > 0) add(term.topologyKey, counter.counts, weight);
  };
  for (const { term, weight } of info.terms?.preferredAffinity ?? []) own(term, weight);
  for (const { term, weight } of info.terms?.preferredAntiAffinity ?? []) own(term, -weight);
  for (const { kind, weight, term, counts } of columns.groups.carriedTerms) {
    if (kind === 'requiredAntiAffinity') continue;
    if (!term.matches(info.namespace, info.pod.metadata.labels, namespaceLabels)) continue;
    add(term.topologyKey, counts, carriedWeight(kind, weight));
  }
  if (sums.size === 0) return undefined;
  const domains = [...sums.values()];
  return { add: (candidates, weight) => addDomains(domains, candidates, weight) };
}

function carriedWeight(kind: string, weight: number): number {
  if (kind === 'requiredAffinity') return HARD_POD_AFFINITY_WEIGHT;
  return kind === 'preferredAffinity' ? weight : -weight;
}

function addDomains(domains: readonly Domain[], { nodes, count, totals, scratch }: Candidates, weight: number): void {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < count; i++) {
    let sum = 0;
    for (const { column, counts } of domains) sum += counts[column.ids[nodes[i]!]!]!;
    scratch[i] = sum;
    if (sum < min) min = sum;
    if (sum > max) max = sum;
  }
  const spread = max - min;
  for (let i = 0; i < count; i++) {
    if (spread > 0) totals[i]! += weight * Math.floor((MAX_NODE_SCORE * (scratch[i]! - min)) / spread);
  }
}
