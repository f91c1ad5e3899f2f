// How a pod's containers are started, and what is said of those that wait.
import type { Container, Pod } from '../../api/generated/types.ts';
import { goSeconds } from '../backoff.ts';
import type { StartContext } from '../runtime/pod-runtime.ts';
import type { WaitingReason } from './container-status.ts';
import type { ContainerToStart } from './decide.ts';
import { newestContainer, type ObservedPod } from './observed.ts';
import { allContainers, containerHash } from './restart.ts';
import { StartError } from './start-error.ts';
import type { WorkerTools } from './worker-tools.ts';

const RETRY_MS = 10_000;

export interface Started {
  /** Something was started. */
  readonly any: boolean;
  /** When to try again what was not. */
  readonly retryAtMs: number | undefined;
}

export class ContainerStarts {
  readonly #t: WorkerTools;
  readonly #waiting = new Map<string, WaitingReason>();

  constructor(tools: WorkerTools) {
    this.#t = tools;
  }

  /** Why a container does not run yet. */
  waiting(name: string): WaitingReason | undefined {
    return this.#waiting.get(name);
  }

  /** All containers wait for the same. */
  allWait(pod: Pod, why: WaitingReason): void {
    for (const container of allContainers(pod)) this.#waiting.set(container.name, why);
  }

  /** Nothing is going to start. */
  noneWaits(): void {
    this.#waiting.clear();
  }

  async start(starts: readonly ContainerToStart[], context: StartContext, signal: AbortSignal): Promise<Started> {
    let soonestMs: number | undefined;
    let any = false;
    for (const start of starts) {
      const retryAtMs = await this.#start(start, context, signal);
      if (retryAtMs !== undefined) soonestMs = Math.min(soonestMs ?? retryAtMs, retryAtMs);
      else any = true;
      // Init containers start one after the other: what comes after one that waits would be out of turn.
      if (retryAtMs !== undefined && start.type === 'init') break;
    }
    return { any, retryAtMs: soonestMs };
  }

  /** Starts one container. Returns when to try again if it did not start. */
  async #start(
    { container }: ContainerToStart,
    context: StartContext,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    const { runtime, env } = this.#t;
    const crashing = this.#crashBackoff(container, context.fields.pod, context.observed);
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
  #crashBackoff(container: Container, pod: Pod, observed: ObservedPod): number | undefined {
    const { crashes, env, events } = this.#t;
    const last = newestContainer(observed, container.name);
    if (last?.state !== 'exited') return undefined;
    const { name, namespace, uid } = pod.metadata;
    const key = `${uid}/${container.name}/${containerHash(container)}`;
    const nowMs = env.clock.now();
    const endedMs = last.finishedAtMs || last.createdAtMs;
    const untilMs = crashes.waitsUntil(key, endedMs, nowMs);
    if (untilMs === undefined) {
      crashes.next(key, endedMs, nowMs);
      return undefined;
    }
    const what = `restarting failed container=${container.name} pod=${name}_${namespace}(${uid})`;
    const reason = { reason: 'CrashLoopBackOff', message: `back-off ${goSeconds(crashes.waitMs(key))} ${what}` };
    const told = this.#waiting.get(container.name);
    if (told?.reason !== reason.reason || told.message !== reason.message) {
      const message = `Back-off restarting failed container ${container.name} in pod ${name}_${namespace}(${uid})`;
      events.container(pod, container, 'Warning', 'BackOff', message);
    }
    this.#waiting.set(container.name, reason);
    return untilMs;
  }
}
