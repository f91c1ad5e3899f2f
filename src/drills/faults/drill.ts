// A drill as data: which faults, when, for how long, and what must hold of it.
import type { Fault } from './fault.ts';

export interface Step {
  readonly fault: Fault;
  /** After the drill's first fault. */
  readonly atMs: number;
  /** Then it is healed; absent: it heals by itself. */
  readonly forMs?: number;
}

export interface Drill {
  readonly name: string;
  /** One line for people. */
  readonly title: string;
  readonly steps: readonly Step[];
  /** As --objective. */
  readonly objective: string;
  /** How long clients are watched after the last fault has ended, at least. Default TAIL_MS. */
  readonly tailMs?: number;
  readonly needs?: { readonly controlPlanes?: number; readonly workers?: number; readonly virtualAddress?: true };
}

export const TAIL_MS = 2_000;

/** When the last fault has ended, after the first began. */
export function lengthMs({ steps }: Drill): number {
  return Math.max(...steps.map(({ atMs, forMs = 0 }) => atMs + forMs));
}
