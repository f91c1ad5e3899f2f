// Gives running containers, and the group that they are in, what is set aside for their pod.
import type { Pod } from '../../api/generated/types.ts';
import { type CriClient, CriError } from '../cri/client.ts';
import { type ContainerUpdate, memoryInUse, type ResizeStep, resizeSteps } from '../pod/resize.ts';
import type { Cgroups } from './cgroups.ts';
import type { PodObserver } from './observe.ts';
import { linuxResources, podCgroup } from './resources.ts';

/** A resize that cannot be done now: it is tried again. The message is for people. */
export class ResizeError extends Error {
  override name = 'ResizeError';
}

export interface ResizerOptions {
  readonly cri: CriClient;
  readonly cgroups: Cgroups;
  readonly observer: PodObserver;
}

export class PodResizer {
  readonly #o: ResizerOptions;

  constructor(options: ResizerOptions) {
    this.#o = options;
  }

  /** Throws ResizeError after what could be done; doing it again does the rest. */
  async resize(pod: Pod, updates: readonly ContainerUpdate[], signal: AbortSignal): Promise<void> {
    const { cgroups } = this.#o;
    try {
      const steps = resizeSteps(updates, await cgroups.state(pod), podCgroup(pod));
      if (steps.length === 0) return;
      const refusal = memoryInUse(steps, updates, await this.#usage(pod, updates, signal));
      if (refusal) throw new ResizeError(refusal);
      for (const step of steps) await this.#take(step, pod, signal);
    } catch (error) {
      if (signal.aborted || error instanceof ResizeError) throw error;
      throw new ResizeError(error instanceof CriError ? error.rpcText : (error as Error).message, { cause: error });
    }
  }

  async #take(step: ResizeStep, pod: Pod, signal: AbortSignal): Promise<void> {
    const { cri, cgroups, observer } = this.#o;
    if (step.type === 'pod') return cgroups.change(pod, step.setting, step.value);
    // Whatever comes of it, what was known is no longer certain.
    observer.forget(step.id);
    await cri.updateContainerResources(step.id, linuxResources(step.resources), { signal });
    observer.forget(step.id);
  }

  async #usage(pod: Pod, updates: readonly ContainerUpdate[], signal: AbortSignal) {
    const { cri, cgroups } = this.#o;
    const byId = new Map<string, number>();
    for (const { id, current, desired } of updates) {
      if (desired.memoryLimitBytes === 0 || desired.memoryLimitBytes === current.memoryLimitBytes) continue;
      const { memory } = await cri.containerStats(id, { signal });
      const bytes = memory?.usageBytes ?? memory?.workingSetBytes;
      if (bytes) byId.set(id, Number(bytes.value));
    }
    return { pod: await cgroups.memoryUsage(pod), container: (id: string) => byId.get(id) };
  }
}
