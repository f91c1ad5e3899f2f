// One failure, once: the cluster whole, clients at work, the failure, the repair, the judgement.
import { sleep } from '../../lib/clock.ts';
import { Load, type Seen } from './load.ts';
import type { Extra, Row, Scene } from './rows.ts';
import type { Stage } from './stage.ts';

export interface Outcome {
  readonly row: string;
  readonly repetition: number;
  /** From the failure until it was mended. */
  readonly during: Seen;
  /** From then until the cluster was whole. */
  readonly after: Seen;
  readonly wholeAfterMs: number;
  readonly extra: Extra;
  /** What the history checker found. */
  readonly problems: readonly string[];
}

/** Clients are at work before the failure, so that their connections are made. */
const WARM_UP_MS = 700;

export interface RepetitionOptions {
  readonly stage: Stage;
  readonly row: Row;
  readonly repetition: number;
  readonly pauseMs: number;
}

/** Leaves a cluster that is whole, or throws. */
export async function runRepetition(options: RepetitionOptions, signal: AbortSignal): Promise<Outcome> {
  const { stage, row, repetition, pauseMs } = options;
  const status = await stage.whole(signal);
  const load = await Load.start(stage, `${row.id}-${repetition}`, 'worker-1', signal);
  const scene: Scene = { stage, status, load, repetition, pauseMs, signal };
  try {
    return await clearing(
      () => happen(row, scene),
      async () => row.clear?.(scene),
    );
  } finally {
    load.close();
  }
}

async function happen(row: Row, scene: Scene): Promise<Outcome> {
  const { stage, load, repetition, signal } = scene;
  const { clock } = stage.env;
  if (row.via) await load.askServiceVia(row.via(scene));
  await sleep(clock, WARM_UP_MS, signal);
  if (row.prepare) {
    await row.prepare(scene);
    await untilCalm(stage, load, signal);
  }
  const struckMs = clock.monotonic();
  const measured = await row.strike(scene);
  await sleep(clock, Math.max(0, struckMs + row.watchMs - clock.monotonic()), signal);
  const mendedMs = clock.monotonic();
  const mended = await row.mend?.(scene);
  await stage.whole(signal);
  const wholeMs = clock.monotonic();
  const during = load.seen(struckMs, mendedMs);
  const after = load.seen(mendedMs, wholeMs);
  const problems = await load.judge(signal);
  const extra = { ...measured, ...mended };
  return { row: row.id, repetition, during, after, wholeAfterMs: wholeMs - struckMs, extra, problems };
}

/** Clears up whatever becomes of the work; when both fail, both are told. */
export async function clearing<T>(work: () => Promise<T>, clear: () => Promise<void>): Promise<T> {
  let result: T;
  try {
    result = await work();
  } catch (error) {
    await clear().catch((another: Error) => {
      const text = `${(error as Error).message}; and what it left cannot be removed: ${another.message}`;
      throw new AggregateError([error, another], text);
    });
    throw error;
  }
  await clear();
  return result;
}

/** What was prepared may itself have disturbed the clients: the failure's time begins with writes that flow. */
async function untilCalm(stage: Stage, load: Load, signal: AbortSignal): Promise<void> {
  const { clock } = stage.env;
  const calmMs = 300;
  for (;;) {
    const fromMs = clock.monotonic();
    await sleep(clock, calmMs, signal);
    if (load.seen(fromMs, fromMs + calmMs).writesGoneMs < calmMs / 2) return;
  }
}
