// What a Deployment's status says: counts from its ReplicaSets, and the three conditions.
import type { Deployment, DeploymentCondition, ReplicaSet } from '../api/generated/types.ts';
import { rfc3339 } from '../lib/clock.ts';
import { findCondition, removeCondition, setCondition } from '../machinery/meta.ts';
import { bounds, isComplete, replicasOf, wantedReplicas } from './deployment-rollout.ts';

type Status = NonNullable<Deployment['status']>;
type Conditions = readonly DeploymentCondition[];

const count = (sets: readonly ReplicaSet[], of: (rs: ReplicaSet) => number | undefined): number =>
  sets.reduce((total, rs) => total + (of(rs) ?? 0), 0);

/** The status that the ReplicaSets show at `nowMs`. `newest` is the one of the declared template, when it is there. */
export function deploymentStatus(
  deployment: Deployment,
  newest: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
  nowMs: number,
): Status {
  const all = newest ? [...old, newest] : old;
  const available = count(all, (rs) => rs.status?.availableReplicas);
  const total = count(all, replicasOf);
  const collisions = deployment.status?.collisionCount;
  const counts: Status = {
    ...(deployment.metadata.generation !== undefined && { observedGeneration: deployment.metadata.generation }),
    replicas: count(all, (rs) => rs.status?.replicas),
    updatedReplicas: newest?.status?.replicas ?? 0,
    readyReplicas: count(all, (rs) => rs.status?.readyReplicas),
    availableReplicas: available,
    unavailableReplicas: Math.max(0, total - available),
    ...(collisions !== undefined && { collisionCount: collisions }),
  };
  return { ...counts, conditions: conditionsOf(deployment, counts, newest, all, nowMs) };
}

function conditionsOf(
  deployment: Deployment,
  counts: Status,
  newest: ReplicaSet | undefined,
  all: readonly ReplicaSet[],
  nowMs: number,
): Conditions {
  const enough = (counts.availableReplicas ?? 0) >= wantedReplicas(deployment) - bounds(deployment).unavailable;
  let conditions = withCondition(
    deployment.status?.conditions ?? [],
    enough
      ? {
          type: 'Available',
          status: 'True',
          reason: 'MinimumReplicasAvailable',
          message: 'Deployment has minimum availability.',
        }
      : {
          type: 'Available',
          status: 'False',
          reason: 'MinimumReplicasUnavailable',
          message: 'Deployment does not have minimum availability.',
        },
    nowMs,
  );
  const progressing = progressCondition(deployment, counts, newest, conditions, nowMs);
  if (progressing) conditions = withCondition(conditions, progressing, nowMs);
  const failure = [...all].reverse().map((rs) => findCondition(rs.status?.conditions, 'ReplicaFailure'));
  const failed = failure.find((c) => c?.status === 'True');
  if (!failed) return removeCondition(conditions, 'ReplicaFailure');
  const { reason, message } = failed;
  return withCondition(
    conditions,
    { type: 'ReplicaFailure', status: 'True', ...(reason && { reason }), ...(message && { message }) },
    nowMs,
  );
}

type Plain = Pick<DeploymentCondition, 'type' | 'status' | 'reason' | 'message'>;

/** The Progressing condition after this look; undefined: as it is. */
function progressCondition(
  deployment: Deployment,
  counts: Status,
  newest: ReplicaSet | undefined,
  conditions: Conditions,
  nowMs: number,
): Plain | undefined {
  const before = findCondition(conditions, 'Progressing');
  if (deployment.spec.paused) {
    return { type: 'Progressing', status: 'Unknown', reason: 'DeploymentPaused', message: 'Deployment is paused' };
  }
  if (before?.reason === 'DeploymentPaused') {
    return { type: 'Progressing', status: 'Unknown', reason: 'DeploymentResumed', message: 'Deployment is resumed' };
  }
  if (!hasDeadline(deployment)) return undefined;
  const subject = newest ? `ReplicaSet "${newest.metadata.name}"` : `Deployment "${deployment.metadata.name}"`;
  const finished = before?.reason === 'NewReplicaSetAvailable';
  if (isComplete(deployment, counts)) {
    const message = `${subject} has successfully progressed.`;
    return { type: 'Progressing', status: 'True', reason: 'NewReplicaSetAvailable', message };
  }
  if (progressed(deployment.status ?? {}, counts) || (finished && newest?.status?.replicas === 0)) {
    return { type: 'Progressing', status: 'True', reason: 'ReplicaSetUpdated', message: `${subject} is progressing.` };
  }
  if (timedOut(deployment, before, nowMs)) {
    const message = `${subject} has timed out progressing.`;
    return { type: 'Progressing', status: 'False', reason: 'ProgressDeadlineExceeded', message };
  }
  return undefined;
}

/** More pods are new, ready or available than before, or fewer are old. */
function progressed(before: Status, now: Status): boolean {
  const old = (status: Status): number => (status.replicas ?? 0) - (status.updatedReplicas ?? 0);
  return (
    (now.updatedReplicas ?? 0) > (before.updatedReplicas ?? 0) ||
    old(now) < old(before) ||
    (now.readyReplicas ?? 0) > (before.readyReplicas ?? 0) ||
    (now.availableReplicas ?? 0) > (before.availableReplicas ?? 0)
  );
}

export function hasDeadline(deployment: Deployment): boolean {
  const seconds = deployment.spec.progressDeadlineSeconds;
  return seconds !== undefined && seconds !== 2147483647;
}

function timedOut(deployment: Deployment, before: DeploymentCondition | undefined, nowMs: number): boolean {
  if (!before || before.reason === 'NewReplicaSetAvailable') return false;
  if (before.reason === 'ProgressDeadlineExceeded') return true;
  return nowMs >= deadlineMs(deployment, before);
}

function deadlineMs(deployment: Deployment, before: DeploymentCondition): number {
  return Date.parse(before.lastUpdateTime ?? '') + deployment.spec.progressDeadlineSeconds! * 1000;
}

/** When the progress deadline would pass, in milliseconds from now; undefined when none runs. */
export function untilDeadlineMs(deployment: Deployment, status: Status, nowMs: number): number | undefined {
  const condition = findCondition(status.conditions, 'Progressing');
  const waiting = [
    'ReplicaSetUpdated',
    'NewReplicaSetCreated',
    'FoundNewReplicaSet',
    'DeploymentResumed',
    'NewReplicaSetAvailable',
  ];
  if (!hasDeadline(deployment) || !condition || !waiting.includes(condition.reason ?? '')) return undefined;
  if (isComplete(deployment, status) || deployment.spec.paused) return undefined;
  return Math.max(1000, deadlineMs(deployment, condition) - nowMs + 1000);
}

/** Sets a condition; lastUpdateTime moves with every change of its reason and with every report of progress. */
export function withCondition(conditions: Conditions, condition: Plain, nowMs: number): Conditions {
  const before = findCondition(conditions, condition.type);
  const same = before?.status === condition.status && before.reason === condition.reason;
  const refreshed = condition.reason === 'ReplicaSetUpdated';
  const lastUpdateTime = same && !refreshed ? before.lastUpdateTime : rfc3339(nowMs);
  return setCondition(conditions, { ...condition, ...(lastUpdateTime && { lastUpdateTime }) }, nowMs);
}
