// What samples say about a failure: how long nothing was answered, how many questions were lost, how slow the others were.
import type { Sample } from './open-loop.ts';

export interface Gap {
  readonly ms: number;
  readonly from: number;
  readonly to: number;
}

/**
 * The longest time within a window in which no question was answered well: from the end of one good answer, or the window's
 * beginning, to that of the next, or the window's end. At rest it is about the time between two questions.
 */
export function longestGap(samples: readonly Sample[], from: number, to: number): Gap {
  const ends = samples
    .filter((one) => one.outcome === 'ok' && one.ended >= from && one.ended <= to)
    .map((one) => one.ended);
  const marks = [from, ...ends.sort((a, b) => a - b), to];
  let best: Gap = { ms: 0, from, to: from };
  for (let i = 1; i < marks.length; i++) {
    const ms = marks[i]! - marks[i - 1]!;
    if (ms > best.ms) best = { ms, from: marks[i - 1]!, to: marks[i]! };
  }
  return best;
}

export interface Summary {
  readonly asked: number;
  readonly ok: number;
  readonly refused: number;
  readonly unknown: number;
  /** Good answers that took a second question. */
  readonly retried: number;
  /** Milliseconds from when it was to be asked to the good answer. */
  readonly p50: number;
  readonly p99: number;
  readonly worst: number;
  /** How often, by text. */
  readonly errors: ReadonlyMap<string, number>;
}

export function summarize(samples: readonly Sample[]): Summary {
  const good = samples.filter((one) => one.outcome === 'ok');
  const latencies = good.map((one) => one.ended - one.scheduled).sort((a, b) => a - b);
  const errors = new Map<string, number>();
  for (const { error } of samples) if (error !== undefined) errors.set(error, (errors.get(error) ?? 0) + 1);
  return {
    asked: samples.length,
    ok: good.length,
    refused: samples.filter((one) => one.outcome === 'refused').length,
    unknown: samples.filter((one) => one.outcome === 'unknown').length,
    retried: good.filter((one) => (one.retries ?? 0) > 0).length,
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
    worst: latencies.at(-1) ?? 0,
    errors,
  };
}

/** Of sorted numbers; 0 of none. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? sorted[0] ?? 0;
}
