// The life of a pod on a simulated node, as data: what a kubelet would write into its status, and when.
import type { Container, ContainerState, ContainerStatus, Pod, PodCondition } from '../api/generated/types.ts';
import { rfc3339 } from '../lib/clock.ts';
import type { ResizeRefusal } from '../machinery/pod-resize.ts';
import { podCondition } from '../machinery/pods.ts';
import { RESIZE_RETRY, RESIZE_STAGES, wholeHeld } from './resize-stages.ts';
import type { Stage, StageEvent, StageOutcome } from './stage.ts';

/** How long the pod runs before its containers exit, in seconds. Without it, a `sleep N` command says so. */
export const RUN_SECONDS_ANNOTATION = 'simulated.tsukube.dev/run-seconds';
/** What its containers exit with. Default 0. */
export const EXIT_CODE_ANNOTATION = 'simulated.tsukube.dev/exit-code';
/** "true": its containers run on after SIGTERM, until the grace period is over. */
export const IGNORES_SIGTERM_ANNOTATION = 'simulated.tsukube.dev/ignores-sigterm';

/** What a stage needs to know beside the pod. */
export interface PodFacts {
  readonly nowMs: number;
  readonly hostIP: string;
  readonly podIP: string;
  /** How long images take to pull and containers to start and to stop. */
  readonly startMs: number;
  readonly stopMs: number;
  /** Why the node cannot give the pod what it asks for beside what `allocated` holds. */
  readonly judge: (pod: Pod, allocated: Pod) => ResizeRefusal | undefined;
}

const PULL_BACKOFF_MS = 10_000;
const CRASH_BACKOFF_MS = 10_000;
const MAX_CRASH_BACKOFF_MS = 300_000;
/** How long a Job's pod runs when nothing else is said. */
const JOB_RUN_MS = 1_000;

type PodStage = Stage<Pod, PodFacts>;

const isInit = (container: Container): boolean => container.restartPolicy !== 'Always';

function phase(pod: Pod): string {
  return pod.status?.phase ?? 'Pending';
}

const MISSING_TAGS = new Set(['nonexistent', 'non-existent', 'does-not-exist', '404']);

/** Images that no registry has, by their tag or by their name. */
export function isMissingImage(image = ''): boolean {
  const slash = image.lastIndexOf('/');
  const colon = image.lastIndexOf(':');
  const name = colon > slash ? image.slice(0, colon) : image;
  const tag = colon > slash ? image.slice(colon + 1) : 'latest';
  return MISSING_TAGS.has(tag) || /nonexistent|non-existent/.test(name);
}

function brokenContainers(pod: Pod): readonly Container[] {
  return [...(pod.spec.initContainers ?? []), ...pod.spec.containers].filter((c) => isMissingImage(c.image));
}

function waitingReason(pod: Pod): string | undefined {
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  const reasons = statuses.map((status) => status.state?.waiting?.reason);
  return reasons.find(
    (reason) => reason === 'ErrImagePull' || reason === 'ImagePullBackOff' || reason === 'CrashLoopBackOff',
  );
}

function initContainers(pod: Pod): readonly Container[] {
  return (pod.spec.initContainers ?? []).filter(isInit);
}

function initDone(pod: Pod): boolean {
  const names = initContainers(pod).map((container) => container.name);
  const done = (pod.status?.initContainerStatuses ?? []).filter((status) => status.state?.terminated);
  return names.every((name) => done.some((status) => status.name === name));
}

/** How long the containers run; undefined: until they are stopped. */
export function runMs(pod: Pod): number | undefined {
  const stated = pod.metadata.annotations?.[RUN_SECONDS_ANNOTATION];
  if (stated !== undefined && Number.isFinite(Number(stated))) return Number(stated) * 1000;
  const sleeps = pod.spec.containers.map(sleepSeconds);
  if (sleeps.every((seconds) => seconds !== undefined)) return Math.max(...sleeps) * 1000;
  const ofJob = pod.metadata.ownerReferences?.some((owner) => owner.controller && owner.kind === 'Job');
  return ofJob ? JOB_RUN_MS : undefined;
}

