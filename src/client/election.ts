// Who leads: decided from the Lease as it was last seen. No clock, no I/O. The rules are client-go's leaderelection.
import type { Lease, LeaseSpec } from '../api/generated/types.ts';
import { rfc3339Micro } from '../lib/clock.ts';

export interface ElectionTimings {
  /** Non-leaders wait this long after the last renewal they saw. */
  readonly leaseDurationMs: number;
  /** A leader that could not renew for this long stops leading. */
  readonly renewDeadlineMs: number;
  /** Between tries. */
  readonly retryPeriodMs: number;
}

/** Kubernetes' own defaults. */
export const DEFAULT_ELECTION: ElectionTimings = {
  leaseDurationMs: 15_000,
  renewDeadlineMs: 10_000,
  retryPeriodMs: 2_000,
};

/** What one candidate has seen of the Lease. Its own clock times the lease: other machines' times are never compared. */
export interface Observation {
  readonly lease: Lease | undefined;
  /** When this content of the lease was first seen, in monotonic time. */
  readonly sinceMs: number;
}

export const NOTHING_OBSERVED: Observation = { lease: undefined, sinceMs: 0 };

/** Takes in the Lease as it is now: the time starts again when its content changed. */
export function observe(before: Observation, lease: Lease | undefined, nowMs: number): Observation {
  const same = before.lease !== undefined && JSON.stringify(before.lease.spec) === JSON.stringify(lease?.spec);
  return { lease, sinceMs: same ? before.sinceMs : nowMs };
}

export type ElectionStep =
  | { readonly kind: 'create'; readonly spec: LeaseSpec }
  | { readonly kind: 'update'; readonly lease: Lease; readonly spec: LeaseSpec }
  /** Somebody else holds it. */
  | { readonly kind: 'wait'; readonly holder: string };

export interface Candidate {
  readonly identity: string;
  readonly leaseDurationMs: number;
}

/** What a candidate or the leader does next. `wallMs` is only written into the Lease. */
export function decideElection(seen: Observation, me: Candidate, now: { nowMs: number; wallMs: number }): ElectionStep {
  const at = rfc3339Micro(now.wallMs);
  const mine = {
    holderIdentity: me.identity,
    leaseDurationSeconds: Math.max(1, Math.floor(me.leaseDurationMs / 1000)),
    renewTime: at,
  };
  if (!seen.lease) return { kind: 'create', spec: { ...mine, acquireTime: at, leaseTransitions: 0 } };
  const { spec } = seen.lease;
  const holder = spec.holderIdentity ?? '';
  const held = holder === me.identity;
  if (leaseLeftMs(seen, me, now.nowMs) > 0) return { kind: 'wait', holder };
  const transitions = spec.leaseTransitions ?? 0;
  return {
    kind: 'update',
    lease: seen.lease,
    spec: {
      ...spec,
      ...mine,
      acquireTime: held ? (spec.acquireTime ?? at) : at,
      leaseTransitions: held ? transitions : transitions + 1,
    },
  };
}

/**
 * How long an observed renewal holds. Leases speak whole seconds; a candidate with shorter timings (tests, the fast profile's
 * fractions) trusts its own when the Lease was written with the same rounding.
 */
function leaseMs(spec: LeaseSpec, me: Candidate): number {
  const writtenMs = (spec.leaseDurationSeconds ?? 0) * 1000;
  const ownMs = Math.max(1, Math.floor(me.leaseDurationMs / 1000)) * 1000;
  return writtenMs === ownMs ? me.leaseDurationMs : writtenMs;
}

/** How long until the lease, as seen, runs out for this candidate; 0 or less: it may be taken. */
export function leaseLeftMs(seen: Observation, me: Candidate, nowMs: number): number {
  const holder = seen.lease?.spec.holderIdentity ?? '';
  if (!seen.lease || holder === '' || holder === me.identity) return 0;
  return seen.sinceMs + leaseMs(seen.lease.spec, me) - nowMs;
}

/** The Lease as a leader leaves it: held by nobody, takeable at once. */
export function released(spec: LeaseSpec, wallMs: number): LeaseSpec {
  const at = rfc3339Micro(wallMs);
  const { leaseTransitions = 0 } = spec;
  return { ...spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: at, acquireTime: at, leaseTransitions };
}
