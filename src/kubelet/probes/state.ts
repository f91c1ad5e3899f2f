// How results of a probe become a verdict on a container. Pure.
import type { Probe } from '../../api/generated/types.ts';
import type { ProbeVerdict } from '../pod/decide.ts';

export type ProbeType = 'liveness' | 'readiness' | 'startup';

export interface ProbeState {
  readonly containerId: string;
  readonly verdict: ProbeVerdict;
  /** The last outcome and how often it came in a row. */
  readonly last: 'success' | 'failure' | undefined;
  readonly run: number;
  /** A verdict that ends the container: nothing more is asked of it. */
  readonly onHold: boolean;
}

/** Until a probe has spoken, a container lives, is not ready, and has not started. */
export function initialProbeState(type: ProbeType, containerId: string, wasReady = false): ProbeState {
  const verdict =
    type === 'liveness' ? 'success' : type === 'readiness' ? (wasReady ? 'success' : 'failure') : 'unknown';
  return { containerId, verdict, last: undefined, run: 0, onHold: false };
}

/** Takes one outcome: the verdict changes when the outcome came as often in a row as the probe's threshold says. */
export function nextProbeState(
  state: ProbeState,
  type: ProbeType,
  probe: Pick<Probe, 'failureThreshold' | 'successThreshold'>,
  outcome: 'success' | 'failure',
): ProbeState {
  const run = state.last === outcome ? state.run + 1 : 1;
  const needed =
    (outcome === 'failure' ? probe.failureThreshold : probe.successThreshold) ?? (outcome === 'failure' ? 3 : 1);
  const counted = { ...state, last: outcome, run };
  if (run < needed) return counted;
  const fatal = outcome === 'failure' && type !== 'readiness';
  // A container about to be restarted starts counting afresh.
  if (fatal) return { ...counted, verdict: outcome, run: 0, onHold: true };
  return { ...counted, verdict: outcome };
}

export interface ProbeTiming {
  readonly nowMs: number;
  readonly startedAtMs: number;
  /** Whether the startup probe (or its absence) has let the container through. */
  readonly started: boolean;
}

/** Whether a probe is to be sent now: after the initial delay, startup first and the others only after it. */
export function isProbeDue(state: ProbeState, type: ProbeType, probe: Probe, timing: ProbeTiming): boolean {
  if (state.onHold) return false;
  if (timing.nowMs - timing.startedAtMs < (probe.initialDelaySeconds ?? 0) * 1000) return false;
  return type === 'startup' ? !timing.started : timing.started;
}