function sleepSeconds({ command = [], args = [] }: Container): number | undefined {
  const words = [...command, ...args].join(' ').split(/\s+/);
  const at = words.findIndex((word) => word === 'sleep' || word.endsWith('/sleep'));
  const text = words[at + 1] ?? '';
  return at >= 0 && /^\d+(\.\d+)?$/.test(text) ? Number(text) : undefined;
}

function exitCode(pod: Pod): number {
  return Number(pod.metadata.annotations?.[EXIT_CODE_ANNOTATION] ?? 0) || 0;
}

/** Whether the containers start again after they exited. */
function restarts(pod: Pod): boolean {
  const policy = pod.spec.restartPolicy ?? 'Always';
  return policy === 'Always' || (policy === 'OnFailure' && exitCode(pod) !== 0);
}

function startedAtMs(pod: Pod): number {
  const times = (pod.status?.containerStatuses ?? []).map((status) => status.state?.running?.startedAt ?? '');
  return Math.max(...times.map((time) => Date.parse(time)).filter(Number.isFinite), 0);
}

function restartCount(pod: Pod): number {
  return Math.max(0, ...(pod.status?.containerStatuses ?? []).map((status) => status.restartCount));
}

function isRunning(pod: Pod): boolean {
  const statuses = pod.status?.containerStatuses ?? [];
  return phase(pod) === 'Running' && statuses.length > 0 && statuses.every((status) => status.state?.running);
}

/** Conditions that the pod says must hold before it is ready. */
function gatesOpen(pod: Pod): boolean {
  return (pod.spec.readinessGates ?? []).every((g) => podCondition(pod, g.conditionType)?.status === 'True');
}

function isOver(pod: Pod): boolean {
  return phase(pod) === 'Succeeded' || phase(pod) === 'Failed';
}

function condition(
  pod: Pod,
  facts: PodFacts,
  wanted: Pick<PodCondition, 'type' | 'status' | 'reason' | 'message'>,
): object {
  const known = podCondition(pod, wanted.type);
  const same = known?.status === wanted.status && known.lastTransitionTime !== undefined;
  return {
    lastProbeTime: null,
    reason: null,
    message: null,
    ...wanted,
    lastTransitionTime: same ? known.lastTransitionTime : rfc3339(facts.nowMs),
  };
}

type Readiness = 'ready' | 'gated' | 'not-ready' | 'completed' | 'failed' | 'initializing';

const REASONS: { readonly [readiness in Readiness]: string | undefined } = {
  ready: undefined,
  gated: undefined,
  'not-ready': 'ContainersNotReady',
  initializing: 'ContainersNotReady',
  completed: 'PodCompleted',
  failed: 'PodFailed',
};

function conditions(pod: Pod, facts: PodFacts, readiness: Readiness): object[] {
  const names = pod.spec.containers.map((container) => container.name);
  const unready = `containers with unready status: [${names.join(' ')}]`;
  const containersReady = readiness === 'ready' || readiness === 'gated';
  const isEnd = readiness === 'completed' || readiness === 'failed';
  const reason = REASONS[readiness];
  const why = reason && { reason, ...(reason === 'ContainersNotReady' && { message: unready }) };
  const incomplete = initContainers(pod).map((container) => container.name);
  const initialized =
    readiness === 'initializing'
      ? {
          status: 'False',
          reason: 'ContainersNotInitialized',
          message: `containers with incomplete status: [${incomplete.join(' ')}]`,
        }
      : { status: 'True', ...(readiness === 'completed' && { reason: 'PodCompleted' }) };
  const ready = gatesOpen(pod)
    ? { status: containersReady ? 'True' : 'False', ...why }
    : { status: 'False', reason: 'ReadinessGatesNotReady', message: gateMessage(pod) };
  return [
    condition(pod, facts, { type: 'PodReadyToStartContainers', status: isEnd ? 'False' : 'True' }),
    condition(pod, facts, { type: 'Initialized', ...initialized }),
    condition(pod, facts, { type: 'Ready', ...ready }),
    condition(pod, facts, { type: 'ContainersReady', status: containersReady ? 'True' : 'False', ...why }),
  ];
}

