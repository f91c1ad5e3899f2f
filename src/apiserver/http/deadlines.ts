// When requests are given up: all of them have the same time, so that one timer for the oldest does for all.
import type { Clock, Timer } from '../../lib/clock.ts';

/** A request under way. */
export interface Due {
  /** Monotonic milliseconds. */
  readonly startMs: number;
  expire(): void;
}

export class Deadlines {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  /**
   * By slot; slots are used again. A Set would do, but its outgrown tables, once old, keep what was in their successors from
   * being collected as young garbage: everything that requests allocate would grow old.
   */
  readonly #slots: (Due | undefined)[] = [];
  readonly #free: number[] = [];
  #timer: Timer | undefined;
  #closed = false;

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  /** The slot, by which the request is removed when it has ended. */
  add(due: Due): number {
    const slot = this.#free.pop() ?? this.#slots.length;
    this.#slots[slot] = due;
    if (this.#timer === undefined && !this.#closed) this.#arm(due.startMs);
    return slot;
  }

  remove(slot: number): void {
    this.#slots[slot] = undefined;
    this.#free.push(slot);
    if (this.#closed) this.#disarmIfIdle();
  }

  /** No timer is left behind once the requests that are under way have ended. */
  close(): void {
    this.#closed = true;
    this.#disarmIfIdle();
  }

  #disarmIfIdle(): void {
    if (this.#slots.length > this.#free.length) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(startMs: number): void {
    const delayMs = Math.max(0, startMs + this.#timeoutMs - this.#clock.monotonic());
    this.#timer = this.#clock.timer(delayMs, () => this.#expire());
  }

  #expire(): void {
    this.#timer = undefined;
    const now = this.#clock.monotonic();
    let oldestMs = Number.POSITIVE_INFINITY;
    for (const due of [...this.#slots]) {
      if (!due) continue;
      if (now >= due.startMs + this.#timeoutMs) due.expire();
      else oldestMs = Math.min(oldestMs, due.startMs);
    }
    if (oldestMs < Number.POSITIVE_INFINITY && this.#timer === undefined) this.#arm(oldestMs);
  }
}
