// The fields of an object as its scale subresource sees them (apimachinery, managedfields.ScaleHandler).
import { difference, hasPath, isEmptySet, setOfPath } from '../field-sets/field-set.ts';
import type { PathElement } from '../field-sets/path-element.ts';
import { entryOf, fieldsOf, inOrder, type ManagedEntry, type ManagedFields, withFields } from './managed-fields.ts';

export const SCALE_VERSION = 'autoscaling/v1';
const REPLICAS_IN_SCALE: readonly PathElement[] = ['f:spec', 'f:replicas'];

/** Where a version of the kind has the number of replicas: undefined: no such version; an empty path: it has none. */
export type ReplicasPath = (apiVersion: string) => readonly PathElement[] | undefined;

/** The managers of the number of replicas, as managers of the Scale. */
export function toScale(managed: ManagedFields, pathIn: ReplicasPath): ManagedFields {
  const entries = managed.flatMap((entry): ManagedEntry[] => {
    const path = pathIn(entry.apiVersion);
    if (!path || !hasPath(fieldsOf(entry), path)) return [];
    return [withFields({ ...entry, apiVersion: SCALE_VERSION }, setOfPath(REPLICAS_IN_SCALE))];
  });
  return inOrder(entries);
}

/** The object's managers after the Scale's managers have become `scale`. `apiVersion` is the object's. */
export function fromScale(
  managed: ManagedFields,
  scale: ManagedFields,
  apiVersion: string,
  pathIn: ReplicasPath,
): ManagedFields {
  const manages = scale.filter((entry) => hasPath(fieldsOf(entry), REPLICAS_IN_SCALE));
  const known = new Set<ManagedEntry>();
  const result: ManagedEntry[] = [];
  for (const entry of managed) {
    const path = pathIn(entry.apiVersion);
    if (!path) continue;
    if (!hasPath(fieldsOf(entry), path)) {
      result.push(entry);
      continue;
    }
    const still = manages.find((other) => isSame(entry, other));
    if (still) {
      known.add(still);
      result.push(entry);
      continue;
    }
    const left = difference(fieldsOf(entry), setOfPath(path));
    if (!isEmptySet(left)) result.push(withFields(entry, left));
  }
  const path = pathIn(apiVersion);
  for (const entry of manages) {
    if (!path || known.has(entry)) continue;
    const { manager, operation, subresource } = entry;
    result.push(entryOf({ manager, operation, apiVersion, subresource }, setOfPath(path), undefined));
  }
  return inOrder(result);
}

/** One manager's entries, whose versions differ here by nature. */
function isSame(a: ManagedEntry, b: ManagedEntry): boolean {
  return a.manager === b.manager && a.operation === b.operation && (a.subresource ?? '') === (b.subresource ?? '');
}
