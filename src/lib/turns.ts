// The event loop is everybody's. Long work is cut into slices of one or two milliseconds, and before each slice but the
// first its worker waits for a turn. One slice runs in each round of the event loop, whoever it belongs to: between two of
// them timers fire and sockets are served, however many workers there are.

export class Turns {
  /** Bounded by who waits: one entry for each piece of long work under way. */
  readonly #waiting: (() => void)[] = [];

  /** Waits for this worker's turn. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (this.#waiting.length === 1) setImmediate(this.#give);
    });
  }

  readonly #give = (): void => {
    this.#waiting.shift()?.();
    if (this.#waiting.length > 0) setImmediate(this.#give);
  };
}

/** Of this process: it has one event loop. */
export const turns = new Turns();

/** Calls `work` for each item; a slice ends when what it says of its items adds up to `limit` or more. */
export async function inSlices<T>(items: readonly T[], limit: number, work: (item: T) => number): Promise<void> {
  let done = 0;
  for (const item of items) {
    if (done >= limit) {
      await turns.next();
      done = 0;
    }
    done += work(item);
  }
}
