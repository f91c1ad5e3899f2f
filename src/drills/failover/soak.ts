// One failure after the other, for as long as one likes: nothing may break for good, and nothing may grow.
import { sleep } from '../../lib/clock.ts';
import type { Random } from '../../lib/random.ts';
import { type Census, census, grown, memoryGrown } from './census.ts';
import { type Outcome, runRepetition } from './repetition.ts';
import { ROWS, type Row } from './rows.ts';
import type { Stage } from './stage.ts';

export interface SoakOptions {
  readonly stage: Stage;
  readonly durationMs: number;
  /** A failure begins this often; later, when the last one takes longer. */
  readonly everyMs: number;
  /** Chooses the failures. */
  readonly random: Random;
  readonly onOutcome: (outcome: Outcome) => void;
  readonly onCensus: (census: Census) => void;
}

export interface SoakReport {
  readonly faults: number;
  readonly before: Census;
  readonly after: Census;
  /** After each failure, when the cluster was whole again. */
  readonly memoryMiB: readonly number[];
  /** What has grown, and what the history checker found. */
  readonly problems: readonly string[];
}

const PAUSE_MS = 10_000;
/** Pods that were deleted are gone by then. */
const REST_MS = 8_000;

export async function soak(options: SoakOptions, signal: AbortSignal): Promise<SoakReport> {
  const { stage, durationMs, everyMs, random, onOutcome, onCensus } = options;
  const { clock } = stage.env;
  const problems: string[] = [];
  // The first failure is not counted: what it leaves (a process that is started again is small) is where growth begins.
  await runRepetition({ stage, row: ROWS[0]!, repetition: 0, pauseMs: PAUSE_MS }, signal);
  const before = await rested(stage, signal);
  onCensus(before);
  const memoryMiB: number[] = [];
  const beganMs = clock.monotonic();
  let faults = 0;
  while (clock.monotonic() - beganMs < durationMs) {
    faults++;
    const row = ROWS[Math.floor(random.next() * ROWS.length)] as Row;
    const outcome = await runRepetition({ stage, row, repetition: faults, pauseMs: PAUSE_MS }, signal);
    onOutcome(outcome);
    memoryMiB.push((await census(stage)).memoryMiB);
    problems.push(...outcome.problems.map((text) => `failure ${faults}, ${row.id}: ${text}`));
    await sleep(clock, Math.max(0, beganMs + faults * everyMs - clock.monotonic()), signal);
  }
  const after = await rested(stage, signal);
  onCensus(after);
  return {
    faults,
    before,
    after,
    memoryMiB,
    problems: [...problems, ...grown(before, after), ...memoryGrown(memoryMiB)],
  };
}

async function rested(stage: Stage, signal: AbortSignal): Promise<Census> {
  await stage.whole(signal);
  await sleep(stage.env.clock, REST_MS, signal);
  return census(stage);
}
