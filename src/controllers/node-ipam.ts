// Gives every node a range of pod addresses out of the cluster's.
import type { Node } from '../api/generated/types.ts';
import { isReason } from '../machinery/status.ts';
import { type Controller, watch } from './runtime.ts';

export interface NodeIpamOptions {
  /** The pods' addresses, IPv4: "10.244.0.0/16". */
  readonly clusterCidr: string;
  /** Prefix length of one node's range. Default: 24. */
  readonly nodeMaskSize?: number;
}

export function nodeIpamController(options: NodeIpamOptions): Controller {
  const ranges = new NodeRanges(options.clusterCidr, options.nodeMaskSize ?? 24);
  /** Ranges written that the cache may not show yet, by node. */
  const assigned = new Map<string, string>();
  return {
    name: 'node-ipam-controller',
    account: 'node-controller',
    eventSource: 'cidrAllocator',
    // One at a time: two nodes must not choose the same range.
    workers: 1,
    watches: ({ informers }) => [
      watch('nodes', {
        keys: (node, _previous, change) => {
          if (change !== 'deleted') return [node.metadata.name];
          assigned.delete(node.metadata.name);
          // A range is free again: for a node that went without.
          const lacking = informers
            .for('nodes')
            .list()
            .find((one) => !one.spec.podCIDR);
          return lacking ? [lacking.metadata.name] : [];
        },
      }),
    ],
    async reconcile({ client, informers, env, events }, name, signal) {
      const nodes = informers.for('nodes');
      const node = nodes.get(name);
      if (!node || node.spec.podCIDR) {
        assigned.delete(name);
        return undefined;
      }
      const podCIDR = assigned.get(name) ?? ranges.choose(usedRanges(nodes.list(), assigned.values()));
      if (!podCIDR) {
        events.event(node, 'Normal', 'CIDRNotAvailable', `Node ${name} status is now: CIDRNotAvailable`);
        env.log.warn('no range left for a node', { node: name });
        return { requeueAfterMs: NO_RANGE_RETRY_MS };
      }
      assigned.set(name, podCIDR);
      const { uid } = node.metadata;
      const body = { metadata: { uid }, spec: { podCIDR, podCIDRs: [podCIDR] } };
      try {
        await client.resource('nodes').patch({ name }, { type: 'strategic', body }, { signal });
      } catch (error) {
        if (!isReason(error, 'NotFound')) throw error;
        assigned.delete(name);
      }
      return undefined;
    },
  };
}

const NO_RANGE_RETRY_MS = 60_000;

function usedRanges(nodes: readonly Node[], written: Iterable<string>): Set<string> {
  const used = new Set(written);
  for (const { spec } of nodes)
    for (const cidr of spec.podCIDRs ?? (spec.podCIDR ? [spec.podCIDR] : [])) used.add(cidr);
  return used;
}

/** The ranges of one size within a cluster's. */
export class NodeRanges {
  readonly #base: number;
  readonly #mask: number;
  readonly #count: number;
  /** Where the search goes on: a range that was just given back rests as long as others are free. */
  #next = 0;

  constructor(clusterCidr: string, nodeMaskSize: number) {
    const match = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\/(\d+)$/.exec(clusterCidr);
    const parts = (match ?? []).slice(1).map(Number);
    const [a = 256, b = 256, c = 256, d = 256, bits = 33] = parts;
    if (!match || Math.max(a, b, c, d) > 255 || bits > 32) throw new Error(`"${clusterCidr}" is not an IPv4 range`);
    if (nodeMaskSize < bits || nodeMaskSize > 32 || nodeMaskSize - bits > 16) {
      throw new Error(`node ranges of /${nodeMaskSize} do not fit ${clusterCidr} (at most 16 bits longer)`);
    }
    const address = a * 2 ** 24 + b * 2 ** 16 + c * 2 ** 8 + d;
    this.#base = address - (address % 2 ** (32 - bits));
    this.#mask = nodeMaskSize;
    this.#count = 2 ** (nodeMaskSize - bits);
  }

  /** A range of the one size that is not among `used`; undefined when there is none. */
  choose(used: ReadonlySet<string>): string | undefined {
    for (let i = 0; i < this.#count; i++) {
      const at = (this.#next + i) % this.#count;
      const cidr = this.#range(at);
      if (used.has(cidr)) continue;
      this.#next = (at + 1) % this.#count;
      return cidr;
    }
    return undefined;
  }

  #range(index: number): string {
    const address = this.#base + index * 2 ** (32 - this.#mask);
    const bytes = [2 ** 24, 2 ** 16, 2 ** 8, 1].map((unit) => Math.floor(address / unit) % 256);
    return `${bytes.join('.')}/${this.#mask}`;
  }
}
