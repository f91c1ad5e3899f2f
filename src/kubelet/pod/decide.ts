// What is to be done for a pod that is to run, from its specification and what the runtime has. Pure: level-triggered,
// so that doing half of the answer and asking again is right.
import type { Container, Pod } from '../../api/generated/types.ts';
import { isSidecar } from '../../machinery/pods.ts';
import { newestContainer, type ObservedContainer, type ObservedPod, type ObservedSandbox } from './observed.ts';
import { type ContainerUpdate, containerResize } from './resize.ts';
import { containerHash, hasFailed, restartsAfter, retriesFailures, shouldStart } from './restart.ts';

export type ProbeVerdict = 'unknown' | 'success' | 'failure';

/** What the probes found, by container id. */
export interface Verdicts {
  liveness(containerId: string): ProbeVerdict;
  startup(containerId: string): ProbeVerdict;
}

export interface ContainerToKill {
  readonly id: string;
  readonly name: string;
  readonly message: string;
  readonly reason: 'definitionChanged' | 'livenessProbe' | 'startupProbe' | 'unknownState' | 'resize';
}

export interface ContainerToStart {
  readonly container: Container;
  readonly type: 'init' | 'regular' | 'ephemeral';
}

export interface PodActions {
  /** Everything of the pod is to be stopped first, the sandbox included. */
  readonly killPod: boolean;
  readonly createSandbox: boolean;
  /** The attempt of a sandbox to create. */
  readonly attempt: number;
  /** The sandbox to work in, when none is to be created. */
  readonly sandbox: ObservedSandbox | undefined;
  readonly kill: readonly ContainerToKill[];
  readonly start: readonly ContainerToStart[];
  /** Running containers that get other resources as they run. */
  readonly update: readonly ContainerUpdate[];
}

export function decide(pod: Pod, observed: ObservedPod, verdicts: Verdicts): PodActions {
  const sandbox = usableSandbox(pod, observed);
  if (!sandbox) return decideWithoutSandbox(pod, observed);
  const update: ContainerUpdate[] = [];
  const base = { createSandbox: false, attempt: sandbox.attempt, sandbox, update };
  const kill: ContainerToKill[] = [];
  const start: ContainerToStart[] = ephemeralToStart(pod, observed);

  const init = decideInit(pod, inSandbox(observed, sandbox), verdicts);
  if (init.failed) return { ...base, killPod: true, kill: [], start: [], update: [] };
  kill.push(...init.kill);
  start.push(...init.start);
  update.push(...init.update);
  if (!init.initialized) return { ...base, killPod: false, kill, start };

  let kept = 0;
  let started = 0;
  for (const container of pod.spec.containers) {
    const status = newestContainer(observed, container.name);
    if (status?.state !== 'running') {
      if (!shouldStart(pod, container, observed)) continue;
      started++;
      start.push({ container, type: 'regular' });
      if (status?.state === 'unknown') kill.push(unknownState(status));
      continue;
    }
    const killing = reasonToKill(container, status, verdicts);
    if (!killing) {
      const resize = containerResize(container, status);
      if (resize !== 'restart') {
        if (resize) update.push(resize);
        kept++;
        continue;
      }
      kill.push(resizeRestart(status));
      started++;
      start.push({ container, type: 'regular' });
      continue;
    }
    const again = killing.reason === 'definitionChanged' || restartsAfter(pod, container, 137);
    kill.push({ ...killing, message: again ? `${killing.message}, will be restarted` : killing.message });
    if (again) {
      started++;
      start.push({ container, type: 'regular' });
    }
  }
  // Only sidecars are left: they end with the containers that they serve.
  if (kept === 0 && started === 0) return { ...base, killPod: true, kill: [], start: [], update: [] };
  return { ...base, killPod: false, kill, start };
}

/** The newest sandbox, if it is ready, alone in that, and of the right network. */
function usableSandbox(pod: Pod, observed: ObservedPod): ObservedSandbox | undefined {
  const ready = observed.sandboxes.filter((s) => s.ready);
  const newest = observed.sandboxes[0];
  if (!newest?.ready || ready.length !== 1) return undefined;
  const hostNetwork = pod.spec.hostNetwork ?? false;
  if (newest.hostNetwork !== hostNetwork) return undefined;
  return hostNetwork || newest.ips.length > 0 ? newest : undefined;
}

function decideWithoutSandbox(pod: Pod, observed: ObservedPod): PodActions {
  const newest = observed.sandboxes[0];
  const attempt = newest ? newest.attempt + 1 : 0;
  const nothing = {
    ...{ killPod: true, createSandbox: false, attempt, sandbox: undefined },
    ...{ kill: [], start: [], update: [] },
  };
  // A pod that is not to be restarted does not get a second sandbox for what has run in the first.
  if (!retriesFailures(pod) && attempt > 0 && observed.containers.length > 0) return nothing;
  const succeeded = (c: Container): boolean => {
    const status = newestContainer(observed, c.name);
    return status?.state === 'exited' && !restartsAfter(pod, c, status.exitCode);
  };
  const containers = pod.spec.containers.filter((c) => !succeeded(c));
  if (containers.length === 0) return nothing;
  const first = pod.spec.initContainers?.[0];
  const start: ContainerToStart[] = first
    ? [{ container: first, type: 'init' }]
    : containers.map((container) => ({ container, type: 'regular' }));
  return { ...nothing, createSandbox: true, start };
}

