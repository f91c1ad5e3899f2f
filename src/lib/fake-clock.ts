import type { Clock, Timer } from './clock.ts';

interface Waiting {
  readonly atMs: number;
  readonly serial: number;
  readonly fire: () => void;
}

/** A clock that moves only when told. Timers fire in order of their time, then of their making. */
export class FakeClock implements Clock {
  #wallMs: number;
  #elapsedMs = 0;
  #serial = 0;
  #timers: Waiting[] = [];

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#wallMs = startMs;
  }

  now(): number {
    return this.#wallMs + this.#elapsedMs;
  }

  monotonic(): number {
    return this.#elapsedMs;
  }

  timer(delayMs: number, fire: () => void): Timer {
    const entry = { atMs: this.#elapsedMs + Math.max(0, delayMs), serial: this.#serial++, fire };
    this.#timers.push(entry);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((t) => t !== entry);
      },
    };
  }

  /** Sets the wall clock, as an administrator or NTP does: monotonic time does not notice. */
  setWall(wallMs: number): void {
    this.#wallMs = wallMs - this.#elapsedMs;
  }

  /** How many timers wait. */
  get pending(): number {
    return this.#timers.length;
  }

  /** When the next timer is due, in milliseconds from now; undefined when none waits. */
  get nextDelayMs(): number | undefined {
    const next = this.#next();
    return next && next.atMs - this.#elapsedMs;
  }

  /** Moves time on by `ms`, firing what comes due on the way and letting promises settle between timers. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#elapsedMs + ms;
    await settle();
    for (let next = this.#next(); next && next.atMs <= untilMs; next = this.#next()) {
      this.#elapsedMs = next.atMs;
      this.#timers = this.#timers.filter((t) => t !== next);
      next.fire();
      await settle();
    }
    this.#elapsedMs = untilMs;
  }

  #next(): Waiting | undefined {
    let best: Waiting | undefined;
    for (const t of this.#timers) {
      const earlier = !best || best.atMs > t.atMs || (t.atMs === best.atMs && best.serial > t.serial);
      if (earlier) best = t;
    }
    return best;
  }
}

/** Lets every promise that can settle without time passing do so. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
}
