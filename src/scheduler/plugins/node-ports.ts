import { podOf } from '../cluster-events.ts';
import type { Columns } from '../columns.ts';
import {
  type Cycle,
  type FilterPlugin,
  type NodeFilter,
  type PreFilterResult,
  type Rejection,
  SKIP,
} from '../framework.ts';
import { type HostPort, portsConflict } from '../pod-info.ts';

export const REASON_PORTS = "node(s) didn't have free ports for the requested pod ports";

/** Two pods of a node cannot hold the same host port. */
export const nodePorts: FilterPlugin = {
  name: 'NodePorts',
  interests: [
    { kinds: ['NodeAdd'] },
    {
      kinds: ['AssignedPodDelete'],
      helps: (waiting, event) => portsConflict(waiting.hostPorts, podOf(event)?.hostPorts ?? []),
    },
  ],
  preFilter: ({ info, columns }: Cycle): PreFilterResult => {
    if (info.hostPorts.length === 0 || columns.podsWithHostPorts === 0) return SKIP;
    return { kind: 'filter', filter: new PortsFilter(info.hostPorts, columns) };
  },
};

class PortsFilter implements NodeFilter {
  readonly #wanted: readonly HostPort[];
  readonly #columns: Columns;

  constructor(wanted: readonly HostPort[], columns: Columns) {
    this.#wanted = wanted;
    this.#columns = columns;
  }

  keep(nodes: Int32Array, count: number): number {
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const slot = nodes[i]!;
      const taken = this.#columns.hostPorts[slot];
      if (!taken || !this.#conflicts(taken)) nodes[kept++] = slot;
    }
    return kept;
  }

  #conflicts(taken: ReadonlyMap<string, readonly HostPort[]>): boolean {
    for (const ports of taken.values()) if (portsConflict(this.#wanted, ports)) return true;
    return false;
  }

  explain(): Rejection {
    return { reasons: [REASON_PORTS], resolvable: true };
  }
}
