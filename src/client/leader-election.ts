// Leading under a Lease: acquire, lead while it is renewed, stop and drain when it is lost, give it back at the end.
import { Gauge, type Registry } from 'prom-client';
import type { Lease } from '../api/generated/types.ts';
import { abortable, isAbort } from '../lib/abort.ts';
import { sleep } from '../lib/clock.ts';
import type { Environment } from '../lib/environment.ts';
import { isReason } from '../machinery/status.ts';
import type { Guard } from '../store/contract.ts';
import type { Client, ResourceClient, WatchEvent } from './contract.ts';
import {
  type Candidate,
  DEFAULT_ELECTION,
  decideElection,
  type ElectionTimings,
  leaseLeftMs,
  NOTHING_OBSERVED,
  type Observation,
  observe,
  released,
} from './election.ts';
import type { EventRecorder } from './event-recorder.ts';
import { Term } from './term.ts';

export interface LeaderElectionOptions {
  readonly client: Client;
  readonly env: Environment;
  /** The Lease. */
  readonly namespace: string;
  readonly name: string;
  /** Unique to this process: host name and a uuid. */
  readonly identity: string;
  readonly timings?: ElectionTimings;
  /**
   * Whether leading work gets a client whose writes the store refuses once another has begun to lead. Needs a transport that
   * carries guards.
   */
  readonly fenced?: boolean;
  readonly events?: EventRecorder;
  /**
   * The leading work. Its signal aborts as soon as the lease is lost; it must end then, and nobody is elected anew in this
   * process before it has. When it ends by itself the lease is given back. `client` acts as the elector's; for work done as
   * somebody else `guards` are to be carried (Client.fenced): empty unless fenced.
   */
  readonly lead: (client: Client, signal: AbortSignal, guards: readonly Guard[]) => Promise<void>;
  /** Hears of every new holder ("" when released). */
  readonly onLeader?: (identity: string) => void;
}

/** Why leading work was aborted. */
export class LeaseLostError extends Error {
  override name = 'LeaseLostError';
}

/**
 * Takes part in the election until the signal aborts. After a lost lease and drained work it stands again. Rejects when
 * leading work fails.
 */
export async function electLeader(options: LeaderElectionOptions, signal: AbortSignal): Promise<void> {
  const elector = new Elector(options);
  while (!signal.aborted) {
    try {
      await elector.acquire(signal);
    } catch (error) {
      if (isAbort(error, signal) || signal.aborted) return;
      throw error;
    }
    const lost = await elector.leadOnce(signal);
    if (!lost) return;
  }
}

/** Up to this share of the retry period is added at random while standing, as client-go. */
const JITTER = 1.2;

class Elector {
  readonly #options: LeaderElectionOptions;
  readonly #timings: ElectionTimings;
  readonly #leases: ResourceClient<Lease>;
  readonly #me: Candidate;
  readonly #env: Environment;
  readonly #term: Term | undefined;
  readonly #gauge: Gauge<'name'>;
  #seen: Observation = NOTHING_OBSERVED;
  /** Between acquire and the end of the work. */
  #leading = false;
  #reported = '';
  /** Ends the wait of a candidate. */
  #released: (() => void) | undefined;
  /** The Lease was given back since the last try. */
  #free = false;
  /** When the last renewal that succeeded was begun, in monotonic time. */
  #renewedMs = 0;

  constructor(options: LeaderElectionOptions) {
    const { client, env, name, namespace, identity, timings = DEFAULT_ELECTION } = options;
    this.#options = options;
    this.#timings = timings;
    this.#leases = client.resource('leases.coordination.k8s.io');
    this.#me = { identity, leaseDurationMs: timings.leaseDurationMs };
    this.#env = { ...env, log: env.log.child('leader-election', { lease: `${namespace}/${name}` }) };
    this.#term = options.fenced ? new Term(this.#leases, { namespace, name, identity }, env.clock) : undefined;
    this.#gauge = statusGauge(env.metrics);
    this.#gauge.labels(name).set(0);
  }

