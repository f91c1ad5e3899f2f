// A pod as the runtime has it: what `decide` and the status are made from. Read only from CRI, so that it survives the
// kubelet's own restarts.

export type ContainerStateName = 'created' | 'running' | 'exited' | 'unknown';

/** What a running container may use, as the runtime says; 0: as much as there is. */
export interface ActualResources {
  readonly cpuRequestMilli: number;
  readonly cpuLimitMilli: number;
  readonly memoryLimitBytes: number;
}

export interface ObservedContainer {
  readonly id: string;
  readonly name: string;
  readonly sandboxId: string;
  readonly state: ContainerStateName;
  readonly createdAtMs: number;
  /** 0 when it never started; the same for `finishedAtMs` while it has not ended. */
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  readonly exitCode: number;
  readonly reason: string;
  readonly message: string;
  readonly image: string;
  readonly imageId: string;
  readonly restartCount: number;
  /** The part of the container's specification that a change of means a new container. */
  readonly hash: string;
  readonly logPath: string;
  /** Absent where the runtime does not say. */
  readonly resources?: ActualResources;
}

export interface ObservedSandbox {
  readonly id: string;
  readonly attempt: number;
  readonly ready: boolean;
  readonly createdAtMs: number;
  readonly hostNetwork: boolean;
  readonly ips: readonly string[];
}

export interface ObservedPod {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  /** Newest first. */
  readonly sandboxes: readonly ObservedSandbox[];
  /** Newest first. */
  readonly containers: readonly ObservedContainer[];
}

/** A container's identifier in the API: the runtime's name and its id. */
export function containerID(id: string): string {
  return `containerd://${id}`;
}

/** The newest container of that name. */
export function newestContainer(pod: ObservedPod, name: string): ObservedContainer | undefined {
  return pod.containers.find((c) => c.name === name);
}

export function isAnythingRunning(pod: ObservedPod): boolean {
  return pod.containers.some((c) => c.state === 'running' || c.state === 'unknown');
}
