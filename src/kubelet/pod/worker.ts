// One pod's worker: looks, decides, acts, one thing at a time, until the pod is gone from the API and from the node.
import type { Container, Pod, PodStatus, Secret } from '../../api/generated/types.ts';
import { sleep, type Timer } from '../../lib/clock.ts';
import type { Environment } from '../../lib/environment.ts';
import type { ResizeRefusal } from '../../machinery/pod-resize.ts';
import type { Allocations } from '../allocation/allocations.ts';
import { type FailureBackoff, goSeconds } from '../backoff.ts';
import { isRuntimeDown } from '../cri/client.ts';
import type { FieldContext } from '../env/fields.ts';
import type { PodEvents } from '../events.ts';
import type { ReferencedObjects } from '../objects.ts';
import type { ProbeManager } from '../probes/manager.ts';
import type { Cgroups } from '../runtime/cgroups.ts';
import type { PodObserver } from '../runtime/observe.ts';
import type { KillRequest, PodRuntime, StartContext } from '../runtime/pod-runtime.ts';
import { type PodResizer, ResizeError } from '../runtime/resize.ts';
import { podCgroup } from '../runtime/resources.ts';
import type { StatusManager } from '../status-manager.ts';
import { MountError, type VolumeManager } from '../volumes/manager.ts';
import type { WaitingReason } from './container-status.ts';
import { type ContainerToKill, type ContainerToStart, decide, type PodActions } from './decide.ts';
import { deadlineMs, graceSeconds } from './grace.ts';
import { containerID, isAnythingRunning, newestContainer, type ObservedPod } from './observed.ts';
import { isResizing } from './resize.ts';
import { ResizeReport } from './resize-report.ts';
import { allContainers, containerHash, everyContainer, sidecars } from './restart.ts';
import { StartError } from './start-error.ts';
import { type PodFailure, podStatus } from './status.ts';

export interface WorkerTools {
  readonly env: Environment;
  readonly runtime: PodRuntime;
  readonly observer: PodObserver;
  readonly statuses: StatusManager;
  readonly volumes: VolumeManager;
  readonly objects: ReferencedObjects;
  readonly probes: ProbeManager;
  readonly events: PodEvents;
  readonly cgroups: Cgroups;
  readonly allocations: Allocations;
  readonly resizer: PodResizer;
  /** Crashing containers, by pod uid, container name and hash. */
  readonly crashes: FailureBackoff;
  readonly nodeName: string;
  readonly hostIPs: readonly string[];
  /** Whether the node takes the pod; asked once, before anything of it runs. */
  readonly admit: (pod: Pod) => PodFailure | undefined;
  /** Decides about all pods that ask for other resources than they have: their workers are told (`judged`). */
  readonly judgeResizes: () => void;
  /** Learns the node as the API has it now. */
  readonly refreshNode: (signal: AbortSignal) => Promise<void>;
  /** The pod is gone from API and node. */
  readonly done: (uid: string) => void;
}

/** Every pod is looked at this often even if nothing seems to happen: tokens and downward files are renewed then. */
const RESYNC_MS = 60_000;
const RETRY_MS = 10_000;
const MOUNT_RETRY_MS = 2_000;
const RUNTIME_RETRY_MS = 1_000;
/** Statuses in a row that a worker may act on without a pause. */
const MAX_IMMEDIATE_SYNCS = 50;

export class PodWorker {
  readonly uid: string;
  readonly #t: WorkerTools;
  /** As the API has it. */
  #asked: Pod;
  /** With what is set aside for it in the place of what is asked for: what is done here is done for this one. */
  #pod: Pod;
  #observed: ObservedPod;
  /** Deleted from the API: no status is written, and the node is cleared of it. */
  #removed = false;
  #admitted = false;
  #failure: PodFailure | undefined;
  /** Nothing of the pod will run again. */
  #ended = false;
  #cleared = false;
  readonly #waiting = new Map<string, WaitingReason>();
  readonly #resize: ResizeReport;
  /** What the pod's group was last given; undefined: not known to this kubelet. */
  #grouped: string | undefined;
  #dirty = true;
  #busy: Promise<void> | undefined;
  #interrupt = new AbortController();
  #timer: Timer | undefined;
  readonly #signal: AbortSignal;

