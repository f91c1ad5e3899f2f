// Turns of the event loop: the only way to let others run without time passing. They go through here so that they are counted:
// when none is in flight, and promises have settled, nothing happens any more until a timer fires or input comes. The simulator
// moves its clock on exactly then.
//
// The event loop is everybody's. Long work is cut into slices of one or two milliseconds, and before each slice but the
// first its worker waits for a turn. One slice runs in each round of the event loop, whoever it belongs to: between two of
// them timers fire and sockets are served, however many workers there are.

let inFlight = 0;

/** Calls `run` in the next round of the event loop, in the order of asking. */
export function onNextTurn(run: () => void): void {
  inFlight++;
  setImmediate(() => {
    inFlight--;
    run();
  });
}

/** Lets everything else that is ready run first. */
export function nextTurn(): Promise<void> {
  return new Promise(onNextTurn);
}

/** How many turns somebody waits for, in this process. */
export function turnsInFlight(): number {
  return inFlight;
}

export class Turns {
  /** Bounded by who waits: one entry for each piece of long work under way. */
  readonly #waiting: (() => void)[] = [];

  /** Waits for this worker's turn. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (this.#waiting.length === 1) onNextTurn(this.#give);
    });
  }

  readonly #give = (): void => {
    this.#waiting.shift()?.();
    if (this.#waiting.length > 0) onNextTurn(this.#give);
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
