// Priority and fairness: each request falls under a FlowSchema, which sends it to a priority level. A level has a number of
// seats; who finds none waits in a queue of the level, fairly among its flows, for a while. Long-running requests (watches,
// exec, logs that are followed) do not come here.
import type { FlowSchema, PriorityLevelConfiguration } from '../../api/generated/types.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { Environment } from '../../lib/environment.ts';
import { StatusError } from '../../machinery/status.ts';
import type { UserInfo } from '../contract.ts';
import { MANDATORY_LEVELS, MANDATORY_SCHEMAS } from './bootstrap-objects.ts';
import { type Digest, distinguisher, inOrder, matches } from './classify.ts';
import { FairQueues, type Queuing, type Ticket } from './fair-queues.ts';
import { FlowCounts, type FlowHistograms, flowControlMetrics, type LevelSeats, type RejectReason } from './metrics.ts';
import { type Account, apportion, emptyAccount, type Grant, grant, release, type SeatOptions } from './seats.ts';
import { flowHash } from './shuffle-shard.ts';

/** A request that has waited for so long is turned away; upstream: a quarter of a request's time. */
export const QUEUE_WAIT_MS = 15_000;
const RETRY_AFTER_SECONDS = 1;
/** Of one user: the flows of so many kinds of requests are remembered. */
const MAX_FOUND = 200;

/** A request that was let in. */
export interface Passage {
  /** UIDs of the objects that it fell under; empty for those that are in force although they are not there. */
  readonly schemaUid: string;
  readonly levelUid: string;
  /** To be called once, at its end. */
  leave(): void;
}

/** Whose signal ends a wait; it is asked for it only then. */
export interface Waiter {
  readonly signal: AbortSignal;
}

interface Waiting {
  readonly flow: Flow;
  readonly sinceMs: number;
  readonly admit: (passage: Passage) => void;
  readonly refuse: (reason: RejectReason) => void;
}

interface Level {
  readonly name: string;
  uid: string;
  isExempt: boolean;
  queues: FairQueues<Waiting> | undefined;
  readonly account: Account;
}

/** A schema in force. */
interface Flow {
  readonly schema: FlowSchema;
  readonly schemaUid: string;
  readonly level: Level;
  readonly counts: FlowCounts;
}

export class FlowControl {
  readonly #clock: Clock;
  readonly #totalSeats: number;
  readonly #histograms: FlowHistograms;
  readonly #counts = new Map<string, FlowCounts>();
  #levels = new Map<string, Level>();
  /** Of levels that are not exempt, in order of their names. */
  #accounts: Account[] = [];
  #flows: Flow[] = [];
  /** What was found of each user's requests since the flows changed. */
  #found = new WeakMap<UserInfo, Map<string, Flow>>();
  #waiting = 0;

