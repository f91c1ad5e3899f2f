// The watchers of one resource, found by what they watch, so that a change costs only those whom it may concern.
import type { KubeObject } from '../../api/object.ts';
import { type Log, silentLog } from '../../lib/log.ts';
import { isPlanted } from '../../lib/planted.ts';
import { onNextTurn } from '../../lib/turns.ts';
import { type Revision, TooOldError } from '../../store/contract.ts';
import type { Filter, WatchDelivery } from '../contract.ts';
import type { ObjectEvent } from './event.ts';
import type { History } from './history.ts';
import { demandedField, type Fields, fieldsOfCached, type Matcher, matcherOf } from './matching.ts';

/** A watcher with this many changes that are not delivered is ended. */
export const WATCHER_BUFFER = 10_000;
/** At most this many past changes are looked at for one watcher in one turn of the event loop. */
const CATCH_UP_PER_TURN = 500;

export interface WatcherOptions {
  readonly filter: Filter;
  readonly after: Revision;
  readonly deliver: (batch: readonly WatchDelivery[]) => void;
  readonly end: (reason: Error) => void;
  readonly signal: AbortSignal;
}

interface Watcher {
  readonly options: WatcherOptions;
  readonly matches: Matcher | undefined;
  /** What remains to be asked of a change that was found by the index. */
  readonly matchesFound: Matcher | undefined;
  /** The place in the index. */
  readonly bucket: string;
  readonly field: string | undefined;
  readonly onAbort: () => void;
  /** Everything up to here was looked at. */
  cursor: Revision;
  pending: WatchDelivery[];
  over: boolean;
}

const ALL = 'all';

export class Watchers {
  readonly #history: History;
  readonly #fieldsOf: (object: KubeObject) => Fields;
  readonly #log: Log;
  readonly #live = new Set<Watcher>();
  readonly #buckets = new Map<string, Set<Watcher>>();
  /** How many watchers are found by each field. */
  readonly #fields = new Map<string, number>();
  /** Watchers that read history until they have caught up. */
  readonly #behind = new Set<Watcher>();
  #dirty: Watcher[] = [];
  #scheduled = false;

  constructor(history: History, fieldsOf: (object: KubeObject) => Fields, log: Log = silentLog) {
    this.#history = history;
    this.#fieldsOf = fieldsOf;
    this.#log = log;
  }

  get size(): number {
    return this.#live.size;
  }

  /** Begins a watch. Throws TooOldError when history does not go back far enough. */
  add(options: WatcherOptions): void {
    if (options.signal.aborted) return;
    if (this.#history.floor > options.after) throw new TooOldError(this.#history.floor);
    const place = placeOf(options.filter);
    const matches = matcherOf(options.filter, this.#fieldsOf);
    const watcher: Watcher = {
      options,
      matches,
      matchesFound: place.covers ? undefined : matches,
      bucket: place.bucket,
      field: place.field,
      onAbort: () => this.#drop(watcher),
      cursor: options.after,
      pending: [],
      over: false,
    };
    options.signal.addEventListener('abort', watcher.onAbort, { once: true });
    this.#live.add(watcher);
    this.#behind.add(watcher);
    this.#catchUp(watcher);
  }

  /** Hands a new change, which is in the history already, to those whom it concerns. */
  dispatch(event: ObjectEvent): void {
    if (isPlanted('skip-watch-event') && event.revision % 50 === 0) return;
    this.#offer(ALL, event);
    const { namespace, name } = event.object;
    this.#offer(`name ${name}`, event);
    if (namespace !== undefined) {
      this.#offer(`namespace ${namespace}`, event);
      this.#offer(`object ${namespace}/${name}`, event);
    }
    for (const field of this.#fields.keys()) {
      const now = event.type === 'DELETED' ? undefined : this.#valueOf(event.object, field);
      const before = event.previous && this.#valueOf(event.previous, field);
      if (now !== undefined) this.#offer(`field ${field}=${now}`, event);
      if (before !== undefined && before !== now) this.#offer(`field ${field}=${before}`, event);
    }
  }

  /** Ends all watches. */
  endAll(reason: Error): void {
    for (const watcher of [...this.#live]) this.#end(watcher, reason);
  }

  #valueOf(object: ObjectEvent['object'], field: string): string {
    return fieldsOfCached(object, this.#fieldsOf)[field] ?? '';
  }

  #offer(bucket: string, event: ObjectEvent): void {
    const watchers = this.#buckets.get(bucket);
    if (!watchers) return;
    for (const watcher of watchers) this.#push(watcher, event, watcher.matchesFound);
  }

  #push(watcher: Watcher, event: ObjectEvent, matches: Matcher | undefined): void {
    // One that begins in the future waits for it; changes of one revision all pass.
    if (watcher.options.after >= event.revision) return;
    watcher.cursor = event.revision;
    const delivery = event.deliveryTo(matches);
    if (!delivery) return;
    if (watcher.pending.length === 0) this.#schedule(watcher);
    watcher.pending.push(delivery);
    if (watcher.pending.length > WATCHER_BUFFER) this.#end(watcher, new TooOldError(event.revision));
  }

  /** Deliveries of one turn of the event loop go out together when it ends. */
  #schedule(watcher: Watcher): void {
    this.#dirty.push(watcher);
    this.#tick();
  }

  #tick(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    onNextTurn(() => this.#turn());
  }

