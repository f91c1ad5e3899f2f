// How much of each zone is down, and how fast pods may be taken from its nodes: a zone that fails as a whole is more likely
// cut off than dead. Pure, but for the token buckets.
import type { Node } from '../api/generated/types.ts';
import { readyStatus } from './node-health.ts';

export interface EvictionRates {
  /** Nodes tainted a second in a healthy zone. */
  readonly evictionRate: number;
  /** The same in a large zone that is partly down; a small one: none. */
  readonly secondaryEvictionRate: number;
  /** A zone is large with more nodes than this. */
  readonly largeClusterSize: number;
  /** The share of nodes not ready from which a zone is partly down. */
  readonly unhealthyZoneThreshold: number;
}

/** kube-controller-manager's defaults. */
export const DEFAULT_EVICTION_RATES: EvictionRates = {
  evictionRate: 0.1,
  secondaryEvictionRate: 0.01,
  largeClusterSize: 50,
  unhealthyZoneThreshold: 0.55,
};

export type ZoneState = 'Normal' | 'PartialDisruption' | 'FullDisruption';

export interface Zones {
  /** No node anywhere is ready: it is this side that is cut off, and nothing is evicted. */
  readonly allDisrupted: boolean;
  /** Nodes a second that may be tainted in a zone. */
  rate(zone: string): number;
  state(zone: string): ZoneState;
}

/** A node's zone: region and zone labels. */
export function zoneOf({ metadata }: Node): string {
  const labels = metadata.labels ?? {};
  const region = labels['topology.kubernetes.io/region'] ?? labels['failure-domain.beta.kubernetes.io/region'] ?? '';
  const zone = labels['topology.kubernetes.io/zone'] ?? labels['failure-domain.beta.kubernetes.io/zone'] ?? '';
  return region === '' && zone === '' ? '' : `${region}:\0:${zone}`;
}

const EXCLUDED = 'node.kubernetes.io/exclude-disruption';

export function zonesOf(nodes: Iterable<Node>, rates: EvictionRates): Zones {
  const counts = new Map<string, { ready: number; unready: number }>();
  for (const node of nodes) {
    if (node.metadata.labels?.[EXCLUDED] !== undefined) continue;
    const zone = zoneOf(node);
    const count = counts.get(zone) ?? { ready: 0, unready: 0 };
    counts.set(zone, count);
    if (readyStatus(node) === 'True') count.ready++;
    else count.unready++;
  }
  const state = (zone: string): ZoneState => {
    const { ready, unready } = counts.get(zone) ?? { ready: 0, unready: 0 };
    if (ready === 0 && unready > 0) return 'FullDisruption';
    const partial = unready > 2 && unready / (ready + unready) >= rates.unhealthyZoneThreshold;
    return partial ? 'PartialDisruption' : 'Normal';
  };
  const allDisrupted = counts.size > 0 && [...counts.keys()].every((zone) => state(zone) === 'FullDisruption');
  return {
    allDisrupted,
    state,
    rate(zone) {
      if (allDisrupted) return 0;
      if (state(zone) !== 'PartialDisruption') return rates.evictionRate;
      const { ready = 0, unready = 0 } = counts.get(zone) ?? {};
      return ready + unready > rates.largeClusterSize ? rates.secondaryEvictionRate : 0;
    },
  };
}

/** One token at most, refilled at a rate that may change: upstream's eviction limiter with its burst of one. */
export class EvictionLimiter {
  #tokens = 1;
  #atMs = 0;

  /** Takes a token. Zero: taken; else how long to wait before asking again. */
  take(ratePerSecond: number, nowMs: number): number {
    if (ratePerSecond <= 0) {
      this.#atMs = nowMs;
      return Number.POSITIVE_INFINITY;
    }
    this.#tokens = Math.min(1, this.#tokens + ((nowMs - this.#atMs) / 1000) * ratePerSecond);
    this.#atMs = nowMs;
    // A hair less than one is one: the sum of many small refills.
    if (this.#tokens < 1 - 1e-9) return ((1 - this.#tokens) / ratePerSecond) * 1000;
    this.#tokens = 0;
    return 0;
  }

  /** The node was not tainted after all. */
  giveBack(): void {
    this.#tokens = 1;
  }
}
