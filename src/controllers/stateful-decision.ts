// Which pods of a StatefulSet to make, to repair and to delete, in which order, and the status that they show. Pure.
import type { Pod, StatefulSet } from '../api/generated/types.ts';
import { isTerminating } from '../machinery/meta.ts';
import { scaledCount } from '../machinery/percent.ts';
import { isPodAvailable, isPodReady, isTerminal, podCondition } from '../machinery/pods.ts';
import { REVISION_HASH } from './controller-history.ts';
import { hasIdentity, isCondemned, ordinalOf } from './stateful-identity.ts';

/** At most this many pods are made or deleted at once, as upstream's MaxBatchSize. */
const MAX_BATCH = 500;

export interface StatefulSnapshot {
  readonly set: StatefulSet;
  /** The pods that it controls. */
  readonly pods: readonly Pod[];
  /** Names of the revisions: of what runs, and of what is declared. */
  readonly currentRevision: string;
  readonly updateRevision: string;
  readonly nowMs: number;
}

export interface StatefulDecision {
  /** Ordinals without a pod, with the revision that the new one gets. */
  readonly create: readonly { readonly ordinal: number; readonly revision: string }[];
  readonly remove: readonly Pod[];
  /** Pods whose labels do not say who they are. */
  readonly repair: readonly Pod[];
  /** Pods whose claims are looked at: made when they lack, and owned as the retention policy wants. */
  readonly claims: readonly Pod[];
}

const NOTHING: StatefulDecision = { create: [], remove: [], repair: [], claims: [] };

interface Steps {
  readonly create: { ordinal: number; revision: string }[];
  readonly remove: Pod[];
  readonly repair: Pod[];
  readonly claims: Pod[];
}

/**
 * One step. In order: replicas are made and waited for from the lowest ordinal, what is too much goes from the highest, then
 * an update replaces from the highest. A set that is Parallel waits for nothing.
 */
export function decideStatefulPods(snapshot: StatefulSnapshot): StatefulDecision {
  const { set, pods } = snapshot;
  if (isTerminating(set)) return NOTHING;
  const monotonic = set.spec.podManagementPolicy !== 'Parallel';
  const byOrdinal = new Map(
    pods.flatMap((pod) => (ordinalOf(set, pod) === undefined ? [] : [[ordinalOf(set, pod)!, pod]])),
  );
  const start = set.spec.ordinals?.start ?? 0;
  const ordinals = Array.from({ length: set.spec.replicas ?? 1 }, (_, i) => start + i);
  const condemned = [...byOrdinal]
    .filter(([ordinal]) => isCondemned(set, ordinal))
    .sort(([a], [b]) => b - a)
    .map(([, pod]) => pod);
  const steps: Steps = { create: [], remove: [], repair: [], claims: [] };
  for (const ordinal of ordinals) {
    if (placeReplica(snapshot, ordinal, byOrdinal.get(ordinal), steps) === 'wait' && monotonic) return steps;
    if (steps.create.length >= MAX_BATCH) return steps;
  }
  steps.claims.push(...condemned);
  const replicas = ordinals.map((ordinal) => byOrdinal.get(ordinal));
  if (monotonic && condemned.length > 0) {
    // Every replica is available here, so the first unhealthy one can only be the lowest condemned.
    const firstUnhealthy = condemned.findLast((pod) => !isHealthy(snapshot, pod));
    const [next] = condemned;
    if (!isTerminating(next!) && (isHealthy(snapshot, next!) || next === firstUnhealthy)) steps.remove.push(next!);
    return steps;
  }
  steps.remove.push(...condemned.filter((pod) => !isTerminating(pod)).slice(0, MAX_BATCH));
  steps.remove.push(...decideUpdate(snapshot, ordinals, replicas).filter((pod) => !steps.remove.includes(pod)));
  return steps;
}

/** What one ordinal needs. 'wait' when the ordinals above have to wait for it. */
function placeReplica(
  snapshot: StatefulSnapshot,
  ordinal: number,
  pod: Pod | undefined,
  steps: Steps,
): 'wait' | 'done' {
  const { set } = snapshot;
  if (!pod) {
    steps.create.push({ ordinal, revision: revisionFor(snapshot, ordinal) });
    return 'wait';
  }
  if (isTerminal(pod)) {
    if (!isTerminating(pod)) steps.remove.push(pod);
    return 'wait';
  }
  const healthy = isHealthy(snapshot, pod);
  if ((pod.status?.phase ?? 'Pending') === 'Pending' || healthy) steps.claims.push(pod);
  if (!isTerminating(pod) && !hasIdentity(set, pod)) steps.repair.push(pod);
  return healthy ? 'done' : 'wait';
}

