// A client that asks at a fixed rate whatever becomes of the answers: one that waited for a slow answer before it asked again
// would miss exactly the questions that a failure would have harmed (coordinated omission).
import type { Clock } from '../../lib/clock.ts';

/** How one question ended. */
export interface Attempt<T = unknown> {
  /** refused: certainly nothing was done. unknown: nobody knows whether it was. */
  readonly outcome: 'ok' | 'refused' | 'unknown';
  /** What was answered, or asked for. */
  readonly value?: T;
  /** For people, and for counting errors by kind. */
  readonly error?: string;
  /** How often it was asked again after a failure. */
  readonly retries?: number;
}

/** Times are monotonic milliseconds. Latency counts from `scheduled`. */
export interface Sample<T = unknown> extends Attempt<T> {
  readonly scheduled: number;
  readonly began: number;
  readonly ended: number;
}

export interface OpenLoop<T> {
  readonly clock: Clock;
  readonly perSecond: number;
  /** Questions that may be under way at once; further ones are counted as refused, not asked. */
  readonly maxInFlight: number;
  /** Asks once. What it throws counts as unknown. `index` counts from 0. */
  ask(index: number, signal: AbortSignal): Promise<Attempt<T>>;
  /** Is told of every sample as it ends, in the order of their ends. */
  onSample?(sample: Sample<T>): void;
}

/** Asks until the signal aborts, and waits for what is under way; resolves with all samples by their time. */
export async function runOpenLoop<T>(loop: OpenLoop<T>, signal: AbortSignal): Promise<readonly Sample<T>[]> {
  const { clock, perSecond, maxInFlight } = loop;
  const samples: Sample<T>[] = [];
  const underWay = new Set<Promise<void>>();
  const began = clock.monotonic();
  const keep = (sample: Sample<T>): void => {
    samples.push(sample);
    loop.onSample?.(sample);
  };
  const one = async (index: number, scheduled: number): Promise<void> => {
    const start = clock.monotonic();
    let attempt: Attempt<T>;
    try {
      attempt = await loop.ask(index, signal);
    } catch (error) {
      attempt = { outcome: 'unknown', error: String(error) };
    }
    keep({ ...attempt, scheduled, began: start, ended: clock.monotonic() });
  };
  for (let index = 0; !signal.aborted; index++) {
    const scheduled = began + (index * 1000) / perSecond;
    await until(clock, scheduled, signal);
    if (signal.aborted) break;
    if (underWay.size >= maxInFlight) {
      const now = clock.monotonic();
      keep({ outcome: 'refused', error: 'too many questions under way', scheduled, began: now, ended: now });
      continue;
    }
    const asked = one(index, scheduled);
    underWay.add(asked);
    void asked.finally(() => underWay.delete(asked));
  }
  await Promise.all(underWay);
  return samples.sort((a, b) => a.scheduled - b.scheduled);
}

/** Resolves at a moment, or when the signal aborts; at once for one that has passed. */
function until(clock: Clock, at: number, signal: AbortSignal): Promise<void> {
  const delayMs = at - clock.monotonic();
  if (delayMs <= 0 || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      timer.cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = clock.timer(delayMs, done);
    signal.addEventListener('abort', done, { once: true });
  });
}
