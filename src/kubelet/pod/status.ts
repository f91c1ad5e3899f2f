// A pod's status as the kubelet reports it. Pure.
import type { Container, ContainerStatus, Pod, PodCondition, PodStatus } from '../../api/generated/types.ts';
import { findCondition } from '../../machinery/meta.ts';
import { isSidecar, qosClass } from '../../machinery/pods.ts';
import { formatTime } from '../../machinery/time.ts';
import { type ContainerFacts, containerStatuses, type WaitingReason } from './container-status.ts';
import type { ObservedPod } from './observed.ts';
import { type PodPhase, podPhase } from './phase.ts';
import { RESIZE_CONDITIONS } from './resize-report.ts';

/** A pod that the kubelet has given up: evicted, past its deadline, or not admitted. */
export interface PodFailure {
  readonly reason: string;
  readonly message: string;
}

export interface StatusFacts {
  readonly pod: Pod;
  readonly observed: ObservedPod;
  /** The newest status that is known: last reported, or the API's. */
  readonly previous: PodStatus | undefined;
  readonly ending: boolean;
  readonly failure?: PodFailure;
  readonly waiting: (container: string) => WaitingReason | undefined;
  readonly isStarted: ContainerFacts['isStarted'];
  readonly isReady: ContainerFacts['isReady'];
  readonly hostIPs: readonly string[];
  /** Whether a usable sandbox exists. */
  readonly sandboxReady: boolean;
  readonly nowMs: number;
  /** The conditions that say how far a resize is. */
  readonly resize?: readonly Omit<PodCondition, 'lastTransitionTime'>[];
}

/** The conditions that the kubelet owns, in the order in which it writes them. */
const OWN_CONDITIONS: readonly string[] = [
  ...RESIZE_CONDITIONS,
  ...['PodReadyToStartContainers', 'Initialized', 'Ready', 'ContainersReady', 'PodScheduled'],
];

export function podStatus(facts: StatusFacts): PodStatus {
  const { pod, previous, hostIPs } = facts;
  const of = (containers: readonly Container[], before: readonly ContainerStatus[] | undefined, isInit: boolean) =>
    containerStatuses({ ...facts, previous: before }, containers, isInit);
  const init = of(pod.spec.initContainers ?? [], previous?.initContainerStatuses, true);
  const regular = of(pod.spec.containers, previous?.containerStatuses, false);
  const ephemeralSpecs = (pod.spec.ephemeralContainers ?? []) as readonly Container[];
  const ephemeral = of(ephemeralSpecs, previous?.ephemeralContainerStatuses, false);
  const all = [...init, ...regular];
  const phase = phaseOf(facts, all, regular);
  const kept = phase === previous?.phase ? previous : undefined;
  const reason = facts.failure?.reason ?? kept?.reason;
  const message = facts.failure?.message ?? kept?.message;
  const ips = podIPs(facts);
  return {
    ...(pod.metadata.generation !== undefined && { observedGeneration: pod.metadata.generation }),
    phase,
    conditions: conditions(facts, all, phase),
    ...(message && { message }),
    ...(reason && { reason }),
    ...(hostIPs[0] && { hostIP: hostIPs[0], hostIPs: hostIPs.map((ip) => ({ ip })) }),
    ...(ips[0] && { podIP: ips[0], podIPs: ips.map((ip) => ({ ip })) }),
    startTime: previous?.startTime ?? formatTime(facts.nowMs),
    ...(init.length > 0 && { initContainerStatuses: init }),
    containerStatuses: regular,
    qosClass: qosClass(pod),
    ...(ephemeral.length > 0 && { ephemeralContainerStatuses: ephemeral }),
    ...podLevel(pod),
  };
}

/** Resources that are given for the pod as a whole, as they are set aside. */
function podLevel({ spec: { resources } }: Pod): Pick<PodStatus, 'resources' | 'allocatedResources'> {
  if (!resources?.requests && !resources?.limits) return {};
  return { ...(resources.requests && { allocatedResources: resources.requests }), resources };
}

/** A terminal phase is never left. */
function phaseOf(facts: StatusFacts, all: readonly ContainerStatus[], regular: readonly ContainerStatus[]): PodPhase {
  const before = [facts.pod.status?.phase, facts.previous?.phase].find((p) => p === 'Failed' || p === 'Succeeded');
  if (before) return before;
  if (facts.failure) return 'Failed';
  const initialized = regular.some((s) => s.state?.running || s.state?.terminated || s.lastState?.terminated);
  return podPhase(facts.pod, all, { ending: facts.ending, initialized });
}

/** The pod's addresses, one a family; a pod keeps the last ones after its sandbox is gone. */
function podIPs({ pod, observed, previous, hostIPs }: StatusFacts): readonly string[] {
  if (pod.spec.hostNetwork) return previous?.podIPs?.map((p) => p.ip) ?? hostIPs;
  const ready = observed.sandboxes.find((s) => s.ready && s.ips.length > 0);
  if (!ready) return previous?.podIPs?.map((p) => p.ip) ?? [];
  const isV6 = (ip: string): boolean => ip.includes(':');
  const preferV6 = hostIPs[0] !== undefined && isV6(hostIPs[0]);
  const first = ready.ips.find((ip) => isV6(ip) === preferV6);
  const second = ready.ips.find((ip) => isV6(ip) !== preferV6);
  return [first, second].filter((ip) => ip !== undefined);
}

