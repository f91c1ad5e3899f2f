// When watches send. Many small writes are what a busy watch costs, so a client that was just written to waits a moment, and
// what has gathered by then goes out as one.
import type { Clock, Timer } from '../../lib/clock.ts';

/** What a server for many clients asks for: not felt by any, and some dozens of changes gather in it under load. */
export const WATCH_PACE_MS = 10;

export class WatchPace {
  /** Events to one client go out this far apart at least; one that comes after a quiet time goes out at once. 0: all do. */
  readonly ms: number;
  readonly #clock: Clock;
  #waiting: (() => void)[] = [];
  #timer: Timer | undefined;

  constructor(clock: Clock, ms: number) {
    this.ms = ms;
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.monotonic();
  }

  /** Calls `flush` within `ms`, together with all others that wait: so that they share what they send. */
  wait(flush: () => void): void {
    this.#waiting.push(flush);
    this.#timer ??= this.#clock.timer(this.ms, () => {
      this.#timer = undefined;
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const each of waiting) each();
    });
  }
}
