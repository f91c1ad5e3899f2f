// When requests are given up: all of them have the same time, so that one timer for the oldest does for all.
import type { Clock, Timer } from '../../lib/clock.ts';

export interface Due {
  /** Monotonic milliseconds. */
  readonly startMs: number;
  expire(): void;
}

export class Deadlines {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  /** Oldest first. */
  readonly #under = new Set<Due>();
  #timer: Timer | undefined;
  #closed = false;

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  add(due: Due): void {
    this.#under.add(due);
    if (this.#timer === undefined && !this.#closed) this.#arm(due.startMs);
  }

  /** The request has ended. False: it had ended before. */
  delete(due: Due): boolean {
    const was = this.#under.delete(due);
    if (this.#closed && this.#under.size === 0) this.#disarm();
    return was;
  }

  /** No timer is left behind once the requests that are under way have ended. */
  close(): void {
    this.#closed = true;
    if (this.#under.size === 0) this.#disarm();
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(startMs: number): void {
    const delayMs = Math.max(0, startMs + this.#timeoutMs - this.#clock.monotonic());
    this.#timer = this.#clock.timer(delayMs, () => {
      this.#timer = undefined;
      const now = this.#clock.monotonic();
      for (const due of this.#under) {
        if (due.startMs + this.#timeoutMs > now) return this.#arm(due.startMs);
        due.expire();
        this.#under.delete(due);
      }
    });
  }
}
