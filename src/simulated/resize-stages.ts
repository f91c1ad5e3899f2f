// Pods on simulated nodes are resized as a kubelet would: what they hold is what their status says.
import type { Container, ContainerStatus, Pod } from '../api/generated/types.ts';
import { rfc3339 } from '../lib/clock.ts';
import {
  type Allocation,
  isResizable,
  isResized,
  type ResizeRefusal,
  resizeMessage,
  sameRequirements,
  withAllocation,
} from '../machinery/pod-resize.ts';
import { podCondition } from '../machinery/pods.ts';
import type { PodFacts } from './pod-stages.ts';
import type { Stage, StageEvent, StageOutcome } from './stage.ts';

/** How long a resize that does not fit now waits before the node is looked at again. */
const RETRY_MS = 10_000;

/** What the pod holds; what its status does not say is as it was asked for. */
function allocation(pod: Pod): Allocation {
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  const said = statuses.filter((s) => s.resources !== undefined);
  const whole = pod.status?.resources ?? pod.spec.resources;
  return { containers: Object.fromEntries(said.map((s) => [s.name, s.resources!])), ...(whole && { pod: whole }) };
}

export function asHeld(pod: Pod): Pod {
  return withAllocation(pod, allocation(pod));
}

/** Whether the pod holds what `granted` asks for. */
export function holds(pod: Pod, granted: Pod): boolean {
  return !isResized(granted, allocation(pod));
}

/** Resources of the pod as a whole. */
export function wholeHeld({ spec: { resources } }: Pod): object {
  if (!resources) return {};
  return { resources, ...(resources.requests && { allocatedResources: resources.requests }) };
}

const isRunning = (pod: Pod): boolean => pod.status?.phase === 'Running' && !pod.metadata.deletionTimestamp;

/** What was said of this very wish. */
function told(pod: Pod): string | undefined {
  const pending = podCondition(pod, 'PodResizePending');
  return pending?.observedGeneration === pod.metadata.generation ? pending?.reason : undefined;
}

function refused(pod: Pod, { reason, message }: ResizeRefusal, nowMs: number): StageOutcome {
  const before = podCondition(pod, 'PodResizePending');
  const generation = pod.metadata.generation ?? 0;
  const known = before?.reason === reason && before.message === message && told(pod) === reason;
  const now = rfc3339(nowMs);
  const condition = {
    ...{ type: 'PodResizePending', status: 'True', reason, message, observedGeneration: generation },
    lastProbeTime: now,
    lastTransitionTime: before?.reason === reason ? before.lastTransitionTime : now,
  };
  const text = resizeMessage(`Pod resize ${reason}`, pod, generation, message);
  return {
    status: { conditions: [condition] },
    events: known ? [] : [{ type: 'Warning', reason: `Resize${reason}`, message: text }],
  };
}

function accepted(pod: Pod, nowMs: number): StageOutcome {
  const generation = pod.metadata.generation ?? 0;
  const event = (reason: string, text: string): StageEvent => {
    return { type: 'Normal', reason, message: resizeMessage(`Pod resize ${text}`, pod, generation) };
  };
  const { initContainers = [], containers } = pod.spec;
  const { initContainerStatuses: init = [], containerStatuses: regular = [] } = pod.status ?? {};
  const given = (statuses: readonly ContainerStatus[], of: readonly Container[]): ContainerStatus[] =>
    statuses.map((status) => {
      const container = of.find((c) => c.name === status.name);
      return container && isResizable(pod, container) ? resized(pod, container, status, nowMs) : status;
    });
  return {
    status: {
      ...wholeHeld(pod),
      conditions: withdrawal(pod),
      ...(init.length > 0 && { initContainerStatuses: given(init, initContainers) }),
      containerStatuses: given(regular, containers),
    },
    events: [event('ResizeStarted', 'started'), event('ResizeCompleted', 'completed')],
  };
}

function resized(pod: Pod, container: Container, status: ContainerStatus, nowMs: number): ContainerStatus {
  const { resources = {}, resizePolicy = [] } = container;
  const before = status.resources ?? {};
  if (sameRequirements(resources, before)) return status;
  const { allocatedResources: _, ...others } = status;
  const now = { ...others, resources, ...(resources.requests && { allocatedResources: resources.requests }) };
  const changed = (name: string): boolean =>
    resources.limits?.[name] !== before.limits?.[name] ||
    (name === 'cpu' && resources.requests?.[name] !== before.requests?.[name]);
  const anew = resizePolicy.some((p) => p.restartPolicy === 'RestartContainer' && changed(p.resourceName));
  const startedAt = status.state?.running?.startedAt;
  if (!anew || !status.state?.running) return now;
  const at = rfc3339(nowMs);
  const restartCount = status.restartCount + 1;
  return {
    ...now,
    restartCount,
    containerID: `containerd://${pod.metadata.uid}-${container.name}-${restartCount}`,
    state: { running: { startedAt: at } },
    lastState: { terminated: { exitCode: 137, reason: 'Error', ...(startedAt && { startedAt }), finishedAt: at } },
  };
}

function withdrawal(pod: Pod): object[] {
  return podCondition(pod, 'PodResizePending') ? [{ type: 'PodResizePending', $patch: 'delete' }] : [];
}

const asksForOther = (pod: Pod): boolean => isRunning(pod) && isResized(pod, allocation(pod));

function decided(pod: Pod, facts: PodFacts): StageOutcome {
  const refusal = facts.judge(pod, asHeld(pod));
  return refusal ? refused(pod, refusal, facts.nowMs) : accepted(pod, facts.nowMs);
}

export const RESIZE_STAGES: readonly Stage<Pod, PodFacts>[] = [
  { name: 'resize', when: (pod) => asksForOther(pod) && told(pod) === undefined, next: decided },
  {
    name: 'resize-withdrawn',
    when: (pod) => isRunning(pod) && withdrawal(pod).length > 0 && !asksForOther(pod),
    next: (pod) => ({ status: { conditions: withdrawal(pod) } }),
  },
];

/** After all others: a pod that waits lives on. */
export const RESIZE_RETRY: Stage<Pod, PodFacts> = {
  name: 'resize-retry',
  when: (pod) => asksForOther(pod) && told(pod) === 'Deferred',
  afterMs: () => RETRY_MS,
  next: decided,
};