function conditions(facts: StatusFacts, all: readonly ContainerStatus[], phase: PodPhase): readonly PodCondition[] {
  const { pod, previous, nowMs } = facts;
  const others = (pod.status?.conditions ?? []).filter((c) => !OWN_CONDITIONS.includes(c.type));
  const containersReady = containersReadyCondition(pod, all, phase);
  const scheduled = findCondition(previous?.conditions ?? pod.status?.conditions, 'PodScheduled');
  const own: PodCondition[] = [
    { type: 'PodReadyToStartContainers', status: facts.sandboxReady ? 'True' : 'False' },
    initializedCondition(pod, all, phase),
    readyCondition(pod, others, containersReady),
    containersReady,
    { type: 'PodScheduled', status: 'True' },
  ];
  const stamped = own.map((condition) => {
    const before = findCondition(previous?.conditions, condition.type);
    const kept = condition.type === 'PodScheduled' ? (before ?? scheduled) : before;
    const since = kept?.status === condition.status ? kept.lastTransitionTime : undefined;
    const generation = pod.metadata.generation;
    return {
      ...condition,
      ...(generation !== undefined && { observedGeneration: generation }),
      lastTransitionTime: since ?? formatTime(nowMs),
    };
  });
  const resize = (facts.resize ?? []).map((condition) => {
    const before = findCondition(previous?.conditions, condition.type);
    const since = before?.reason === condition.reason ? before?.lastTransitionTime : undefined;
    return { ...condition, lastTransitionTime: since ?? formatTime(nowMs) };
  });
  return [...others, ...resize, ...stamped];
}

/** Lists are printed as Go prints them: `[a b]`. */
function problems(groups: readonly (readonly [string, readonly string[]])[]): string {
  return groups
    .filter(([, names]) => names.length > 0)
    .map(([text, names]) => `containers with ${text} status: [${names.join(' ')}]`)
    .join(', ');
}

function containersReadyCondition(pod: Pod, all: readonly ContainerStatus[], phase: PodPhase): PodCondition {
  const type = 'ContainersReady';
  const counted = [...(pod.spec.initContainers ?? []).filter(isSidecar), ...pod.spec.containers].map((c) => c.name);
  const status = new Map(all.map((s) => [s.name, s]));
  const unknown = counted.filter((name) => !status.has(name));
  const unready = counted.filter((name) => status.has(name) && !status.get(name)!.ready);
  if (phase === 'Succeeded' && unknown.length === 0) return { type, status: 'False', reason: 'PodCompleted' };
  if (phase === 'Failed') return { type, status: 'False', reason: 'PodFailed' };
  const message = problems([
    ['unknown', unknown],
    ['unready', unready],
  ]);
  if (message !== '') return { type, status: 'False', reason: 'ContainersNotReady', message };
  return { type, status: 'True' };
}

function readyCondition(pod: Pod, others: readonly PodCondition[], containersReady: PodCondition): PodCondition {
  if (containersReady.status !== 'True') return { ...containersReady, type: 'Ready' };
  const messages: string[] = [];
  for (const { conditionType } of pod.spec.readinessGates ?? []) {
    const gate = findCondition(others, conditionType);
    if (!gate) messages.push(`corresponding condition of pod readiness gate "${conditionType}" does not exist.`);
    else if (gate.status !== 'True') {
      messages.push(`the status of pod readiness gate "${conditionType}" is not "True", but ${gate.status}`);
    }
  }
  if (messages.length === 0) return { type: 'Ready', status: 'True' };
  return { type: 'Ready', status: 'False', reason: 'ReadinessGatesNotReady', message: messages.join(', ') };
}

function initializedCondition(pod: Pod, all: readonly ContainerStatus[], phase: PodPhase): PodCondition {
  const type = 'Initialized';
  const status = new Map(all.map((s) => [s.name, s]));
  const containers = pod.spec.initContainers ?? [];
  const unknown = containers.filter((c) => !status.has(c.name)).map((c) => c.name);
  const passed = (c: Container): boolean =>
    (isSidecar(c) ? status.get(c.name)!.started : status.get(c.name)!.ready) === true;
  const incomplete = containers.filter((c) => status.has(c.name) && !passed(c)).map((c) => c.name);
  if (phase === 'Succeeded' && unknown.length === 0) return { type, status: 'True', reason: 'PodCompleted' };
  // A restarting sidecar does not undo the pod's initialization.
  const begun = pod.spec.containers.some((c) => {
    const s = status.get(c.name);
    return s?.started || s?.state?.running || s?.state?.terminated || s?.lastState?.terminated;
  });
  if (begun && containers.length > 0) return { type, status: 'True' };
  const message = problems([
    ['unknown', unknown],
    ['incomplete', incomplete],
  ]);
  if (message !== '') return { type, status: 'False', reason: 'ContainersNotInitialized', message };
  return { type, status: 'True' };
}
