// The scheduling loop: takes a pod from the queue, decides, assumes, and binds in the background.
import type { Client, Informers } from '../client/contract.ts';
import type { EventRecorder } from '../client/event-recorder.ts';
import { BoundedTasks } from '../lib/bounded-tasks.ts';
import { rfc3339 } from '../lib/clock.ts';
import type { Environment } from '../lib/environment.ts';
import { isPlanted } from '../lib/planted.ts';
import { nextTurn } from '../lib/turns.ts';
import { ClusterCache } from './cache.ts';
import { type Decision, decide } from './decide.ts';
import { fitError, NO_NODES } from './fit-error.ts';
import type { Cycle, Diagnosis, Listers, Profile } from './framework.ts';
import { connectInformers } from './informer-events.ts';
import { informerListers } from './listers.ts';
import { type SchedulerMetrics, schedulerMetrics } from './metrics.ts';
import { defaultBinder } from './plugins/default-binder.ts';
import { defaultPreemption } from './plugins/default-preemption.ts';
import { prioritySort } from './plugins/queue-sort.ts';
import { volumePreBind } from './plugins/volume-prebind.ts';
import { podReference } from './pod-reference.ts';
import { patchUnassigned, type StatusChange } from './pod-status.ts';
import { defaultProfile, pluginsOf } from './profile.ts';
import { type QueuedPod, SchedulingQueue } from './queue.ts';

export interface SchedulerContext {
  readonly client: Client;
  readonly informers: Informers;
  readonly env: Environment;
  /** Events carry the recorder's component: make it for "default-scheduler". */
  readonly events: EventRecorder;
}

export interface SchedulerOptions {
  /** The spec.schedulerName values to serve. Default: default-scheduler. */
  readonly schedulerNames?: readonly string[];
  /** Share of nodes looked at for feasible ones; 0 adapts it to the size of the cluster. */
  readonly percentageOfNodesToScore?: number;
}

const DEFAULT_SCHEDULER = 'default-scheduler';
/** Pods bound, status writes and preemptions under way at once; the loop waits when all places are taken. */
const BINDING_LIMIT = 128;
const STATUS_LIMIT = 32;
const PREEMPTION_LIMIT = 16;
/** The loop gives way to others after this long. */
const SLICE_MS = 4;

/** Schedules pods until the signal aborts; resolves when all that was begun has ended. */
export async function runScheduler(
  context: SchedulerContext,
  options: SchedulerOptions,
  signal: AbortSignal,
): Promise<void> {
  const scheduler = new Scheduler(context, options, signal);
  await scheduler.run();
}

class Scheduler {
  readonly #context: SchedulerContext;
  readonly #signal: AbortSignal;
  readonly #percentage: number;
  readonly #cache = new ClusterCache();
  readonly #queue: SchedulingQueue;
  readonly #profiles = new Map<string, Profile>();
  readonly #listers: Listers;
  readonly #connectListers: (signal: AbortSignal) => void;
  readonly #metrics: SchedulerMetrics;
  readonly #bindings = new BoundedTasks(BINDING_LIMIT);
  readonly #statusWrites = new BoundedTasks(STATUS_LIMIT);
  readonly #preemptions = new BoundedTasks(PREEMPTION_LIMIT);
  #start = 0;
  #sliceStartMs: number;