function gateMessage(pod: Pod): string {
  const missing = (pod.spec.readinessGates ?? []).filter((g) => !podCondition(pod, g.conditionType));
  return missing.length > 0
    ? missing
        .map((gate) => `corresponding condition of pod readiness gate "${gate.conditionType}" does not exist.`)
        .join(' ')
    : 'the status of pod readiness gate is not "True", but False';
}

/** One container's status; what it was before is kept where a kubelet would keep it. */
function containerStatus(
  pod: Pod,
  container: Container,
  wanted: { readonly state: ContainerState; readonly ready: boolean; readonly restarted?: boolean },
): ContainerStatus {
  const all = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  const known = all.find((status) => status.name === container.name);
  const count = (known?.restartCount ?? 0) + (wanted.restarted ? 1 : 0);
  const { waiting } = wanted.state;
  const ended = wanted.restarted ? (known?.state?.terminated ? known.state : known?.lastState) : known?.lastState;
  return {
    name: container.name,
    image: container.image ?? '',
    imageID: waiting ? '' : `docker-pullable://${container.image ?? ''}`,
    ready: wanted.ready,
    started: wanted.state.running !== undefined,
    restartCount: count,
    state: wanted.state,
    lastState: ended ?? {},
    ...(!waiting && {
      containerID: `containerd://${pod.metadata.uid}-${container.name}-${count}`,
      ...held(container),
    }),
  };
}

/** What a container that was made holds of its node. */
function held({ resources = {} }: Container): Pick<ContainerStatus, 'resources' | 'allocatedResources'> {
  return { resources, ...(resources.requests && { allocatedResources: resources.requests }) };
}

function initStatuses(pod: Pod, facts: PodFacts, done: boolean): ContainerStatus[] {
  const at = rfc3339(facts.nowMs);
  return (pod.spec.initContainers ?? []).map((container) => {
    if (!isInit(container))
      return containerStatus(pod, container, { state: { running: { startedAt: at } }, ready: true });
    const known = pod.status?.initContainerStatuses?.find((status) => status.name === container.name);
    if (known?.state?.terminated) return known;
    const startedAt = known?.state?.running?.startedAt ?? at;
    const state: ContainerState = done
      ? { terminated: { exitCode: 0, reason: 'Completed', startedAt, finishedAt: at } }
      : { running: { startedAt } };
    return containerStatus(pod, container, { state, ready: done });
  });
}

function addresses(pod: Pod, facts: PodFacts): object {
  const podIP = pod.spec.hostNetwork ? facts.hostIP : facts.podIP;
  return {
    hostIP: facts.hostIP,
    hostIPs: [{ ip: facts.hostIP }],
    podIP,
    podIPs: [{ ip: podIP }],
    startTime: pod.status?.startTime ?? rfc3339(facts.nowMs),
  };
}

function terminated(pod: Pod, facts: PodFacts, code: number, reason: string): ContainerStatus[] {
  const finishedAt = rfc3339(facts.nowMs);
  return pod.spec.containers.map((container) => {
    const known = pod.status?.containerStatuses?.find((status) => status.name === container.name);
    const startedAt = known?.state?.running?.startedAt ?? finishedAt;
    return containerStatus(pod, container, {
      state: { terminated: { exitCode: code, reason, startedAt, finishedAt } },
      ready: false,
    });
  });
}

function startEvents(containers: readonly Container[]): StageEvent[] {
  const normal = (reason: string, message: string): StageEvent => ({ type: 'Normal', reason, message });
  return containers.flatMap(({ image }) => [
    normal('Pulled', `Container image "${image}" already present on machine`),
    normal('Created', 'Container created'),
    normal('Started', 'Container started'),
  ]);
}

