// The Lease that tells which API servers there are (upstream's APIServerIdentity), and the sweep of those whose server is gone.
import { createHash } from 'node:crypto';
import type { Lease } from '../../api/generated/types.ts';
import { cloneJson } from '../../api/json.ts';
import type { Tables } from '../../api/tables.ts';
import { invariant } from '../../lib/assert.ts';
import { rfc3339Micro, sleep } from '../../lib/clock.ts';
import type { Environment } from '../../lib/environment.ts';
import { uuid } from '../../lib/random.ts';
import { isReason } from '../../machinery/status.ts';
import { timeMs } from '../../machinery/time.ts';
import type { RequestContext, ResourceApi, Target } from '../contract.ts';

export interface IdentityLeaseOptions {
  readonly api: ResourceApi;
  readonly tables: Tables;
  readonly env: Environment;
  readonly context: (signal: AbortSignal) => RequestContext;
  readonly hostname: string;
  readonly durationSeconds: number;
  readonly renewMs: number;
  /** Leases that nobody renews any more are looked for this often. */
  readonly sweepMs: number;
}

const NAMESPACE = 'kube-system';
const LABEL = 'apiserver.kubernetes.io/identity';
const SELECTOR = `${LABEL}=kube-apiserver`;

/** The Lease's name: upstream's, of the host's name. */
export function identityName(hostname: string): string {
  return `apiserver-${base32(createHash('sha256').update(hostname).digest().subarray(0, 16))}`;
}

/** RFC 4648 without padding, in lower case. */
function base32(bytes: Uint8Array): string {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
  let bits = '';
  for (const byte of bytes) bits += byte.toString(2).padStart(8, '0');
  return bits.match(/.{1,5}/g)!.reduce((text, five) => text + alphabet[Number.parseInt(five.padEnd(5, '0'), 2)], '');
}

/** A Lease that has not been renewed for its duration. */
export function isExpired({ spec }: Lease, nowMs: number): boolean {
  const renewedMs = timeMs(spec.renewTime);
  return renewedMs === undefined || renewedMs + (spec.leaseDurationSeconds ?? 0) * 1000 < nowMs;
}

/** Keeps this server's Lease and sweeps others' until the signal aborts. Never rejects: a failure is logged and tried again. */
export async function keepIdentityLease(options: IdentityLeaseOptions, signal: AbortSignal): Promise<void> {
  const { env, renewMs, sweepMs } = options;
  const leases = new IdentityLeases(options);
  const every = async (periodMs: number, what: string, work: () => Promise<void>): Promise<void> => {
    while (!signal.aborted) {
      await work().catch((error: unknown) => {
        if (!signal.aborted) env.log.warn(what, { error: String(error) });
      });
      await sleep(env.clock, periodMs, signal).catch(() => undefined);
    }
  };
  await Promise.all([
    every(renewMs, 'unable to renew the identity lease of this API server', () => leases.renew(signal)),
    every(sweepMs, 'unable to sweep identity leases', () => leases.sweep(signal)),
  ]);
}

class IdentityLeases {
  readonly #options: IdentityLeaseOptions;
  readonly #holder: string;
  readonly #name: string;

  constructor(options: IdentityLeaseOptions) {
    this.#options = options;
    this.#name = identityName(options.hostname);
    this.#holder = `${this.#name}_${uuid(options.env.random)}`;
  }

  async renew(signal: AbortSignal): Promise<void> {
    const { api, context, env, hostname, durationSeconds } = this.#options;
    const ctx = context(signal);
    const renewTime = rfc3339Micro(env.clock.now());
    const spec = { holderIdentity: this.#holder, leaseDurationSeconds: durationSeconds, renewTime };
    const target = this.#target(this.#name);
    try {
      const current = cloneJson((await api.get(ctx, target, {})).object as Lease) as {
        -readonly [K in keyof Lease]: Lease[K];
      };
      current.spec = { ...current.spec, ...spec };
      await api.update(ctx, target, current, {});
    } catch (error) {
      if (!isReason(error, 'NotFound')) throw error;
      const labels = { [LABEL]: 'kube-apiserver', 'kubernetes.io/hostname': hostname };
      const metadata = { namespace: NAMESPACE, name: this.#name, labels };
      await api.create(
        ctx,
        this.#target(),
        { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec } as Lease,
        {},
      );
    }
  }

  async sweep(signal: AbortSignal): Promise<void> {
    const { api, context, env } = this.#options;
    const ctx = context(signal);
    const { items } = await api.list(ctx, this.#target(), { labelSelector: SELECTOR, resourceVersion: '0' });
    for (const { name } of items.filter((item) => isExpired(item.object as Lease, env.clock.now()))) {
      try {
        // As it is now, not as the cache had it.
        const { object } = await api.get(ctx, this.#target(name), {});
        if (!isExpired(object as Lease, env.clock.now())) continue;
        const { uid, resourceVersion } = object.metadata;
        const preconditions = { ...(uid && { uid }), ...(resourceVersion && { resourceVersion }) };
        await api.delete(ctx, this.#target(name), { preconditions });
        env.log.info('removed the identity lease of an API server that is gone', { lease: name });
      } catch (error) {
        if (!isReason(error, 'NotFound', 'Conflict')) throw error;
      }
    }
  }

  #target(name?: string): Target {
    const resource = this.#options.tables.preferred('coordination.k8s.io', 'leases');
    invariant(resource, 'leases are in the tables');
    return { resource, namespace: NAMESPACE, ...(name !== undefined && { name }) };
  }
}
