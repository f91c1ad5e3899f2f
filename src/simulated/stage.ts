import type { Clock } from '../lib/clock.ts';

export interface StageEvent {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

/** What a stage does to an object: a patch of its status, or its removal; and what is told about it. */
export interface StageOutcome {
  readonly status?: object;
  readonly remove?: true;
  readonly events?: readonly StageEvent[];
}

/**
 * One step of a lifecycle (the idea is kwok's): an object in the state that `when` describes will, after a delay, be changed
 * as `next` says. Stages are tried in order and the first that matches counts. All three are pure; `next` leads to
 * a state that `when` does not match, or that is due only later.
 */
export interface Stage<T, F> {
  readonly name: string;
  readonly when: (object: T, facts: F) => boolean;
  /** From the moment that the stage first matched. Default: at once. */
  readonly afterMs?: (object: T, facts: F) => number;
  readonly next: (object: T, facts: F) => StageOutcome;
}

export function nextStage<T, F>(stages: readonly Stage<T, F>[], object: T, facts: F): Stage<T, F> | undefined {
  return stages.find((stage) => stage.when(object, facts));
}

/** Times at which the driver wakes are rounded up to this, so that many stages share a timer. */
export const TICK_MS = 20;

export function tickAfter(clock: Clock, delayMs: number): number {
  return Math.ceil((clock.monotonic() + delayMs) / TICK_MS) * TICK_MS;
}
