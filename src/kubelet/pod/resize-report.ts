// How far a pod's resize is: the conditions PodResizePending and PodResizeInProgress, and the events about them.
import type { Pod, PodCondition } from '../../api/generated/types.ts';
import { type ResizeRefusal, resizeMessage } from '../../machinery/pod-resize.ts';

export const RESIZE_CONDITIONS = ['PodResizePending', 'PodResizeInProgress'] as const;

export type Tell = (type: 'Normal' | 'Warning', reason: string, message: string) => void;

interface Progress {
  /** The pod's generation when what it asks for was set aside. */
  readonly generation: number;
  readonly error?: string;
}

export class ResizeReport {
  readonly #tell: Tell;
  #pending: (ResizeRefusal & { readonly generation: number }) | undefined;
  #progress: Progress | undefined;

  constructor(tell: Tell) {
    this.#tell = tell;
  }

  /** Something is being changed in the runtime, or was until now. */
  get inProgress(): boolean {
    return this.#progress !== undefined;
  }

  /** The node cannot give what `pod` asks for. Returns whether that is news. */
  refused(pod: Pod, refusal: ResizeRefusal): boolean {
    const generation = generationOf(pod);
    const before = this.#pending;
    const same = before?.reason === refusal.reason && before.message === refusal.message;
    if (same && before.generation === generation) return false;
    this.#pending = { ...refusal, generation };
    const message = resizeMessage(`Pod resize ${refusal.reason}`, pod, generation, refusal.message);
    this.#tell('Warning', `Resize${refusal.reason}`, message);
    return true;
  }

  /** What `pod` asks for has been set aside. */
  accepted(pod: Pod): void {
    const generation = generationOf(pod);
    this.#pending = undefined;
    this.#progress = { generation };
    this.#tell('Normal', 'ResizeStarted', resizeMessage('Pod resize started', pod, generation));
  }

  /** The pod asks for what it has. */
  withdrawn(): void {
    this.#pending = undefined;
  }

  /** What was seen: whether the containers have what is set aside. An earlier kubelet may have begun. */
  seen(pod: Pod, resizing: boolean): void {
    if (resizing) {
      this.#progress ??= { generation: generationOf(pod) };
      return;
    }
    if (!this.#progress) return;
    const { generation } = this.#progress;
    this.#progress = undefined;
    this.#tell('Normal', 'ResizeCompleted', resizeMessage('Pod resize completed', pod, generation));
  }

  failed(pod: Pod, error: string): void {
    const generation = this.#progress?.generation ?? generationOf(pod);
    if (this.#progress?.error === error) return;
    this.#progress = { generation, error };
    this.#tell('Warning', 'ResizeError', resizeMessage('Pod resize error', pod, generation, error));
  }

  conditions(): readonly Omit<PodCondition, 'lastTransitionTime'>[] {
    const pending = this.#pending;
    const progress = this.#progress;
    return [
      ...(pending
        ? [
            {
              type: 'PodResizePending',
              status: 'True',
              reason: pending.reason,
              message: pending.message,
              observedGeneration: pending.generation,
            },
          ]
        : []),
      ...(progress
        ? [
            {
              type: 'PodResizeInProgress',
              status: 'True',
              ...(progress.error !== undefined && { reason: 'Error', message: progress.error }),
              observedGeneration: progress.generation,
            },
          ]
        : []),
    ];
  }
}

function generationOf(pod: Pod): number {
  return pod.metadata.generation ?? 0;
}
