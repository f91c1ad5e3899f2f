// What every object's metadata and every list of conditions is asked: owners, finalizers, conditions.
import type { OwnerReference } from '../api/generated/types.ts';
import type { KubeObject } from '../api/object.ts';
import { formatTime } from './time.ts';

/** The owner that manages the object, if one does. */
export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((r) => r.controller === true);
}

/** Whether this very owner (by uid) manages the object. */
export function isControlledBy(object: KubeObject, owner: KubeObject): boolean {
  const controller = controllerOf(object);
  return controller !== undefined && controller.uid === owner.metadata.uid;
}

/** A reference from an object to the owner that manages it; its deletion waits for the object in the foreground. */
export function controllerReference(
  owner: KubeObject,
  kind: { readonly apiVersion: string; readonly kind: string },
): OwnerReference {
  return { ...ownerReference(owner, kind), controller: true, blockOwnerDeletion: true };
}

export function ownerReference(
  owner: KubeObject,
  kind: { readonly apiVersion: string; readonly kind: string },
): OwnerReference {
  return { apiVersion: kind.apiVersion, kind: kind.kind, name: owner.metadata.name, uid: owner.metadata.uid ?? '' };
}

export function hasFinalizer(object: KubeObject, finalizer: string): boolean {
  return object.metadata.finalizers?.includes(finalizer) ?? false;
}

/** Deletion has begun: only finalizers or a grace period keep the object. */
export function isTerminating(object: KubeObject): boolean {
  return object.metadata.deletionTimestamp !== undefined && object.metadata.deletionTimestamp !== null;
}

/** What meta/v1 Condition and the older conditions of each kind have in common. */
export interface ConditionLike {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
  readonly lastTransitionTime?: string;
  readonly observedGeneration?: number;
}

export function findCondition<C extends ConditionLike>(
  conditions: readonly C[] | null | undefined,
  type: C['type'],
): C | undefined {
  return conditions?.find((c) => c.type === type);
}

export function isConditionTrue(conditions: readonly ConditionLike[] | null | undefined, type: string): boolean {
  return findCondition(conditions, type)?.status === 'True';
}

/** A condition to set: its transition time is worked out. */
export type NewCondition<C extends ConditionLike> = Omit<C, 'lastTransitionTime'> & { lastTransitionTime?: string };

/**
 * The conditions with this one in place of the one of its type. lastTransitionTime stays while the status stays; else it
 * is the one given or `nowMs`. The same list is returned when nothing changed.
 */
export function setCondition<C extends ConditionLike>(
  conditions: readonly C[] | null | undefined,
  condition: NewCondition<C>,
  nowMs: number,
): readonly C[] {
  const list = conditions ?? [];
  const before = findCondition(list, condition.type);
  const kept = before?.status === condition.status ? before.lastTransitionTime : undefined;
  const lastTransitionTime = kept ?? condition.lastTransitionTime ?? formatTime(nowMs);
  const after = { ...condition, lastTransitionTime } as unknown as C;
  if (!before) return [...list, after];
  const keys = [...Object.keys(before), ...Object.keys(after)] as (keyof C)[];
  if (keys.every((key) => before[key] === after[key])) return list;
  return list.map((c) => (c === before ? after : c));
}

export function removeCondition<C extends ConditionLike>(
  conditions: readonly C[] | null | undefined,
  type: C['type'],
): readonly C[] {
  return (conditions ?? []).filter((c) => c.type !== type);
}
