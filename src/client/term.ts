// The term of an elected Lease: a second Lease that is rewritten by every new holder and untouched by renewals, so that its
// revision can guard the holder's writes.
import type { Lease } from '../api/generated/types.ts';
import { invariant } from '../lib/assert.ts';
import { type Clock, rfc3339Micro } from '../lib/clock.ts';
import { isReason } from '../machinery/status.ts';
import type { Guard } from '../store/contract.ts';
import type { ResourceClient } from './contract.ts';

/**
 * The protocol, and why it is enough: read the term; take the Lease by compare-and-swap; write the term by compare-and-swap
 * on what was read; only then work, with the written revision as guard. Whoever took the Lease later has written the term
 * later, so an earlier holder's guard fails; a holder that slept between Lease and term finds the term rewritten and is not
 * elected. Until the new holder has written the term the old one's writes pass, and the new one has done nothing yet.
 */
export class Term {
  readonly #leases: ResourceClient<Lease>;
  readonly #of: { readonly namespace: string; readonly name: string; readonly identity: string };
  readonly #clock: Clock;
  #read: Lease | undefined;
  #written: Lease | undefined;
  #lost = false;

  constructor(
    leases: ResourceClient<Lease>,
    of: { readonly namespace: string; readonly name: string; readonly identity: string },
    clock: Clock,
  ) {
    this.#leases = leases;
    this.#of = of;
    this.#clock = clock;
  }

  /** Another holder has begun a term (or somebody deleted ours): writes under our guard are refused. */
  get lost(): boolean {
    return this.#lost;
  }

  /** To be called before the Lease is taken. */
  async read(signal: AbortSignal): Promise<void> {
    this.#written = undefined;
    this.#lost = false;
    const read = await this.#get(signal);
    signal.throwIfAborted();
    this.#read = read;
  }

  /** To be called once the Lease is taken. False: another was quicker. */
  async begin(signal: AbortSignal): Promise<boolean> {
    const { namespace, identity } = this.#of;
    const at = rfc3339Micro(this.#clock.now());
    const spec = {
      holderIdentity: identity,
      acquireTime: at,
      renewTime: at,
      leaseDurationSeconds: 1,
      leaseTransitions: (this.#read?.spec.leaseTransitions ?? 0) + 1,
    };
    try {
      const written = this.#read
        ? await this.#leases.update({ ...this.#read, spec }, { signal })
        : await this.#leases.create({ metadata: { namespace, name: this.#name }, spec }, { signal });
      // A try that was given up says nothing about the term that a later one has begun.
      signal.throwIfAborted();
      this.#written = written;
      return true;
    } catch (error) {
      signal.throwIfAborted();
      if (!isReason(error, 'Conflict', 'AlreadyExists', 'NotFound')) throw error;
      this.#lost = true;
      return false;
    }
  }

  /** Whether the term is still ours. */
  async holds(signal: AbortSignal): Promise<boolean> {
    const now = await this.#get(signal);
    signal.throwIfAborted();
    const ours = this.#written?.metadata;
    this.#lost = !ours || now?.metadata.resourceVersion !== ours.resourceVersion;
    return !this.#lost;
  }

  /** What a holder's writes carry. */
  guard(): Guard {
    invariant(this.#written, 'a guard is asked for only while the term is held');
    return {
      key: `/registry/leases/${this.#of.namespace}/${this.#name}`,
      revision: Number(this.#written.metadata.resourceVersion),
    };
  }

  get #name(): string {
    return `${this.#of.name}.term`;
  }

  async #get(signal: AbortSignal): Promise<Lease | undefined> {
    try {
      return await this.#leases.get({ namespace: this.#of.namespace, name: this.#name }, signal);
    } catch (error) {
      if (isReason(error, 'NotFound')) return undefined;
      throw error;
    }
  }
}
