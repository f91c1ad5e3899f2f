// The queue of keys behind every controller: client-go's workqueue contract without its locks.
import type { Clock, Timer } from '../lib/clock.ts';

/** Retries of one key: 5 ms, 10 ms, 20 ms ... up to 1000 s, as client-go's default item limiter. */
export const RETRY_INITIAL_MS = 5;
export const RETRY_MAXIMUM_MS = 1_000_000;

/** Distinct keys that may wait at once. Beyond it a key is dropped and `overflowed` says that everything must be looked at again. */
export const MAX_QUEUED_KEYS = 1_000_000;

/** What happens to keys, for metrics. */
export interface QueueObserver {
  added(): void;
  retried(): void;
  /** A worker took a key that had waited this long. */
  started(waitedMs: number): void;
  finished(workedMs: number): void;
}

/**
 * Keys to work on. A key waits at most once; a key added while it is worked on waits again until that work is done, so no
 * two workers ever hold the same key; keys come out in the order they went in.
 */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #observer: QueueObserver | undefined;
  readonly #bound: number;
  /** Keys that wait, in order, with the time they were added. */
  readonly #waiting = new Map<string, number>();
  /** Keys in work, with the time it began. */
  readonly #working = new Map<string, number>();
  /** Keys in work that were added again meanwhile, with the time of that. */
  readonly #again = new Map<string, number>();
  readonly #failures = new Map<string, number>();
  readonly #delayed: Delayed;
  readonly #takers: ((key: string | undefined) => void)[] = [];
  #closed = false;
  #overflowed = false;

  constructor(clock: Clock, observer?: QueueObserver, bound = MAX_QUEUED_KEYS) {
    this.#clock = clock;
    this.#observer = observer;
    this.#bound = bound;
    this.#delayed = new Delayed(clock, (key) => this.add(key));
  }

  /** Keys that wait now (not those delayed or in work). */
  get depth(): number {
    return this.#waiting.size;
  }

  /** Keys that wait for their time. */
  get delayedCount(): number {
    return this.#delayed.size;
  }

  /** When each key in work was begun, in the clock's monotonic time. */
  get workStarts(): Iterable<number> {
    return this.#working.values();
  }

  /** True once after keys had to be dropped and the queue has room again. */
  takeOverflow(): boolean {
    if (!this.#overflowed || this.#waiting.size > this.#bound / 2) return false;
    this.#overflowed = false;
    return true;
  }

  add(key: string): void {
    if (this.#closed || this.#waiting.has(key) || this.#again.has(key)) return;
    if (this.#waiting.size + this.#again.size >= this.#bound) {
      this.#overflowed = true;
      return;
    }
    this.#observer?.added();
    const nowMs = this.#clock.monotonic();
    if (this.#working.has(key)) this.#again.set(key, nowMs);
    else this.#offer(key, nowMs);
  }

  /** Adds the key after a time. The earliest of several times for a key counts; a time of zero or less is now. */
  addAfter(key: string, delayMs: number): void {
    if (this.#closed) return;
    if (delayMs <= 0) this.add(key);
    else if (this.#delayed.size < this.#bound) this.#delayed.set(key, this.#clock.monotonic() + delayMs);
    else this.#overflowed = true;
  }

  /** Adds the key after its back-off, which doubles with every call until `forget`. */
  retry(key: string): void {
    if (this.#closed) return;
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.#observer?.retried();
    this.addAfter(key, Math.min(RETRY_MAXIMUM_MS, RETRY_INITIAL_MS * 2 ** Math.min(failures, 60)));
  }

  /** The key succeeded: its next failure starts at the shortest back-off. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** How often the key failed since it last succeeded. */
  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** The next key, held by the caller until `done`; undefined once the queue is closed. */
  take(): Promise<string | undefined> {
    if (this.#closed) return Promise.resolve(undefined);
    for (const [key, sinceMs] of this.#waiting) {
      this.#waiting.delete(key);
      this.#begin(key, sinceMs);
      return Promise.resolve(key);
    }
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  done(key: string): void {
    const beganMs = this.#working.get(key);
    if (beganMs === undefined) return;
    this.#working.delete(key);
    this.#observer?.finished(this.#clock.monotonic() - beganMs);
    const againMs = this.#again.get(key);
    if (againMs === undefined) return;
    this.#again.delete(key);
    if (!this.#closed) this.#offer(key, againMs);
  }

  /** Forgets what waits and lets every taker go with undefined. Keys in work stay with their workers. */
  close(): void {
    this.#closed = true;
    this.#waiting.clear();
    this.#again.clear();
    this.#failures.clear();
    this.#delayed.close();
    for (const taker of this.#takers.splice(0)) taker(undefined);
  }

  #offer(key: string, sinceMs: number): void {
    const taker = this.#takers.shift();
    if (!taker) {
      this.#waiting.set(key, sinceMs);
      return;
    }
    this.#begin(key, sinceMs);
    taker(key);
  }

  #begin(key: string, sinceMs: number): void {
    const nowMs = this.#clock.monotonic();
    this.#working.set(key, nowMs);
    this.#observer?.started(nowMs - sinceMs);
  }
}

/** Keys with a due time and one timer for the earliest: a heap whose outdated entries are skipped when they surface. */
class Delayed {
  readonly #clock: Clock;
  readonly #fire: (key: string) => void;
  readonly #due = new Map<string, number>();
  #heap: { key: string; atMs: number }[] = [];
  #timer: Timer | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, fire: (key: string) => void) {
    this.#clock = clock;
    this.#fire = fire;
  }

  get size(): number {
    return this.#due.size;
  }

  set(key: string, atMs: number): void {
    const known = this.#due.get(key);
    if (known !== undefined && known <= atMs) return;
    this.#due.set(key, atMs);
    this.#push({ key, atMs });
    // A key that keeps being moved forward leaves entries behind: rebuild when they are most of the heap.
    if (this.#heap.length > 64 + 2 * this.#due.size) this.#rebuild();
    this.#arm();
  }

  close(): void {
    this.#due.clear();
    this.#heap = [];
    this.#timer?.cancel();
  }

  #arm(): void {
    const first = this.#heap[0];
    if (!first || first.atMs >= this.#timerAtMs) return;
    this.#timer?.cancel();
    this.#timerAtMs = first.atMs;
    this.#timer = this.#clock.timer(first.atMs - this.#clock.monotonic(), () => this.#expire());
  }

  #expire(): void {
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.monotonic();
    for (let first = this.#heap[0]; first && first.atMs <= nowMs; first = this.#heap[0]) {
      this.#pop();
      if (this.#due.get(first.key) !== first.atMs) continue;
      this.#due.delete(first.key);
      this.#fire(first.key);
    }
    this.#arm();
  }

  #rebuild(): void {
    const live = [...this.#due].map(([key, atMs]) => ({ key, atMs }));
    this.#heap = live.sort((a, b) => a.atMs - b.atMs);
  }

  #push(entry: { key: string; atMs: number }): void {
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]!.atMs <= entry.atMs) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (!last || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.atMs < heap[child]!.atMs) child++;
      if (heap[child]!.atMs >= last.atMs) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}
