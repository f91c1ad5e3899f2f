// One pod's way from what is asked for to what it has: set aside by the node's verdict, saved, then given to what runs.
import type { Pod } from '../../api/generated/types.ts';
import type { ResizeRefusal } from '../../machinery/pod-resize.ts';
import type { Allocations } from '../allocation/allocations.ts';
import { type PodResizer, ResizeError } from '../runtime/resize.ts';
import { podCgroup } from '../runtime/resources.ts';
import type { PodActions } from './decide.ts';
import type { ObservedPod } from './observed.ts';
import { isResizing } from './resize.ts';
import { ResizeReport, type Tell } from './resize-report.ts';

export interface ResizingTools {
  readonly allocations: Allocations;
  readonly resizer: Pick<PodResizer, 'resize'>;
  /** See WorkerTools. */
  readonly judgeResizes: () => void;
}

/** What came of giving a pod its resources: nothing to say, something to be looked at, or to be tried again. */
export type Given = 'unchanged' | 'changed' | 'failed';

export class PodResizing {
  readonly #t: ResizingTools;
  readonly #report: ResizeReport;
  /** What the pod's group was last given; undefined: not known to this kubelet. */
  #grouped: string | undefined;

  constructor(tools: ResizingTools, tell: Tell) {
    this.#t = tools;
    this.#report = new ResizeReport(tell);
  }

  conditions(): ReturnType<ResizeReport['conditions']> {
    return this.#report.conditions();
  }

  /** The node's verdict about what `asked` asks for. Returns whether that is news. */
  judged(asked: Pod, refusal: ResizeRefusal | undefined): boolean {
    if (refusal) return this.#report.refused(asked, refusal);
    this.#t.allocations.set(asked);
    this.#report.accepted(asked);
    return true;
  }

  /**
   * Settles what is set aside for the pod, for good before anything is done with it: the pod that is answered is the one to be
   * acted for. Other pods' workers may have it judged again at any time; that is for the next round.
   */
  async settle(asked: () => Pod, observed: ObservedPod): Promise<Pod> {
    const { allocations, judgeResizes } = this.#t;
    if (allocations.differs(asked())) judgeResizes();
    else this.#report.withdrawn();
    await allocations.save(asked().metadata.uid!);
    const pod = allocations.laidOver(asked());
    const regrouped = this.#grouped !== undefined && this.#grouped !== groupOf(pod);
    this.#report.seen(pod, isResizing(pod, observed) || (this.#report.inProgress && regrouped));
    return pod;
  }

  /** The pod's group was made for `pod`. */
  grouped(pod: Pod): void {
    this.#grouped = groupOf(pod);
  }

  /** Gives what runs the resources that `pod` has by `settle`. */
  async give(pod: Pod, actions: PodActions, signal: AbortSignal): Promise<Given> {
    if (actions.killPod || !actions.sandbox) return 'unchanged';
    const group = groupOf(pod);
    if (actions.update.length === 0 && this.#grouped === group) return 'unchanged';
    try {
      await this.#t.resizer.resize(pod, actions.update, signal);
    } catch (error) {
      if (signal.aborted || !(error instanceof ResizeError)) throw error;
      if (actions.update.length === 0 && !this.#report.inProgress) {
        // Nothing was resized: the group is as it could be made.
        this.#grouped = group;
        return 'unchanged';
      }
      this.#report.failed(pod, error.message);
      return 'failed';
    }
    this.#grouped = group;
    return actions.update.length > 0 || this.#report.inProgress ? 'changed' : 'unchanged';
  }
}

/** What the group of a pod is to have, to be compared. */
function groupOf(pod: Pod): string {
  return JSON.stringify(podCgroup(pod));
}
