// The arithmetic of a rollout: which ReplicaSet gets how many replicas. Pure numbers over readonly objects.
import type { Deployment, ReplicaSet } from '../api/generated/types.ts';
import { rollingUpdateBounds } from '../machinery/percent.ts';

export const REVISION = 'deployment.kubernetes.io/revision';
export const REVISION_HISTORY = 'deployment.kubernetes.io/revision-history';
export const DESIRED_REPLICAS = 'deployment.kubernetes.io/desired-replicas';
export const MAX_REPLICAS = 'deployment.kubernetes.io/max-replicas';
export const TEMPLATE_HASH = 'pod-template-hash';

/** ReplicaSet → the replicas that it should have. Only those that change are named. */
export type Scaling = ReadonlyMap<ReplicaSet, number>;

export const replicasOf = (rs: ReplicaSet): number => rs.spec.replicas ?? 1;
const availableOf = (rs: ReplicaSet): number => rs.status?.availableReplicas ?? 0;
const sum = (sets: readonly ReplicaSet[], of: (rs: ReplicaSet) => number): number =>
  sets.reduce((total, rs) => total + of(rs), 0);

export function wantedReplicas(deployment: Deployment): number {
  return deployment.spec.replicas ?? 1;
}

/** How many pods may be there above what is declared, and be missing. Recreate allows neither. */
export function bounds(deployment: Deployment): { surge: number; unavailable: number } {
  const strategy = deployment.spec.strategy;
  if (strategy?.type === 'Recreate') return { surge: 0, unavailable: 0 };
  const { maxSurge = '25%', maxUnavailable = '25%' } = strategy?.rollingUpdate ?? {};
  const wanted = wantedReplicas(deployment);
  const { surge, unavailable } = rollingUpdateBounds(maxSurge, maxUnavailable, wanted);
  return { surge, unavailable: Math.min(unavailable, wanted) };
}

export function maxReplicas(deployment: Deployment): number {
  const wanted = wantedReplicas(deployment);
  return wanted === 0 ? 0 : wanted + bounds(deployment).surge;
}

/** Oldest first; names break ties. */
export function byAge(sets: readonly ReplicaSet[]): readonly ReplicaSet[] {
  const time = (rs: ReplicaSet): string => rs.metadata.creationTimestamp ?? '';
  return [...sets].sort((a, b) =>
    time(a) < time(b) ? -1 : time(a) > time(b) ? 1 : a.metadata.name < b.metadata.name ? -1 : 1,
  );
}

/** The size the newest ReplicaSet may grow to now: never so many that all pods exceed replicas + surge. */
export function newReplicas(deployment: Deployment, all: readonly ReplicaSet[], current: number): number {
  const wanted = wantedReplicas(deployment);
  if (deployment.spec.strategy?.type === 'Recreate') return wanted;
  const room = wanted + bounds(deployment).surge - sum(all, replicasOf);
  return room <= 0 ? current : current + Math.max(0, Math.min(room, wanted - current));
}

/** One step of a rolling update: first the new one grows, else the old ones shrink as availability allows. */
export function rollingStep(deployment: Deployment, newest: ReplicaSet, old: readonly ReplicaSet[]): Scaling {
  const current = replicasOf(newest);
  const wanted = wantedReplicas(deployment);
  const target = current > wanted ? wanted : newReplicas(deployment, [newest, ...old], current);
  if (target !== current) return new Map([[newest, target]]);
  return shrinkOld(deployment, newest, old);
}

