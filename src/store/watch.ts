// One watch: a cursor that follows the log of changes, so that order and exactly-once come by construction.

import { nextTurn } from '../lib/turns.ts';
import { type Revision, type StoreEvent, TooOldError, WATCH_BUFFER, type WatchOptions } from './contract.ts';
import type { Change } from './revisions.ts';

/** At most this many changes are looked at for one batch. */
const CHANGES_PER_BATCH = 1_000;

export interface WatchSource {
  readonly durable: Revision;
  readonly compacted: Revision;
  /** The durable changes after a revision. */
  changes(after: Revision, limit: number): readonly Change[];
  event(change: Change): StoreEvent;
  /** Calls `wake` once, at the next change or the end of the source. */
  changed(wake: () => void): void;
  /** Keeps the log from a revision on. */
  hold(holder: { readonly holds: Revision }): void;
  release(holder: { readonly holds: Revision }): void;
}

export class Watch implements AsyncIterableIterator<readonly StoreEvent[]> {
  readonly #source: WatchSource;
  readonly #prefix: string;
  readonly #signal: AbortSignal;
  /** Aborts when the source ends. */
  readonly #ended: AbortSignal;
  /** Everything up to here is delivered. */
  #cursor: Revision;
  #over = false;
  #wake: () => void = () => undefined;
  readonly #onAbort = (): void => {
    this.#finish();
    this.#wake();
  };

  constructor(source: WatchSource, options: WatchOptions, ended: AbortSignal) {
    this.#source = source;
    this.#prefix = options.prefix;
    this.#cursor = options.after;
    this.#signal = options.signal;
    this.#ended = ended;
    if (options.signal.aborted || ended.aborted) {
      this.#over = true;
      return;
    }
    options.signal.addEventListener('abort', this.#onAbort, { once: true });
    // One that begins too late says so at the first read.
    if (options.after >= source.compacted) source.hold(this);
    else this.#cursor = -1;
  }

  get holds(): Revision {
    return this.#cursor;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<readonly StoreEvent[], undefined>> {
    while (!this.#over) {
      if (this.#ended.aborted) break;
      if (this.#cursor === -1 || this.#source.durable - this.#cursor > WATCH_BUFFER) {
        this.#finish();
        throw new TooOldError(this.#source.compacted);
      }
      const events = this.#advance();
      if (events.length > 0) return { done: false, value: events };
      if (this.#cursor >= this.#source.durable) await this.#nextChange();
      else await nextTurn();
    }
    this.#finish();
    return { done: true, value: undefined };
  }

  async return(): Promise<IteratorResult<readonly StoreEvent[], undefined>> {
    this.#finish();
    return { done: true, value: undefined };
  }

  #advance(): StoreEvent[] {
    const events: StoreEvent[] = [];
    if (this.#cursor >= this.#source.durable) return events;
    for (const change of this.#source.changes(this.#cursor, CHANGES_PER_BATCH)) {
      if (change.key.startsWith(this.#prefix)) events.push(this.#source.event(change));
      this.#cursor = change.version.revision;
    }
    return events;
  }

  #nextChange(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.#source.changed(resolve);
    });
  }

  #finish(): void {
    this.#over = true;
    this.#source.release(this);
    this.#signal.removeEventListener('abort', this.#onAbort);
  }
}
