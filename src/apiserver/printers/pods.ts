// Pods: the STATUS column tells why a pod is not running, container by container, as upstream's printer does.
import type { ContainerStatus, Pod } from '../../api/generated/types.ts';
import { isConditionTrue } from '../../machinery/meta.ts';
import { isSidecar, isTerminal, podCondition } from '../../machinery/pods.ts';
import { ageColumn, columns, humanDuration, nameColumn } from './column.ts';

export interface PodSummary {
  readonly ready: number;
  readonly total: number;
  readonly status: string;
  readonly restarts: number;
  /** When the latest of the restarts was, in milliseconds; undefined: none is known. */
  readonly lastRestartMs: number | undefined;
}

/** Restarts counted so far, and the latest. */
interface Restarts {
  count: number;
  lastMs: number | undefined;
}

function countRestarts(into: Restarts, status: ContainerStatus): void {
  into.count += status.restartCount ?? 0;
  const finished = status.lastState?.terminated?.finishedAt;
  if (!finished) return;
  into.lastMs = Math.max(into.lastMs ?? 0, Date.parse(finished));
}

function terminatedReason(terminated: NonNullable<NonNullable<ContainerStatus['state']>['terminated']>): string {
  if (terminated.reason) return terminated.reason;
  return terminated.signal ? `Signal:${terminated.signal}` : `ExitCode:${terminated.exitCode ?? 0}`;
}

interface InitSummary {
  readonly status: string | undefined;
  readonly ready: number;
  readonly all: Restarts;
  readonly sidecars: Restarts;
}

/** What the init containers say; `status` is set while one of them holds the pod up. */
function summarizeInit(pod: Pod): InitSummary {
  const specs = new Map((pod.spec.initContainers ?? []).map((c) => [c.name, c]));
  const all: Restarts = { count: 0, lastMs: undefined };
  const sidecars: Restarts = { count: 0, lastMs: undefined };
  let ready = 0;
  for (const [i, status] of (pod.status?.initContainerStatuses ?? []).entries()) {
    countRestarts(all, status);
    const spec = specs.get(status.name);
    const sidecar = spec !== undefined && isSidecar(spec);
    if (sidecar) countRestarts(sidecars, status);
    const { terminated, waiting } = status.state ?? {};
    if (terminated && (terminated.exitCode ?? 0) === 0) continue;
    if (sidecar && status.started) {
      if (status.ready) ready++;
      continue;
    }
    if (terminated) return { status: `Init:${terminatedReason(terminated)}`, ready, all, sidecars };
    if (waiting?.reason && waiting.reason !== 'PodInitializing') {
      return { status: `Init:${waiting.reason}`, ready, all, sidecars };
    }
    return { status: `Init:${i}/${specs.size}`, ready, all, sidecars };
  }
  return { status: undefined, ready, all, sidecars };
}

export function summarize(pod: Pod): PodSummary {
  const phase = pod.status?.phase ?? '';
  let status: string = pod.status?.reason || phase;
  if (podCondition(pod, 'PodScheduled')?.reason === 'SchedulingGated') status = 'SchedulingGated';
  const total = pod.spec.containers.length + (pod.spec.initContainers ?? []).filter(isSidecar).length;
  const init = summarizeInit(pod);
  let { ready } = init;
  let restarts = init.all;
  if (init.status !== undefined) status = init.status;
  if (init.status === undefined || isConditionTrue(pod.status?.conditions, 'Initialized')) {
    restarts = init.sidecars;
    let running = false;
    for (const container of (pod.status?.containerStatuses ?? []).toReversed()) {
      countRestarts(restarts, container);
      const { waiting, terminated } = container.state ?? {};
      if (waiting?.reason) status = waiting.reason;
      else if (terminated) status = terminatedReason(terminated);
      else if (container.ready && container.state?.running) {
        running = true;
        ready++;
      }
    }
    // One container may be through while others go on.
    if (status === 'Completed' && running) {
      status = isConditionTrue(pod.status?.conditions, 'Ready') ? 'Running' : 'NotReady';
    }
  }
  if (pod.metadata.deletionTimestamp) {
    if (pod.status?.reason === 'NodeLost') status = 'Unknown';
    else if (!isTerminal(pod)) status = 'Terminating';
  }
  return { ready, total, status, restarts: restarts.count, lastRestartMs: restarts.lastMs };
}

function restartsText({ restarts, lastRestartMs }: PodSummary, nowMs: number): string {
  if (restarts === 0 || lastRestartMs === undefined) return String(restarts);
  return `${restarts} (${humanDuration(nowMs - lastRestartMs)} ago)`;
}

function readinessGates(pod: Pod): string {
  const gates = pod.spec.readinessGates ?? [];
  if (gates.length === 0) return '<none>';
  const met = gates.filter((gate) => isConditionTrue(pod.status?.conditions, gate.conditionType)).length;
  return `${met}/${gates.length}`;
}

export const podColumns = columns<Pod>([
  nameColumn,
  {
    name: 'Ready',
    description: 'The aggregate readiness state of this pod for accepting traffic.',
    cell: (pod) => {
      const { ready, total } = summarize(pod);
      return `${ready}/${total}`;
    },
  },
  {
    name: 'Status',
    description: 'The aggregate status of the containers in this pod.',
    cell: (pod) => summarize(pod).status,
  },
  {
    name: 'Restarts',
    description:
      'The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.',
    cell: (pod, nowMs) => restartsText(summarize(pod), nowMs),
  },
  ageColumn,
  { name: 'IP', wide: true, cell: (pod) => pod.status?.podIPs?.[0]?.ip || pod.status?.podIP || '<none>' },
  { name: 'Node', wide: true, cell: (pod) => pod.spec.nodeName || '<none>' },
  { name: 'Nominated Node', wide: true, cell: (pod) => pod.status?.nominatedNodeName || '<none>' },
  { name: 'Readiness Gates', wide: true, cell: readinessGates },
]);
