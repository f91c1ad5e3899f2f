// Pods that wait to be scheduled: active (next in line), backing off, unschedulable (until an event may help), gated.
import type { Clock, Timer } from '../lib/clock.ts';
import { Heap } from '../lib/heap.ts';
import type { ClusterEvent, EventInterest } from './cluster-events.ts';
import type { QueueOrder, QueueSortPlugin } from './framework.ts';
import type { PodInfo } from './pod-info.ts';

export interface QueuedPod extends QueueOrder {
  readonly info: PodInfo;
  /** When it last entered a queue, and when it first did. */
  readonly enteredAtMs: number;
  readonly firstEnteredAtMs: number;
  readonly attempts: number;
  /** The plugins that turned it down last time. */
  readonly rejectedBy: ReadonlySet<string>;
  readonly failed: boolean;
}

export interface QueueOptions {
  readonly clock: Clock;
  readonly sort: QueueSortPlugin;
  /** Why a pod may not enter the queue yet. */
  readonly gate: (info: PodInfo) => string | undefined;
  /** What each plugin, by name, waits for. */
  readonly interests: ReadonlyMap<string, readonly EventInterest[]>;
  /** Told of every pod that enters a queue, and why. */
  readonly onIncoming?: (queue: QueueName, reason: string) => void;
}

export type QueueName = 'active' | 'backoff' | 'unschedulable' | 'gated';

export const INITIAL_BACKOFF_MS = 1_000;
export const MAX_BACKOFF_MS = 10_000;
/** A pod that no event woke is tried again after this long. */
export const MAX_UNSCHEDULABLE_MS = 300_000;
/** Events remembered while a pod is being scheduled; beyond it anything may have happened. */
const IN_FLIGHT_EVENT_LIMIT = 1_000;

/** Waits after a number of attempts. */
export function backoffDelayMs(attempts: number): number {
  return attempts === 0 ? 0 : Math.min(MAX_BACKOFF_MS, INITIAL_BACKOFF_MS * 2 ** Math.min(attempts - 1, 20));
}

export class SchedulingQueue {
  readonly #options: QueueOptions;
  readonly #active: Heap<QueuedPod>;
  readonly #backoff: Heap<QueuedPod>;
  /** By the names of the plugins that rejected them, so that an event looks only at those that it may help. */
  readonly #unschedulable = new Map<string, Map<string, QueuedPod>>();
  readonly #unschedulableGroup = new Map<string, string>();
  readonly #gated = new Map<string, QueuedPod>();
  /** Pods being tried, with the events since; null while they are being bound. */
  readonly #inFlight = new Map<string, ClusterEvent[] | null>();
  /** The uids of pods in flight: another pod may take over the name meanwhile. */
  readonly #uidInFlight = new Map<string, string>();
  /** What became of pods in flight: their new version, or undefined when they went. */
  readonly #changedInFlight = new Map<string, PodInfo | undefined>();
  #wake: (() => void) | undefined;
  #backoffTimer: Timer | undefined;
  #leftoverTimer: Timer | undefined;
  #closed = false;

  constructor(options: QueueOptions) {
    this.#options = options;
    const keyOf = (queued: QueuedPod): string => queued.info.key;
    this.#active = new Heap(keyOf, options.sort.compare);
    this.#backoff = new Heap(keyOf, (a, b) => this.#dueAtMs(a) - this.#dueAtMs(b));
  }

