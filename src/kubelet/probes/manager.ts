import type { Container, Pod, Probe } from '../../api/generated/types.ts';
import { isAbort } from '../../lib/abort.ts';
import { sleep } from '../../lib/clock.ts';
import type { Environment } from '../../lib/environment.ts';
import type { CriClient } from '../cri/client.ts';
import type { PodEvents } from '../events.ts';
import type { ProbeVerdict, Verdicts } from '../pod/decide.ts';
import { newestContainer, type ObservedContainer, type ObservedPod } from '../pod/observed.ts';
import { allContainers } from '../pod/restart.ts';
import { runHandler } from './handlers.ts';
import { initialProbeState, isProbeDue, nextProbeState, type ProbeState, type ProbeType } from './state.ts';

/** What is known of the pod when a probe comes due. */
export interface ProbedPod {
  readonly pod: Pod;
  readonly observed: ObservedPod;
  readonly podIP: string;
}

export interface ProbeManagerOptions {
  readonly env: Environment;
  readonly cri: CriClient;
  readonly events: PodEvents;
  /** The newest view of a pod; undefined when it is gone. */
  readonly view: (uid: string) => ProbedPod | undefined;
  /** Called when a verdict changed. */
  readonly onChange: (uid: string) => void;
}

const TYPES: readonly ProbeType[] = ['startup', 'liveness', 'readiness'];
/** A probe that could not be made is tried again at once, this often. */
const MAX_TRIES = 3;
const TITLES = { liveness: 'Liveness', readiness: 'Readiness', startup: 'Startup' } as const;

interface Worker {
  readonly type: ProbeType;
  state: ProbeState | undefined;
  readonly wake: AbortController;
}

/** Runs the probes of all pods: one loop a probe, from `add` to `remove`. */
export class ProbeManager {
  readonly #options: ProbeManagerOptions;
  readonly #pods = new Map<string, { workers: Map<string, Worker>; stop: AbortController }>();

  constructor(options: ProbeManagerOptions) {
    this.#options = options;
  }