function shrinkOld(deployment: Deployment, newest: ReplicaSet, old: readonly ReplicaSet[]): Scaling {
  const scaling = new Map<ReplicaSet, number>();
  const all = [newest, ...old];
  if (sum(old, replicasOf) === 0) return scaling;
  const minimum = wantedReplicas(deployment) - bounds(deployment).unavailable;
  const newUnavailable = replicasOf(newest) - availableOf(newest);
  let room = sum(all, replicasOf) - minimum - newUnavailable;
  if (room <= 0) return scaling;
  // Pods of old ReplicaSets that serve nobody go first: they cost no availability.
  const size = (rs: ReplicaSet): number => scaling.get(rs) ?? replicasOf(rs);
  for (const rs of byAge(old)) {
    const unhealthy = Math.min(room, replicasOf(rs) - availableOf(rs));
    if (unhealthy <= 0) continue;
    scaling.set(rs, replicasOf(rs) - unhealthy);
    room -= unhealthy;
  }
  let spare = sum(all, availableOf) - minimum;
  for (const rs of byAge(old)) {
    if (spare <= 0) break;
    const down = Math.min(size(rs), spare);
    if (down <= 0) continue;
    scaling.set(rs, size(rs) - down);
    spare -= down;
  }
  return scaling;
}

/** True when the size declared differs from the size that the ReplicaSets were last given. */
export function isScaling(deployment: Deployment, all: readonly ReplicaSet[]): boolean {
  return all.some((rs) => {
    if (replicasOf(rs) === 0) return false;
    const desired = rs.metadata.annotations?.[DESIRED_REPLICAS];
    return desired !== undefined && Number(desired) !== wantedReplicas(deployment);
  });
}

/** Spreads a change of size over the ReplicaSets that have pods, in proportion, so that a rollout under way stays under way. */
export function proportionalScaling(
  deployment: Deployment,
  newest: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
): Scaling {
  const wanted = wantedReplicas(deployment);
  const all = newest ? [...old, newest] : old;
  const active = all.filter((rs) => replicasOf(rs) > 0);
  const only = active.length === 1 ? active[0] : active.length === 0 ? (newest ?? byAge(old).at(-1)) : undefined;
  if (only) return replicasOf(only) === wanted ? new Map() : new Map([[only, wanted]]);
  if (newest && isSaturated(deployment, newest)) {
    return new Map(old.filter((rs) => replicasOf(rs) > 0).map((rs) => [rs, 0]));
  }
  if (deployment.spec.strategy?.type === 'Recreate') return new Map();
  const toAdd = maxReplicas(deployment) - sum(active, replicasOf);
  if (toAdd === 0) return new Map();
  return spread(deployment, active, toAdd);
}

function spread(deployment: Deployment, active: readonly ReplicaSet[], toAdd: number): Scaling {
  const aged = byAge(active);
  const sorted = (toAdd > 0 ? [...aged].reverse() : [...aged]).sort((a, b) => replicasOf(b) - replicasOf(a));
  const scaling = new Map<ReplicaSet, number>();
  let added = 0;
  for (const rs of sorted) {
    const share = fractionOf(deployment, rs);
    const allowed = toAdd - added;
    const change = toAdd > 0 ? Math.min(share, allowed) : Math.max(share, allowed);
    scaling.set(rs, replicasOf(rs) + change);
    added += change;
  }
  const biggest = sorted[0];
  if (biggest && toAdd !== added) scaling.set(biggest, Math.max(0, scaling.get(biggest)! + toAdd - added));
  return scaling;
}

function fractionOf(deployment: Deployment, rs: ReplicaSet): number {
  const size = replicasOf(rs);
  if (wantedReplicas(deployment) === 0) return -size;
  const before = Number(rs.metadata.annotations?.[MAX_REPLICAS]) || deployment.status?.replicas || 0;
  if (before === 0) return 0;
  return Math.round((size * maxReplicas(deployment)) / before) - size;
}

/** The newest ReplicaSet has everything: full size, all available, and the annotation agrees. */
function isSaturated(deployment: Deployment, newest: ReplicaSet): boolean {
  const wanted = wantedReplicas(deployment);
  const desired = Number(newest.metadata.annotations?.[DESIRED_REPLICAS]);
  return replicasOf(newest) === wanted && desired === wanted && availableOf(newest) === wanted;
}

/** Finished: everything is new, and as much is available as is declared. */
export function isComplete(deployment: Deployment, status: NonNullable<Deployment['status']>): boolean {
  const wanted = wantedReplicas(deployment);
  return (
    status.updatedReplicas === wanted &&
    status.replicas === wanted &&
    status.availableReplicas === wanted &&
    (status.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)
  );
}
