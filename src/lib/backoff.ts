import type { Random } from './random.ts';

/** Exponential growth with a ceiling. Times in milliseconds; `jitter` is the share that randomness may add (0.1: up to 10 %). */
export interface BackoffPolicy {
  readonly initialMs: number;
  readonly maximumMs: number;
  readonly factor: number;
  readonly jitter: number;
}

/** The wait before try number `attempt` (0 is the first retry). */
export function backoffMs(policy: BackoffPolicy, attempt: number, random: Random): number {
  const base = Math.min(policy.maximumMs, policy.initialMs * policy.factor ** Math.min(attempt, 64));
  return base * (1 + policy.jitter * random.next());
}
