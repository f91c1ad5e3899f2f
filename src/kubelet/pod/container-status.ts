// The API's statuses of a pod's containers, from what the runtime has, what was reported before, and why containers that
// should run do not.
import type { Container, ContainerState, ContainerStatus, Pod, VolumeMountStatus } from '../../api/generated/types.ts';
import type { Draft } from '../../api/object.ts';
import { isSidecar } from '../../machinery/pods.ts';
import { canonicalQuantity, formatQuantity } from '../../machinery/quantity.ts';
import { formatTime } from '../../machinery/time.ts';
import { desiredResources, sameCpuLimit, sameCpuRequest } from '../runtime/resources.ts';
import { containerID, newestContainer, type ObservedContainer, type ObservedPod } from './observed.ts';
import { shouldStart } from './restart.ts';

/** Why a container that should run is not started: CrashLoopBackOff, ErrImagePull ... */
export interface WaitingReason {
  readonly reason: string;
  readonly message: string;
}

export interface ContainerFacts {
  readonly pod: Pod;
  readonly observed: ObservedPod;
  readonly previous: readonly ContainerStatus[] | undefined;
  readonly waiting: (container: string) => WaitingReason | undefined;
  /** By container id; only asked for running containers. */
  readonly isStarted: (container: Container, id: string) => boolean;
  readonly isReady: (container: Container, id: string) => boolean;
}

type MutableStatus = Draft<ContainerStatus>;
type Resources = NonNullable<MutableStatus['resources']>;

export function containerStatuses(
  facts: ContainerFacts,
  containers: readonly Container[],
  isInit: boolean,
): readonly ContainerStatus[] {
  const statuses = containers.map((container) => {
    const status = fromRuntime(facts, container) ?? withoutRuntime(facts, container);
    return withWaiting(facts, container, status, isInit);
  });
  for (const [i, container] of containers.entries()) addProbes(facts, container, statuses[i]!, isInit);
  return statuses;
}

function previousOf(facts: ContainerFacts, name: string): ContainerStatus | undefined {
  return facts.previous?.find((s) => s.name === name);
}

function fromRuntime(facts: ContainerFacts, container: Container): MutableStatus | undefined {
  const [newest, before] = facts.observed.containers.filter((c) => c.name === container.name);
  if (!newest) return undefined;
  const previous = previousOf(facts, container.name);
  const state = stateOf(newest, previous);
  const lostTrack = newest.state === 'unknown' && state.terminated !== undefined;
  return {
    ...base(container, newest.image || container.image || ''),
    imageID: newest.imageId,
    containerID: containerID(newest.id),
    restartCount: lostTrack ? (previous?.restartCount ?? 0) + 1 : newest.restartCount,
    state,
    lastState: before ? stateOf(before, undefined) : (structuredClone(lastStateFor(previous, newest)) ?? {}),
    resources: resourcesOf(container, newest),
    ...(container.resources?.requests && { allocatedResources: { ...container.resources.requests } }),
  };
}

/** What a running container has, as far as the runtime says; of all else, and of others, what is set aside. */
function resourcesOf(container: Container, seen: ObservedContainer): Resources {
  const resources = structuredClone(container.resources ?? {}) as Resources;
  if (seen.state !== 'running' || !seen.resources) return resources;
  const { cpuRequestMilli, cpuLimitMilli, memoryLimitBytes } = seen.resources;
  const desired = desiredResources(container);
  const put = (field: 'requests' | 'limits', name: string, amount: number, text: string): void => {
    const { [name]: _, ...others } = resources[field] ?? {};
    resources[field] = amount === 0 ? others : { ...others, [name]: text };
  };
  if (!sameCpuRequest(cpuRequestMilli, desired.cpuRequestMilli)) {
    put('requests', 'cpu', cpuRequestMilli, canonicalQuantity(`${cpuRequestMilli}m`));
  }
  if (!sameCpuLimit(cpuLimitMilli, desired.cpuLimitMilli)) {
    put('limits', 'cpu', cpuLimitMilli, canonicalQuantity(`${cpuLimitMilli}m`));
  }
  if (memoryLimitBytes !== desired.memoryLimitBytes)
    put('limits', 'memory', memoryLimitBytes, bytesText(memoryLimitBytes));
  return resources;
}

function bytesText(bytes: number): string {
  return formatQuantity({ unscaled: BigInt(bytes), scale: 0, format: 'BinarySI' });
}