  constructor(context: SchedulerContext, options: SchedulerOptions, signal: AbortSignal) {
    this.#context = context;
    this.#signal = signal;
    this.#percentage = options.percentageOfNodesToScore ?? 0;
    this.#metrics = schedulerMetrics(context.env.metrics);
    this.#sliceStartMs = context.env.clock.monotonic();
    const { listers, connect } = informerListers(context.informers);
    this.#listers = listers;
    this.#connectListers = connect;
    for (const name of options.schedulerNames ?? [DEFAULT_SCHEDULER]) this.#profiles.set(name, this.#profile(name));
    const plugins = [...this.#profiles.values()].flatMap(pluginsOf);
    this.#queue = new SchedulingQueue({
      clock: context.env.clock,
      sort: prioritySort,
      gate: (info) => {
        const profile = this.#profiles.get(info.pod.spec.schedulerName ?? DEFAULT_SCHEDULER);
        return profile?.preEnqueue.map((plugin) => plugin.preEnqueue(info)).find((reason) => reason !== undefined);
      },
      interests: new Map(plugins.map((plugin) => [plugin.name, plugin.interests ?? []])),
      onIncoming: (queue, event) => this.#metrics.incoming.inc({ queue, event }),
    });
  }

  #profile(name: string): Profile {
    const { client, env, events, informers } = this.#context;
    const preemption = defaultPreemption({
      client,
      env,
      events,
      metrics: this.#metrics,
      nominated: this.#cache.nominated,
      profile: () => this.#profiles.get(name)!,
      pause: () => this.#pause(),
      tasks: this.#preemptions,
      activate: (key) => this.#queue.activate(key),
    });
    return defaultProfile(name, {
      bind: defaultBinder(client),
      preBinds: [volumePreBind({ client, informers, listers: this.#listers, clock: env.clock })],
      postFilters: [preemption],
    });
  }

  async run(): Promise<void> {
    const { informers } = this.#context;
    informers.for('nodes');
    informers.for('pods');
    await informers.start(this.#signal);
    const close = (): void => this.#queue.close();
    this.#signal.addEventListener('abort', close, { once: true });
    if (this.#signal.aborted) close();
    this.#connectListers(this.#signal);
    const serves = (name: string): boolean => this.#profiles.has(name);
    const { clock, log } = this.#context.env;
    await connectInformers(informers, { clock, log, cache: this.#cache, queue: this.#queue, serves }, this.#signal);
    this.#publishGauges();
    while (!this.#signal.aborted) {
      const queued = this.#queue.pop();
      if (queued) await this.#schedule(queued);
      else await this.#queue.wait();
      if (this.#overdue()) await this.#pause();
    }
    await Promise.all([this.#bindings.drained(), this.#statusWrites.drained(), this.#preemptions.drained()]);
  }

  async #schedule(queued: QueuedPod): Promise<void> {
    const { info } = queued;
    const profile = this.#profiles.get(info.pod.spec.schedulerName ?? DEFAULT_SCHEDULER);
    if (!profile || info.pod.metadata.deletionTimestamp || this.#cache.get(info.key)) return this.#queue.done(info.key);
    const startedMs = this.#context.env.clock.monotonic();
    const attempt: Attempt = { queued, profile, startedMs };
    try {
      const decision = this.#decide(attempt);
      if (decision.kind === 'node') await this.#assign(attempt, this.#cache.columns.names[decision.slot]!);
      else await this.#refuse(attempt, decision.diagnosis);
    } catch (error) {
      await this.#fail(attempt, error);
    }
  }

  #decide({ queued, profile, startedMs }: Attempt): Decision {
    const cycle = this.#cycle(queued);
    const { clock, random } = this.#context.env;
    const decision = decide(cycle, {
      profile,
      nominated: this.#cache.nominated,
      start: this.#start,
      percentageOfNodesToScore: this.#percentage,
      random: () => random.next(),
    });
    this.#start = decision.next;
    this.#metrics.algorithmDuration.observe((clock.monotonic() - startedMs) / 1000);
    return decision;
  }

  #cycle({ info }: QueuedPod): Cycle {
    return { info, columns: this.#cache.columns, listers: this.#listers };
  }

  async #assign(attempt: Attempt, nodeName: string): Promise<void> {
    const { queued, profile } = attempt;
    this.#cache.assume(queued.info, nodeName);
    for (const plugin of profile.reserves) plugin.reserve(queued.info, nodeName);
    this.#queue.binding(queued.info.key);
    const room = this.#bindings.room();
    if (room) await room;
    this.#bindings.start(() => this.#bind(attempt, nodeName));
  }

  async #bind(attempt: Attempt, nodeName: string): Promise<void> {
    const { queued, profile, startedMs } = attempt;
    const { info } = queued;
    try {
      for (const plugin of profile.preBinds) await plugin.preBind(info, nodeName, this.#signal);
      await profile.bind.bind(info, nodeName, this.#signal);
      if (isPlanted('bind-twice') && info.pod.metadata.name.endsWith('b')) {
        const other = this.#cache.columns.names.find((name) => name !== nodeName);
        if (other) await profile.bind.bind(info, other, this.#signal);
      }
    } catch (error) {
      for (const plugin of profile.reserves.toReversed()) plugin.unreserve(info, nodeName);
      this.#cache.forget(info.key);
      if (!this.#signal.aborted) await this.#fail(attempt, error, 'binding rejected: ');
      return;
    }
    this.#queue.done(info.key);
    const message = `Successfully assigned ${info.key} to ${nodeName}`;
    this.#context.events.event(podReference(info.pod), 'Normal', 'Scheduled', message);
    const nowMs = this.#context.env.clock.monotonic();
    this.#count('scheduled', profile, nowMs - startedMs);
    this.#metrics.podAttempts.observe(queued.attempts);
    this.#metrics.sliDuration.observe(
      { attempts: attemptsLabel(queued.attempts) },
      (nowMs - queued.firstEnteredAtMs) / 1000,
    );
  }

  /** The pod fits nowhere now. */
  async #refuse(attempt: Attempt, diagnosis: Diagnosis): Promise<void> {
    const { queued, profile, startedMs } = attempt;
    const { info } = queued;
    const { nominated } = this.#cache;
    const messages: string[] = [];
    let nominatedNodeName: string | undefined;
    if (diagnosis.nodeCount > 0) {
      for (const plugin of profile.postFilters) {
        const result = await plugin.postFilter(this.#cycle(queued), diagnosis, this.#signal);
        nominatedNodeName = result.nominatedNodeName ?? nominatedNodeName;
        if (result.nominatedNodeName) messages.length = 0;
        else if (result.message) messages.push(result.message);
      }
    }
    if (nominatedNodeName) nominated.set(info, nominatedNodeName);
    else if (nominatedNodeName === '') nominated.delete(info.key);
    const message = diagnosis.nodeCount === 0 ? NO_NODES : fitError(diagnosis, messages.join(', '));
    this.#count('unschedulable', profile, this.#context.env.clock.monotonic() - startedMs);
    this.#queue.requeueUnschedulable(queued, diagnosis.plugins);
    await this.#report(queued, 'Unschedulable', message, nominatedNodeName);
  }

  /** Something went wrong: the pod is tried again after a while. */
  async #fail(attempt: Attempt, error: unknown, prefix = ''): Promise<void> {
    const { queued, profile, startedMs } = attempt;
    const { env } = this.#context;
    if (this.#signal.aborted) return;
    const message = `${prefix}${error instanceof Error ? error.message : String(error)}`;
    env.log.error('scheduling a pod failed', error, { pod: queued.info.key });
    this.#count('error', profile, env.clock.monotonic() - startedMs);
    this.#queue.requeueFailed(queued);
    await this.#report(queued, 'SchedulerError', message, undefined);
  }

  async #report(
    queued: QueuedPod,
    reason: string,
    message: string,
    nominatedNodeName: string | undefined,
  ): Promise<void> {
    const { pod } = queued.info;
    const { client, env, events } = this.#context;
    events.event(podReference(pod), 'Warning', 'FailedScheduling', message);
    const change: StatusChange = {
      condition: { type: 'PodScheduled', status: 'False', reason, message },
      nominatedNodeName,
    };
    const room = this.#statusWrites.room();
    if (room) await room;
    this.#statusWrites.start(async () => {
      try {
        await patchUnassigned(client, pod, change, { now: rfc3339(env.clock.now()), signal: this.#signal });
      } catch (error) {
        if (!this.#signal.aborted)
          env.log.warn('cannot write pod status', { pod: queued.info.key, error: String(error) });
      }
    });
  }

  #count(result: 'scheduled' | 'unschedulable' | 'error', profile: Profile, durationMs: number): void {
    const labels = { result, profile: profile.schedulerName };
    this.#metrics.attempts.inc(labels);
    this.#metrics.attemptDuration.observe(labels, durationMs / 1000);
  }

  /** Gauges are filled in when the metrics are read. */
  #publishGauges(): void {
    const queue = this.#queue;
    const cache = this.#cache;
    Object.assign(this.#metrics.pending, {
      collect(this: SchedulerMetrics['pending']): void {
        for (const [name, size] of Object.entries(queue.sizes())) this.set({ queue: name }, size);
      },
    });
    Object.assign(this.#metrics.unschedulable, {
      collect(this: SchedulerMetrics['unschedulable']): void {
        this.reset();
        for (const [profile, byPlugin] of queue.rejections()) {
          for (const [plugin, count] of byPlugin) this.set({ plugin, profile }, count);
        }
      },
    });
    Object.assign(this.#metrics.cacheSize, {
      collect(this: SchedulerMetrics['cacheSize']): void {
        for (const [type, size] of Object.entries(cache.sizes())) this.set({ type }, size);
      },
    });
  }

  #overdue(): boolean {
    return this.#context.env.clock.monotonic() - this.#sliceStartMs >= SLICE_MS;
  }

  async #pause(): Promise<void> {
    if (!this.#overdue()) return;
    await nextTurn();
    this.#sliceStartMs = this.#context.env.clock.monotonic();
  }
}

interface Attempt {
  readonly queued: QueuedPod;
  readonly profile: Profile;
  readonly startedMs: number;
}

function attemptsLabel(attempts: number): string {
  return attempts >= 15 ? '15+' : String(attempts);
}
