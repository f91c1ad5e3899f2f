import { type Cycle, type FilterPlugin, type PreFilterResult, SKIP } from '../framework.ts';

export const REASON_NODE_NAME = "node(s) didn't match the requested node name";

/** Holds a pod to the node that its spec names. Pods with a node never reach the queue; preemption may ask of them. */
export const nodeName: FilterPlugin = {
  name: 'NodeName',
  interests: [{ kinds: ['NodeAdd'] }],
  preFilter: ({ info, columns }: Cycle): PreFilterResult => {
    const wanted = info.pod.spec.nodeName;
    if (!wanted) return SKIP;
    return {
      kind: 'filter',
      filter: {
        keep: (nodes, count) => {
          const slot = columns.slots.get(wanted);
          const found = slot !== undefined && nodes.subarray(0, count).includes(slot);
          if (found) nodes[0] = slot;
          return found ? 1 : 0;
        },
        explain: () => ({ reasons: [REASON_NODE_NAME], resolvable: false }),
      },
    };
  },
};
