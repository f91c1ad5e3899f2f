// Pods counted by who they are: how many pods that a selector means stand on each node, kept up to date pod by pod.
import type { AffinityTerm, Labels, NamespaceLabels } from './affinity-term.ts';
import type { LabelColumn } from './label-columns.ts';
import type { PodInfo } from './pod-info.ts';

/** Pods alike to every selector. */
export interface PodGroup {
  readonly namespace: string;
  readonly labels: Labels;
  readonly terminating: boolean;
  readonly countBySlot: Map<number, number>;
  readonly counters: Set<PodCounter>;
}

/** How many of the pods that `matches` means stand on each node. */
export interface PodCounter {
  readonly matches: (group: PodGroup) => boolean;
  counts: Int32Array;
  total: number;
  /** Sums by label value, for the labels asked for; as good as the label's version. */
  domains: DomainSums[];
}

interface DomainSums {
  readonly column: LabelColumn;
  version: number;
  sums: Float64Array;
}

export type TermKind = 'requiredAntiAffinity' | 'requiredAffinity' | 'preferredAffinity' | 'preferredAntiAffinity';

/** A term that placed pods carry, and how many of them carry it on each node. */
export interface CarriedTerm {
  readonly kind: TermKind;
  readonly weight: number;
  readonly term: AffinityTerm;
  counts: Int32Array;
  total: number;
}

/** Counters kept; the one longest unused goes first and is made anew when asked for. */
const COUNTER_LIMIT = 512;

export class PodGroups {
  #capacity: number;
  readonly #groups = new Map<string, PodGroup>();
  readonly #counters = new Map<string, PodCounter>();
  readonly #carried = new Map<string, CarriedTerm>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  grow(capacity: number): void {
    this.#capacity = capacity;
    for (const counted of [...this.#counters.values(), ...this.#carried.values()]) {
      const counts = new Int32Array(capacity);
      counts.set(counted.counts);
      counted.counts = counts;
    }
  }

  add(info: PodInfo, slot: number): void {
    let group = this.#groups.get(info.groupKey);
    if (!group) {
      group = this.#newGroup(info);
      this.#groups.set(info.groupKey, group);
    }
    group.countBySlot.set(slot, (group.countBySlot.get(slot) ?? 0) + 1);
    for (const counter of group.counters) count(counter, slot, 1);
    if (info.terms) this.#carry(info, slot, 1);
  }

  remove(info: PodInfo, slot: number): void {
    const group = this.#groups.get(info.groupKey);
    if (!group) return;
    const left = (group.countBySlot.get(slot) ?? 0) - 1;
    if (left > 0) group.countBySlot.set(slot, left);
    else group.countBySlot.delete(slot);
    for (const counter of group.counters) count(counter, slot, -1);
    if (group.countBySlot.size === 0) this.#groups.delete(info.groupKey);
    if (info.terms) this.#carry(info, slot, -1);
  }

  /** The counter under `key`; equal keys must mean equal predicates. */
  counter(key: string, matches: (group: PodGroup) => boolean): PodCounter {
    const known = this.#counters.get(key);
    if (known) {
      this.#counters.delete(key);
      this.#counters.set(key, known);
      return known;
    }
    const counter: PodCounter = { matches, counts: new Int32Array(this.#capacity), total: 0, domains: [] };
    for (const group of this.#groups.values()) {
      if (!matches(group)) continue;
      group.counters.add(counter);
      for (const [slot, count] of group.countBySlot) {
        counter.counts[slot]! += count;
        counter.total += count;
      }
    }
    if (this.#counters.size >= COUNTER_LIMIT) this.#forgetOldest();
    this.#counters.set(key, counter);
    return counter;
  }

  /** Namespaces' labels changed: counters that depend on them are made anew when asked for. */
  forgetCounters(): void {
    while (this.#counters.size > 0) this.#forgetOldest();
  }

  get carriedTerms(): Iterable<CarriedTerm> {
    return this.#carried.values();
  }

  get carriesTerms(): boolean {
    return this.#carried.size > 0;
  }

  #newGroup(info: PodInfo): PodGroup {
    const group: PodGroup = {
      namespace: info.namespace,
      labels: info.pod.metadata.labels,
      terminating: info.terminating,
      countBySlot: new Map(),
      counters: new Set(),
    };
    for (const counter of this.#counters.values()) if (counter.matches(group)) group.counters.add(counter);
    return group;
  }

  #forgetOldest(): void {
    const [oldest] = this.#counters;
    if (!oldest) return;
    this.#counters.delete(oldest[0]);
    for (const group of this.#groups.values()) group.counters.delete(oldest[1]);
  }

  #carry(info: PodInfo, slot: number, change: 1 | -1): void {
    const terms = info.terms!;
    for (const term of terms.requiredAntiAffinity) this.#count('requiredAntiAffinity', term, 1, slot, change);
    for (const term of terms.requiredAffinity) this.#count('requiredAffinity', term, 1, slot, change);
    for (const w of terms.preferredAffinity) this.#count('preferredAffinity', w.term, w.weight, slot, change);
    for (const w of terms.preferredAntiAffinity) this.#count('preferredAntiAffinity', w.term, w.weight, slot, change);
  }

  #count(kind: TermKind, term: AffinityTerm, weight: number, slot: number, change: 1 | -1): void {
    const key = `${kind} ${weight} ${term.key}`;
    let carried = this.#carried.get(key);
    if (!carried) {
      carried = { kind, weight, term, counts: new Int32Array(this.#capacity), total: 0 };
      this.#carried.set(key, carried);
    }
    carried.counts[slot]! += change;
    carried.total += change;
    if (carried.total === 0) this.#carried.delete(key);
  }
}

function count(counter: PodCounter, slot: number, change: 1 | -1): void {
  counter.counts[slot]! += change;
  counter.total += change;
  for (const { column, version, sums } of counter.domains) {
    if (version === column.version) sums[column.ids[slot]!]! += change;
  }
}

/** A counter's pods by the values of a label, over all nodes; kept up to date with the counter. */
export function domainSums(counter: PodCounter, column: LabelColumn): Float64Array {
  let domain = counter.domains.find((d) => d.column === column);
  if (domain?.version === column.version) return domain.sums;
  const sums = new Float64Array(column.size);
  const { counts } = counter;
  for (let slot = 0; slot < counts.length; slot++) if (counts[slot] !== 0) sums[column.ids[slot]!]! += counts[slot]!;
  if (domain) {
    domain.sums = sums;
    domain.version = column.version;
  } else {
    domain = { column, version: column.version, sums };
    counter.domains = [...counter.domains.filter((one) => !one.column.isRetired), domain];
  }
  return sums;
}

/** The counter of pods that all of `terms` mean. */
export function counterOfTerms(
  groups: PodGroups,
  terms: readonly AffinityTerm[],
  namespaceLabels: NamespaceLabels,
): PodCounter {
  return groups.counter(`terms ${terms.map((t) => t.key).join(' ')}`, (group) =>
    terms.every((t) => t.matches(group.namespace, group.labels, namespaceLabels)),
  );
}
