// What the kubelet writes on sandboxes and containers, so that it finds them again: upstream's names, which tools read.
import type { Container, LifecycleHandler, Pod } from '../../api/generated/types.ts';
import type { StringMap } from '../cri/types.ts';
import { containerHash } from '../pod/restart.ts';

export const POD_NAME = 'io.kubernetes.pod.name';
export const POD_NAMESPACE = 'io.kubernetes.pod.namespace';
export const POD_UID = 'io.kubernetes.pod.uid';
export const CONTAINER_NAME = 'io.kubernetes.container.name';
const HASH = 'io.kubernetes.container.hash';
const RESTART_COUNT = 'io.kubernetes.container.restartCount';
const TERMINATION_PATH = 'io.kubernetes.container.terminationMessagePath';
const TERMINATION_POLICY = 'io.kubernetes.container.terminationMessagePolicy';
const GRACE_PERIOD = 'io.kubernetes.pod.terminationGracePeriod';
const PRE_STOP = 'io.kubernetes.container.preStopHandler';
/** Where the container's termination message is kept on the host. */
const TERMINATION_HOST_PATH = 'tsukube.io/termination-log';

export function podLabels(pod: Pod): StringMap {
  return {
    ...pod.metadata.labels,
    [POD_NAME]: pod.metadata.name,
    [POD_NAMESPACE]: pod.metadata.namespace ?? '',
    [POD_UID]: pod.metadata.uid ?? '',
  };
}

export function containerLabels(pod: Pod, container: Container): StringMap {
  return {
    [POD_NAME]: pod.metadata.name,
    [POD_NAMESPACE]: pod.metadata.namespace ?? '',
    [POD_UID]: pod.metadata.uid ?? '',
    [CONTAINER_NAME]: container.name,
  };
}

export function containerAnnotations(
  pod: Pod,
  container: Container,
  restartCount: number,
  terminationHostPath: string,
): StringMap {
  return {
    [HASH]: containerHash(container),
    [RESTART_COUNT]: String(restartCount),
    [TERMINATION_PATH]: container.terminationMessagePath ?? '/dev/termination-log',
    [TERMINATION_POLICY]: container.terminationMessagePolicy ?? 'File',
    [TERMINATION_HOST_PATH]: terminationHostPath,
    [GRACE_PERIOD]: String(pod.spec.terminationGracePeriodSeconds ?? 30),
    ...(container.lifecycle?.preStop && { [PRE_STOP]: JSON.stringify(container.lifecycle.preStop) }),
  };
}

/** What was written when the container was made. */
export interface ContainerNotes {
  readonly hash: string;
  readonly restartCount: number;
  readonly terminationPolicy: string;
  readonly terminationHostPath: string | undefined;
  readonly graceSeconds: number;
  readonly preStop: LifecycleHandler | undefined;
}

export function readNotes(annotations: StringMap): ContainerNotes {
  const preStop = annotations[PRE_STOP];
  return {
    hash: annotations[HASH] ?? '',
    restartCount: Number(annotations[RESTART_COUNT] ?? 0),
    terminationPolicy: annotations[TERMINATION_POLICY] ?? 'File',
    terminationHostPath: annotations[TERMINATION_HOST_PATH],
    graceSeconds: Number(annotations[GRACE_PERIOD] ?? 30),
    preStop: preStop ? (JSON.parse(preStop) as LifecycleHandler) : undefined,
  };
}
