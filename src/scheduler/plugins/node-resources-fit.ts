import { couldHold, nodeOf } from '../cluster-events.ts';
import { type Columns, CPU, MEMORY } from '../columns.ts';
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
} from '../framework.ts';
import type { UsageColumn } from '../label-columns.ts';
import type { PodInfo } from '../pod-info.ts';

export const REASON_TOO_MANY_PODS = 'Too many pods';
export const insufficient = (resource: string): string => `Insufficient ${resource}`;

/** Requests fit what a node has left. Scores by the share that stays free (LeastAllocated, cpu and memory alike). */
export const nodeResourcesFit: FilterPlugin & ScorePlugin = {
  name: 'NodeResourcesFit',
  interests: [
    {
      kinds: ['NodeAdd', 'NodeAllocatable'],
      helps: (waiting, event) => {
        const node = nodeOf(event);
        return !node || couldHold(node, waiting);
      },
    },
    { kinds: ['AssignedPodDelete'] },
    {
      kinds: ['AssignedPodUpdate'],
      helps: (_, event) => event.kind === 'AssignedPodUpdate' && shrank(event.previous, event.pod),
    },
  ],
  preFilter: ({ info, columns }: Cycle): PreFilterResult => ({ kind: 'filter', filter: new FitFilter(info, columns) }),
  preScore: ({ info, columns }: Cycle): NodeScorer => ({
    add: (candidates, weight) => leastAllocated(columns, info, candidates, weight),
  }),
};

function shrank(previous: PodInfo, pod: PodInfo): boolean {
  for (const [name, amount] of previous.amounts) if (amount > (pod.amounts.get(name) ?? 0)) return true;
  return false;
}

class FitFilter implements NodeFilter {
  readonly #columns: Columns;
  /** Undefined: no node has any. */
  readonly #resources: (number | undefined)[] = [];
  readonly #names: string[] = [];
  readonly #amounts: number[] = [];
  readonly #verdicts: UsageColumn;

  constructor(info: PodInfo, columns: Columns) {
    this.#columns = columns;
    let key = 'fit';
    for (const [name, amount] of info.amounts) {
      if (!(amount > 0)) continue;
      this.#resources.push(columns.resource(name));
      this.#names.push(name);
      this.#amounts.push(amount);
      key += ` ${name}=${amount}`;
    }
    this.#verdicts = columns.usage(key);
  }

  keep(nodes: Int32Array, count: number): number {
    const verdicts = this.#verdicts.values;
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const slot = nodes[i]!;
      let verdict = verdicts[slot]!;
      if (verdict === -1) {
        verdict = this.#fits(slot) ? 1 : 0;
        verdicts[slot] = verdict;
      }
      if (verdict === 1) nodes[kept++] = slot;
    }
    return kept;
  }

  #fits(slot: number): boolean {
    const { podCount, allowedPods, allocatable, requested } = this.#columns;
    if (podCount[slot]! >= allowedPods[slot]!) return false;
    for (let r = 0; r < this.#resources.length; r++) {
      const resource = this.#resources[r];
      if (resource === undefined) return false;
      if (this.#amounts[r]! > allocatable[resource]![slot]! - requested[resource]![slot]!) return false;
    }
    return true;
  }

  explain(slot: number): Rejection {
    const columns = this.#columns;
    const reasons: string[] = [];
    let resolvable = true;
    if (columns.podCount[slot]! >= columns.allowedPods[slot]!) reasons.push(REASON_TOO_MANY_PODS);
    this.#resources.forEach((resource, r) => {
      const amount = this.#amounts[r]!;
      const allocatable = resource === undefined ? 0 : columns.allocatable[resource]![slot]!;
      const requested = resource === undefined ? 0 : columns.requested[resource]![slot]!;
      if (amount <= allocatable - requested) return;
      reasons.push(insufficient(this.#names[r]!));
      if (amount > allocatable) resolvable = false;
    });
    return { reasons, resolvable };
  }
}

function leastAllocated(columns: Columns, info: PodInfo, { nodes, count, totals }: Candidates, weight: number): void {
  const known = columns.usage(`least ${info.nonZeroMilliCpu} ${info.nonZeroMemory}`).values;
  for (let i = 0; i < count; i++) {
    const slot = nodes[i]!;
    let score = known[slot]!;
    if (score === -1) {
      score = leastAllocatedOn(columns, info, slot);
      known[slot] = score;
    }
    totals[i]! += weight * score;
  }
}

function leastAllocatedOn(columns: Columns, info: PodInfo, slot: number): number {
  const cpu = columns.allocatable[CPU]![slot]!;
  const memory = columns.allocatable[MEMORY]![slot]!;
  let sum = 0;
  let weights = 0;
  if (cpu > 0) {
    sum += freeShare(columns.nonZeroMilliCpu[slot]! + info.nonZeroMilliCpu, cpu);
    weights++;
  }
  if (memory > 0) {
    sum += freeShare(columns.nonZeroMemory[slot]! + info.nonZeroMemory, memory);
    weights++;
  }
  return weights === 0 ? 0 : Math.floor(sum / weights);
}

function freeShare(requested: number, capacity: number): number {
  return requested > capacity ? 0 : Math.floor(((capacity - requested) * MAX_NODE_SCORE) / capacity);
}
