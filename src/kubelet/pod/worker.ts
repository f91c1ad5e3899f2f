// One pod's worker: looks, decides, acts, one thing at a time, until the pod is gone from the API and from the node.
import type { Pod, PodStatus, Secret } from '../../api/generated/types.ts';
import { sleep, type Timer } from '../../lib/clock.ts';
import type { ResizeRefusal } from '../../machinery/pod-resize.ts';
import { isRuntimeDown } from '../cri/client.ts';
import type { FieldContext } from '../env/fields.ts';
import type { StartContext } from '../runtime/pod-runtime.ts';
import { MountError } from '../volumes/manager.ts';
import { decide, type PodActions } from './decide.ts';
import { type Ending, killAll, killContainer } from './ending.ts';
import { deadlineMs, graceSeconds } from './grace.ts';
import { containerID, isAnythingRunning, type ObservedPod } from './observed.ts';
import { PodResizing } from './resizing.ts';
import { StartError } from './start-error.ts';
import { ContainerStarts } from './starting.ts';
import { type PodFailure, podStatus } from './status.ts';
import type { WorkerTools } from './worker-tools.ts';

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
  readonly #starts: ContainerStarts;
  readonly #resizing: PodResizing;
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
    this.#starts = new ContainerStarts(tools);
    this.#resizing = new PodResizing(tools, (...said) => tools.events.pod(this.#asked, ...said));
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
    if (!this.#resizing.judged(this.#asked, refusal)) return;
    this.#pod = this.#t.allocations.laidOver(this.#asked);
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
    const pod = await this.#resizing.settle(() => this.#asked, this.#observed);
    this.#t.objects.register(this.#pod);
    const status = this.#report(false);
    if (status.phase === 'Failed' || status.phase === 'Succeeded') return this.#end(signal);
    this.#t.probes.add(this.#pod, (id) => this.#wasReady(id));
    const actions = decide(pod, this.#observed, this.#t.probes.verdicts(this.uid));
    return this.#act(pod, actions, signal);
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
      waiting: (name) => this.#starts.waiting(name),
      isStarted: (container, id) => probes.isStarted(this.uid, container, id),
      isReady: (container, id) => probes.isReady(this.uid, container, id),
      hostIPs,
      sandboxReady: this.#observed.sandboxes[0]?.ready ?? false,
      nowMs: env.clock.now(),
      resize: ending ? [] : this.#resizing.conditions(),
    });
    if (!this.#removed) statuses.set(this.#pod, status);
    return status;
  }

  /** `pod` is what the actions were decided for. */
  async #act(pod: Pod, actions: PodActions, signal: AbortSignal): Promise<number | undefined> {
    if (actions.killPod) {
      await killAll(this.#ending(signal), this.#observed);
      await this.#stopSandboxes(signal);
      this.#observed = await this.#t.observer.observe(this.uid, signal);
    }
    await Promise.all(actions.kill.map((kill) => killContainer(this.#ending(signal), kill)));
    const resizeRetryMs = await this.#resize(pod, actions, signal);
    const nothing = actions.start.length === 0 && !actions.createSandbox;
    const volumes = await this.#volumes(signal);
    if (!volumes) return MOUNT_RETRY_MS;
    if (nothing) {
      if (actions.kill.length > 0 || actions.killPod) this.#dirty = true;
      return soonest(resizeRetryMs, this.#untilDeadlineMs());
    }
    if (!actions.createSandbox) return soonest(resizeRetryMs, await this.#start(actions, volumes, signal));
    try {
      await this.#t.runtime.createSandbox(pod, actions.attempt, signal);
    } catch (error) {
      if (signal.aborted || !(error instanceof StartError)) throw error;
      return RETRY_MS;
    }
    this.#resizing.grouped(pod);
    // The sandbox has an address now: what starts in it is decided from there.
    this.#dirty = true;
    return undefined;
  }

  /** Returns when to try again what could not be given. */
  async #resize(pod: Pod, actions: PodActions, signal: AbortSignal): Promise<number | undefined> {
    const given = await this.#resizing.give(pod, actions, signal);
    // What the runtime has now is looked at again, and said.
    if (given === 'changed') this.#dirty = true;
    if (given !== 'failed') return undefined;
    this.#report(false);
    return RETRY_MS;
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
        this.#starts.allWait(this.#pod, { reason: cause.reason, message: cause.message });
        this.#report(false);
        return undefined;
      }
      // Files of a running pod that cannot be renewed are tried again, without a word each time.
      if (!isAnythingRunning(this.#observed)) this.#t.events.pod(this.#pod, 'Warning', 'FailedMount', error.message);
      return undefined;
    }
  }

  async #start(
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
    const { any, retryAtMs } = await this.#starts.start(actions.start, context, signal);
    if (any) this.#dirty = true;
    this.#observed = await this.#t.observer.observe(this.uid, signal);
    this.#report(false);
    await this.#t.runtime.removeDead(this.#observed, signal);
    const deadline = this.#untilDeadlineMs();
    if (retryAtMs === undefined) return deadline;
    return Math.min(retryAtMs - this.#t.env.clock.now(), deadline ?? RESYNC_MS);
  }

  async #pullSecrets(signal: AbortSignal): Promise<readonly Secret[]> {
    const names = (this.#pod.spec.imagePullSecrets ?? []).map((s) => s.name ?? '');
    const namespace = this.#pod.metadata.namespace ?? '';
    const found = await Promise.all(names.map((name) => this.#t.objects.secret(namespace, name, signal)));
    return found.filter((secret) => secret !== undefined);
  }

  #ending(signal: AbortSignal): Ending {
    return { tools: this.#t, pod: this.#pod, removed: this.#removed, podIP: this.podIP, signal };
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
      await killAll(this.#ending(signal), this.#observed);
      probes.remove(this.uid);
      await this.#stopSandboxes(signal);
      this.#observed = await observer.observe(this.uid, signal);
      if (isAnythingRunning(this.#observed)) return RUNTIME_RETRY_MS;
      this.#starts.noneWaits();
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

function soonest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}
