import { nodeOf } from '../cluster-events.ts';
import { type Cycle, type FilterPlugin, type NodeFilter, type PreFilterResult, SKIP } from '../framework.ts';
import { toleratesAny } from '../taints.ts';

export const REASON_UNSCHEDULABLE = 'node(s) were unschedulable';
const TAINT = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' } as const;

/** Keeps pods off cordoned nodes, except those that tolerate the taint that cordoning stands for. */
export const nodeUnschedulable: FilterPlugin = {
  name: 'NodeUnschedulable',
  interests: [{ kinds: ['NodeAdd', 'NodeTaint'], helps: (_, event) => !nodeOf(event)?.spec.unschedulable }],
  preFilter: ({ info, columns }: Cycle): PreFilterResult => {
    if (columns.unschedulableNodes === 0 || toleratesAny(info.pod.spec.tolerations, TAINT)) return SKIP;
    return { kind: 'filter', filter: new UnschedulableFilter(columns.unschedulable) };
  },
};

class UnschedulableFilter implements NodeFilter {
  readonly #unschedulable: Uint8Array;

  constructor(unschedulable: Uint8Array) {
    this.#unschedulable = unschedulable;
  }

  keep(nodes: Int32Array, count: number): number {
    const unschedulable = this.#unschedulable;
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const slot = nodes[i]!;
      if (unschedulable[slot] === 0) nodes[kept++] = slot;
    }
    return kept;
  }

  explain(): { reasons: string[]; resolvable: boolean } {
    return { reasons: [REASON_UNSCHEDULABLE], resolvable: false };
  }
}