  #turn(): void {
    this.#scheduled = false;
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const watcher of dirty) {
      const batch = watcher.pending;
      watcher.pending = [];
      if (watcher.over || batch.length === 0) continue;
      try {
        watcher.options.deliver(batch);
      } catch (error) {
        this.#log.error('a watcher failed to take its events and is ended', error);
        this.#end(watcher, error instanceof Error ? error : new Error(String(error)));
      }
    }
    for (const watcher of this.#behind) this.#catchUp(watcher);
  }

  #catchUp(watcher: Watcher): void {
    if (this.#history.floor > watcher.cursor) {
      this.#end(watcher, new TooOldError(this.#history.floor));
      return;
    }
    const events = this.#history.after(watcher.cursor, CATCH_UP_PER_TURN);
    for (const event of events) this.#push(watcher, event, watcher.matches);
    if (watcher.over) return;
    if (events.length >= CATCH_UP_PER_TURN) {
      this.#tick();
      return;
    }
    this.#behind.delete(watcher);
    const bucket = this.#buckets.get(watcher.bucket);
    if (bucket) bucket.add(watcher);
    else this.#buckets.set(watcher.bucket, new Set([watcher]));
    if (watcher.field !== undefined) this.#fields.set(watcher.field, (this.#fields.get(watcher.field) ?? 0) + 1);
  }

  #end(watcher: Watcher, reason: Error): void {
    if (watcher.over) return;
    this.#drop(watcher);
    try {
      watcher.options.end(reason);
    } catch (error) {
      this.#log.error('a watcher failed to take its end', error);
    }
  }

  #drop(watcher: Watcher): void {
    if (watcher.over) return;
    watcher.over = true;
    watcher.pending = [];
    watcher.options.signal.removeEventListener('abort', watcher.onAbort);
    this.#live.delete(watcher);
    if (this.#behind.delete(watcher)) return;
    const bucket = this.#buckets.get(watcher.bucket)!;
    bucket.delete(watcher);
    if (bucket.size === 0) this.#buckets.delete(watcher.bucket);
    if (watcher.field === undefined) return;
    const others = this.#fields.get(watcher.field)! - 1;
    if (others === 0) this.#fields.delete(watcher.field);
    else this.#fields.set(watcher.field, others);
  }
}

interface Place {
  readonly bucket: string;
  readonly field: string | undefined;
  /** Every change that the bucket is offered matches, before and after. */
  readonly covers: boolean;
}

/** Where a watcher with this filter is found: by the narrowest thing that it demands. */
function placeOf(filter: Filter): Place {
  const { namespace, name } = filter;
  const plain = (filter.labels?.empty ?? true) && (filter.fields?.empty ?? true);
  if (name !== undefined) {
    const bucket = namespace === undefined ? `name ${name}` : `object ${namespace}/${name}`;
    return { bucket, field: undefined, covers: plain };
  }
  const demanded = demandedField(filter);
  if (demanded) {
    return { bucket: `field ${demanded.field}=${demanded.value}`, field: demanded.field, covers: false };
  }
  if (namespace !== undefined) return { bucket: `namespace ${namespace}`, field: undefined, covers: plain };
  return { bucket: ALL, field: undefined, covers: plain };
}
