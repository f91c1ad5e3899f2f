import { couldHold, nodeOf } from '../cluster-events.ts';
import { type Columns, CPU, MEMORY } from '../columns.ts';
import {
  type Cycle,
  type FilterPlugin,
  MAX_NODE_SCORE,
  type NodeFilter,
  type NodeScorer,
  type PreFilterResult,
  type Rejection,
  type ScorePlugin,
} from '../framework.ts';
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
    score: (nodes, count, scores) => leastAllocated(columns, info, { nodes, count, scores }),
  }),
};

function shrank(previous: PodInfo, pod: PodInfo): boolean {
  for (const [name, amount] of previous.amounts) if (amount > (pod.amounts.get(name) ?? 0)) return true;
  return false;
}

class FitFilter implements NodeFilter {
  readonly #columns: Columns;
  readonly #resources: number[] = [];
  readonly #amounts: number[] = [];

  constructor(info: PodInfo, columns: Columns) {
    this.#columns = columns;
    for (const [name, amount] of info.amounts) {
      if (!(amount > 0)) continue;
      this.#resources.push(columns.resource(name));
      this.#amounts.push(amount);
    }
  }

  keep(nodes: Int32Array, count: number): number {
    const { podCount, allowedPods } = this.#columns;
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const slot = nodes[i]!;
      if (podCount[slot]! < allowedPods[slot]!) nodes[kept++] = slot;
    }
    for (let r = 0; r < this.#resources.length; r++) kept = this.#keepResource(r, nodes, kept);
    return kept;
  }

  #keepResource(r: number, nodes: Int32Array, count: number): number {
    const amount = this.#amounts[r]!;
    const allocatable = this.#columns.allocatable[this.#resources[r]!]!;
    const requested = this.#columns.requested[this.#resources[r]!]!;
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const slot = nodes[i]!;
      if (amount <= allocatable[slot]! - requested[slot]!) nodes[kept++] = slot;
    }
    return kept;
  }

  explain(slot: number): Rejection {
    const columns = this.#columns;
    const reasons: string[] = [];
    let resolvable = true;
    if (columns.podCount[slot]! >= columns.allowedPods[slot]!) reasons.push(REASON_TOO_MANY_PODS);
    this.#resources.forEach((resource, r) => {
      const amount = this.#amounts[r]!;
      const allocatable = columns.allocatable[resource]![slot]!;
      if (amount <= allocatable - columns.requested[resource]![slot]!) return;
      reasons.push(insufficient(columns.resources.text(resource)));
      if (amount > allocatable) resolvable = false;
    });
    return { reasons, resolvable };
  }
}

interface Scored {
  readonly nodes: Int32Array;
  readonly count: number;
  readonly scores: Float64Array;
}

function leastAllocated(columns: Columns, info: PodInfo, { nodes, count, scores }: Scored): void {
  const allocatableCpu = columns.allocatable[CPU]!;
  const allocatableMemory = columns.allocatable[MEMORY]!;
  const { nonZeroMilliCpu, nonZeroMemory } = columns;
  for (let i = 0; i < count; i++) {
    const slot = nodes[i]!;
    const cpu = allocatableCpu[slot]!;
    const memory = allocatableMemory[slot]!;
    let sum = 0;
    let weights = 0;
    if (cpu > 0) {
      sum += freeShare(nonZeroMilliCpu[slot]! + info.nonZeroMilliCpu, cpu);
      weights++;
    }
    if (memory > 0) {
      sum += freeShare(nonZeroMemory[slot]! + info.nonZeroMemory, memory);
      weights++;
    }
    scores[i] = weights === 0 ? 0 : Math.floor(sum / weights);
  }
}

function freeShare(requested: number, capacity: number): number {
  return requested > capacity ? 0 : Math.floor(((capacity - requested) * MAX_NODE_SCORE) / capacity);
}