  /**
   * Begins probing a pod; again for containers that are new. `wasReady` tells the readiness of containers that were
   * started by an earlier kubelet, so that its restart does not take pods out of service.
   */
  add(pod: Pod, wasReady: (containerId: string) => boolean): void {
    const uid = pod.metadata.uid!;
    let entry = this.#pods.get(uid);
    for (const container of allContainers(pod)) {
      for (const type of TYPES) {
        const probe = container[`${type}Probe`];
        if (!probe) continue;
        entry ??= this.#begin(uid);
        const key = `${container.name}/${type}`;
        if (entry.workers.has(key)) continue;
        const worker: Worker = { type, state: undefined, wake: new AbortController() };
        entry.workers.set(key, worker);
        this.#run(uid, container.name, probe, worker, wasReady, entry.stop.signal).catch((error) => {
          if (!isAbort(error, entry!.stop.signal)) this.#options.env.log.error('probe ended', error, { uid, key });
        });
      }
    }
  }

  remove(uid: string): void {
    this.#pods.get(uid)?.stop.abort();
    this.#pods.delete(uid);
  }

  /** Stops liveness and startup probes of a pod that is being ended; readiness goes on until its containers are gone. */
  stopFatal(uid: string): void {
    for (const worker of this.#pods.get(uid)?.workers.values() ?? []) {
      if (worker.type !== 'readiness') worker.wake.abort();
    }
  }

  verdicts(uid: string): Verdicts {
    return {
      liveness: (id) => this.#verdict(uid, 'liveness', id),
      startup: (id) => this.#verdict(uid, 'startup', id),
    };
  }

  /** Whether a running container has passed its startup probe, or has none. */
  isStarted(uid: string, container: Container, id: string): boolean {
    return !container.startupProbe || this.#verdict(uid, 'startup', id) === 'success';
  }

  isReady(uid: string, container: Container, id: string): boolean {
    return !container.readinessProbe || this.#verdict(uid, 'readiness', id) === 'success';
  }

  #begin(uid: string): { workers: Map<string, Worker>; stop: AbortController } {
    const entry = { workers: new Map<string, Worker>(), stop: new AbortController() };
    this.#pods.set(uid, entry);
    return entry;
  }

  #verdict(uid: string, type: ProbeType, containerId: string): ProbeVerdict {
    for (const worker of this.#pods.get(uid)?.workers.values() ?? []) {
      if (worker.type === type && worker.state?.containerId === containerId) return worker.state.verdict;
    }
    return 'unknown';
  }

  async #run(
    uid: string,
    name: string,
    probe: Probe,
    worker: Worker,
    wasReady: (containerId: string) => boolean,
    podSignal: AbortSignal,
  ): Promise<void> {
    const { env, view, onChange } = this.#options;
    const signal = AbortSignal.any([podSignal, worker.wake.signal]);
    const periodMs = (probe.periodSeconds ?? 10) * 1000;
    const begunMs = env.clock.now();
    while (!signal.aborted) {
      const pod = view(uid);
      const status = pod && newestContainer(pod.observed, name);
      const container = pod && allContainers(pod.pod).find((c) => c.name === name);
      if (status?.state === 'running' && container) {
        if (worker.state?.containerId !== status.id) {
          // Only a container that an earlier kubelet started keeps its readiness.
          const keeps = status.startedAtMs < begunMs && wasReady(status.id);
          worker.state = initialProbeState(worker.type, status.id, keeps);
        }
        const before = worker.state.verdict;
        await this.#probeOnce(pod, container, status, probe, worker, signal);
        if (worker.state.verdict !== before) onChange(uid);
      }
      await sleep(env.clock, this.#waitMs(worker, probe, status, periodMs), signal).catch(() => undefined);
    }
  }

  /** The period; shorter only to keep the initial delay exact. */
  #waitMs(worker: Worker, probe: Probe, status: ObservedContainer | undefined, periodMs: number): number {
    const delayMs = (probe.initialDelaySeconds ?? 0) * 1000;
    if (status?.state !== 'running') return Math.min(periodMs, 1000);
    const untilDueMs = status.startedAtMs + delayMs - this.#options.env.clock.now();
    if (untilDueMs > 0 && untilDueMs < periodMs) return untilDueMs;
    // Those that wait for the startup probe look again soon after it has let the container through.
    const gated = worker.state?.last === undefined && untilDueMs <= 0;
    return gated ? Math.min(periodMs, 1000) : periodMs;
  }

  async #probeOnce(
    view: ProbedPod,
    container: Container,
    status: ObservedContainer,
    probe: Probe,
    worker: Worker,
    signal: AbortSignal,
  ): Promise<void> {
    const { env, cri, events } = this.#options;
    const { pod } = view;
    const timing = {
      nowMs: env.clock.now(),
      startedAtMs: status.startedAtMs,
      started: this.isStarted(pod.metadata.uid!, container, status.id),
    };
    if (!isProbeDue(worker.state!, worker.type, probe, timing)) return;
    const target = { container, containerId: status.id, podIP: view.podIP };
    const context = { cri, clock: env.clock, timeoutMs: (probe.timeoutSeconds ?? 1) * 1000, signal };
    let result = await runHandler(probe, target, context);
    for (let tries = 1; result.outcome === 'error' && tries < MAX_TRIES && !signal.aborted; tries++) {
      result = await runHandler(probe, target, context);
    }
    if (signal.aborted) return;
    const title = TITLES[worker.type];
    if (result.outcome === 'error') {
      events.container(pod, container, 'Warning', 'Unhealthy', `${title} probe errored: ${result.message}`);
      return;
    }
    if (result.outcome === 'failure') {
      events.container(pod, container, 'Warning', 'Unhealthy', `${title} probe failed: ${result.message}`);
    }
    worker.state = nextProbeState(worker.state!, worker.type, probe, result.outcome);
  }
}
