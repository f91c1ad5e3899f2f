// What a drill found, as it is kept and reported. Times are milliseconds since the drill began, unless said otherwise.
import type { Verdict } from './objective.ts';

/** Milliseconds; undefined: not seen, or it never came to that. */
export interface Measures {
  readonly writes: number | undefined;
  readonly reads: number | undefined;
  readonly service: number | undefined;
  readonly dns: number | undefined;
  readonly pods: number | undefined;
  readonly watch: number | undefined;
  readonly detect: number | undefined;
  readonly failover: number | undefined;
  readonly recover: number | undefined;
  /** A count. */
  readonly failed: number | undefined;
}

/** One kind of question that clients asked. */
export interface ProbeResult {
  readonly name: string;
  readonly asked: number;
  readonly ok: number;
  readonly failed: number;
  readonly retried: number;
  readonly p50: number;
  readonly p99: number;
  readonly worst: number;
  /** The longest time without a good answer, while something failed; 0: everything was answered. */
  readonly goneMs: number;
  /** By kind, how often. */
  readonly errors: Readonly<Record<string, number>>;
  /** Each question: when it was to be asked, how long until its end, and whether it was answered well. */
  readonly samples: readonly (readonly [atMs: number, tookMs: number, ok: 0 | 1])[];
}

export interface FaultBand {
  readonly what: string;
  readonly hit: readonly string[];
  readonly fromMs: number;
  /** Absent: it was over at once. */
  readonly toMs?: number;
}

export interface TimelineEvent {
  readonly atMs: number;
  readonly kind: 'leader' | 'address' | 'controllers' | 'scheduler' | 'node' | 'pod' | 'problem' | 'drill';
  readonly what: string;
}

export interface DrillResult {
  readonly drill: string;
  readonly title: string;
  readonly cluster: string;
  readonly profile: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly lengthMs: number;
  /** passed: every bound and check holds. impossible: this machine cannot do it, `reason` says why. */
  readonly outcome: 'passed' | 'failed' | 'impossible' | 'aborted';
  readonly reason?: string;
  readonly faults: readonly FaultBand[];
  readonly probes: readonly ProbeResult[];
  readonly timeline: readonly TimelineEvent[];
  readonly measures: Measures;
  readonly verdicts: readonly Verdict[];
  /** What the checkers found broken, each line one thing, by checker. */
  readonly checks: readonly { readonly name: string; readonly looked: number; readonly problems: readonly string[] }[];
}

export const NOTHING_MEASURED: Measures = {
  writes: undefined,
  reads: undefined,
  service: undefined,
  dns: undefined,
  pods: undefined,
  watch: undefined,
  detect: undefined,
  failover: undefined,
  recover: undefined,
  failed: undefined,
};
