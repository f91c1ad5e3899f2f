import type { Taint, Toleration } from '../../api/generated/types.ts';
import { nodeOf } from '../cluster-events.ts';
import type { Columns } from '../columns.ts';
import {
  type Cycle,
  type FilterPlugin,
  type NodeFilter,
  type NodeScorer,
  type PreFilterResult,
  type Rejection,
  type ScorePlugin,
  SKIP,
} from '../framework.ts';
import { toleratesAny, untoleratedTaint } from '../taints.ts';
import { addNormalized } from './normalize.ts';

export const REASON_TAINT = 'node(s) had untolerated taint(s)';

/** Nodes share few sets of taints: each set is judged once for a pod, each node by the number of its set. */
export const taintToleration: FilterPlugin & ScorePlugin = {
  name: 'TaintToleration',
  interests: [
    {
      kinds: ['NodeAdd', 'NodeTaint'],
      helps: (waiting, event) =>
        untoleratedTaint(nodeOf(event)?.spec.taints ?? [], waiting.pod.spec.tolerations) === undefined,
    },
  ],
  preFilter: ({ info, columns }: Cycle): PreFilterResult => {
    if (columns.taintedNodes === 0) return SKIP;
    const tolerations = info.pod.spec.tolerations;
    const verdicts = judge(columns, (taints) => (untoleratedTaint(taints, tolerations) ? 1 : 0));
    return { kind: 'filter', filter: new TaintFilter(columns.taintSet, verdicts) };
  },
  preScore: ({ info, columns }: Cycle): NodeScorer | undefined => {
    if (columns.taintedNodes === 0) return undefined;
    const tolerations = info.pod.spec.tolerations?.filter((t) => !t.effect || t.effect === 'PreferNoSchedule');
    const counts = judge(columns, (taints) => intolerable(taints, tolerations));
    if (counts.every((count) => count === 0)) return undefined;
    return {
      add: (candidates, weight) => {
        const { nodes, count, scratch } = candidates;
        for (let i = 0; i < count; i++) scratch[i] = counts[columns.taintSet[nodes[i]!]!]!;
        addNormalized(candidates, weight, true);
      },
    };
  },
};

/** How many taints that discourage a pod it does not tolerate. */
export function intolerable(taints: readonly Taint[], tolerations: readonly Toleration[] | undefined): number {
  return taints.filter((t) => t.effect === 'PreferNoSchedule' && !toleratesAny(tolerations, t)).length;
}

function judge(columns: Columns, verdict: (taints: readonly Taint[]) => number): Int32Array {
  return Int32Array.from(columns.taintSets, verdict);
}

class TaintFilter implements NodeFilter {
  readonly #taintSet: Int32Array;
  readonly #refused: Int32Array;

  constructor(taintSet: Int32Array, refused: Int32Array) {
    this.#taintSet = taintSet;
    this.#refused = refused;
  }

  keep(nodes: Int32Array, count: number): number {
    const taintSet = this.#taintSet;
    const refused = this.#refused;
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const slot = nodes[i]!;
      if (refused[taintSet[slot]!] === 0) nodes[kept++] = slot;
    }
    return kept;
  }

  explain(): Rejection {
    return { reasons: [REASON_TAINT], resolvable: false };
  }
}
