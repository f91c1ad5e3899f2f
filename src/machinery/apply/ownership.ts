// How fields change hands (structured-merge-diff, merge.Updater).
import { sameJson } from '../../api/json.ts';
import { fieldSetOf, withNamedFields } from '../field-sets/applied-set.ts';
import { type Changes, compareObjects } from '../field-sets/compare.ts';
import {
  difference,
  EMPTY_SET,
  type FieldSet,
  intersection,
  isEmptySet,
  recursiveDifference,
  setOfPath,
  union,
} from '../field-sets/field-set.ts';
import { mergeValues } from '../field-sets/merge.ts';
import { reconcileSet } from '../field-sets/reconcile.ts';
import { removeItems } from '../field-sets/remove-items.ts';
import type { FieldSchema } from '../field-sets/schema.ts';
import { fieldsOfNew } from '../field-sets/shapes.ts';
import { ApplyConflict, type Conflict, conflictsOf } from './conflicts.ts';
import {
  entryOf,
  fieldsOf,
  inOrder,
  type ManagedEntry,
  type ManagedFields,
  type Manager,
  sameManager,
  withFields,
} from './managed-fields.ts';

/** One version of a kind, as fields are managed in it. */
export interface FieldVersion {
  readonly apiVersion: string;
  readonly schema: FieldSchema;
  /** Fields that nobody manages here: what the server decides, and what this endpoint does not write. */
  readonly ignored: FieldSet;
}

/** The version of a request, and the way to the others. */
export interface FieldScope extends FieldVersion {
  /** The subresource that is written; undefined: the object itself. */
  readonly subresource: string | undefined;
  /** RFC 3339. */
  readonly now: string;
  /** Another version; undefined: it is not served (any more). */
  other(apiVersion: string): OtherVersion | undefined;
}

export interface OtherVersion extends FieldVersion {
  /** An object of the scope's version in this one; the object is not changed. */
  from(object: object): object;
  /** And back. */
  back(object: object): object;
}

/** What every object has is managed by nobody. */
const METADATA = setOfPath(['f:metadata']);

/** The changes as each version of the kind sees them, worked out when somebody manages fields in it. */
class VersionedChanges {
  readonly #known = new Map<string, Changes | undefined>();
  readonly #scope: FieldScope;
  readonly #before: object;
  readonly #after: object;

  constructor(scope: FieldScope, before: object, after: object) {
    this.#scope = scope;
    this.#before = before;
    this.#after = after;
  }

