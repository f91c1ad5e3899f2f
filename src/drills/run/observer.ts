// What changes in the cluster during a drill, looked at from outside: leaders, the address, nodes, pods.

import { podProcesses } from '../../cluster/ha/pod-processes.ts';
import type { HaStatus } from '../../cluster/ha/status.ts';
import { sleep } from '../../lib/clock.ts';
import { Budgets } from '../checkers/budgets.ts';
import type { Connection } from '../probes/connection.ts';
import { watchPods } from './pod-watch.ts';
import type { TimelineEvent } from './result.ts';
import { type Stage, situationOf } from './stage.ts';
import type { PodView } from './workload.ts';

const LOOK_MS = 400;
const MAX_EVENTS = 2_000;
/** Pods of these are one at a time by name. */
const ORDERED = 'ordered';

export class Observer {
  readonly events: TimelineEvent[] = [];
  /** Two pods of one name that ran at the same time. */
  readonly doubles = new Set<string>();
  /** Of the evictions. */
  readonly budgets: Budgets;
  /** Times that running processes were compared. */
  looks = 0;
  readonly #stage: Stage;
  readonly #originMs: number;
  readonly #pods = new Map<string, PodView>();
  readonly #names = new Map<string, string>();

  constructor(stage: Stage, originMs: number) {
    this.#stage = stage;
    this.#originMs = originMs;
    this.budgets = new Budgets(stage.env.clock);
  }

  note(kind: TimelineEvent['kind'], what: string): void {
    if (this.events.length >= MAX_EVENTS) return;
    this.events.push({ atMs: Math.round(this.#stage.env.clock.monotonic() - this.#originMs), kind, what });
  }

  /** Looks until the signal aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const connection = await this.#stage.connect(undefined, 300);
    try {
      await Promise.all([this.#look(signal), this.#watchPods(connection, signal), this.#countProcesses(signal)]);
    } finally {
      connection.close();
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    let last: HaStatus | undefined;
    while (!signal.aborted) {
      const status = await this.#stage.status(signal).catch(() => undefined);
      if (status && !signal.aborted) this.#compare(last, status);
      last = status ?? last;
      await sleep(this.#stage.env.clock, LOOK_MS, signal).catch(() => undefined);
    }
  }

  #compare(last: HaStatus | undefined, now: HaStatus): void {
    if (!last) return;
    const [before, after] = [situationOf(last), situationOf(now)];
    const changed = (
      kind: TimelineEvent['kind'],
      what: string,
      from: string | undefined,
      to: string | undefined,
    ): void => {
      if (from !== to) this.note(kind, `${what}: ${from ?? 'nobody'} → ${to ?? 'nobody'}`);
    };
    changed('leader', 'etcd is led by', before.etcdLeader, after.etcdLeader);
    changed(
      'address',
      'the address is at',
      last.holders.join(' and ') || undefined,
      now.holders.join(' and ') || undefined,
    );
    // Without an API nobody can be asked who is active.
    if (now.nodes) {
      changed('controllers', 'controllers are active on', before.controllers, after.controllers);
      changed('scheduler', 'the scheduler is active on', before.scheduler, after.scheduler);
      for (const { name, ready, reason } of now.nodes) {
        const was = last.nodes?.find((node) => node.name === name);
        if (was && was.ready !== ready)
          this.note('node', `node ${name} is ${ready ? 'ready' : `not ready: ${reason}`}`);
      }
    }
    for (const problem of now.problems) if (!last.problems.includes(problem)) this.note('problem', problem);
  }

  #watchPods(connection: Connection, signal: AbortSignal): Promise<void> {
    const watching = {
      connection,
      clock: this.#stage.env.clock,
      onList: (pods: readonly PodView[]) => this.#listed(pods),
      onChange: (isGone: boolean, pod: PodView) => this.#sawPod(isGone, pod),
    };
    return watchPods(watching, signal);
  }

  /** What went since the last list went unseen: nothing is judged by it. */
  #listed(pods: readonly PodView[]): void {
    this.budgets.begin(pods);
    for (const [uid, pod] of this.#pods) {
      if (pods.some((one) => one.uid === uid)) continue;
      this.#pods.delete(uid);
      this.note('pod', `${pod.name} is gone from ${pod.node || 'no node'}`);
    }
    for (const pod of pods) this.#noted(pod);
  }

  #sawPod(isGone: boolean, pod: PodView): void {
    this.budgets.saw(isGone, pod);
    if (!isGone) {
      this.#noted(pod);
      return;
    }
    this.#pods.delete(pod.uid);
    this.note('pod', `${pod.name} is gone from ${pod.node || 'no node'}`);
  }

  #noted(pod: PodView): void {
    const before = this.#pods.get(pod.uid);
    if (pod.app === ORDERED) this.#names.set(pod.uid, pod.name);
    this.#pods.set(pod.uid, pod);
    if (!before) {
      if (!pod.isReady) this.note('pod', `${pod.name} is new`);
      return;
    }
    if (before.isReady !== pod.isReady)
      this.note('pod', `${pod.name} on ${pod.node} is ${pod.isReady ? '' : 'not '}ready`);
    else if (!before.isLeaving && pod.isLeaving)
      this.note('pod', `${pod.name} on ${pod.node} is ${pod.isEvicted ? 'evicted' : 'to go'}`);
  }

  /** Two pods of one StatefulSet never run with one name: asked of the kernel, not of the API. */
  async #countProcesses(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const running = new Map<string, string>();
      for (const [uid, name] of this.#names) {
        const pids = await podProcesses(uid).catch(() => []);
        if (pids.length === 0) continue;
        const other = running.get(name);
        if (other !== undefined) this.doubles.add(`${name} runs twice: pods ${other} and ${uid}`);
        running.set(name, uid);
      }
      this.looks++;
      await sleep(this.#stage.env.clock, 2 * LOOK_MS, signal).catch(() => undefined);
    }
  }
}