  /** Resolves when this process holds the Lease (and its term, when fenced). */
  async acquire(signal: AbortSignal): Promise<void> {
    const standing = new AbortController();
    const following = this.#follow(AbortSignal.any([signal, standing.signal]));
    try {
      while (!(await this.#tryOnce(signal))) await this.#waitForChance(signal);
    } finally {
      standing.abort();
      await following;
    }
    this.#leading = true;
    this.#env.log.info('became leader', { identity: this.#me.identity });
    this.#report('became leader');
    this.#gauge.labels(this.#options.name).set(1);
  }

  /** Waits for the retry period with its jitter, and no longer than the lease that was seen last holds. */
  async #waitForChance(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#env;
    const retryMs = this.#timings.retryPeriodMs * (1 + JITTER * random.next());
    const leftMs = leaseLeftMs(this.#seen, this.#me, clock.monotonic());
    const released = new AbortController();
    this.#released = () => released.abort();
    if (this.#free) released.abort();
    try {
      const waitMs = leftMs > 0 ? Math.min(retryMs, leftMs + 1) : retryMs;
      await sleep(clock, waitMs, AbortSignal.any([signal, released.signal]));
    } catch (error) {
      if (!released.signal.aborted || signal.aborted) throw error;
    } finally {
      this.#released = undefined;
    }
  }

  /**
   * Watches the Lease while standing: each renewal is timed from when it was made, and a Lease that is given back is taken at
   * once. Polling goes on beside it: a watch that breaks or is not allowed costs time, nothing else.
   */
  async #follow(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#env;
    const { namespace, name } = this.#options;
    const query = { namespace, fieldSelector: `metadata.name=${name}`, resourceVersion: '0' };
    while (!signal.aborted) {
      try {
        for await (const batch of this.#leases.watch(query, signal)) for (const event of batch) this.#heard(event);
      } catch (error) {
        if (!signal.aborted) log.debug('cannot watch the lease', { error: String(error) });
      }
      await sleep(clock, this.#timings.retryPeriodMs, signal).catch(() => undefined);
    }
  }

  #heard(event: WatchEvent<Lease>): void {
    if (event.type === 'BOOKMARK') return;
    const { object } = event;
    // What was read in the meantime may be newer.
    if (revisionOf(object) <= revisionOf(this.#seen.lease)) return;
    const lease = event.type === 'DELETED' ? undefined : object;
    this.#seen = observe(this.#seen, lease, this.#env.clock.monotonic());
    this.#reportLeader();
    if (lease?.spec.holderIdentity) return;
    this.#free = true;
    this.#released?.();
  }

  /** Leads until the work ends, the lease is lost (true) or the signal aborts. */
  async leadOnce(signal: AbortSignal): Promise<boolean> {
    const work = new AbortController();
    const onAbort = (): void => work.abort(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    // The lease is renewed until the work has ended, also while it drains.
    const ended = new AbortController();
    const guards = this.#term ? [this.#term.guard()] : [];
    const client = this.#term ? this.#options.client.fenced(guards) : this.#options.client;
    let lost = false;
    const renewing = this.#renew(ended.signal).then((stillHeld) => {
      lost = !stillHeld;
      if (lost) work.abort(new LeaseLostError(`lease ${this.#options.name} lost`));
    });
    try {
      await this.#options.lead(client, work.signal, guards);
    } catch (error) {
      if (!work.signal.aborted) throw error;
    } finally {
      ended.abort();
      await renewing;
      this.#leading = false;
      signal.removeEventListener('abort', onAbort);
      this.#gauge.labels(this.#options.name).set(0);
      this.#report('stopped leading');
      if (lost) this.#env.log.warn('lost the lease');
      else await this.#release();
    }
    return lost && !signal.aborted;
  }

  /** Renews every retry period; false once it could not for the renew deadline. True when the signal aborts. */
  async #renew(signal: AbortSignal): Promise<boolean> {
    const { clock } = this.#env;
    const { renewDeadlineMs, retryPeriodMs } = this.#timings;
    while (!signal.aborted) {
      const leftMs = this.#renewedMs + renewDeadlineMs - clock.monotonic();
      if (leftMs <= 0) return signal.aborted;
      try {
        await sleep(clock, Math.min(retryPeriodMs, leftMs), signal);
      } catch {
        return true;
      }
      const held = await this.#tryOnce(signal);
      if (!held && !signal.aborted && this.#heldByOther()) return false;
    }
    return true;
  }

  #heldByOther(): boolean {
    return this.#term?.lost === true || this.#seen.lease?.spec.holderIdentity !== this.#me.identity;
  }

  /** One try to acquire or renew, no longer than half the renew deadline and never beyond it. */
  async #tryOnce(signal: AbortSignal): Promise<boolean> {
    const { clock } = this.#env;
    const halfMs = this.#timings.renewDeadlineMs / 2;
    const leftMs = this.#renewedMs + this.#timings.renewDeadlineMs - clock.monotonic();
    const timeout = new AbortController();
    const timer = clock.timer(this.#leading ? Math.max(1, Math.min(halfMs, leftMs)) : halfMs, () => {
      timeout.abort(new Error('timed out'));
    });
    const bounded = AbortSignal.any([signal, timeout.signal]);
    this.#free = false;
    try {
      // A call that does not heed its signal must not keep a leader in office.
      return await abortable(this.#renewOrTake(bounded), bounded);
    } catch (error) {
      if (!signal.aborted) this.#env.log.warn('cannot acquire or renew', { error: String(error) });
      return false;
    } finally {
      timer.cancel();
      this.#reportLeader();
    }
  }

  /** As client-go: the leader writes over what it last saw; on refusal it looks first. */
  async #renewOrTake(signal: AbortSignal): Promise<boolean> {
    if (this.#leading && (await this.#write(signal))) return true;
    // A lost term is not begun anew under work that carries the old one.
    if (this.#leading && this.#term?.lost) return false;
    return this.#lookAndWrite(signal);
  }

  async #lookAndWrite(signal: AbortSignal): Promise<boolean> {
    const { namespace, name } = this.#options;
    let lease: Lease | undefined;
    try {
      lease = await this.#leases.get({ namespace, name }, signal);
    } catch (error) {
      if (!isReason(error, 'NotFound')) throw error;
    }
    // A try that was given up must not change what later ones go by.
    signal.throwIfAborted();
    this.#seen = observe(this.#seen, lease, this.#env.clock.monotonic());
    return this.#write(signal);
  }

  /** Does what the rules say about the lease as last seen. False when another holds it or was quicker. */
  async #write(signal: AbortSignal): Promise<boolean> {
    const { clock } = this.#env;
    const nowMs = clock.monotonic();
    const wasLeader = this.#leading;
    const step = decideElection(this.#seen, this.#me, { nowMs, wallMs: clock.now() });
    if (step.kind === 'wait') return false;
    // The term is read before the Lease is taken: whoever takes both in between makes our write of the term fail.
    if (!wasLeader) await this.#term?.read(signal);
    try {
      const { namespace, name } = this.#options;
      const lease =
        step.kind === 'create'
          ? await this.#leases.create({ metadata: { namespace, name }, spec: step.spec }, { signal })
          : await this.#leases.update({ ...step.lease, spec: step.spec }, { signal });
      signal.throwIfAborted();
      this.#seen = observe(NOTHING_OBSERVED, lease, nowMs);
    } catch (error) {
      if (isReason(error, 'Conflict', 'AlreadyExists', 'NotFound')) return false;
      throw error;
    }
    if (this.#term && !(wasLeader ? await this.#term.holds(signal) : await this.#term.begin(signal))) return false;
    signal.throwIfAborted();
    this.#renewedMs = nowMs;
    return true;
  }

  async #release(): Promise<void> {
    const { lease } = this.#seen;
    if (!lease || lease.spec.holderIdentity !== this.#me.identity) return;
    const timeout = new AbortController();
    const timer = this.#env.clock.timer(this.#timings.renewDeadlineMs / 2, () => timeout.abort(new Error('timed out')));
    try {
      const spec = released(lease.spec, this.#env.clock.now());
      await this.#leases.update({ ...lease, spec }, { signal: timeout.signal });
      this.#env.log.info('released the lease');
    } catch (error) {
      this.#env.log.warn('failed to release the lease', { error: String(error) });
    } finally {
      timer.cancel();
      this.#seen = NOTHING_OBSERVED;
    }
  }

  #reportLeader(): void {
    const holder = this.#seen.lease?.spec.holderIdentity ?? '';
    if (holder === this.#reported) return;
    this.#reported = holder;
    this.#options.onLeader?.(holder);
  }

  #report(what: string): void {
    const { events, namespace, name } = this.#options;
    const subject = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace, name };
    events?.event(subject, 'Normal', 'LeaderElection', `${this.#me.identity} ${what}`);
  }
}

function revisionOf(lease: Lease | undefined): number {
  return Number(lease?.metadata.resourceVersion ?? 0);
}

const gauges = new WeakMap<Registry, Gauge<'name'>>();

function statusGauge(registry: Registry): Gauge<'name'> {
  let gauge = gauges.get(registry);
  if (!gauge) {
    gauge = new Gauge({
      name: 'leader_election_master_status',
      help: "Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates master. 'name' is the string used to identify the lease. Please make sure to group by name.",
      labelNames: ['name'],
      registers: [registry],
    });
    gauges.set(registry, gauge);
  }
  return gauge;
}
