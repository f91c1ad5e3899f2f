import type { TopologySpreadConstraint } from '../../api/generated/types.ts';
import type { Selector } from '../../machinery/selector.ts';
import { selectorOf, withPodLabels } from '../affinity-term.ts';
import { podOf } from '../cluster-events.ts';
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
import { domainSums, type PodCounter } from '../pod-groups.ts';
import type { PodInfo } from '../pod-info.ts';
import { untoleratedTaint } from '../taints.ts';

export const REASON_CONSTRAINTS = "node(s) didn't match pod topology spread constraints";
export const REASON_MISSING_LABEL = `${REASON_CONSTRAINTS} (missing required label)`;

const HOSTNAME = 'kubernetes.io/hostname';
const ZONE = 'topology.kubernetes.io/zone';

/** What pods of a service or controller get when they state no constraints: spread softly over hosts and zones. */
const SYSTEM_DEFAULTS = [
  { topologyKey: HOSTNAME, maxSkew: 3 },
  { topologyKey: ZONE, maxSkew: 5 },
] as const;

/** Pods spread over the values of node labels. */
export const podTopologySpread: FilterPlugin & ScorePlugin = {
  name: 'PodTopologySpread',
  interests: [
    { kinds: ['NodeAdd', 'NodeDelete', 'NodeLabel', 'NodeTaint'] },
    {
      kinds: ['AssignedPodAdd', 'AssignedPodDelete', 'AssignedPodUpdate'],
      helps: (waiting, event) => podOf(event)?.namespace === waiting.namespace,
    },
  ],
  preFilter: (cycle: Cycle): PreFilterResult => {
    const constraints = statedConstraints(cycle, 'DoNotSchedule');
    return constraints.length === 0 ? SKIP : { kind: 'filter', filter: new SpreadFilter(cycle, constraints) };
  },
  preScore: (cycle: Cycle, nodes: Int32Array, count: number): NodeScorer | undefined => {
    const stated = (cycle.info.pod.spec.topologySpreadConstraints ?? []).length > 0;
    const constraints = stated ? statedConstraints(cycle, 'ScheduleAnyway') : defaultConstraints(cycle);
    return constraints.length === 0 ? undefined : new SpreadScorer(cycle, { constraints, stated, nodes, count });
  },
};

interface Constraint {
  readonly maxSkew: number;
  readonly minDomains: number;
  readonly topologyKey: string;
  readonly column: LabelColumn;
  readonly counter: PodCounter;
  /** 1 when the pod itself is meant by the selector. */
  readonly self: 0 | 1;
  /** Whether a node takes part in the count, apart from having the labels. */
  readonly includes: ((slot: number) => boolean) | undefined;
}

function statedConstraints(cycle: Cycle, when: TopologySpreadConstraint['whenUnsatisfiable']): Constraint[] {
  const { info, columns } = cycle;
  const stated = info.pod.spec.topologySpreadConstraints ?? [];
  return stated.flatMap((c): Constraint[] => {
    if (c.whenUnsatisfiable !== when) return [];
    const narrowed = withPodLabels(c.labelSelector, info.pod.metadata.labels, c.matchLabelKeys);
    const selector = narrowed && selectorOf(narrowed);
    return [
      {
        maxSkew: c.maxSkew,
        minDomains: c.minDomains ?? 1,
        topologyKey: c.topologyKey,
        column: columns.label(c.topologyKey),
        counter: counterOf(columns, info, JSON.stringify(narrowed ?? null), selector),
        self: selector?.matches(info.pod.metadata.labels) ? 1 : 0,
        includes: inclusion(cycle, c.nodeAffinityPolicy ?? 'Honor', c.nodeTaintsPolicy ?? 'Ignore'),
      },
    ];
  });
}

function defaultConstraints(cycle: Cycle): Constraint[] {
  const { info, columns, listers } = cycle;
  const found = listers.spreadSelector(info);
  if (!found || found.selector.empty) return [];
  const counter = counterOf(columns, info, found.key, found.selector);
  return SYSTEM_DEFAULTS.map(({ topologyKey, maxSkew }) => ({
    maxSkew,
    minDomains: 1,
    topologyKey,
    column: columns.label(topologyKey),
    counter,
    self: 1,
    includes: inclusion(cycle, 'Honor', 'Ignore'),
  }));
}

/** Pods of the namespace that the selector means and that are not on their way out. */
function counterOf(columns: Columns, info: PodInfo, key: string, selector: Selector | undefined): PodCounter {
  return columns.groups.counter(
    `spread ${info.namespace} ${key}`,
    (group) => group.namespace === info.namespace && !group.terminating && (selector?.matches(group.labels) ?? false),
  );
}

function inclusion(cycle: Cycle, affinity: string, taints: string): ((slot: number) => boolean) | undefined {
  const { info, columns } = cycle;
  const matcher = affinity === 'Honor' && info.nodeMatcher ? columns.matching(info.nodeMatcher) : undefined;
  const honorTaints = taints === 'Honor' && columns.taintedNodes > 0;
  if (!matcher && !honorTaints) return undefined;
  const tolerations = info.pod.spec.tolerations;
  return (slot) =>
    (!matcher || matcher.matches(slot, columns.nodes)) &&
    (!honorTaints || !untoleratedTaint(columns.taintSets[columns.taintSet[slot]!]!, tolerations));
}

function hasAllKeys(constraints: readonly Constraint[], slot: number): boolean {
  for (const { column } of constraints) if (column.ids[slot] === 0) return false;
  return true;
}

