// A store within one process: versions in memory decide, a record log makes durable, watchers follow the log.
import { InvariantError } from '../lib/assert.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { isPlanted } from '../lib/planted.ts';
import { nextTurn, onNextTurn } from '../lib/turns.ts';
import { checkWrite } from './check-write.ts';
import {
  type ListOptions,
  type ListResult,
  type Revision,
  type Store,
  type Stored,
  type StoreEvent,
  StoreUnavailableError,
  TooOldError,
  WATCH_BUFFER,
  type WatchOptions,
  type Write,
  type WriteOutcome,
} from './contract.ts';
import { ExpiryQueue } from './expiry.ts';
import type { RecordLog, WriteRecord } from './records.ts';
import { type Change, Revisions, type Version } from './revisions.ts';
import { writeSnapshot } from './snapshot.ts';
import { Watch, type WatchSource } from './watch.ts';

/** The most changes that are kept for reads of the past and for watches that resume. */
export const HISTORY_EVENTS = WATCH_BUFFER;
/** History is cut back to HISTORY_EVENTS when it is longer by this. */
export const HISTORY_SLACK = 5_000;
/** History younger than this is kept as long as it is within HISTORY_EVENTS; up to twice this age may be. */
export const HISTORY_MS = 5 * 60_000;
/** So many changes are kept whatever their age. */
const HISTORY_MINIMUM = 1_000;
/** Values of this many newest changes stay in memory, within HOT_BYTES; older ones are read from the log. */
const HOT_CHANGES = 4_096;
const HOT_BYTES = 16 << 20;
const COOLED_AT_ONCE = 64;
/** Writes decided and not yet durable: further ones are refused. */
export const MAX_PENDING_WRITES = 50_000;
const RECORDS_PER_BATCH = 4_096;
const REMOVALS_PER_BATCH = 2_000;
const EXPIRIES_PER_TURN = 1_000;
const TRIMMED_PER_TURN = 10_000;
const LIST_READS_PER_TURN = 1_000;
/** The pause between attempts to write again after the log failed. */
export const RETRY_MS = 1_000;

export interface LocalStoreOptions {
  readonly records: RecordLog;
  readonly clock: Clock;
  readonly log: Log;
  /** Values stay in memory for good: the record log cannot be read. */
  readonly valuesInMemory: boolean;
}

interface Waiter {
  readonly revision: Revision;
  durable(): void;
  failed(error: unknown, submitted: boolean): void;
}

export class LocalStore implements Store, WatchSource {
  readonly #records: RecordLog;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #valuesInMemory: boolean;
  readonly #revisions: Revisions;
  readonly #expiry = new ExpiryQueue();
  #expiryTimer: { timer: Timer; atMs: number } | undefined;
  #historyTimer: Timer | undefined;
  #retryTimer: Timer | undefined;
  /** Everything up to here is on disk; readers see no later. */
  #durable: Revision;
  /** History up to here is forgotten, though holders may still keep some of it. */
  #compacted: Revision;
  #persistedCompacted: Revision;
  /** In order of revision. */
  #waiters: Waiter[] = [];
  /** Records that nobody needs any more, to be removed with the next batches. */
  #garbage: Revision[] = [];
  /** Values of versions up to here are not in memory. */
  #cold: Revision;
  #hotBytes = 0;
  /** Readers of the past: what they will yet read is kept. */
  readonly #holders = new Set<{ readonly holds: Revision }>();
  readonly #wakeups = new Set<() => void>();
  #flushing: Promise<void> | undefined;
  #failure: StoreUnavailableError | undefined;
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;