function running(pod: Pod, facts: PodFacts, restarted: boolean): StageOutcome {
  const startedAt = rfc3339(facts.nowMs);
  const containerStatuses = pod.spec.containers.map((container) =>
    containerStatus(pod, container, { state: { running: { startedAt } }, ready: true, restarted }),
  );
  return {
    status: {
      phase: 'Running',
      ...addresses(pod, facts),
      ...wholeHeld(pod),
      conditions: conditions(pod, facts, 'ready'),
      ...(pod.spec.initContainers?.length && { initContainerStatuses: initStatuses(pod, facts, true) }),
      containerStatuses,
    },
    events: startEvents(pod.spec.containers),
  };
}

function pulling(pod: Pod, facts: PodFacts, reason: 'ErrImagePull' | 'ImagePullBackOff'): StageOutcome {
  const image = brokenContainers(pod)[0]!.image!;
  const failure = `failed to pull and unpack image "${image}": failed to resolve image: ${image}: not found`;
  const broken = reason === 'ErrImagePull' ? failure : `Back-off pulling image "${image}": ErrImagePull: ${failure}`;
  const inits = brokenContainers(pod).some((container) => pod.spec.initContainers?.includes(container));
  const status = (container: Container, fallback: string): ContainerStatus => {
    const waiting = isMissingImage(container.image) ? { reason, message: broken } : { reason: fallback };
    return containerStatus(pod, container, { state: { waiting }, ready: false });
  };
  const { startTime, ...others } = addresses(pod, facts) as { startTime: string };
  return {
    status: {
      phase: 'Pending',
      startTime,
      ...others,
      conditions: conditions(pod, facts, inits ? 'initializing' : 'not-ready'),
      ...(pod.spec.initContainers?.length && {
        initContainerStatuses: inits
          ? pod.spec.initContainers.map((container) => status(container, 'PodInitializing'))
          : initStatuses(pod, facts, true),
      }),
      containerStatuses: pod.spec.containers.map((c) => status(c, inits ? 'PodInitializing' : 'ContainerCreating')),
    },
    events: pullEvents(image, reason, failure),
  };
}

function pullEvents(image: string, reason: string, failure: string): StageEvent[] {
  if (reason === 'ImagePullBackOff') {
    return [
      { type: 'Normal', reason: 'BackOff', message: `Back-off pulling image "${image}"` },
      { type: 'Warning', reason: 'Failed', message: 'Error: ImagePullBackOff' },
    ];
  }
  return [
    { type: 'Normal', reason: 'Pulling', message: `Pulling image "${image}"` },
    { type: 'Warning', reason: 'Failed', message: `Failed to pull image "${image}": ${failure}` },
    { type: 'Warning', reason: 'Failed', message: 'Error: ErrImagePull' },
  ];
}