interface InitDecision {
  readonly initialized: boolean;
  readonly failed: boolean;
  readonly kill: ContainerToKill[];
  readonly start: ContainerToStart[];
  readonly update: ContainerUpdate[];
}

/**
 * Init containers run one after the other; a sidecar counts as passed once it has started. The newest one that exists
 * tells how far the pod is: earlier ones may have been collected.
 */
function decideInit(pod: Pod, observed: ObservedPod, verdicts: Verdicts): InitDecision {
  const containers = pod.spec.initContainers ?? [];
  const kill: ContainerToKill[] = [];
  const start: ContainerToStart[] = [];
  const update: ContainerUpdate[] = [];
  const result = (initialized: boolean, failed = false): InitDecision => ({
    ...{ initialized, failed },
    ...{ kill, start, update },
  });
  if (containers.length === 0) return result(true);
  const wasInitialized = pod.spec.containers.some((c) => newestContainer(observed, c.name) !== undefined);
  let reached = containers.length - 1;
  if (!wasInitialized) while (reached >= 0 && !newestContainer(observed, containers[reached]!.name)) reached--;

  let initialized = wasInitialized;
  for (let i = 0; i <= reached; i++) {
    const container = containers[i]!;
    const status = newestContainer(observed, container.name);
    if (isSidecar(container)) {
      const step = decideSidecar(container, status, verdicts);
      if (step.kill) kill.push(step.kill);
      if (step.start) start.push({ container, type: 'init' });
      if (step.update) update.push(step.update);
      if (i === reached && !wasInitialized && step.started) initialized = next(i);
    } else if (i === reached && !wasInitialized) {
      if (status!.state === 'exited' && status!.exitCode === 0) initialized = next(i);
      else if (hasFailed(status!) && !restartsAfter(pod, container, status!.exitCode)) return result(false, true);
      else if (status!.state === 'unknown') {
        kill.push(unknownState(status!));
        start.push({ container, type: 'init' });
      } else if (status!.state !== 'running') start.push({ container, type: 'init' });
    }
  }
  if (!wasInitialized && reached < 0) start.push({ container: containers[0]!, type: 'init' });
  return result(initialized);

  /** True when `i` was the last; otherwise the one after it is to start. */
  function next(i: number): boolean {
    const following = containers[i + 1];
    if (following) start.push({ container: following, type: 'init' });
    return following === undefined;
  }
}

interface SidecarStep {
  readonly started: boolean;
  readonly start: boolean;
  readonly kill?: ContainerToKill;
  readonly update?: ContainerUpdate;
}

function decideSidecar(container: Container, status: ObservedContainer | undefined, verdicts: Verdicts): SidecarStep {
  if (!status || status.state === 'exited' || status.state === 'created') return { started: false, start: true };
  if (status.state === 'unknown') return { started: false, start: true, kill: unknownState(status) };
  const killing = reasonToKill(container, status, verdicts, 'Init container');
  if (killing) {
    return { started: false, start: true, kill: { ...killing, message: `${killing.message}, will be restarted` } };
  }
  const resize = containerResize(container, status);
  if (resize === 'restart') return { started: false, start: true, kill: resizeRestart(status) };
  const started = !container.startupProbe || verdicts.startup(status.id) === 'success';
  return { started, start: false, ...(resize && { update: resize }) };
}

function ephemeralToStart(pod: Pod, observed: ObservedPod): ContainerToStart[] {
  return ((pod.spec.ephemeralContainers ?? []) as readonly Container[])
    .filter((c) => !newestContainer(observed, c.name))
    .map((container) => ({ container, type: 'ephemeral' }));
}

function reasonToKill(
  container: Container,
  status: ObservedContainer,
  verdicts: Verdicts,
  noun = 'Container',
): ContainerToKill | undefined {
  const { id, name } = status;
  if (status.hash !== containerHash(container)) {
    return { id, name, reason: 'definitionChanged', message: `${noun} ${name} definition changed` };
  }
  if (container.livenessProbe && verdicts.liveness(id) === 'failure') {
    return { id, name, reason: 'livenessProbe', message: `${noun} ${name} failed liveness probe` };
  }
  if (container.startupProbe && verdicts.startup(id) === 'failure') {
    return { id, name, reason: 'startupProbe', message: `${noun} ${name} failed startup probe` };
  }
  return undefined;
}

function resizeRestart({ id, name }: ObservedContainer): ContainerToKill {
  return { id, name, reason: 'resize', message: `Container ${name} resize requires restart` };
}

function unknownState({ id, name }: ObservedContainer): ContainerToKill {
  const message = `Container is in "unknown" state, try killing it before restart`;
  return { id, name, reason: 'unknownState', message };
}

/** Init containers are counted anew in every sandbox. */
function inSandbox(observed: ObservedPod, sandbox: ObservedSandbox): ObservedPod {
  return { ...observed, containers: observed.containers.filter((c) => c.sandboxId === sandbox.id) };
}
