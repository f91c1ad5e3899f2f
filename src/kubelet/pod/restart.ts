import { createHash } from 'node:crypto';
import type { Container, Pod } from '../../api/generated/types.ts';
import { isSidecar } from '../../machinery/pods.ts';
import { newestContainer, type ObservedContainer, type ObservedPod } from './observed.ts';

/** What of a container cannot change in place. */
export function containerHash(container: Pick<Container, 'name' | 'image'>): string {
  return createHash('sha256').update(`${container.name}\0${container.image}`).digest('hex').slice(0, 16);
}

/** Whether a container that ended like this is to run again: its own policy and rules first, then the pod's. */
export function restartsAfter(pod: Pod, container: Container, exitCode: number): boolean {
  for (const rule of container.restartPolicyRules ?? []) {
    const values = rule.exitCodes?.values ?? [];
    const inSet = values.includes(exitCode);
    const matches = rule.exitCodes?.operator === 'NotIn' ? !inSet : inSet;
    if (rule.exitCodes && matches) return rule.action === 'Restart' || rule.action === 'RestartAllContainers';
  }
  const policy = container.restartPolicy ?? pod.spec.restartPolicy ?? 'Always';
  if (policy === 'Always') return true;
  return policy === 'OnFailure' && exitCode !== 0;
}

/** Whether the kubelet should start this container (again). */
export function shouldStart(pod: Pod, container: Container, observed: ObservedPod): boolean {
  if (pod.metadata.deletionTimestamp) return false;
  const status = newestContainer(observed, container.name);
  if (!status || status.state === 'unknown' || status.state === 'created') return true;
  if (status.state === 'running') return false;
  return restartsAfter(pod, container, status.exitCode);
}

/** An init container of the ordinary kind that ended badly. */
export function hasFailed(status: ObservedContainer): boolean {
  return status.state === 'exited' && status.exitCode !== 0;
}

/** Whether failures in this pod are retried at all. */
export function retriesFailures(pod: Pod): boolean {
  return pod.spec.restartPolicy !== 'Never';
}

/** Containers in the order in which they are started: init containers (with sidecars), then the others. */
export function allContainers(pod: Pod): readonly Container[] {
  return [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
}

/** The same with ephemeral containers. */
export function everyContainer(pod: Pod): readonly Container[] {
  return [...allContainers(pod), ...((pod.spec.ephemeralContainers ?? []) as readonly Container[])];
}

export function sidecars(pod: Pod): readonly Container[] {
  return (pod.spec.initContainers ?? []).filter(isSidecar);
}