  /** `totalSeats`: of all levels together. The mandatory objects are in force at once. */
  constructor(totalSeats: number, { clock, metrics }: Pick<Environment, 'clock' | 'metrics'>, signal: AbortSignal) {
    this.#clock = clock;
    this.#totalSeats = totalSeats;
    const source = { flows: () => this.#counts.values(), levels: () => this.#seats() };
    this.#histograms = flowControlMetrics(metrics, source, signal);
    this.configure([], []);
  }

  /** Puts these objects in force, and the mandatory ones besides. What is under way goes on. */
  configure(schemas: readonly FlowSchema[], configurations: readonly PriorityLevelConfiguration[]): void {
    const before = this.#levels;
    const levels = new Map<string, Level>();
    const seats = new Map<Account, SeatOptions>();
    for (const object of withMandatory(configurations, MANDATORY_LEVELS)) {
      const { name, uid = '' } = object.metadata;
      const level = before.get(name) ?? {
        ...{ name, uid, isExempt: false, queues: undefined, account: emptyAccount() },
      };
      level.uid = uid;
      level.isExempt = object.spec.type === 'Exempt';
      this.#setQueues(level, level.isExempt ? undefined : queuingOf(object));
      levels.set(name, level);
      if (!level.isExempt) seats.set(level.account, seatOptions(object));
    }
    for (const level of before.values()) if (!levels.has(level.name)) this.#setQueues(level, undefined);
    apportion(this.#totalSeats, seats);
    this.#levels = levels;
    this.#found = new WeakMap();
    this.#accounts = [...seats.keys()];
    this.#flows = inOrder(withMandatory(schemas, MANDATORY_SCHEMAS)).flatMap((schema) => {
      const level = levels.get(schema.spec.priorityLevelConfiguration.name);
      // One that refers to nothing is as if it were not there; its status says so.
      if (!level) return [];
      return [{ schema, schemaUid: schema.metadata.uid ?? '', level, counts: this.#countsOf(level, schema) }];
    });
    const inForce = new Set(this.#flows.map((flow) => flow.counts));
    for (const [key, counts] of this.#counts)
      if (!inForce.has(counts) && counts.executing + counts.waiting === 0) this.#counts.delete(key);
    if (this.#waiting > 0) this.#dispatch([]);
  }

  /**
   * Lets a request in that takes `seats`: at once, or when its turn has come. Throws, or rejects with, TooManyRequests, or
   * the reason of the signal while it waits.
   */
  enter(digest: Digest, user: UserInfo, seats: number, waiter: Waiter): Passage | Promise<Passage> {
    const flow = this.#classify(digest, user);
    const { level } = flow;
    if (level.isExempt) return this.#admit(flow, undefined, undefined, 0);
    const queued = level.queues?.length ?? 0;
    const granted = queued === 0 ? grant(level.account, seats, this.#accounts) : undefined;
    if (granted) return this.#admit(flow, granted, undefined, 0);
    if (!level.queues) throw this.#refused(flow, 'concurrency-limit');
    return this.#wait(flow, level.queues, distinguisher(flow.schema, user, digest), seats, waiter.signal);
  }

  #classify(digest: Digest, user: UserInfo): Flow {
    if (!digest.isResource) return this.#search(digest, user);
    const { verb, group, resource, subresource, namespace } = digest;
    const key = `${verb} ${group}/${resource}/${subresource} ${namespace}`;
    const known = this.#found.get(user);
    const before = known?.get(key);
    if (before) return before;
    const flow = this.#search(digest, user);
    if (!known || known.size >= MAX_FOUND) this.#found.set(user, new Map([[key, flow]]));
    else known.set(key, flow);
    return flow;
  }

  #search(digest: Digest, user: UserInfo): Flow {
    for (const flow of this.#flows) if (matches(flow.schema, user, digest)) return flow;
    // Who is in no group at all is nobody's user; the last schema is the catch-all.
    return this.#flows.at(-1)!;
  }

  #wait(flow: Flow, queues: FairQueues<Waiting>, by: string, seats: number, signal: AbortSignal): Promise<Passage> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      let timer: Timer | undefined;
      const ended = (): void => {
        this.#waiting--;
        flow.level.account.waiting--;
        flow.counts.waiting--;
        timer?.cancel();
        signal.removeEventListener('abort', onAbort);
      };
      const waiting: Waiting = {
        flow,
        sinceMs: this.#clock.monotonic(),
        admit: (passage) => {
          ended();
          resolve(passage);
        },
        refuse: (reason) => {
          ended();
          const refusal = this.#refused(flow, reason);
          reject(signal.aborted ? signal.reason : refusal);
        },
      };
      const ticket = queues.enqueue(flowHash(flow.schema.metadata.name, by), seats, waiting);
      if (!ticket) return reject(this.#refused(flow, 'queue-full'));
      const leave = (reason: RejectReason): void => {
        queues.remove(ticket);
        waiting.refuse(reason);
        // What it was in the way of may fit.
        this.#dispatch([flow.level]);
      };
      const onAbort = (): void => leave('cancelled');
      signal.addEventListener('abort', onAbort, { once: true });
      timer = this.#clock.timer(QUEUE_WAIT_MS, () => leave('time-out'));
      this.#waiting++;
      flow.level.account.waiting++;
      flow.counts.waiting++;
    });
  }

  #admit(flow: Flow, seats: Grant | undefined, ticket: Ticket<Waiting> | undefined, waitedMs: number): Passage {
    const { counts, level, schemaUid } = flow;
    const queues = level.queues;
    counts.dispatched++;
    counts.executing++;
    counts.waited.observe(waitedMs / 1000);
    const beganMs = this.#clock.monotonic();
    return {
      schemaUid,
      levelUid: level.uid,
      leave: () => {
        const seconds = (this.#clock.monotonic() - beganMs) / 1000;
        counts.executing--;
        counts.executed.observe(seconds);
        if (ticket) queues?.done(ticket, seconds);
        if (!seats) return;
        release(seats);
        if (this.#waiting > 0) this.#dispatch(this.#ownersOf(seats));
      },
    };
  }

  /** Whose seats these were: they come first when they are free again. */
  #ownersOf({ to, from }: Grant): Level[] {
    const owners = new Set([...from.map(([lender]) => lender), to]);
    return [...this.#levels.values()].filter((level) => owners.has(level.account));
  }

  /** Lets in who waits as far as there are seats: those of `first` before others. */
  #dispatch(first: readonly Level[]): void {
    for (const level of new Set([...first, ...this.#levels.values()])) {
      for (;;) {
        const ticket = level.queues?.first();
        const seats = ticket && grant(level.account, ticket.seats, this.#accounts);
        if (!seats) break;
        level.queues!.dispatch(ticket);
        const { flow, sinceMs, admit } = ticket.item;
        admit(this.#admit(flow, seats, ticket, this.#clock.monotonic() - sinceMs));
      }
    }
  }

  #refused(flow: Flow, reason: RejectReason): StatusError {
    flow.counts.reject(reason);
    const message = 'Too many requests, please try again later.';
    return new StatusError('TooManyRequests', message, { retryAfterSeconds: RETRY_AFTER_SECONDS });
  }

  /** Who waits in queues that are no more is turned away: clients ask again, and then fall under what is in force. */
  #setQueues(level: Level, queuing: Queuing | undefined): void {
    const { queues } = level;
    if (queues && queuing && sameQueuing(queues.options, queuing)) return;
    level.queues = queuing && new FairQueues(queuing);
    for (const ticket of [...(queues?.waiting() ?? [])]) {
      queues!.remove(ticket);
      ticket.item.refuse('cancelled');
    }
  }

  #countsOf(level: Level, { metadata: { name } }: FlowSchema): FlowCounts {
    const key = `${level.name} ${name}`;
    const counts = this.#counts.get(key) ?? new FlowCounts(level.name, name, this.#histograms);
    this.#counts.set(key, counts);
    return counts;
  }

  *#seats(): Iterable<LevelSeats> {
    for (const { name, isExempt, account } of this.#levels.values())
      if (!isExempt) yield { name, ...account, executing: account.own + account.borrowed };
  }
}

function sameQueuing(a: Queuing, b: Queuing): boolean {
  return a.queues === b.queues && a.handSize === b.handSize && a.queueLengthLimit === b.queueLengthLimit;
}

function withMandatory<T extends FlowSchema | PriorityLevelConfiguration>(
  objects: readonly T[],
  mandatory: readonly T[],
): T[] {
  const names = new Set(objects.map((object) => object.metadata.name));
  return [...objects, ...mandatory.filter((object) => !names.has(object.metadata.name))];
}

/** Undefined: who finds no seat is turned away. */
function queuingOf({ spec }: PriorityLevelConfiguration): Queuing | undefined {
  const { type, queuing } = spec.limited?.limitResponse ?? {};
  if (type !== 'Queue') return undefined;
  const { queues = 64, handSize = 8, queueLengthLimit = 50 } = queuing ?? {};
  return { queues, handSize: Math.min(handSize, queues), queueLengthLimit };
}

function seatOptions({ spec }: PriorityLevelConfiguration): SeatOptions {
  const { nominalConcurrencyShares = 30, lendablePercent = 0, borrowingLimitPercent } = spec.limited ?? {};
  return {
    ...{ shares: nominalConcurrencyShares, lendablePercent },
    ...(borrowingLimitPercent !== undefined && { borrowingLimitPercent }),
  };
}