  /** How many pods wait in each queue: its sum is bounded by the pods of the cluster. */
  sizes(): Record<QueueName, number> {
    const unschedulable = this.#unschedulableGroup.size;
    return { active: this.#active.size, backoff: this.#backoff.size, unschedulable, gated: this.#gated.size };
  }

  /** How many pods each plugin keeps unschedulable, by schedulerName and plugin. */
  rejections(): Map<string, Map<string, number>> {
    const counts = new Map<string, Map<string, number>>();
    for (const pods of this.#unschedulable.values()) {
      for (const { info, rejectedBy } of pods.values()) {
        const name = info.pod.spec.schedulerName ?? 'default-scheduler';
        const byPlugin = counts.get(name) ?? new Map<string, number>();
        counts.set(name, byPlugin);
        for (const plugin of rejectedBy) byPlugin.set(plugin, (byPlugin.get(plugin) ?? 0) + 1);
      }
    }
    return counts;
  }

  /** A pod without a node appeared. */
  add(info: PodInfo): void {
    const now = this.#options.clock.monotonic();
    const queued = { info, enteredAtMs: now, firstEnteredAtMs: now, attempts: 0, rejectedBy: NONE, failed: false };
    if (this.#options.gate(info) !== undefined) this.#enterGated(queued, 'PodAdd');
    else this.#enterActive(queued, 'PodAdd');
  }

  /** A waiting pod changed. A change of what it asks for is a reason to try again at once. */
  update(info: PodInfo, previous: PodInfo | undefined): void {
    if (this.#inFlight.has(info.key)) {
      this.#changedInFlight.set(info.key, info);
      return;
    }
    const queued = this.#take(info.key);
    if (!queued) {
      this.add(info);
      return;
    }
    const { queue, pod } = queued;
    const next = { ...pod, info };
    if (this.#options.gate(info) !== undefined) this.#enterGated(next, 'PodUpdate');
    else if (queue === 'gated' || (queue === 'unschedulable' && asksAnew(info, previous)))
      this.#retry(next, 'PodUpdate');
    else if (queue === 'unschedulable') this.#enterUnschedulable(next, 'PodUpdate');
    else if (queue === 'backoff') this.#enterBackoff(next, 'PodUpdate');
    else this.#enterActive(next, 'PodUpdate');
  }

  /** A pod was deleted or is no longer ours to schedule. */
  delete(key: string): void {
    this.#take(key);
    if (this.#inFlight.has(key)) this.#changedInFlight.set(key, undefined);
  }

  /** The next pod, if one is due; it is in flight until done() or one of the requeue methods. */
  pop(): QueuedPod | undefined {
    const queued = this.#active.pop() ?? this.#popEarly();
    if (!queued) return undefined;
    this.#inFlight.set(queued.info.key, []);
    this.#uidInFlight.set(queued.info.key, queued.info.uid);
    return { ...queued, attempts: queued.attempts + 1 };
  }

  /** Resolves when pop() may have something, or when the queue is closed. */
  wait(): Promise<void> {
    if (this.#closed || this.#active.size > 0) return Promise.resolve();
    this.#armBackoff();
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** The pod got a node and is being bound: events no longer matter to it. */
  binding(key: string): void {
    if (this.#inFlight.has(key)) this.#inFlight.set(key, null);
  }

  /** The pod has a node, or is gone. One of the same name that was made meanwhile takes its place in the queue. */
  done(key: string): void {
    const successor = this.#changedInFlight.get(key);
    const isOther = successor !== undefined && successor.uid !== this.#uidInFlight.get(key);
    this.#leaveFlight(key);
    if (isOther) this.add(successor);
  }

  /** The pod fitted nowhere: it waits for an event that may help, unless one came while it was tried. */
  requeueUnschedulable(queued: QueuedPod, rejectedBy: ReadonlySet<string>): void {
    const current = this.#land(queued);
    if (!current) return;
    const next = { ...current.queued, rejectedBy, failed: false };
    if (current.events.some((event) => this.#helps(next, event))) this.#retry(next, 'ScheduleAttemptFailure');
    else this.#enterUnschedulable(next, 'ScheduleAttemptFailure');
  }

  /** Something went wrong that has nothing to do with the cluster's state: try again after a while. */
  requeueFailed(queued: QueuedPod): void {
    const current = this.#land(queued);
    if (current) this.#enterBackoff({ ...current.queued, rejectedBy: NONE, failed: true }, 'ScheduleAttemptFailure');
  }

  /** Wakes the pods that the event may help. */
  publish(event: ClusterEvent): void {
    for (const events of this.#inFlight.values()) {
      if (!events) continue;
      if (events.length < IN_FLIGHT_EVENT_LIMIT) events.push(event);
      else events[0] = { kind: 'Unknown' };
    }
    for (const [group, pods] of [...this.#unschedulable]) {
      if (!this.#concerns(group, event)) continue;
      for (const queued of [...pods.values()]) {
        if (!this.#helps(queued, event)) continue;
        this.#take(queued.info.key);
        this.#retry(queued, event.kind);
      }
    }
  }

  /** Puts one waiting pod next in line. */
  activate(key: string): void {
    const taken = this.#take(key);
    if (taken?.queue === 'gated') this.#enterGated(taken.pod, 'ForceActivate');
    else if (taken) this.#enterActive(taken.pod, 'ForceActivate');
  }

  close(): void {
    this.#closed = true;
    this.#backoffTimer?.cancel();
    this.#leftoverTimer?.cancel();
    this.#wake?.();
  }

  #leaveFlight(key: string): void {
    this.#inFlight.delete(key);
    this.#uidInFlight.delete(key);
    this.#changedInFlight.delete(key);
  }

  #land(queued: QueuedPod): { queued: QueuedPod; events: readonly ClusterEvent[] } | undefined {
    const { key } = queued.info;
    const events = this.#inFlight.get(key) ?? [];
    const changed = this.#changedInFlight.has(key);
    const info = this.#changedInFlight.get(key);
    this.#leaveFlight(key);
    if (changed && !info) return undefined;
    const again: readonly ClusterEvent[] = info && asksAnew(info, queued.info) ? [{ kind: 'Unknown' }] : events;
    const enteredAtMs = this.#options.clock.monotonic();
    return { queued: { ...queued, info: info ?? queued.info, enteredAtMs }, events: again };
  }

  #concerns(group: string, event: ClusterEvent): boolean {
    if (group === '' || event.kind === 'Unknown') return true;
    return group.split(' ').some((name) => this.#interestsOf(name).some((i) => i.kinds.includes(event.kind)));
  }

  #helps(queued: QueuedPod, event: ClusterEvent): boolean {
    if (queued.rejectedBy.size === 0 || event.kind === 'Unknown') return true;
    for (const name of queued.rejectedBy) {
      for (const { kinds, helps } of this.#interestsOf(name)) {
        if (kinds.includes(event.kind) && (!helps || helps(queued.info, event))) return true;
      }
    }
    return false;
  }

  #interestsOf(plugin: string): readonly EventInterest[] {
    return this.#options.interests.get(plugin) ?? [];
  }

  /** Pods that were merely unschedulable need not sit out their back-off while nothing else is to be done. */
  #popEarly(): QueuedPod | undefined {
    const next = this.#backoff.peek();
    return next && !next.failed ? this.#backoff.pop() : undefined;
  }

  #take(key: string): { queue: QueueName; pod: QueuedPod } | undefined {
    const active = this.#active.delete(key);
    if (active) return { queue: 'active', pod: active };
    const backoff = this.#backoff.delete(key);
    if (backoff) return { queue: 'backoff', pod: backoff };
    const gated = this.#gated.get(key);
    if (gated) {
      this.#gated.delete(key);
      return { queue: 'gated', pod: gated };
    }
    const group = this.#unschedulableGroup.get(key);
    if (group === undefined) return undefined;
    const pods = this.#unschedulable.get(group)!;
    const pod = pods.get(key)!;
    pods.delete(key);
    if (pods.size === 0) this.#unschedulable.delete(group);
    this.#unschedulableGroup.delete(key);
    return { queue: 'unschedulable', pod };
  }

  #retry(queued: QueuedPod, reason: string): void {
    if (this.#dueAtMs(queued) > this.#options.clock.monotonic()) this.#enterBackoff(queued, reason);
    else this.#enterActive(queued, reason);
  }

  #dueAtMs(queued: QueuedPod): number {
    return queued.enteredAtMs + backoffDelayMs(queued.attempts);
  }

  #enterActive(queued: QueuedPod, reason: string): void {
    this.#active.add(queued);
    this.#options.onIncoming?.('active', reason);
    this.#wakeUp();
  }

  #enterBackoff(queued: QueuedPod, reason: string): void {
    this.#backoff.add(queued);
    this.#options.onIncoming?.('backoff', reason);
    this.#wakeUp();
    this.#armBackoff();
  }

  #enterGated(queued: QueuedPod, reason: string): void {
    this.#gated.set(queued.info.key, queued);
    this.#options.onIncoming?.('gated', reason);
  }

  #enterUnschedulable(queued: QueuedPod, reason: string): void {
    const group = [...queued.rejectedBy].sort().join(' ');
    const pods = this.#unschedulable.get(group);
    if (pods) pods.set(queued.info.key, queued);
    else this.#unschedulable.set(group, new Map([[queued.info.key, queued]]));
    this.#unschedulableGroup.set(queued.info.key, group);
    this.#options.onIncoming?.('unschedulable', reason);
    this.#armLeftover();
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  /** One timer for the pod whose back-off ends first. */
  #armBackoff(): void {
    this.#backoffTimer?.cancel();
    this.#backoffTimer = undefined;
    const next = this.#backoff.peek();
    if (!next || this.#closed) return;
    const delayMs = Math.max(0, this.#dueAtMs(next) - this.#options.clock.monotonic());
    this.#backoffTimer = this.#options.clock.timer(delayMs, () => this.#flushBackoff());
  }

  #flushBackoff(): void {
    const now = this.#options.clock.monotonic();
    for (let next = this.#backoff.peek(); next && this.#dueAtMs(next) <= now; next = this.#backoff.peek()) {
      this.#backoff.pop();
      this.#enterActive(next, 'BackoffComplete');
    }
    this.#armBackoff();
  }

  /** Runs only while a pod is unschedulable. */
  #armLeftover(): void {
    if (this.#leftoverTimer || this.#closed) return;
    this.#leftoverTimer = this.#options.clock.timer(MAX_UNSCHEDULABLE_MS, () => {
      this.#leftoverTimer = undefined;
      const oldest = this.#options.clock.monotonic() - MAX_UNSCHEDULABLE_MS;
      const all = [...this.#unschedulable.values()].flatMap((pods) => [...pods.values()]);
      for (const queued of all) {
        if (queued.enteredAtMs > oldest) continue;
        this.#take(queued.info.key);
        this.#retry(queued, 'UnschedulableTimeout');
      }
      if (this.#unschedulableGroup.size > 0) this.#armLeftover();
    });
  }
}

const NONE: ReadonlySet<string> = new Set();

/** Whether the change touches what scheduling looks at; a status written by ourselves does not. */
function asksAnew(info: PodInfo, previous: PodInfo | undefined): boolean {
  if (!previous || info.pod.metadata.generation !== previous.pod.metadata.generation) return true;
  return info.groupKey !== previous.groupKey || JSON.stringify(info.pod.spec) !== JSON.stringify(previous.pod.spec);
}
