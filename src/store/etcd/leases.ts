// Leases for keys with a time to live: writes of about the same time share one, as in Kubernetes' own etcd3 store.
import type { Clock } from '../../lib/clock.ts';
import type { EtcdRpc } from './rpc.ts';

/** A lease is shared by the writes of this long at most, or this share of their time to live when that is less. */
const REUSE_SECONDS = 60;
const REUSE_SHARE = 0.05;
/** A lease that ends deletes all its keys at one revision: so many at most. */
export const MAX_KEYS_PER_LEASE = 1_000;
/** Different times to live whose newest lease is remembered. */
const MAX_BUCKETS = 64;

interface Lease {
  readonly id: Promise<bigint>;
  readonly endsMs: number;
  keys: number;
}

export class Leases {
  readonly #rpc: EtcdRpc;
  readonly #clock: Clock;
  /** The newest by time to live. */
  readonly #newest = new Map<number, Lease>();

  constructor(rpc: EtcdRpc, clock: Clock) {
    this.#rpc = rpc;
    this.#clock = clock;
  }

  /** A lease that ends not before `ttlSeconds` from now, and not much later. */
  async lease(ttlSeconds: number, signal: AbortSignal): Promise<bigint> {
    const now = this.#clock.monotonic();
    const newest = this.#newest.get(ttlSeconds);
    if (newest && newest.endsMs >= now + ttlSeconds * 1000 && MAX_KEYS_PER_LEASE > newest.keys) {
      newest.keys++;
      return newest.id;
    }
    const seconds = ttlSeconds + Math.floor(Math.min(REUSE_SECONDS, ttlSeconds * REUSE_SHARE));
    const lease = { id: this.#rpc.leaseGrant(seconds, { signal }), endsMs: now + seconds * 1000, keys: 1 };
    if (this.#newest.size >= MAX_BUCKETS) this.#newest.clear();
    this.#newest.set(ttlSeconds, lease);
    lease.id.catch(() => this.forget(ttlSeconds));
    return lease.id;
  }

  /** The newest lease of this time to live is no more. */
  forget(ttlSeconds: number): void {
    this.#newest.delete(ttlSeconds);
  }
}
