// Time that passes only when nothing else is left to do.
import type { Clock, Timer } from '../lib/clock.ts';
import { Heap } from '../lib/heap.ts';
import { turnsInFlight } from '../lib/turns.ts';

interface Waiting {
  readonly key: string;
  readonly atMs: number;
  readonly serial: number;
  readonly fire: () => void;
}

/** Rounds of the event loop that may pass while virtual time stands still; more is an endless loop. */
const ROUNDS_AT_ONE_MOMENT = 200_000;

/**
 * The clock of a simulation. It fires one timer at a time, and the next only when everything that can go on without time has:
 * the code under it works on promises and on counted turns (lib/turns.ts) alone, scripts/edges.ts sees to that. Between two
 * rounds of the event loop no promise job is left, so that no turn in flight means that nothing happens until a timer fires.
 */
export class VirtualClock implements Clock {
  readonly #startMs: number;
  #elapsedMs = 0;
  #serial = 0;
  #fired = 0;
  readonly #timers = new Heap<Waiting>(
    (timer) => timer.key,
    (a, b) => a.atMs - b.atMs || a.serial - b.serial,
  );

  constructor(startMs: number) {
    this.#startMs = startMs;
  }

  now(): number {
    return this.#startMs + Math.floor(this.#elapsedMs);
  }

  monotonic(): number {
    return this.#elapsedMs;
  }

  /** How many timers have fired. */
  get fired(): number {
    return this.#fired;
  }

  timer(delayMs: number, fire: () => void): Timer {
    const serial = this.#serial++;
    const key = String(serial);
    const atMs = this.#elapsedMs + Math.max(0, delayMs);
    if (Number.isFinite(atMs)) this.#timers.add({ key, atMs, serial, fire });
    return { cancel: () => void this.#timers.delete(key) };
  }

  /** Lets time pass until `done` says so, which is asked whenever nothing else happens. Throws when nothing is left to wait for. */
  async run(done: () => boolean): Promise<void> {
    for (;;) {
      await this.#quiet();
      if (done()) return;
      const next = this.#timers.pop();
      if (!next) throw new Error('nothing waits for time any more: the simulation is stuck');
      this.#elapsedMs = next.atMs;
      this.#fired++;
      next.fire();
    }
  }

  async #quiet(): Promise<void> {
    for (let rounds = 0; ; rounds++) {
      // From outside of the counted turns: when this round is reached, every promise job has run.
      await new Promise((resolve) => setImmediate(resolve));
      if (turnsInFlight() === 0) return;
      if (rounds > ROUNDS_AT_ONE_MOMENT) throw new Error(`endless turns at ${this.#elapsedMs} ms`);
    }
  }
}
