import type { Pod } from '../../api/generated/types.ts';

/** Seconds that the pod's containers have to end: the deletion's if it is being deleted, else its own. */
export function graceSeconds(pod: Pod): number {
  const { deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata;
  const own = pod.spec.terminationGracePeriodSeconds ?? 30;
  return deletionTimestamp ? (deletionGracePeriodSeconds ?? own) : own;
}

/** When a pod with a deadline has been active too long; undefined: it has none, or has not started. */
export function deadlineMs(pod: Pod, startedAt: string | undefined): number | undefined {
  const { activeDeadlineSeconds } = pod.spec;
  if (activeDeadlineSeconds === undefined || !startedAt) return undefined;
  return Date.parse(startedAt) + activeDeadlineSeconds * 1000;
}
