// When watches send. Many small writes are what a busy watch costs, so a client that was just written to waits a moment, and
// what has gathered by then goes out as one.
import type { Clock, Timer } from '../../lib/clock.ts';

/** One write costs much the same whatever it carries: so many clients at most are written to in a millisecond, on average. */
const CLIENTS_PER_MS = 10;
/** But nobody waits longer than so many times the pace. */
const MAX_SLACKENING = 3;

/** What a server for many clients asks for: not felt by any, and some dozens of changes gather in it under load. */
export const WATCH_PACE_MS = 10;

export class WatchPace {
  readonly #leastMs: number;
  #ms: number;
  readonly #clock: Clock;
  #waiting: (() => void)[] = [];
  #timer: Timer | undefined;

  constructor(clock: Clock, ms: number) {
    this.#leastMs = ms;
    this.#ms = ms;
    this.#clock = clock;
  }

  /**
   * Events to one client go out this far apart at least; one that comes after a quiet time goes out at once. 0: all do.
   * Longer while many clients wait at once.
   */
  get ms(): number {
    return this.#ms;
  }

  now(): number {
    return this.#clock.monotonic();
  }

  /** Calls `flush` within `ms` of now, together with all others that wait: so that they share what they send. */
  wait(flush: () => void): void {
    this.#waiting.push(flush);
    this.#timer ??= this.#clock.timer(this.#ms, () => {
      this.#timer = undefined;
      const waiting = this.#waiting;
      this.#waiting = [];
      const wantedMs = Math.max(this.#leastMs, waiting.length / CLIENTS_PER_MS);
      this.#ms = Math.min(wantedMs, MAX_SLACKENING * this.#leastMs);
      for (const each of waiting) each();
    });
  }
}
