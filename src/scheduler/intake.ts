import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { onNextTurn } from '../lib/turns.ts';

/** How much of one turn of the event loop changes may take; what comes after waits for the next turn. */
const SLICE_MS = 4;

/**
 * Takes in changes in order: at once while they are few, in slices when they come in thousands (the first list, a mass
 * deletion). What waits is bounded by the changes that informers have delivered, which are in memory anyway. A change that
 * throws is logged, harms no other and reaches nobody: in a later turn nobody would catch it.
 */
export class Intake {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #waiting: (() => void)[] = [];
  #next = 0;
  #turnStartMs: number | undefined;
  #idle: (() => void)[] = [];

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  take(change: () => void): void {
    this.#openTurn();
    if (this.#next === this.#waiting.length && !this.#over()) this.#make(change);
    else this.#waiting.push(change);
  }

  /** Resolves when nothing waits. */
  drained(): Promise<void> {
    if (this.#next === this.#waiting.length) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #make(change: () => void): void {
    try {
      change();
    } catch (error) {
      this.#log.error('a change could not be taken in', error);
    }
  }

  #over(): boolean {
    return this.#clock.monotonic() - this.#turnStartMs! >= SLICE_MS;
  }

  #openTurn(): void {
    if (this.#turnStartMs !== undefined) return;
    this.#turnStartMs = this.#clock.monotonic();
    onNextTurn(() => {
      this.#turnStartMs = undefined;
      this.#drain();
    });
  }

  #drain(): void {
    if (this.#next === this.#waiting.length) return;
    this.#openTurn();
    while (this.#next < this.#waiting.length && !this.#over()) this.#make(this.#waiting[this.#next++]!);
    if (this.#next < this.#waiting.length) return;
    this.#waiting.length = 0;
    this.#next = 0;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}