  /** undefined: there is no such version. */
  in(apiVersion: string): Changes | undefined {
    if (!this.#known.has(apiVersion)) this.#known.set(apiVersion, this.#compare(apiVersion));
    return this.#known.get(apiVersion);
  }

  #compare(apiVersion: string): Changes | undefined {
    const { schema, ignored } = this.#scope;
    if (apiVersion === this.#scope.apiVersion) return changesOf(schema, this.#before, this.#after, ignored);
    const other = this.#scope.other(apiVersion);
    return other && changesOf(other.schema, other.from(this.#before), other.from(this.#after), other.ignored);
  }
}

function changesOf(schema: FieldSchema, before: object, after: object, ignored: FieldSet): Changes {
  for (const _ in before) return compareObjects(schema, before, after, ignored);
  return { changed: fieldsOfNew(schema, after, ignored), removed: EMPTY_SET };
}

/**
 * The managers after `manager` has put `object` in the place of `live`: it manages what it changed, others lose that, and
 * nobody manages what is gone. `live` is an empty object when there was none. The same list when nothing changed hands.
 */
export function afterUpdate(
  scope: FieldScope,
  live: object,
  object: object,
  managed: ManagedFields,
  manager: string,
): ManagedFields {
  const changes = new VersionedChanges(scope, live, object);
  const { changed, removed } = changes.in(scope.apiVersion)!;
  const taken = difference(changed, METADATA);
  const present = reconciled(scope, live, managed);
  if (isEmptySet(taken)) return withoutChanged(present, changes);
  const who: Manager = { manager: manager || 'unknown', operation: 'Update', ...identity(scope) };
  const mine = present.find((entry) => sameManager(entry, who));
  const left = withoutChanged(mine ? present.filter((entry) => entry !== mine) : present, changes);
  // What it had and has changed again it still has: mostly nothing is to be added.
  const kept = mine ? difference(fieldsOf(mine), taken === changed ? removed : union(changed, removed)) : EMPTY_SET;
  const fields = isEmptySet(difference(taken, kept)) ? kept : union(kept, taken);
  return inOrder([...left, entryOf(who, fields, scope.now)]);
}

function identity({ apiVersion, subresource }: FieldScope): Pick<Manager, 'apiVersion' | 'subresource'> {
  return { apiVersion, subresource };
}

/** The entries as they are to be read now, with the live object. */
function reconciled(scope: FieldScope, live: object, managed: ManagedFields): ManagedFields {
  let same = true;
  const read = managed.map((entry) => {
    const version = versionOf(scope, entry.apiVersion);
    if (version === undefined) return entry;
    const before = fieldsOf(entry);
    const after = reconcileSet(version.schema, before, version.from(live));
    if (after === before) return entry;
    same = false;
    return withFields(entry, after);
  });
  return same ? managed : read;
}

/** Every entry without what changed or went away; those of versions that are no more are left out. */
function withoutChanged(managed: ManagedFields, changes: VersionedChanges): ManagedFields {
  let same = true;
  const left: ManagedEntry[] = [];
  for (const entry of managed) {
    const seen = changes.in(entry.apiVersion);
    const before = fieldsOf(entry);
    const after = seen ? difference(difference(before, seen.changed), seen.removed) : EMPTY_SET;
    if (after === before && !isEmptySet(before)) left.push(entry);
    else {
      same = false;
      if (!isEmptySet(after)) left.push(withFields(entry, after));
    }
  }
  return same ? managed : left;
}

export interface Applied {
  /** The object with the configuration; undefined: it is as it was. */
  readonly object: object | undefined;
  readonly managed: ManagedFields;
}

export interface Configuration {
  readonly config: object;
  readonly manager: string;
  readonly force: boolean;
}

/**
 * Lays a configuration over the live object. What the manager applied before and does not now, and nobody else manages, goes. Throws ApplyConflict when others manage what would change, unless forced: then they lose it.
 */
export function afterApply(scope: FieldScope, live: object, present: ManagedFields, applied: Configuration): Applied {
  const { config, manager, force } = applied;
  const who: Manager = { manager: manager || 'unknown', operation: 'Apply', ...identity(scope) };
  const managed = reconciled(scope, live, present);
  const last = managed.find((entry) => sameManager(entry, who));
  const fields = difference(recursiveDifference(fieldSetOf(scope.schema, config), scope.ignored), METADATA);
  const mine = entryOf(who, fields, last?.time);
  const others = managed.filter((entry) => entry !== last);
  const merged = mergeValues(scope.schema, live, config) as object;
  const object = pruned(scope, merged, [...others, mine], last);
  const changes = new VersionedChanges(scope, live, object);
  if (!force) refuseConflicts(others, changes);
  const left = withoutChanged(others, changes);
  const unchanged = sameJson(live, object);
  const time = unchanged ? last?.time : scope.now;
  const kept = isEmptySet(fields) ? [] : [entryOf(who, fields, time)];
  return { object: unchanged ? undefined : object, managed: inOrder([...left, ...kept]) };
}

function refuseConflicts(others: ManagedFields, changes: VersionedChanges): void {
  const conflicts: Conflict[] = [];
  for (const entry of others) {
    const seen = changes.in(entry.apiVersion);
    if (seen) conflicts.push(...conflictsOf(entry, intersection(fieldsOf(entry), seen.changed)));
  }
  if (conflicts.length > 0) throw new ApplyConflict(conflicts);
}

/** The merged object without what `last` had and nobody applies now. */
function pruned(scope: FieldScope, merged: object, managed: ManagedFields, last: ManagedEntry | undefined): object {
  if (last === undefined || isEmptySet(fieldsOf(last))) return merged;
  const at = versionOf(scope, last.apiVersion);
  if (at === undefined) return merged;
  const whole = at.from(merged);
  const lastFields = withNamedFields(at.schema, fieldsOf(last));
  const left = (removeItems(at.schema, whole, lastFields) ?? {}) as object;
  const owned = withOwned(scope, at, { whole, left }, managed);
  return at.back(withDangling(at, whole, owned, lastFields));
}

function versionOf(scope: FieldScope, apiVersion: string): OtherVersion | undefined {
  if (apiVersion !== scope.apiVersion) return scope.other(apiVersion);
  return { ...scope, from: (object) => object, back: (object) => object };
}

/** Puts back what others, or the new configuration, manage. Given and answered in version `at`. */
function withOwned(
  scope: FieldScope,
  at: OtherVersion,
  objects: { readonly whole: object; readonly left: object },
  managed: ManagedFields,
): object {
  const byVersion = new Map<string, FieldSet>([[at.apiVersion, EMPTY_SET]]);
  for (const entry of managed) {
    byVersion.set(entry.apiVersion, union(byVersion.get(entry.apiVersion) ?? EMPTY_SET, fieldsOf(entry)));
  }
  // The version in which it was pruned comes first: another may need what it puts back.
  let left = objects.left;
  for (const [apiVersion, owned] of byVersion) {
    const version = versionOf(scope, apiVersion);
    if (version === undefined) continue;
    const whole = version.from(at.back(objects.whole));
    const now = version.from(at.back(left));
    const named = (set: FieldSet): FieldSet => withNamedFields(version.schema, set);
    const wanted = union(named(fieldSetOf(version.schema, now)), named(owned));
    const remove = difference(named(fieldSetOf(version.schema, whole)), wanted);
    left = at.from(version.back((removeItems(version.schema, whole, remove) ?? {}) as object));
  }
  return left;
}

/** Puts back what was taken along with its surroundings although the manager did not manage it. */
function withDangling(at: OtherVersion, whole: object, left: object, lastFields: FieldSet): object {
  const named = (object: object): FieldSet => withNamedFields(at.schema, fieldSetOf(at.schema, object));
  const gone = intersection(difference(named(whole), named(left)), lastFields);
  return (removeItems(at.schema, whole, gone) ?? {}) as object;
}
