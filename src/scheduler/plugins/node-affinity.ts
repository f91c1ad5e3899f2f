import { matchesTerm, nodeNamesOf } from '../../machinery/node-selector.ts';
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
import type { MatchColumn } from '../label-columns.ts';
import { addNormalized } from './normalize.ts';

export const REASON_NODE_AFFINITY = "node(s) didn't match Pod's node affinity/selector";
export const REASON_CONFLICT = 'pod affinity terms conflict';

/** nodeSelector and node affinity. */
export const nodeAffinity: FilterPlugin & ScorePlugin = {
  name: 'NodeAffinity',
  interests: [
    {
      kinds: ['NodeAdd', 'NodeLabel'],
      helps: (waiting, event) => {
        const node = nodeOf(event);
        return !node || !waiting.nodeMatcher || waiting.nodeMatcher.matches(node);
      },
    },
  ],
  preFilter: ({ info, columns }: Cycle): PreFilterResult => {
    if (!info.nodeMatcher) return SKIP;
    const onlyNodes = nodeNamesOf(info.pod);
    if (onlyNodes?.size === 0) return { kind: 'reject', rejection: { reasons: [REASON_CONFLICT], resolvable: false } };
    const filter = new AffinityFilter(columns.matching(info.nodeMatcher), columns);
    return { kind: 'filter', filter, ...(onlyNodes && { onlyNodes }) };
  },
  preScore: ({ info, columns }: Cycle): NodeScorer | undefined => {
    const terms = info.pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
    if (terms.length === 0) return undefined;
    const weighted = terms.map(({ weight, preference }) => ({
      weight,
      column: columns.matching({
        key: `term ${JSON.stringify(preference)}`,
        matches: (node) => matchesTerm(node, preference),
      }),
    }));
    return {
      add: (candidates, total) => {
        const { nodes, count, scratch } = candidates;
        for (let i = 0; i < count; i++) {
          let sum = 0;
          for (const { weight, column } of weighted) if (column.matches(nodes[i]!, columns.nodes)) sum += weight;
          scratch[i] = sum;
        }
        addNormalized(candidates, total, false);
      },
    };
  },
};

class AffinityFilter implements NodeFilter {
  readonly #column: MatchColumn;
  readonly #columns: Columns;

  constructor(column: MatchColumn, columns: Columns) {
    this.#column = column;
    this.#columns = columns;
  }

  keep(nodes: Int32Array, count: number): number {
    const objects = this.#columns.nodes;
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const slot = nodes[i]!;
      if (this.#column.matches(slot, objects)) nodes[kept++] = slot;
    }
    return kept;
  }

  explain(): Rejection {
    return { reasons: [REASON_NODE_AFFINITY], resolvable: false };
  }
}
