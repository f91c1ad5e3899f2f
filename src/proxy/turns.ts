import { nextTurn } from '../lib/turns.ts';
// Work that takes long with many Services is written as generators that stop now and then; whoever drives them decides what
// happens in between. An agent's event loop also answers probes and DNS.

/** Services, or lines of a transaction, between two stops: some milliseconds of work. */
export const SERVICES_PER_TURN = 50;
export const LINES_PER_TURN = 5000;

/** Lets the event loop turn at every stop. */
export async function inTurns<T>(work: Generator<void, T>, signal: AbortSignal): Promise<T> {
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
    await nextTurn();
    signal.throwIfAborted();
  }
}

/** Without a stop. */
export function atOnce<T>(work: Generator<void, T>): T {
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
  }
}