/** The last end of a container whose dead predecessor has been collected. */
function lastStateFor(previous: ContainerStatus | undefined, newest: ObservedContainer): ContainerState | undefined {
  if (!previous) return undefined;
  const same = previous.containerID === containerID(newest.id);
  if (!same && previous.state?.terminated) return previous.state;
  return previous.lastState;
}

/** A container that the runtime does not have: never made, or made and lost. */
function withoutRuntime(facts: ContainerFacts, container: Container): MutableStatus {
  const previous = previousOf(facts, container.name);
  const reason = facts.pod.spec.initContainers?.length ? 'PodInitializing' : 'ContainerCreating';
  if (previous?.state?.terminated) return structuredClone(previous) as MutableStatus;
  const status: MutableStatus = {
    ...base(container, container.image ?? ''),
    restartCount: previous?.restartCount ?? 0,
    state: { waiting: { reason } },
    lastState: structuredClone(previous?.lastState ?? {}) as ContainerState,
  };
  if (!previous?.state?.running || status.lastState?.terminated) return status;
  const message = 'The container could not be located when the pod was deleted.  The container used to be Running';
  status.lastState = { terminated: { exitCode: 137, reason: 'ContainerStatusUnknown', message } };
  if (!facts.pod.metadata.deletionTimestamp) status.restartCount++;
  return status;
}

function base(container: Container, image: string): MutableStatus {
  const status: MutableStatus = {
    name: container.name,
    image,
    imageID: '',
    ready: false,
    started: false,
    restartCount: 0,
  };
  if (container.volumeMounts?.length) status.volumeMounts = container.volumeMounts.map(mountStatus);
  return status;
}

function mountStatus(mount: NonNullable<Container['volumeMounts']>[number]): VolumeMountStatus {
  const { name, mountPath, readOnly } = mount;
  return { name, mountPath, ...(readOnly && { readOnly, recursiveReadOnly: 'Disabled' }) };
}

function stateOf(c: ObservedContainer, previous: ContainerStatus | undefined): Draft<ContainerState> {
  if (c.state === 'running') return { running: { startedAt: formatTime(c.startedAtMs) } };
  if (c.state === 'exited') {
    return {
      terminated: {
        exitCode: c.exitCode,
        reason: c.reason || (c.exitCode === 0 ? 'Completed' : 'Error'),
        ...(c.message !== '' && { message: c.message }),
        ...(c.startedAtMs > 0 && { startedAt: formatTime(c.startedAtMs) }),
        ...(c.finishedAtMs > 0 && { finishedAt: formatTime(c.finishedAtMs) }),
        containerID: containerID(c.id),
      },
    };
  }
  if (c.state === 'unknown' && previous?.state?.running) {
    const message = 'The container could not be located when the pod was terminated';
    return { terminated: { exitCode: 137, reason: 'ContainerStatusUnknown', message } };
  }
  return { waiting: {} };
}

/** A container that should run and is known not to be startable is waiting, with the reason. */
function withWaiting(
  facts: ContainerFacts,
  container: Container,
  status: MutableStatus,
  isInit: boolean,
): MutableStatus {
  const { pod, observed } = facts;
  const seen = newestContainer(observed, container.name);
  if (isInit && !isSidecar(container)) {
    if (seen?.state === 'exited' && seen.exitCode === 0) return status;
    const initialized = pod.spec.containers.some((c) => newestContainer(observed, c.name));
    if (!seen && initialized && status.state?.waiting) {
      const message =
        'Unable to get init container status from container runtime and pod has been initialized, treat it as exited normally';
      return { ...status, state: { terminated: { exitCode: 0, reason: 'Completed', message } } };
    }
  }
  if (!shouldStart(pod, container, observed)) return status;
  const reason = facts.waiting(container.name);
  if (!reason) return status;
  const ended = status.state?.terminated;
  return {
    ...status,
    ...(ended && { lastState: { terminated: ended } }),
    state: { waiting: { reason: reason.reason, ...(reason.message !== '' && { message: reason.message }) } },
  };
}

/** `started` and `ready`, from the probes; an ordinary init container is ready when it ended well. */
function addProbes(facts: ContainerFacts, container: Container, status: MutableStatus, isInit: boolean): void {
  if (isInit && !isSidecar(container)) {
    status.ready = status.state?.terminated?.exitCode === 0;
    status.started = status.state?.running !== undefined;
    return;
  }
  const id = status.state?.running ? newestContainer(facts.observed, container.name)?.id : undefined;
  status.started = id !== undefined && facts.isStarted(container, id);
  status.ready = id !== undefined && status.started && facts.isReady(container, id);
}
