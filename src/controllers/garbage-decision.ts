// What the garbage collector does about one object. Pure.
import type { OwnerReference } from '../api/generated/types.ts';
import type { KubeObject } from '../api/object.ts';
import { hasFinalizer, isTerminating } from '../machinery/meta.ts';
import { blockedBy, FOREGROUND, type GraphNode, ORPHAN, waitsForDependents } from './garbage-graph.ts';

/** What became of an owner: there; there and waiting for its dependents to go; not there. */
export type OwnerState = 'solid' | 'waiting' | 'dangling';

export type GarbageStep =
  | { readonly kind: 'nothing' }
  /** The object's dependents are to go first: look at them. */
  | { readonly kind: 'wait'; readonly attempt: readonly string[] }
  | { readonly kind: 'removeFinalizer'; readonly finalizer: string }
  /** Some owners are solid: only the references to the others go. */
  | { readonly kind: 'removeOwners'; readonly uids: readonly string[] }
  | {
      readonly kind: 'delete';
      readonly propagation: 'Orphan' | 'Background' | 'Foreground';
      /** First stop blocking the owners: the ownership goes in a circle, which would wait for itself. */
      readonly unblock: boolean;
    };

const NOTHING: GarbageStep = { kind: 'nothing' };

/** An object in foreground deletion: it goes when nothing blocks it any more. */
export function decideForeground(object: KubeObject, dependents: readonly GraphNode[]): GarbageStep {
  const blocking = dependents.filter((one) => blockedBy(one.object).has(object.metadata.uid ?? ''));
  if (blocking.length === 0) return { kind: 'removeFinalizer', finalizer: FOREGROUND };
  return { kind: 'wait', attempt: blocking.filter((one) => !waitsForDependents(one.object)).map((one) => one.uid) };
}

/** An object with owners: it goes when none of them holds it. `states` has each owner's by uid. */
export function decideOwned(
  object: KubeObject,
  states: ReadonlyMap<string, OwnerState>,
  dependents: readonly GraphNode[],
): GarbageStep {
  const owners = object.metadata.ownerReferences ?? [];
  if (owners.length === 0) return NOTHING;
  const of = (state: OwnerState): OwnerReference[] => owners.filter(({ uid }) => states.get(uid) === state);
  const waiting = of('waiting');
  const dangling = of('dangling');
  if (of('solid').length > 0) {
    const gone = [...dangling, ...waiting];
    return gone.length === 0 ? NOTHING : { kind: 'removeOwners', uids: gone.map((owner) => owner.uid) };
  }
  if (isTerminating(object)) return NOTHING;
  if (waiting.length > 0 && dependents.length > 0) {
    // Its owner waits for it in the foreground, so it waits for its own dependents in the same way.
    const unblock = dependents.some((one) => waitsForDependents(one.object));
    return { kind: 'delete', propagation: 'Foreground', unblock };
  }
  const propagation = hasFinalizer(object, ORPHAN)
    ? 'Orphan'
    : hasFinalizer(object, FOREGROUND)
      ? 'Foreground'
      : 'Background';
  return { kind: 'delete', propagation, unblock: false };
}
