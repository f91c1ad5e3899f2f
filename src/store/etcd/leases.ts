// Leases for keys with a time to live: writes of about the same time share one, as in Kubernetes' own etcd3 store.
import { abortable } from '../../lib/abort.ts';
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
  readonly #closing: AbortSignal;
  /** The newest by time to live. */
  readonly #newest = new Map<number, Lease>();

  constructor(rpc: EtcdRpc, clock: Clock, closing: AbortSignal) {
    this.#rpc = rpc;
    this.#clock = clock;
    this.#closing = closing;
  }

  /**
   * A lease that ends not before `ttlSeconds` from now, and not much later. Who asks for it first does so for those who come
   * while it is under way: that they go on does not depend on whether the first one waits for it.
   */
  async lease(ttlSeconds: number, signal: AbortSignal): Promise<bigint> {
    const now = this.#clock.monotonic();
    const newest = this.#newest.get(ttlSeconds);
    if (newest && newest.endsMs >= now + ttlSeconds * 1000 && MAX_KEYS_PER_LEASE > newest.keys) {
      newest.keys++;
      return abortable(newest.id, signal);
    }
    const seconds = ttlSeconds + Math.floor(Math.min(REUSE_SECONDS, ttlSeconds * REUSE_SHARE));
    const lease = {
      id: this.#rpc.leaseGrant(seconds, { signal: this.#closing }),
      endsMs: now + seconds * 1000,
      keys: 1,
    };
    if (this.#newest.size >= MAX_BUCKETS) this.#newest.clear();
    this.#newest.set(ttlSeconds, lease);
    lease.id.catch(() => {
      if (this.#newest.get(ttlSeconds) === lease) this.forget(ttlSeconds);
    });
    return abortable(lease.id, signal);
  }

  /** The newest lease of this time to live is no more. */
  forget(ttlSeconds: number): void {
    this.#newest.delete(ttlSeconds);
  }
}
