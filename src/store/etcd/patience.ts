// How long a request is offered to members that do not take it. A request alone cannot tell an election from a lost quorum; how
// long no member has been well can.
import type { Clock, Timer } from '../../lib/clock.ts';

export interface PatienceTimings {
  /** A request that no member takes for this long is refused. */
  readonly unavailableAfterMs: number;
  /**
   * When no member has known a leader for this long, requests of before are given up and later ones are refused at once. Longer
   * than an election whose votes were split once takes, from when the members say that they have no leader.
   */
  readonly leaderlessAfterMs: number;
}

export class Patience {
  readonly #clock: Clock;
  readonly #timings: PatienceTimings;
  readonly #lost: () => void;
  /** Since when no member is well, of the monotonic clock; before one was well for the first time, nothing is lost. */
  #unwellMs: number | undefined;
  #wasWell = false;
  #timer: Timer | undefined;

  /** `lost` is called when the quorum counts as gone. */
  constructor(clock: Clock, timings: PatienceTimings, lost: () => void) {
    this.#clock = clock;
    this.#timings = timings;
    this.#lost = lost;
  }

  /** To be told after every change whether some member is well. */
  see(someIsWell: boolean): void {
    if (someIsWell) {
      this.#wasWell = true;
      this.#unwellMs = undefined;
      this.#timer?.cancel();
    } else if (this.#wasWell && this.#unwellMs === undefined) {
      this.#unwellMs = this.#clock.monotonic();
      this.#timer = this.#clock.timer(this.#timings.leaderlessAfterMs, this.#lost);
    }
  }

  /** Until when a request is offered that began then. Asked again after every change: it is not the same before and after. */
  offeredUntil(beganMs: number): number {
    const { unavailableAfterMs, leaderlessAfterMs } = this.#timings;
    const own = beganMs + unavailableAfterMs;
    return this.#unwellMs === undefined ? own : Math.min(own, this.#unwellMs + leaderlessAfterMs);
  }

  close(): void {
    this.#timer?.cancel();
  }
}