  constructor(options: LocalStoreOptions) {
    this.#records = options.records;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#valuesInMemory = options.valuesInMemory;
    this.#compacted = options.records.compacted;
    this.#persistedCompacted = this.#compacted;
    this.#revisions = new Revisions(this.#compacted);
    this.#load(options.records.scan(0));
    this.#durable = this.#revisions.head;
    this.#cold = this.#revisions.head;
    if (this.#garbage.length > 0) this.#flush();
    this.#armExpiry();
    this.#armHistory();
  }

  get present(): Revision | undefined {
    return this.#closing.signal.aborted ? undefined : this.#durable;
  }

  get durable(): Revision {
    return this.#durable;
  }

  get compacted(): Revision {
    return this.#compacted;
  }

  /** The values of how many bytes wait in memory besides what is on disk; for tests and metrics. */
  get hotBytes(): number {
    return this.#hotBytes;
  }

  async get(key: string, signal: AbortSignal): Promise<{ stored: Stored | undefined; revision: Revision }> {
    this.#readable(signal);
    const version = this.#revisions.at(key, this.#durable);
    return { stored: version && this.#stored(key, version), revision: this.#durable };
  }

  async revision(signal: AbortSignal): Promise<Revision> {
    this.#readable(signal);
    return this.#durable;
  }

  async list(options: ListOptions): Promise<ListResult> {
    this.#readable(options.signal);
    const revision = options.revision ?? this.#durable;
    if (this.#compacted > revision) throw new TooOldError(this.#compacted);
    if (revision > this.#durable) throw new RangeError(`required revision ${revision} is a future revision`);
    const page = this.#revisions.list({ ...options, revision });
    const holder = { holds: revision };
    this.#holders.add(holder);
    try {
      const items: Stored[] = [];
      for (const { key, version } of page.items) {
        items.push(this.#stored(key, version));
        if (items.length % LIST_READS_PER_TURN === 0) {
          await nextTurn();
          this.#readable(options.signal);
        }
      }
      return { items, revision, remaining: page.remaining };
    } finally {
      this.#holders.delete(holder);
    }
  }

  async write(write: Write, signal: AbortSignal): Promise<WriteOutcome> {
    this.#readable(signal);
    if (this.#failure) throw this.#failure;
    checkWrite(write);
    if (this.#revisions.head - this.#durable >= MAX_PENDING_WRITES) {
      throw new StoreUnavailableError(`${MAX_PENDING_WRITES} writes wait for the disk`);
    }
    const conflict = this.#conflict(write);
    if (conflict) {
      await this.#whenDurable(this.#revisions.head);
      return conflict;
    }
    const newest = this.#revisions.at(write.key, this.#revisions.head);
    const previous = newest && this.#stored(write.key, newest);
    const { revision } = this.#apply(write.key, write.value, write.ttlSeconds);
    if (isPlanted('acknowledge-before-durable') && write.expected > 0) return { kind: 'committed', revision, previous };
    return new Promise((resolve, reject) => {
      const onAbort = (): void => resolve({ kind: 'unknown', cause: signal.reason });
      const settle = (): void => signal.removeEventListener('abort', onAbort);
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiters.push({
        revision,
        durable: () => {
          settle();
          resolve({ kind: 'committed', revision, previous });
        },
        failed: (cause, submitted) => {
          settle();
          if (submitted) resolve({ kind: 'unknown', cause });
          else reject(this.#failure);
        },
      });
    });
  }

  watch(options: WatchOptions): AsyncIterable<readonly StoreEvent[]> {
    return new Watch(this, options, this.#closing.signal);
  }

  async compact(revision: Revision, signal: AbortSignal): Promise<void> {
    this.#readable(signal);
    if (revision > this.#durable) throw new RangeError(`required revision ${revision} is a future revision`);
    this.#compact(revision);
    await this.#flushing;
  }

  snapshot(signal: AbortSignal): AsyncIterable<Buffer> {
    this.#readable(signal);
    const holder = { holds: this.#durable };
    const { items } = this.#revisions.list({ prefix: '', revision: this.#durable });
    this.#holders.add(holder);
    const read = (key: string, version: Version): WriteRecord => {
      this.#readable(signal);
      return { key, revision: version.revision, value: this.#value(version), expiresAtMs: version.expiresAtMs };
    };
    return writeSnapshot({ revision: this.#durable, items, read, done: () => this.#holders.delete(holder) });
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  // What a Watch reads by.

  hold(holder: { readonly holds: Revision }): void {
    this.#holders.add(holder);
  }

  release(holder: { readonly holds: Revision }): void {
    this.#holders.delete(holder);
  }

  changed(wake: () => void): void {
    this.#wakeups.add(wake);
  }

  changes(after: Revision, limit: number): readonly Change[] {
    return this.#revisions.changes(after, this.#durable, limit);
  }

  event({ key, version, previous }: Change): StoreEvent {
    const before = previous && this.#stored(key, previous);
    if (version.live) return { type: 'put', stored: this.#stored(key, version), previous: before };
    return { type: 'delete', key, revision: version.revision, previous: before! };
  }

  #readable(signal: AbortSignal): void {
    signal.throwIfAborted();
    if (this.#closing.signal.aborted) throw new StoreUnavailableError('the store is closed');
  }

  #conflict(write: Write): WriteOutcome | undefined {
    const { head } = this.#revisions;
    const newest = this.#revisions.at(write.key, head);
    const current = (): Stored | undefined => newest && this.#stored(write.key, newest);
    if ((newest?.revision ?? 0) !== write.expected) return { kind: 'conflict', current: current() };
    for (const guard of write.guards ?? []) {
      const found = this.#revisions.at(guard.key, head);
      if ((found?.revision ?? 0) !== guard.revision) return { kind: 'conflict', current: current(), guard: guard.key };
    }
    return undefined;
  }

  /** Makes a decided write the newest version; it becomes visible when it is durable. */
  #apply(key: string, value: Buffer | null, ttlSeconds?: number): Version {
    const version: Version = {
      revision: this.#revisions.head + 1,
      live: value !== null,
      expiresAtMs: ttlSeconds === undefined || value === null ? undefined : this.#clock.now() + ttlSeconds * 1000,
      value: value ?? undefined,
    };
    this.#revisions.append(key, version);
    this.#hotBytes += version.value?.length ?? 0;
    this.#flush();
    return version;
  }

  #stored(key: string, version: Version): Stored {
    return { key, value: this.#value(version), revision: version.revision };
  }

  #value(version: Version): Buffer {
    return version.value ?? this.#records.read(version.revision);
  }

  #load(records: Iterable<WriteRecord>): void {
    for (const { key, revision, value, expiresAtMs } of records) {
      const kept = this.#valuesInMemory && value !== null ? value : undefined;
      const version = { revision, live: value !== null, expiresAtMs, value: kept };
      if (this.#compacted >= revision) this.#garbage.push(...this.#revisions.load(key, version));
      else this.#revisions.append(key, version);
      if (expiresAtMs !== undefined && version.live) this.#expiry.push({ atMs: expiresAtMs, key, revision });
    }
  }

  // Durability: one batch at a time, everything that came meanwhile in the next.

  #flush(): void {
    this.#flushing ??= this.#flushAll()
      .catch(broken)
      .finally(() => {
        this.#flushing = undefined;
        // What was written after the last look, and found a flush under way, is not left waiting for the next write.
        if (!this.#failure && this.#dirty()) this.#flush();
      });
  }

  async #flushAll(): Promise<void> {
    // Writers that were woken in the same turn share a batch.
    if (this.#valuesInMemory) await undefined;
    else await nextTurn();
    while (!this.#failure && this.#dirty()) {
      const changes = this.#revisions.changes(this.#durable, this.#revisions.head, RECORDS_PER_BATCH);
      const upTo = changes.at(-1)?.version.revision ?? this.#durable;
      const batch = {
        records: changes.map(({ key, version }) => ({ ...version, key, value: version.value ?? null })),
        remove: this.#garbage.slice(0, REMOVALS_PER_BATCH),
        compacted: this.#compacted,
      };
      try {
        await this.#records.append(batch);
      } catch (error) {
        this.#fail(error, upTo);
        return;
      }
      this.#garbage.splice(0, batch.remove.length);
      this.#persistedCompacted = batch.compacted;
      this.#publish(upTo, changes);
    }
  }

  #dirty(): boolean {
    const { head } = this.#revisions;
    return head > this.#durable || this.#garbage.length > 0 || this.#compacted > this.#persistedCompacted;
  }

  #publish(upTo: Revision, changes: readonly Change[]): void {
    this.#durable = upTo;
    let settled = 0;
    for (const waiter of this.#waiters) {
      if (waiter.revision > upTo) break;
      waiter.durable();
      settled++;
    }
    this.#waiters.splice(0, settled);
    for (const { key, version } of changes) {
      if (version.expiresAtMs === undefined) continue;
      this.#expiry.push({ atMs: version.expiresAtMs, key, revision: version.revision });
      this.#armExpiry();
    }
    this.#wake();
    this.#cool();
    if (upTo - this.#compacted > HISTORY_EVENTS + HISTORY_SLACK) this.#compact(upTo - HISTORY_EVENTS);
    else this.#armHistory();
  }

  #wake(): void {
    const wakeups = [...this.#wakeups];
    this.#wakeups.clear();
    for (const wake of wakeups) wake();
  }

  /** Lets go of values in memory that can be read from disk. */
  #cool(downTo: Revision = 0): void {
    if (this.#valuesInMemory) return;
    const warm = (): boolean =>
      downTo > this.#cold || this.#durable - this.#cold > HOT_CHANGES || this.#hotBytes > HOT_BYTES;
    while (this.#durable > this.#cold && warm()) {
      for (const { version } of this.#revisions.changes(this.#cold, this.#durable, COOLED_AT_ONCE)) {
        if (!warm()) break;
        this.#hotBytes -= version.value?.length ?? 0;
        version.value = undefined;
        this.#cold++;
      }
    }
  }

  /** Resolves when everything up to a revision is durable; rejects when it will not be. */
  #whenDurable(revision: Revision): Promise<void> {
    if (this.#durable >= revision) return Promise.resolve();
    return new Promise((durable, reject) => {
      this.#waiters.push({ revision, durable, failed: () => reject(this.#failure) });
    });
  }

  // Failure of the log: what was submitted is unknown, what waited was not made; writes stop until the log takes them again.

  #fail(error: unknown, submitted: Revision): void {
    this.#log.error('the store cannot write; writes are refused until it can', error);
    this.#failure = cannotWrite(error);
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.failed(error, submitted >= waiter.revision);
    const undone = this.#revisions.changes(this.#durable, this.#revisions.head, Number.POSITIVE_INFINITY);
    for (const { key, version, previous } of undone) {
      this.#hotBytes -= version.value?.length ?? 0;
      // A deletion because of its time is to be tried again.
      if (previous?.expiresAtMs === undefined) continue;
      this.#expiry.push({ atMs: previous.expiresAtMs, key, revision: previous.revision });
    }
    this.#revisions.rollback(this.#durable);
    this.#armRetry();
  }

  #armRetry(): void {
    if (this.#closing.signal.aborted) return;
    this.#retryTimer = this.#clock.timer(RETRY_MS, () => void this.#retry());
  }

  async #retry(): Promise<void> {
    this.#flushing = this.#recover().finally(() => {
      this.#flushing = undefined;
    });
    await this.#flushing;
    if (this.#failure) this.#armRetry();
    else if (this.#dirty()) this.#flush();
  }

  async #recover(): Promise<void> {
    try {
      await this.#records.probe();
    } catch (error) {
      this.#failure = cannotWrite(error);
      return;
    }
    // The batch that failed may have reached the disk after all: then it happened.
    this.#load(this.#records.scan(this.#durable));
    this.#failure = undefined;
    this.#log.info('the store writes again');
    if (this.#revisions.head > this.#durable) {
      this.#publish(this.#revisions.head, []);
    }
    this.#armExpiry();
  }

  // History.

  #compact(revision: Revision): void {
    this.#compacted = Math.max(this.#compacted, revision);
    // Watches and lists under way keep what they have yet to read, but never more than a watch may be behind.
    let floor = this.#compacted;
    for (const { holds } of this.#holders) floor = Math.min(floor, holds);
    floor = Math.max(floor, this.#durable - HISTORY_EVENTS - HISTORY_SLACK, this.#revisions.floor);
    if (floor - this.#revisions.floor > TRIMMED_PER_TURN) {
      floor = this.#revisions.floor + TRIMMED_PER_TURN;
      onNextTurn(() => this.#closing.signal.aborted || this.#compact(0));
    }
    this.#cool(floor);
    const dropped = this.#revisions.trim(floor);
    if (!this.#valuesInMemory) for (const gone of dropped) this.#garbage.push(gone);
    if (this.#dirty()) this.#flush();
  }

  /** While there is history, it is looked at every HISTORY_MS: what was there the time before is forgotten. */
  #armHistory(): void {
    if (this.#historyTimer || this.#closing.signal.aborted) return;
    if (HISTORY_MINIMUM >= this.#durable - this.#revisions.floor) return;
    const mark = this.#durable;
    this.#historyTimer = this.#clock.timer(HISTORY_MS, () => {
      this.#historyTimer = undefined;
      this.#compact(Math.min(mark, this.#durable - HISTORY_MINIMUM));
      this.#armHistory();
    });
  }

  // Keys that end by themselves.

  #armExpiry(): void {
    const next = this.#expiry.next;
    if (!next || this.#closing.signal.aborted) return;
    if (this.#expiryTimer && next.atMs >= this.#expiryTimer.atMs) return;
    this.#expiryTimer?.timer.cancel();
    const timer = this.#clock.timer(Math.max(0, next.atMs - this.#clock.now()), () => this.#expire());
    this.#expiryTimer = { timer, atMs: next.atMs };
  }

  #expire(): void {
    this.#expiryTimer = undefined;
    // A failed log begins again with what is due then.
    if (this.#failure) return;
    const now = this.#clock.now();
    for (let i = 0; EXPIRIES_PER_TURN > i; i++) {
      const next = this.#expiry.next;
      if (!next || next.atMs > now) break;
      this.#expiry.pop();
      const newest = this.#revisions.at(next.key, this.#revisions.head);
      if (newest?.revision === next.revision) this.#apply(next.key, null);
    }
    this.#armExpiry();
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    this.#expiryTimer?.timer.cancel();
    this.#historyTimer?.cancel();
    this.#retryTimer?.cancel();
    this.#wake();
    while (this.#flushing) await this.#flushing;
    await this.#records.close();
  }
}

function cannotWrite(cause: unknown): StoreUnavailableError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new StoreUnavailableError(`the store cannot write: ${why}`, { cause });
}

/** The log's own failures are dealt with; anything else leaves it unknown what is durable and who was told. */
function broken(cause: unknown): never {
  throw new InvariantError('the store could not publish what is durable', { cause });
}
