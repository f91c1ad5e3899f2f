// What of a running pod is not as it was set aside for it, and the steps that lead there. Pure.
import type { Container, Pod } from '../../api/generated/types.ts';
import { isResizable } from '../../machinery/pod-resize.ts';
import { desiredResources, type PodCgroup, sameCpu } from '../runtime/resources.ts';
import { type ActualResources, newestContainer, type ObservedContainer, type ObservedPod } from './observed.ts';
import { allContainers } from './restart.ts';

/** A running container that gets other resources without being restarted. */
export interface ContainerUpdate {
  readonly id: string;
  readonly name: string;
  readonly current: ActualResources;
  readonly desired: ActualResources;
}

/** What a running container needs to have what is set aside for it: nothing, an update, or to be started anew. */
export function containerResize(
  container: Container,
  status: ObservedContainer,
): ContainerUpdate | 'restart' | undefined {
  const current = status.resources;
  if (!current) return undefined;
  const desired = desiredResources(container);
  const cpu = !sameCpu(current, desired);
  const memory = current.memoryLimitBytes !== desired.memoryLimitBytes;
  if (!cpu && !memory) return undefined;
  const restarts = (name: string): boolean =>
    container.resizePolicy?.find((p) => p.resourceName === name)?.restartPolicy === 'RestartContainer';
  if ((cpu && restarts('cpu')) || (memory && restarts('memory'))) return 'restart';
  return { id: status.id, name: status.name, current, desired };
}

/** Whether a running container has not yet got what is set aside for it. */
export function isResizing(pod: Pod, observed: ObservedPod): boolean {
  return allContainers(pod).some((container) => {
    if (!isResizable(pod, container)) return false;
    const status = newestContainer(observed, container.name);
    return status?.state === 'running' && containerResize(container, status) !== undefined;
  });
}

/** What the kernel has of a pod's group; Infinity: no limit. */
export interface PodCgroupState {
  readonly cpuShares: number;
  readonly cpuQuota: number;
  readonly memoryLimitBytes: number;
}

export type PodSetting = 'memoryLimitBytes' | 'cpuQuota' | 'cpuShares';

export type ResizeStep =
  | { readonly type: 'pod'; readonly setting: PodSetting; readonly value: number }
  | { readonly type: 'container'; readonly id: string; readonly name: string; readonly resources: ActualResources };

/**
 * In an order in which the pod's group never holds less than its containers may have: it grows before them, and shrinks
 * after; among the containers those that give back come first. Memory and CPU each for themselves. A pod's limit that is not
 * wanted any more stays: it cannot be in the way, as limits are never taken back. `group` is undefined where pods have none.
 */
export function resizeSteps(
  updates: readonly ContainerUpdate[],
  group: PodCgroupState | undefined,
  wanted: PodCgroup,
): readonly ResizeStep[] {
  const memory = updates.filter(({ current, desired }) => current.memoryLimitBytes !== desired.memoryLimitBytes);
  const cpu = updates.filter(({ current, desired }) => !sameCpu(current, desired));
  const limit = (bytes: number): number => (bytes === 0 ? Number.POSITIVE_INFINITY : bytes);
  const growth = (of: (r: ActualResources) => number) => (a: ContainerUpdate, b: ContainerUpdate) =>
    Math.sign(compare(of(a.desired), of(a.current))) - Math.sign(compare(of(b.desired), of(b.current)));
  const memoryChange = podChange('memoryLimitBytes', group, wanted.memoryLimitBytes);
  const quotaChange = podChange('cpuQuota', group, wanted.cpuQuota || undefined);
  const sharesChange = podChange('cpuShares', group, wanted.cpuShares);
  return [
    ...memoryChange.growing,
    // With the CPU that it has: the other resource may not be in order yet.
    ...memory.toSorted(growth((r) => limit(r.memoryLimitBytes))).map(({ id, name, current, desired }): ResizeStep => {
      const resources = { ...current, memoryLimitBytes: desired.memoryLimitBytes };
      return { type: 'container', id, name, resources };
    }),
    ...memoryChange.shrinking,
    ...quotaChange.growing,
    ...sharesChange.growing,
    ...cpu
      .toSorted(growth((r) => limit(r.cpuLimitMilli)))
      .map(({ id, name, desired }): ResizeStep => ({ type: 'container', id, name, resources: desired })),
    ...sharesChange.shrinking,
    ...quotaChange.shrinking,
  ];
}

function compare(a: number, b: number): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

interface PodChange {
  readonly growing: readonly ResizeStep[];
  readonly shrinking: readonly ResizeStep[];
}

function podChange(setting: PodSetting, group: PodCgroupState | undefined, value: number | undefined): PodChange {
  const now = group?.[setting];
  if (now === undefined || value === undefined || now === value) return { growing: [], shrinking: [] };
  const step: ResizeStep = { type: 'pod', setting, value };
  return now < value ? { growing: [step], shrinking: [] } : { growing: [], shrinking: [step] };
}

/** Why memory cannot be taken: what is used now would not fit. Texts are upstream's. */
export function memoryInUse(
  steps: readonly ResizeStep[],
  updates: readonly ContainerUpdate[],
  usage: { readonly pod: number | undefined; readonly container: (id: string) => number | undefined },
): string | undefined {
  const found: string[] = [];
  for (const { id, name, current, desired } of updates) {
    const limit = desired.memoryLimitBytes;
    if (limit === 0 || limit === current.memoryLimitBytes) continue;
    if (current.memoryLimitBytes !== 0 && limit > current.memoryLimitBytes) continue;
    const used = usage.container(id);
    if (used === undefined || used < limit) continue;
    found.push(`attempting to set container "${name}" memory limit (${limit}) below current usage (${used})`);
  }
  const shrink = steps.findLast((s) => s.type === 'pod' && s.setting === 'memoryLimitBytes');
  if (shrink?.type === 'pod' && usage.pod !== undefined && usage.pod >= shrink.value) {
    found.push(`attempting to set pod memory limit (${shrink.value}) below current usage (${usage.pod})`);
  }
  return found.length === 0 ? undefined : found.length === 1 ? found[0] : `[${found.join(', ')}]`;
}
