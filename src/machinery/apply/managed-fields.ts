// metadata.managedFields: who manages which fields (apimachinery, util/managedfields).
import type { ManagedFieldsEntry } from '../../api/generated/types.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import { EMPTY_SET, type FieldSet, FieldSetError, readFieldSet } from '../field-sets/field-set.ts';
import { compareText } from '../field-sets/path-element.ts';

/** One manager's entry, checked. Entries and their sets are readonly and shared between objects. */
export interface ManagedEntry extends ManagedFieldsEntry {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  readonly apiVersion: string;
  readonly fieldsType: 'FieldsV1';
}

/** In the order in which they are written. No two are of the same manager (sameManager). */
export type ManagedFields = readonly ManagedEntry[];

export const NOBODY: ManagedFields = [];

export function fieldsOf(entry: ManagedEntry): FieldSet {
  return (entry.fieldsV1 ?? EMPTY_SET) as unknown as FieldSet;
}

/** The entry with another set. */
export function withFields(entry: ManagedEntry, fields: FieldSet): ManagedEntry {
  return { ...entry, fieldsV1: fields as unknown as NonNullable<ManagedFieldsEntry['fieldsV1']> };
}

export interface Manager {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  readonly apiVersion: string;
  readonly subresource: string | undefined;
}

export function entryOf(who: Manager, fields: FieldSet, time: string | undefined): ManagedEntry {
  return {
    manager: who.manager,
    operation: who.operation,
    apiVersion: who.apiVersion,
    ...(time !== undefined && { time }),
    fieldsType: 'FieldsV1',
    fieldsV1: fields as unknown as NonNullable<ManagedFieldsEntry['fieldsV1']>,
    ...(who.subresource && { subresource: who.subresource }),
  };
}

/** Whether two entries are one manager's. An applier is the same whatever version it applied last. */
export function sameManager(a: ManagedFieldsEntry, b: ManagedFieldsEntry | Manager): boolean {
  return (
    a.manager === b.manager &&
    a.operation === b.operation &&
    (a.subresource ?? '') === (b.subresource ?? '') &&
    (a.operation === 'Apply' || a.apiVersion === b.apiVersion)
  );
}

/** What a client sent, or what is stored. Throws FieldSetError. */
export function readManagedFields(entries: readonly ManagedFieldsEntry[] | undefined): ManagedFields {
  const managed: ManagedEntry[] = [];
  for (const [i, entry] of (entries ?? []).entries()) {
    const { operation, apiVersion, fieldsType, manager = '', time, subresource } = entry;
    if (operation !== 'Apply' && operation !== 'Update') {
      throw new FieldSetError('operation must be `Apply` or `Update`');
    }
    if (!apiVersion) throw new FieldSetError('apiVersion must not be empty');
    if (!fieldsType) throw new FieldSetError(`missing fieldsType in managed fields entry ${i}`);
    if (fieldsType !== 'FieldsV1') {
      throw new FieldSetError(`invalid fieldsType ${JSON.stringify(fieldsType)} in managed fields entry ${i}`);
    }
    const read = entryOf({ manager, operation, apiVersion, subresource }, readFieldSet(entry.fieldsV1), time);
    const known = managed.findIndex((other) => sameManager(other, read));
    if (known < 0) managed.push(read);
    else managed[known] = read;
  }
  return inOrder(managed);
}

/** Applied before updated, then by time, then by name. */
export function inOrder(managed: readonly ManagedEntry[]): ManagedFields {
  for (let i = 1; i < managed.length; i++) {
    if (compareEntries(managed[i - 1]!, managed[i]!) > 0) return [...managed].sort(compareEntries);
  }
  return managed;
}

function compareEntries(a: ManagedEntry, b: ManagedEntry): number {
  return (
    compareText(a.operation, b.operation) ||
    compareText(a.time ?? '', b.time ?? '') ||
    compareText(a.manager, b.manager) ||
    compareText(a.apiVersion, b.apiVersion) ||
    compareText(a.subresource ?? '', b.subresource ?? '')
  );
}

/** The list that says that nobody shall manage anything: an empty one, or one with an empty entry. */
export function isReset(entries: readonly ManagedFieldsEntry[] | undefined): boolean {
  if (entries === undefined) return false;
  return entries.length === 0 || (entries.length === 1 && Object.keys(entries[0]!).length === 0);
}

/** Whether two lists differ in nothing but their times, and in those. */
export function differOnlyInTime(
  a: readonly ManagedFieldsEntry[] | undefined,
  b: readonly ManagedFieldsEntry[] | undefined,
  same: (a: unknown, b: unknown) => boolean,
): boolean {
  if (a === undefined || b === undefined || a.length !== b.length || a.length === 0) return false;
  if (a.every((entry, i) => entry.time === b[i]!.time)) return false;
  return a.every((entry, i) => same({ ...entry, time: undefined }, { ...b[i], time: undefined }));
}

/**
 * Says of a decoded object that its managed fields were sent as an empty list, which decoding takes for absent:
 * such a list resets them too.
 */
export function keepReset(sent: unknown, object: Draft<KubeObject>): void {
  const { metadata } = (sent ?? {}) as { metadata?: { managedFields?: unknown } };
  const list = metadata?.managedFields;
  if (Array.isArray(list) && list.length === 0 && object.metadata) object.metadata.managedFields = [{}];
}