/** In order of precedence. */
export const POD_STAGES: readonly PodStage[] = [
  {
    name: 'remove',
    when: (pod) =>
      pod.metadata.deletionTimestamp !== undefined &&
      (isOver(pod) || !pod.status?.containerStatuses?.some((s) => s.state?.running)),
    next: () => ({ remove: true }),
  },
  {
    name: 'stop',
    when: (pod) => pod.metadata.deletionTimestamp !== undefined,
    afterMs: (pod, facts) => {
      const graceMs = (pod.metadata.deletionGracePeriodSeconds ?? 30) * 1000;
      const stubborn = pod.metadata.annotations?.[IGNORES_SIGTERM_ANNOTATION] === 'true';
      return stubborn ? graceMs : Math.min(graceMs, facts.stopMs);
    },
    next: (pod, facts) => {
      const stubborn = pod.metadata.annotations?.[IGNORES_SIGTERM_ANNOTATION] === 'true';
      const code = stubborn ? 137 : 0;
      return {
        status: {
          phase: code === 0 ? 'Succeeded' : 'Failed',
          conditions: conditions(pod, facts, code === 0 ? 'completed' : 'failed'),
          containerStatuses: terminated(pod, facts, code, code === 0 ? 'Completed' : 'Error'),
        },
        events: pod.spec.containers.map(({ name }) => ({
          type: 'Normal',
          reason: 'Killing',
          message: `Stopping container ${name}`,
        })),
      };
    },
  },
  ...RESIZE_STAGES,
  {
    name: 'pull-failed',
    when: (pod) => phase(pod) === 'Pending' && brokenContainers(pod).length > 0 && waitingReason(pod) === undefined,
    afterMs: (_, facts) => facts.startMs,
    next: (pod, facts) => pulling(pod, facts, 'ErrImagePull'),
  },
  {
    name: 'pull-back-off',
    when: (pod) =>
      phase(pod) === 'Pending' && brokenContainers(pod).length > 0 && waitingReason(pod) === 'ErrImagePull',
    afterMs: () => PULL_BACKOFF_MS,
    next: (pod, facts) => pulling(pod, facts, 'ImagePullBackOff'),
  },
  {
    name: 'initialize',
    when: (pod) =>
      phase(pod) === 'Pending' &&
      brokenContainers(pod).length === 0 &&
      !initDone(pod) &&
      !pod.status?.initContainerStatuses?.some((s) => s.state?.running),
    next: (pod, facts) => ({
      status: {
        phase: 'Pending',
        ...addresses(pod, facts),
        conditions: conditions(pod, facts, 'initializing'),
        initContainerStatuses: initStatuses(pod, facts, false),
        containerStatuses: pod.spec.containers.map((container) =>
          containerStatus(pod, container, { state: { waiting: { reason: 'PodInitializing' } }, ready: false }),
        ),
      },
      events: startEvents(pod.spec.initContainers ?? []),
    }),
  },
  {
    name: 'start',
    when: (pod) => phase(pod) === 'Pending' && brokenContainers(pod).length === 0,
    afterMs: (_, facts) => facts.startMs,
    next: (pod, facts) => running(pod, facts, false),
  },
  {
    name: 'readiness-gates',
    // The node says what is ready, whatever was written while nobody heard of it.
    when: (pod) => isRunning(pod) && (podCondition(pod, 'Ready')?.status === 'True') !== gatesOpen(pod),
    next: (pod, facts) => ({ status: { conditions: conditions(pod, facts, 'ready') } }),
  },
  {
    name: 'complete',
    when: (pod) => isRunning(pod) && runMs(pod) !== undefined && !restarts(pod),
    afterMs: (pod, facts) => Math.max(0, startedAtMs(pod) + runMs(pod)! - facts.nowMs),
    next: (pod, facts) => {
      const code = exitCode(pod);
      return {
        status: {
          phase: code === 0 ? 'Succeeded' : 'Failed',
          conditions: conditions(pod, facts, code === 0 ? 'completed' : 'failed'),
          containerStatuses: terminated(pod, facts, code, code === 0 ? 'Completed' : 'Error'),
        },
      };
    },
  },
  {
    name: 'crash',
    when: (pod) => isRunning(pod) && runMs(pod) !== undefined,
    afterMs: (pod, facts) => Math.max(0, startedAtMs(pod) + runMs(pod)! - facts.nowMs),
    next: (pod, facts) => {
      const ended = terminated(pod, facts, exitCode(pod), exitCode(pod) === 0 ? 'Completed' : 'Error');
      const message = 'back-off restarting failed container';
      return {
        status: {
          phase: 'Running',
          conditions: conditions(pod, facts, 'not-ready'),
          containerStatuses: ended.map((status) => ({
            ...status,
            lastState: status.state,
            state: { waiting: { reason: 'CrashLoopBackOff', message } },
          })),
        },
        events: [{ type: 'Warning', reason: 'BackOff', message: 'Back-off restarting failed container' }],
      };
    },
  },
  {
    name: 'restart',
    when: (pod) => phase(pod) === 'Running' && waitingReason(pod) === 'CrashLoopBackOff',
    afterMs: (pod) => Math.min(MAX_CRASH_BACKOFF_MS, CRASH_BACKOFF_MS * 2 ** restartCount(pod)),
    next: (pod, facts) => running(pod, facts, true),
  },
  RESIZE_RETRY,
];
