// One watch over etcd that outlives connections: it goes on after the last revision that was delivered, exactly.
import type { Clock } from '../../lib/clock.ts';
import { sleep } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import {
  type Revision,
  type Stored,
  type StoreEvent,
  TooOldError,
  WATCH_BUFFER,
  type WatchOptions,
} from '../contract.ts';
import { NO_END, prefixRange } from './keys.ts';
import { EtcdError, type EtcdRpc, EVENT_PUT, GRPC, type KeyValue, type WatchEvent, type WatchResponse } from './rpc.ts';

/** The pause before a broken watch is begun again on the same member. */
const RESUME_PAUSE_MS = 25;

export interface EtcdWatchOptions extends WatchOptions {
  readonly rpc: EtcdRpc;
  readonly clock: Clock;
  readonly log: Log;
  /** Aborts when the store is closed. */
  readonly ended: AbortSignal;
}

export class EtcdWatch implements AsyncIterableIterator<readonly StoreEvent[]> {
  readonly #options: EtcdWatchOptions;
  /** Everything up to here has come. */
  #cursor: Revision;
  #batches: StoreEvent[][] = [];
  #events = 0;
  #over = false;
  #error: unknown;
  #wake: () => void = () => undefined;
  readonly #stop = new AbortController();
  readonly #onAbort = (): void => {
    this.#batches = [];
    this.#finish(undefined);
  };

  constructor(options: EtcdWatchOptions) {
    this.#options = options;
    this.#cursor = options.after;
    const { signal, ended } = options;
    if (signal.aborted || ended.aborted) {
      this.#over = true;
      return;
    }
    signal.addEventListener('abort', this.#onAbort, { once: true });
    ended.addEventListener('abort', this.#onAbort, { once: true });
    void this.#follow();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<readonly StoreEvent[], undefined>> {
    for (;;) {
      if (this.#batches.length > 0) {
        const batches = this.#batches;
        this.#batches = [];
        this.#events = 0;
        return { done: false, value: batches.length === 1 ? batches[0]! : batches.flat() };
      }
      if (this.#over) {
        if (this.#error !== undefined) throw this.#error;
        return { done: true, value: undefined };
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async return(): Promise<IteratorResult<readonly StoreEvent[], undefined>> {
    this.#batches = [];
    this.#finish(undefined);
    return { done: true, value: undefined };
  }

  async #follow(): Promise<void> {
    const { clock, log } = this.#options;
    let behind = false;
    for (let broken = false; !this.#over; ) {
      try {
        const ended = await this.#stream(behind, () => {
          if (broken) log.info('the watch of etcd goes on', { after: this.#cursor });
          broken = false;
        });
        behind = ended === 'behind';
        if (behind) continue;
      } catch (error) {
        if (this.#over) return;
        if (!(error instanceof EtcdError)) {
          this.#finish(error);
          return;
        }
        if (!broken) log.warn('the watch of etcd broke', { after: this.#cursor, reason: error.message });
        broken = true;
        behind = false;
      }
      await sleep(clock, RESUME_PAUSE_MS, this.#stop.signal).catch(() => undefined);
    }
  }

  /**
   * One stream, until it ends. etcd refuses a start before the revision that is compacted to, but that revision's own change may
   * be gone as well. So a watch that turns out to be behind is begun again at what it knows already: then it is refused exactly
   * when something may be missing. One that is not behind begins after that, which etcd serves sooner.
   */
  async #stream(behind: boolean, answered: () => void): Promise<'behind' | 'ended'> {
    const { rpc, prefix } = this.#options;
    // An empty prefix means every change there is, so that its reader reaches every revision.
    const range = prefix === '' ? { key: '\0', rangeEnd: NO_END } : prefixRange(prefix);
    const startRevision = behind ? Math.max(1, this.#cursor) : this.#cursor + 1;
    for await (const response of rpc.watch({ ...range, startRevision, prevKv: true }, this.#stop.signal)) {
      if (response.created && !behind && response.header.revision > this.#cursor) return 'behind';
      this.#take(response);
      answered();
    }
    return 'ended';
  }

  #take(response: WatchResponse): void {
    if (response.compactRevision > 0) throw new TooOldError(response.compactRevision);
    if (response.canceled) {
      throw new EtcdError(GRPC.UNAVAILABLE, `etcd ended the watch: ${response.cancelReason}`, true);
    }
    const events: StoreEvent[] = [];
    const known = this.#cursor;
    for (const event of response.events) {
      const { modRevision } = event.kv;
      if (known >= modRevision) continue;
      // Every revision has a change: whoever watches all of them sees each.
      if (this.#options.prefix === '' && modRevision > this.#cursor + 1) throw new TooOldError(modRevision - 1);
      events.push(storeEvent(event));
      this.#cursor = modRevision;
    }
    if (events.length === 0 || this.#over) return;
    this.#batches.push(events);
    this.#events += events.length;
    if (this.#events > WATCH_BUFFER) {
      this.#batches = [];
      throw new TooOldError(this.#cursor);
    }
    this.#wake();
  }

  #finish(error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#error = error;
    this.#options.signal.removeEventListener('abort', this.#onAbort);
    this.#options.ended.removeEventListener('abort', this.#onAbort);
    this.#stop.abort();
    this.#wake();
  }
}

export function storedOf({ key, value, modRevision }: KeyValue): Stored {
  // A copy, so that one object does not keep a whole answer in memory.
  return { key, value: Buffer.from(value), revision: modRevision };
}

function storeEvent({ type, kv, prevKv }: WatchEvent): StoreEvent {
  const previous = prevKv && storedOf(prevKv);
  if (type === EVENT_PUT) {
    // What was there before is read when the event is sent, and may be compacted by then.
    if (!previous && kv.version > 1) throw new TooOldError(kv.modRevision);
    return { type: 'put', stored: storedOf(kv), previous };
  }
  if (!previous) throw new TooOldError(kv.modRevision);
  return { type: 'delete', key: kv.key, revision: kv.modRevision, previous };
}