/** Matching pods by value of the constraint's label, over the nodes that take part; -1 where no node does. */
function countDomains(columns: Columns, constraint: Constraint, takesPart: (slot: number) => boolean): Float64Array {
  const sums = new Float64Array(constraint.column.size).fill(-1);
  const { ids } = constraint.column;
  const { counts } = constraint.counter;
  const { order } = columns;
  for (let i = 0; i < order.length; i++) {
    const slot = order[i]!;
    if (!takesPart(slot)) continue;
    const id = ids[slot]!;
    sums[id] = (sums[id] === -1 ? 0 : sums[id]!) + counts[slot]!;
  }
  return sums;
}

interface Skew {
  readonly constraint: Constraint;
  readonly sums: Float64Array;
  readonly minimum: number;
}

class SpreadFilter implements NodeFilter {
  readonly #skews: readonly Skew[];

  constructor({ columns }: Cycle, constraints: readonly Constraint[]) {
    this.#skews = constraints.map((constraint) => {
      const { includes } = constraint;
      const sums = countDomains(columns, constraint, (slot) => {
        return hasAllKeys(constraints, slot) && (!includes || includes(slot));
      });
      let minimum = Number.POSITIVE_INFINITY;
      let domains = 0;
      for (const sum of sums) {
        if (sum === -1) continue;
        domains++;
        if (sum < minimum) minimum = sum;
      }
      return { constraint, sums, minimum: domains < constraint.minDomains ? 0 : minimum };
    });
  }

  keep(nodes: Int32Array, count: number): number {
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const slot = nodes[i]!;
      if (this.#failure(slot) === undefined) nodes[kept++] = slot;
    }
    return kept;
  }

  explain(slot: number): Rejection {
    return { reasons: [this.#failure(slot)!], resolvable: this.#failure(slot) === REASON_CONSTRAINTS };
  }

  #failure(slot: number): string | undefined {
    for (const { constraint, sums, minimum } of this.#skews) {
      const id = constraint.column.ids[slot]!;
      if (id === 0) return REASON_MISSING_LABEL;
      const matching = Math.max(0, sums[id]!);
      if (matching + constraint.self - minimum > constraint.maxSkew) return REASON_CONSTRAINTS;
    }
    return undefined;
  }
}

interface Scored {
  readonly constraints: readonly Constraint[];
  /** Stated constraints leave out nodes without all labels; system defaults take every node. */
  readonly stated: boolean;
  readonly nodes: Int32Array;
  readonly count: number;
}

const IGNORED = -1;

class SpreadScorer implements NodeScorer {
  readonly #scored: Scored;
  readonly #sums: readonly (Float64Array | undefined)[];
  readonly #weights: readonly number[];

  constructor({ columns }: Cycle, scored: Scored) {
    this.#scored = scored;
    const { constraints, stated, nodes, count } = scored;
    let scorable = count;
    if (stated) {
      scorable = 0;
      for (let i = 0; i < count; i++) if (hasAllKeys(constraints, nodes[i]!)) scorable++;
    }
    const weights: number[] = [];
    this.#sums = constraints.map((constraint) => {
      if (constraint.topologyKey === HOSTNAME) {
        weights.push(Math.log(scorable + 2));
        return undefined;
      }
      weights.push(Math.log(this.#candidateDomains(constraint) + 2));
      const { includes } = constraint;
      if (!stated && !includes) return domainSums(constraint.counter, constraint.column);
      return countDomains(columns, constraint, (slot) => {
        return (!stated || hasAllKeys(constraints, slot)) && (!includes || includes(slot));
      });
    });
    this.#weights = weights;
  }

  add({ nodes, count, totals, scratch }: Candidates, weight: number): void {
    const { constraints, stated } = this.#scored;
    scratch.fill(0, 0, count);
    for (let c = 0; c < constraints.length; c++) this.#addConstraint(c, nodes, count, scratch);
    let min = Number.POSITIVE_INFINITY;
    let max = 0;
    for (let i = 0; i < count; i++) {
      if (stated && !hasAllKeys(constraints, nodes[i]!)) {
        scratch[i] = IGNORED;
        continue;
      }
      const score = Math.round(scratch[i]!);
      scratch[i] = score;
      if (score < min) min = score;
      if (score > max) max = score;
    }
    for (let i = 0; i < count; i++) {
      if (scratch[i] === IGNORED) continue;
      const share = max === 0 ? MAX_NODE_SCORE : Math.floor((MAX_NODE_SCORE * (max + min - scratch[i]!)) / max);
      totals[i]! += weight * share;
    }
  }

  #addConstraint(c: number, nodes: Int32Array, count: number, scores: Float64Array): void {
    const { column, counter, maxSkew } = this.#scored.constraints[c]!;
    if (column.present === 0) return;
    const weight = this.#weights[c]!;
    const sums = this.#sums[c];
    const { ids } = column;
    const { counts } = counter;
    for (let i = 0; i < count; i++) {
      const slot = nodes[i]!;
      const id = ids[slot]!;
      if (id === 0) continue;
      const matching = sums ? Math.max(0, sums[id]!) : counts[slot]!;
      scores[i]! += matching * weight + (maxSkew - 1);
    }
  }

  /** How many values of the label the candidates have; without the label counts as a value for system defaults. */
  #candidateDomains(constraint: Constraint): number {
    const { constraints, stated, nodes, count } = this.#scored;
    const { column } = constraint;
    if (column.present === 0) return stated ? 0 : 1;
    const seen = new Uint8Array(column.size);
    let domains = 0;
    for (let i = 0; i < count; i++) {
      const slot = nodes[i]!;
      if (stated && !hasAllKeys(constraints, slot)) continue;
      const id = column.ids[slot]!;
      if (seen[id] === 0) domains++;
      seen[id] = 1;
    }
    return domains;
  }
}