  constructor(pod: Pod, tools: WorkerTools, signal: AbortSignal) {
    this.uid = pod.metadata.uid!;
    this.#t = tools;
    this.#asked = pod;
    this.#pod = tools.allocations.laidOver(pod);
    this.#resize = new ResizeReport((type, reason, message) => tools.events.pod(this.#asked, type, reason, message));
    this.#observed = { uid: this.uid, name: '', namespace: '', sandboxes: [], containers: [] };
    this.#signal = signal;
    signal.addEventListener('abort', this.#stop, { once: true });
    this.wake();
  }

  readonly #stop = (): void => this.#timer?.cancel();

  /** With what is set aside for it. */
  get pod(): Pod {
    return this.#pod;
  }

  /** As the API has it: it may ask for other resources than are set aside. */
  get asked(): Pod {
    return this.#asked;
  }

  /** Whether the pod asks for other resources than it has, and still could get them. */
  get asksForOther(): boolean {
    return this.#admitted && !this.#isEnding() && this.#t.allocations.differs(this.#asked);
  }

  /** The node's verdict about what the pod asks for. */
  judged(refusal: ResizeRefusal | undefined): void {
    if (refusal) {
      if (this.#resize.refused(this.#asked, refusal)) this.wake();
      return;
    }
    this.#t.allocations.set(this.#asked);
    this.#pod = this.#t.allocations.laidOver(this.#asked);
    this.#resize.accepted(this.#asked);
    this.wake();
  }

  get observed(): ObservedPod {
    return this.#observed;
  }

  /** Whether the pod still holds resources of the node. */
  get active(): boolean {
    return !this.#ended && !this.#removed;
  }

  /** Whether the node has taken the pod. */
  get admitted(): boolean {
    return this.#admitted;
  }

  get podIP(): string {
    return this.#fields().podIPs[0] ?? '';
  }

  update(pod: Pod): void {
    const before = this.#asked;
    this.#take(pod);
    const begins = !before.metadata.deletionTimestamp && pod.metadata.deletionTimestamp !== undefined;
    const shortened = graceSeconds(pod) < graceSeconds(before);
    // What runs now was begun for a pod that was to live, or to end more slowly.
    if (begins || (pod.metadata.deletionTimestamp && shortened)) this.#interrupt.abort();
    this.wake();
  }

  #take(pod: Pod): void {
    this.#asked = pod;
    this.#pod = this.#t.allocations.laidOver(pod);
  }

  /** The pod left the API; `pod` is how it left it, with the grace period of a forced deletion. */
  remove(pod: Pod): void {
    const begins = !this.#pod.metadata.deletionTimestamp;
    const shortened = graceSeconds(pod) < graceSeconds(this.#pod);
    this.#removed = true;
    this.#take(pod);
    if (begins || shortened) this.#interrupt.abort();
    this.wake();
  }

  /** Looks at the pod again as soon as what is being done is done. */
  wake(): void {
    this.#dirty = true;
    this.#busy ??= this.#loop().finally(() => {
      this.#busy = undefined;
      if (this.#dirty && !this.#signal.aborted) this.wake();
    });
  }

  async #loop(): Promise<void> {
    for (let immediate = 0; this.#dirty && !this.#signal.aborted; immediate++) {
      this.#dirty = false;
      this.#timer?.cancel();
      if (immediate >= MAX_IMMEDIATE_SYNCS) {
        await sleep(this.#t.env.clock, RUNTIME_RETRY_MS, this.#signal).catch(() => undefined);
        immediate = 0;
      }
      this.#interrupt = new AbortController();
      const signal = AbortSignal.any([this.#interrupt.signal, this.#signal]);
      try {
        const nextMs = await this.#sync(signal);
        if (!this.#cleared) this.#later(nextMs ?? RESYNC_MS);
      } catch (error) {
        if (this.#signal.aborted) return;
        if (this.#interrupt.signal.aborted) this.#dirty = true;
        else this.#failed(error);
      }
    }
  }

  #failed(error: unknown): void {
    if (!isRuntimeDown(error)) {
      this.#t.env.log.error('syncing a pod failed', error, { pod: this.#pod.metadata.name, uid: this.uid });
    }
    this.#later(isRuntimeDown(error) ? RUNTIME_RETRY_MS : RETRY_MS);
  }

  #later(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#t.env.clock.timer(Math.max(delayMs, 10), () => this.wake());
    if (this.#signal.aborted) this.#timer.cancel();
  }

  /** One round. Returns in how many milliseconds to look again, if sooner than usual. */
  async #sync(signal: AbortSignal): Promise<number | undefined> {
    if (this.#cleared) return undefined;
    this.#observed = await this.#t.observer.observe(this.uid, signal);
    await this.#admit(signal);
    this.#checkDeadline();
    if (this.#isEnding()) return this.#end(signal);
    await this.#allocate();
    this.#t.objects.register(this.#pod);
    const status = this.#report(false);
    if (status.phase === 'Failed' || status.phase === 'Succeeded') return this.#end(signal);
    this.#t.probes.add(this.#pod, (id) => this.#wasReady(id));
    const actions = decide(this.#pod, this.#observed, this.#t.probes.verdicts(this.uid));
    return this.#act(actions, signal);
  }

  /** Between the node's verdict and its being remembered nothing waits: other pods are judged meanwhile. */
  async #admit(signal: AbortSignal): Promise<void> {
    if (this.#admitted || this.#failure) return;
    // What has run here before was admitted before.
    const known = this.#observed.sandboxes.length > 0 || this.#pod.metadata.deletionTimestamp || this.#removed;
    let failure = known ? undefined : this.#t.admit(this.#pod);
    if (failure?.reason === 'NodeAffinity') {
      // The scheduler may have seen labels of the node that have not come here yet.
      await this.#t.refreshNode(signal).catch(() => signal.throwIfAborted());
      failure = this.#t.admit(this.#pod);
    }
    if (!failure) {
      this.#admitted = true;
      if (!this.#t.allocations.has(this.#asked)) this.#t.allocations.set(this.#asked);
      return;
    }
    this.#failure = failure;
    this.#t.events.pod(this.#pod, 'Warning', failure.reason, failure.message.replace(/^Pod was rejected: /, ''));
  }

  /** Settles what is set aside for the pod, for good before anything is done with it. */
  async #allocate(): Promise<void> {
    const { allocations } = this.#t;
    if (allocations.differs(this.#asked)) this.#t.judgeResizes();
    else this.#resize.withdrawn();
    await allocations.save(this.uid);
    const regrouped = this.#grouped !== undefined && this.#grouped !== groupOf(this.#pod);
    this.#resize.seen(this.#pod, isResizing(this.#pod, this.#observed) || (this.#resize.inProgress && regrouped));
  }

  #checkDeadline(): void {
    const startedAt = this.#t.statuses.get(this.uid)?.startTime ?? this.#pod.status?.startTime;
    const untilMs = deadlineMs(this.#pod, startedAt);
    if (untilMs === undefined || this.#failure || untilMs > this.#t.env.clock.now()) return;
    const message = 'Pod was active on the node longer than the specified deadline';
    this.#failure = { reason: 'DeadlineExceeded', message };
    this.#t.events.pod(this.#pod, 'Normal', 'DeadlineExceeded', message);
  }

  #isEnding(): boolean {
    const phase = this.#pod.status?.phase;
    const terminal = phase === 'Failed' || phase === 'Succeeded';
    return this.#ended || this.#removed || this.#failure !== undefined || terminal || this.#isDeleted();
  }

  #isDeleted(): boolean {
    return this.#pod.metadata.deletionTimestamp !== undefined && this.#pod.metadata.deletionTimestamp !== null;
  }

  /** Readiness that an earlier kubelet reported of this very container. */
  #wasReady(id: string): boolean {
    const statuses = [
      ...(this.#pod.status?.containerStatuses ?? []),
      ...(this.#pod.status?.initContainerStatuses ?? []),
    ];
    return statuses.find((s) => s.containerID === containerID(id))?.ready ?? false;
  }

  #fields(): FieldContext {
    const ready = this.#observed.sandboxes.find((s) => s.ready);
    const podIPs = this.#pod.spec.hostNetwork ? this.#t.hostIPs : (ready?.ips ?? []);
    return { pod: this.#pod, podIPs, hostIPs: this.#t.hostIPs, nodeName: this.#t.nodeName };
  }

  #report(ending: boolean): PodStatus {
    const { probes, statuses, env, hostIPs } = this.#t;
    const status = podStatus({
      pod: this.#pod,
      observed: this.#observed,
      previous: statuses.get(this.uid) ?? this.#pod.status,
      ending,
      ...(this.#failure && { failure: this.#failure }),
      waiting: (name) => this.#waiting.get(name),
      isStarted: (container, id) => probes.isStarted(this.uid, container, id),
      isReady: (container, id) => probes.isReady(this.uid, container, id),
      hostIPs,
      sandboxReady: this.#observed.sandboxes[0]?.ready ?? false,
      nowMs: env.clock.now(),
      resize: ending ? [] : this.#resize.conditions(),
    });
    if (!this.#removed) statuses.set(this.#pod, status);
    return status;
  }

  async #act(actions: PodActions, signal: AbortSignal): Promise<number | undefined> {
    if (actions.killPod) {
      await this.#killAll(graceSeconds(this.#pod), signal);
      await this.#stopSandboxes(signal);
      this.#observed = await this.#t.observer.observe(this.uid, signal);
    }
    await Promise.all(actions.kill.map((kill) => this.#kill(kill, signal)));
    const resizeRetryMs = await this.#applyResize(actions, signal);
    const nothing = actions.start.length === 0 && !actions.createSandbox;
    const volumes = await this.#volumes(signal);
    if (!volumes) return MOUNT_RETRY_MS;
    if (nothing) {
      if (actions.kill.length > 0 || actions.killPod) this.#dirty = true;
      return soonest(resizeRetryMs, this.#untilDeadlineMs());
    }
    if (!actions.createSandbox) return soonest(resizeRetryMs, await this.#startAll(actions, volumes, signal));
    try {
      await this.#t.runtime.createSandbox(this.#pod, actions.attempt, signal);
    } catch (error) {
      if (signal.aborted || !(error instanceof StartError)) throw error;
      return RETRY_MS;
    }
    this.#grouped = groupOf(this.#pod);
    // The sandbox has an address now: what starts in it is decided from there.
    this.#dirty = true;
    return undefined;
  }

  /** Gives what runs the resources that are set aside. Returns when to try again what could not be done. */
  async #applyResize(actions: PodActions, signal: AbortSignal): Promise<number | undefined> {
    if (actions.killPod || !actions.sandbox) return undefined;
    const group = groupOf(this.#pod);
    if (actions.update.length === 0 && this.#grouped === group) return undefined;
    try {
      await this.#t.resizer.resize(this.#pod, actions.update, signal);
    } catch (error) {
      if (signal.aborted || !(error instanceof ResizeError)) throw error;
      if (actions.update.length === 0 && !this.#resize.inProgress) {
        // Nothing was resized: the group is as it could be made.
        this.#grouped = group;
        return undefined;
      }
      this.#resize.failed(this.#pod, error.message);
      this.#report(false);
      return RETRY_MS;
    }
    this.#grouped = group;
    // What the runtime has now is looked at again, and said.
    if (actions.update.length > 0 || this.#resize.inProgress) this.#dirty = true;
    return undefined;
  }

  #untilDeadlineMs(): number | undefined {
    const startedAt = this.#t.statuses.get(this.uid)?.startTime;
    const untilMs = deadlineMs(this.#pod, startedAt);
    return untilMs === undefined ? undefined : Math.min(RESYNC_MS, untilMs - this.#t.env.clock.now());
  }

  async #volumes(signal: AbortSignal): Promise<ReadonlyMap<string, string> | undefined> {
    try {
      return await this.#t.volumes.ensure(this.#fields(), signal);
    } catch (error) {
      if (signal.aborted || !(error instanceof MountError)) throw error;
      // An image that cannot be had is what the containers wait for, as for their own.
      const { cause } = error;
      if (cause instanceof StartError) {
        const why = { reason: cause.reason, message: cause.message };
        for (const container of allContainers(this.#pod)) this.#waiting.set(container.name, why);
        this.#report(false);
        return undefined;
      }
      // Files of a running pod that cannot be renewed are tried again, without a word each time.
      if (!isAnythingRunning(this.#observed)) this.#t.events.pod(this.#pod, 'Warning', 'FailedMount', error.message);
      return undefined;
    }
  }

  async #startAll(
    actions: PodActions,
    volumes: ReadonlyMap<string, string>,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    const context: StartContext = {
      fields: this.#fields(),
      observed: this.#observed,
      sandbox: actions.sandbox!,
      volumes,
      pullSecrets: await this.#pullSecrets(signal),
    };
    let soonestMs: number | undefined;
    for (const start of actions.start) {
      const retryAtMs = await this.#start(start, context, signal);
      if (retryAtMs !== undefined) soonestMs = Math.min(soonestMs ?? retryAtMs, retryAtMs);
      else this.#dirty = true;
      // Init containers start one after the other: what comes after one that waits would be out of turn.
      if (retryAtMs !== undefined && start.type === 'init') break;
    }
    this.#observed = await this.#t.observer.observe(this.uid, signal);
    this.#report(false);
    await this.#t.runtime.removeDead(this.#observed, signal);
    const deadline = this.#untilDeadlineMs();
    if (soonestMs === undefined) return deadline;
    return Math.min(soonestMs - this.#t.env.clock.now(), deadline ?? RESYNC_MS);
  }

  /** Starts one container. Returns when to try again if it did not start. */
  async #start(
    { container }: ContainerToStart,
    context: StartContext,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    const { runtime, env } = this.#t;
    const crashing = this.#crashBackoff(container);
    if (crashing !== undefined) return crashing;
    try {
      await runtime.startContainer(container, context, signal);
      this.#waiting.delete(container.name);
      return undefined;
    } catch (error) {
      if (signal.aborted || !(error instanceof StartError)) throw error;
      this.#waiting.set(container.name, { reason: error.reason, message: error.message });
      return error.retryAtMs ?? env.clock.now() + RETRY_MS;
    }
  }

  /** When a container that keeps ending may start again; undefined: now, and this start is counted. */
  #crashBackoff(container: Container): number | undefined {
    const { crashes, env, events } = this.#t;
    const last = newestContainer(this.#observed, container.name);
    if (last?.state !== 'exited') return undefined;
    const key = `${this.uid}/${container.name}/${containerHash(container)}`;
    const nowMs = env.clock.now();
    const endedMs = last.finishedAtMs || last.createdAtMs;
    const untilMs = crashes.waitsUntil(key, endedMs, nowMs);
    if (untilMs === undefined) {
      crashes.next(key, endedMs, nowMs);
      return undefined;
    }
    const { name, namespace } = this.#pod.metadata;
    const what = `restarting failed container=${container.name} pod=${name}_${namespace}(${this.uid})`;
    const reason = { reason: 'CrashLoopBackOff', message: `back-off ${goSeconds(crashes.waitMs(key))} ${what}` };
    const told = this.#waiting.get(container.name);
    if (told?.reason !== reason.reason || told.message !== reason.message) {
      const message = `Back-off restarting failed container ${container.name} in pod ${name}_${namespace}(${this.uid})`;
      events.container(this.#pod, container, 'Warning', 'BackOff', message);
    }
    this.#waiting.set(container.name, reason);
    return untilMs;
  }

  async #pullSecrets(signal: AbortSignal): Promise<readonly Secret[]> {
    const names = (this.#pod.spec.imagePullSecrets ?? []).map((s) => s.name ?? '');
    const namespace = this.#pod.metadata.namespace ?? '';
    const found = await Promise.all(names.map((name) => this.#t.objects.secret(namespace, name, signal)));
    return found.filter((secret) => secret !== undefined);
  }

  async #kill(kill: ContainerToKill, signal: AbortSignal): Promise<void> {
    const container = everyContainer(this.#pod).find((c) => c.name === kill.name);
    if (!container) return;
    const probe =
      kill.reason === 'livenessProbe'
        ? container.livenessProbe
        : kill.reason === 'startupProbe'
          ? container.startupProbe
          : undefined;
    const seconds = probe?.terminationGracePeriodSeconds ?? graceSeconds(this.#pod);
    await this.#t.runtime.killContainer(this.#killRequest(container, kill.id, seconds, kill.message), signal);
  }

  #killRequest(container: Container, id: string, seconds: number, message: string): KillRequest {
    const pod = this.#removed ? undefined : this.#pod;
    return { pod, container, id, graceSeconds: seconds, message, podIP: this.podIP };
  }

  /** Ends all containers: first those that do the work, then the sidecars in reverse order, all within the grace period. */
  async #killAll(seconds: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#t.env;
    const begunMs = clock.monotonic();
    const order = sidecars(this.#pod).map((c) => c.name);
    const running = this.#observed.containers.filter((c) => c.state === 'running' || c.state === 'unknown');
    const stop = async (name: string, id: string): Promise<void> => {
      const container = everyContainer(this.#pod).find((c) => c.name === name) ?? { name };
      const leftSeconds = Math.max(0, seconds - Math.floor((clock.monotonic() - begunMs) / 1000));
      await this.#t.runtime.killContainer(this.#killRequest(container, id, leftSeconds, ''), signal);
    };
    await Promise.all(running.filter((c) => !order.includes(c.name)).map((c) => stop(c.name, c.id)));
    for (const name of order.toReversed()) {
      for (const container of running.filter((c) => c.name === name)) await stop(name, container.id);
    }
  }

  /** Also those that are not ready: after a loss of power a dead sandbox still holds its address. */
  async #stopSandboxes(signal: AbortSignal): Promise<void> {
    for (const sandbox of this.#observed.sandboxes) await this.#t.runtime.stopSandbox(sandbox.id, signal);
  }

  /** Ends the pod and reports how it ended; clears the node of it when it is being deleted. */
  async #end(signal: AbortSignal): Promise<number | undefined> {
    const { probes, observer } = this.#t;
    if (!this.#ended) {
      this.#report(false);
      probes.stopFatal(this.uid);
      await this.#killAll(graceSeconds(this.#pod), signal);
      probes.remove(this.uid);
      await this.#stopSandboxes(signal);
      this.#observed = await observer.observe(this.uid, signal);
      if (isAnythingRunning(this.#observed)) return RUNTIME_RETRY_MS;
      this.#waiting.clear();
      this.#ended = true;
      // What it held may be what others wait for.
      this.#t.judgeResizes();
    }
    this.#report(true);
    await this.#t.volumes.tearDown(this.uid);
    await this.#t.cgroups.remove(this.#pod);
    this.#t.objects.unregister(this.uid);
    if (this.#removed) await this.#clear(signal);
    else if (this.#isDeleted()) this.#t.statuses.finish(this.#pod);
    return undefined;
  }

  /** Nothing of the pod stays on the node. */
  async #clear(signal: AbortSignal): Promise<void> {
    const { allocations, runtime, statuses, volumes, done } = this.#t;
    for (const sandbox of this.#observed.sandboxes) await runtime.removeSandbox(sandbox.id, signal);
    const { name, namespace = '' } = this.#pod.metadata;
    await runtime.removeLogs({ name, namespace, uid: this.uid });
    await volumes.removeDirectory(this.uid);
    allocations.forget(this.uid);
    statuses.forget(this.uid);
    this.#cleared = true;
    this.#signal.removeEventListener('abort', this.#stop);
    done(this.uid);
  }
}

/** What the group of a pod is to have, to be compared. */
function groupOf(pod: Pod): string {
  return JSON.stringify(podCgroup(pod));
}

function soonest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}
