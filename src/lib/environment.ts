import type { Registry } from 'prom-client';
import type { Clock } from './clock.ts';
import type { Log } from './log.ts';
import type { Random } from './random.ts';

/** What every component receives from main.ts, and nothing of it is made elsewhere. */
export interface Environment {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** One registry a process: /metrics prints it. Metric names are upstream's where upstream has one. */
  readonly metrics: Registry;
}
