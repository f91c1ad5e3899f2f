import type { Container, ContainerStatus, Pod } from '../../api/generated/types.ts';
import { isSidecar } from '../../machinery/pods.ts';
import { restartsAfter } from './restart.ts';

export type PodPhase = NonNullable<NonNullable<Pod['status']>['phase']>;

interface Counts {
  unknown: number;
  running: number;
  waiting: number;
  stopped: number;
  succeeded: number;
  /** Ended and not to be started again. */
  final: number;
}

/**
 * The pod's phase. `ending`: nothing of the pod will be started again, whatever its restart policy says.
 * `initialized`: an ordinary container has run, so that a restarting sidecar does not make the pod Pending.
 */
export function podPhase(
  pod: Pod,
  statuses: readonly ContainerStatus[],
  { ending, initialized }: { readonly ending: boolean; readonly initialized: boolean },
): PodPhase {
  const byName = new Map(statuses.map((s) => [s.name, s]));
  const init = initProgress(pod, byName);
  if (init.failed) return 'Failed';
  const counts: Counts = { unknown: 0, running: 0, waiting: 0, stopped: 0, succeeded: 0, final: 0 };
  const sidecarsPending = countSidecars(pod, byName, counts);
  for (const container of pod.spec.containers) count(pod, container, byName.get(container.name), counts);

  const { unknown, running, waiting, stopped, succeeded, final } = counts;
  if (init.pending || (sidecarsPending && !initialized) || waiting > 0) return 'Pending';
  if (running > 0 && unknown === 0) return 'Running';
  if (running > 0 || stopped === 0 || unknown > 0) return 'Pending';
  if (!ending && stopped !== final) return 'Running';
  return stopped === succeeded ? 'Succeeded' : 'Failed';
}

function initProgress(pod: Pod, byName: ReadonlyMap<string, ContainerStatus>): { pending: boolean; failed: boolean } {
  let pending = false;
  for (const container of pod.spec.initContainers ?? []) {
    if (isSidecar(container)) continue;
    const status = byName.get(container.name);
    const ended = status?.state?.terminated ?? (status?.state?.waiting ? status.lastState?.terminated : undefined);
    if (!ended) pending = true;
    else if (ended.exitCode !== 0 && !restartsAfter(pod, container, ended.exitCode)) return { pending, failed: true };
  }
  return { pending, failed: false };
}

function countSidecars(pod: Pod, byName: ReadonlyMap<string, ContainerStatus>, counts: Counts): boolean {
  let pending = false;
  for (const container of pod.spec.initContainers ?? []) {
    if (!isSidecar(container)) continue;
    const status = byName.get(container.name);
    if (!status) counts.unknown++;
    else if (status.state?.running) {
      if (!status.started) pending = true;
      counts.running++;
    } else if (status.state?.waiting && !status.lastState?.terminated) {
      pending = true;
      counts.waiting++;
    }
  }
  return pending;
}

function count(pod: Pod, container: Container, status: ContainerStatus | undefined, counts: Counts): void {
  const { running, terminated, waiting } = status?.state ?? {};
  if (running) counts.running++;
  else if (terminated || (waiting && status?.lastState?.terminated)) {
    const exitCode = (terminated ?? status!.lastState!.terminated!).exitCode;
    counts.stopped++;
    if (terminated?.exitCode === 0) counts.succeeded++;
    if (!restartsAfter(pod, container, exitCode)) counts.final++;
  } else if (waiting) counts.waiting++;
  else counts.unknown++;
}
