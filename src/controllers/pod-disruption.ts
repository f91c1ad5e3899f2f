// Status patches of pods that a controller is about to take away.
import type { Pod, PodCondition } from '../api/generated/types.ts';
import { findCondition } from '../machinery/meta.ts';
import { formatTime } from '../machinery/time.ts';

/** The condition that says why a pod is about to go (KEP-3329). */
export function disruptionTarget(reason: string, message: string, pod: Pod): PodCondition {
  const { generation } = pod.metadata;
  return {
    type: 'DisruptionTarget',
    status: 'True',
    reason,
    message,
    ...(generation !== undefined && { observedGeneration: generation }),
  };
}

/** A strategic merge patch of the status that sets one condition, of exactly this pod. */
export function conditionPatch(pod: Pod, condition: PodCondition, nowMs: number): object {
  return { metadata: { uid: pod.metadata.uid }, status: { conditions: [timed(pod, condition, nowMs)] } };
}

/** A strategic merge patch of the status that makes the pod failed. */
export function failedStatus(pod: Pod, condition: PodCondition | undefined, nowMs: number): object {
  return {
    metadata: { uid: pod.metadata.uid },
    status: { phase: 'Failed', ...(condition && { conditions: [timed(pod, condition, nowMs)] }) },
  };
}

function timed(pod: Pod, condition: PodCondition, nowMs: number): PodCondition {
  const before = findCondition(pod.status?.conditions, condition.type);
  const kept = before?.status === condition.status ? before.lastTransitionTime : undefined;
  return { ...condition, lastTransitionTime: kept ?? formatTime(nowMs) };
}
