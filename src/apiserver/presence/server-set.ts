// Which API servers live: each keeps an entry with a time to live in the store, and all make the endpoints of Service
// kubernetes name exactly those that have one (upstream's lease endpoint reconciler).
import type { Tables } from '../../api/tables.ts';
import { sleep } from '../../lib/clock.ts';
import type { Environment } from '../../lib/environment.ts';
import type { Revision, Store } from '../../store/contract.ts';
import { publishServers } from '../bootstrap/bootstrap.ts';
import type { RequestContext, ResourceApi } from '../contract.ts';

/** One key a server: its address. Beside the objects, where upstream keeps it. */
export const MASTER_LEASES = '/registry/masterleases/';

export interface ServerSetOptions {
  readonly store: Store;
  readonly api: ResourceApi;
  readonly tables: Tables;
  readonly env: Environment;
  readonly context: (signal: AbortSignal) => RequestContext;
  /** Where others reach this server. All servers serve the same port. */
  readonly address: string;
  readonly port: number;
  /** An entry that is not renewed for this long is gone. */
  readonly leaseSeconds: number;
  readonly renewMs: number;
}

/** Tries against a revision that somebody else (an expiry) changed. */
const MAX_TRIES = 3;

export class ServerSet {
  readonly #options: ServerSetOptions;
  readonly #key: string;
  #revision: Revision = 0;

  constructor(options: ServerSetOptions) {
    this.#options = options;
    this.#key = `${MASTER_LEASES}${options.address}`;
  }

  /** Renews this server's entry and brings the endpoints up to date. */
  async beat(signal: AbortSignal): Promise<void> {
    await this.#write(this.#entry(), signal);
    await this.#publish(signal);
  }

  /** Beats until the signal aborts. A beat that fails is logged, and followed by the next. */
  async run(signal: AbortSignal): Promise<void> {
    const { env, renewMs } = this.#options;
    let isFailing = false;
    for (;;) {
      try {
        await sleep(env.clock, renewMs, signal);
        await this.beat(signal);
        isFailing = false;
      } catch (error) {
        if (signal.aborted) return;
        if (!isFailing) env.log.warn('unable to renew the entry of this API server', { error: String(error) });
        isFailing = true;
      }
    }
  }

  /** Takes this server out of the endpoints at once. To be called when `run` has ended. */
  async leave(signal: AbortSignal): Promise<void> {
    await this.#write(null, signal);
    await this.#publish(signal, true);
  }

  /** The addresses of the servers that live, as of now. */
  async members(signal: AbortSignal): Promise<readonly string[]> {
    const { items } = await this.#options.store.list({ prefix: MASTER_LEASES, signal });
    return items.map(({ key }) => key.slice(MASTER_LEASES.length));
  }

  async #publish(signal: AbortSignal, isLeaving = false): Promise<void> {
    const { api, tables, context, port } = this.#options;
    const addresses = await this.members(signal);
    // Upstream refuses as well to erase all endpoints unless it is the last server that leaves.
    if (addresses.length === 0 && !isLeaving) return;
    await publishServers(api, tables, context(signal), { addresses, port });
  }

  /** As upstream stores it: an Endpoints that names this server alone. */
  #entry(): Buffer {
    const subsets = [{ addresses: [{ ip: this.#options.address }] }];
    return Buffer.from(JSON.stringify({ apiVersion: 'v1', kind: 'Endpoints', metadata: {}, subsets }));
  }

  async #write(value: Buffer | null, signal: AbortSignal): Promise<void> {
    const { store, leaseSeconds } = this.#options;
    const key = this.#key;
    for (let tries = 1; ; tries++) {
      if (value === null && this.#revision === 0) return;
      const ttl = value === null ? {} : { ttlSeconds: leaseSeconds };
      const outcome = await store.write({ key, value, expected: this.#revision, ...ttl }, signal);
      if (outcome.kind === 'committed') {
        this.#revision = value === null ? 0 : outcome.revision;
        return;
      }
      // An unknown outcome is no harm here: what is there is looked at, and written over.
      const stored = outcome.kind === 'conflict' ? outcome.current : (await store.get(key, signal)).stored;
      this.#revision = stored?.revision ?? 0;
      if (tries === MAX_TRIES) throw new Error(`somebody else writes ${key}`);
    }
  }
}