/** Below the partition a pod comes back as it was; above it as declared. */
function revisionFor({ set, currentRevision, updateRevision }: StatefulSnapshot, ordinal: number): string {
  const { type, rollingUpdate } = set.spec.updateStrategy ?? {};
  if (type === 'OnDelete') return updateRevision;
  const kept = rollingUpdate ? (rollingUpdate.partition ?? 0) : (set.status?.currentReplicas ?? 0);
  return (set.spec.ordinals?.start ?? 0) + kept > ordinal ? currentRevision : updateRevision;
}

/** Running, ready, available and not going. */
function isHealthy({ set, nowMs }: StatefulSnapshot, pod: Pod): boolean {
  return isRunningAndReady(pod) && !isTerminating(pod) && isPodAvailable(pod, set.spec.minReadySeconds ?? 0, nowMs);
}

const isRunningAndReady = (pod: Pod): boolean => pod.status?.phase === 'Running' && isPodReady(pod);
const revisionOf = (pod: Pod): string | undefined => pod.metadata.labels?.[REVISION_HASH];

/** Pods that an update deletes: those that are unavailable anyway, and available ones from the highest ordinal. */
function decideUpdate(
  snapshot: StatefulSnapshot,
  ordinals: readonly number[],
  replicas: readonly (Pod | undefined)[],
): readonly Pod[] {
  const { set, updateRevision } = snapshot;
  const { type, rollingUpdate } = set.spec.updateStrategy ?? {};
  if (type === 'OnDelete') return [];
  const limit = Math.max(1, scaledCount(rollingUpdate?.maxUnavailable ?? 1, ordinals.length, 'down'));
  const unavailable = replicas.filter((pod) => !pod || !isHealthy(snapshot, pod)).length;
  const old = replicas
    .slice(rollingUpdate?.partition ?? 0)
    .reverse()
    .filter((pod) => pod !== undefined)
    .filter((pod) => !isTerminating(pod) && revisionOf(pod) !== updateRevision);
  const healthy = old.filter((pod) => isHealthy(snapshot, pod));
  const broken = old.filter((pod) => !isHealthy(snapshot, pod));
  return [...broken, ...healthy.slice(0, Math.max(0, limit - unavailable))];
}

/** When a ready pod becomes available, in milliseconds from now. */
export function untilAvailableMs({ set, pods, nowMs }: StatefulSnapshot): number | undefined {
  const { minReadySeconds = 0 } = set.spec;
  const waits = pods
    .filter((pod) => isRunningAndReady(pod) && !isPodAvailable(pod, minReadySeconds, nowMs))
    .map((pod) => Date.parse(podCondition(pod, 'Ready')?.lastTransitionTime ?? '') + minReadySeconds * 1000 - nowMs)
    .filter((ms) => ms > 0);
  return waits.length > 0 ? Math.min(...waits) : undefined;
}

/** The status that the pods show. An update that reached every pod makes its revision the current one. */
export function statefulStatus(
  snapshot: StatefulSnapshot,
  collisionCount: number | undefined,
): NonNullable<StatefulSet['status']> {
  const { set, pods, currentRevision, updateRevision, nowMs } = snapshot;
  const ready = pods.filter(isRunningAndReady);
  const staying = pods.filter((pod) => !isTerminating(pod));
  const updated = staying.filter((pod) => revisionOf(pod) === updateRevision).length;
  const wanted = set.spec.replicas ?? 1;
  const complete =
    set.spec.updateStrategy?.type !== 'OnDelete' && [updated, pods.length, ready.length].every((n) => n === wanted);
  return {
    ...(set.metadata.generation !== undefined && { observedGeneration: set.metadata.generation }),
    replicas: pods.length,
    readyReplicas: ready.length,
    availableReplicas: ready.filter((pod) => isPodAvailable(pod, set.spec.minReadySeconds ?? 0, nowMs)).length,
    currentReplicas: complete ? updated : staying.filter((pod) => revisionOf(pod) === currentRevision).length,
    updatedReplicas: updated,
    currentRevision: complete ? updateRevision : currentRevision,
    updateRevision,
    collisionCount: collisionCount ?? 0,
    ...(set.status?.conditions && { conditions: set.status.conditions }),
  };
}
