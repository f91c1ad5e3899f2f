// What must not happen, and did.
import type { Clock } from '../lib/clock.ts';

export interface Violation {
  /** The invariant. */
  readonly invariant: string;
  readonly detail: string;
  /** Milliseconds of virtual time since the start. */
  readonly atMs: number;
}

/** More than this many say nothing new. */
const MAXIMUM = 50;

export class Violations {
  readonly #clock: Clock;
  readonly #all: Violation[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get all(): readonly Violation[] {
    return this.#all;
  }

  add(invariant: string, detail: string): void {
    if (this.#all.length < MAXIMUM) this.#all.push({ invariant, detail, atMs: Math.round(this.#clock.monotonic()) });
  }
}
