// Which pods of a node hold resources, and who of those that ask for others gets them. Nothing waits in here: what one pod
// gets, the next one finds taken.
import type { Pod } from '../../api/generated/types.ts';
import { judgeResize, type ResizeRefusal, resizeOrder } from '../../machinery/pod-resize.ts';
import { isTerminal, type ResourceList } from '../../machinery/pods.ts';
import type { ObservedPod } from '../pod/observed.ts';

/** A pod's worker, as far as this is concerned. */
export interface Holder {
  readonly uid: string;
  /** With what is set aside for it. */
  readonly pod: Pod;
  /** As the API has it. */
  readonly asked: Pod;
  readonly observed: ObservedPod;
  /** Whether the node has taken the pod. */
  readonly admitted: boolean;
  /** Whether the pod still holds resources of the node. */
  readonly active: boolean;
  /** Whether the pod asks for other resources than it has, and still could get them. */
  readonly asksForOther: boolean;
  judged(refusal: ResizeRefusal | undefined): void;
}

/**
 * Those that hold resources: also those that an earlier kubelet has taken and that this one has not looked at yet. What they
 * hold must not be given to others meanwhile.
 */
export function holders<T extends Holder>(all: Iterable<T>, takenBefore: (holder: T) => boolean): readonly T[] {
  return [...all].filter((h) => h.active && (h.admitted || (!isTerminal(h.asked) && takenBefore(h))));
}

export function judgeResizes(holding: readonly Holder[], allocatable: ResourceList): void {
  const waiting = holding
    .filter((holder) => holder.asksForOther)
    .map((holder) => ({ holder, pod: holder.asked, allocated: holder.pod }))
    .sort(resizeOrder);
  for (const { holder, pod, allocated } of waiting) {
    const others = holding.filter((other) => other !== holder).map((other) => other.pod);
    holder.judged(unreported(holder.observed) ?? judgeResize({ pod, allocated, others, allocatable }));
  }
}

/** Without the runtime's word nobody would know what became of a resize. */
function unreported({ containers }: ObservedPod): ResizeRefusal | undefined {
  if (!containers.some((c) => c.state === 'running' && !c.resources)) return undefined;
  return { reason: 'Infeasible', message: 'The container runtime does not report the resources of containers' };
}
