// What every write does to metadata.managedFields (apimachinery, util/managedfields.FieldManager).
import { isJsonObject, sameJson } from '../../api/json.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import { EMPTY_SET, FieldSetError, hasPath, union } from '../field-sets/field-set.ts';
import { ItemError } from '../field-sets/list-items.ts';
import { compareText } from '../field-sets/path-element.ts';
import { typeErrors } from '../field-sets/validate.ts';
import { badRequest, StatusError } from '../status.ts';
import { ApplyConflict } from './conflicts.ts';
import { KUBECTL, lastAppliedFields, updateLastApplied } from './last-applied.ts';
import {
  entryOf,
  fieldsOf,
  inOrder,
  isReset,
  type ManagedEntry,
  type ManagedFields,
  type Manager,
  NOBODY,
  readManagedFields,
  sameManager,
} from './managed-fields.ts';
import { type Applied, afterApply, afterUpdate, type Configuration, type FieldScope } from './ownership.ts';

/** Entries of updates that are kept apart; older ones are put together. */
export const MAX_UPDATE_MANAGERS = 10;
const OLD_UPDATES = 'ancient-changes';
/** Who has what was there before fields were managed. */
const BEFORE_APPLY = 'before-first-apply';

export const MAX_FIELD_MANAGER_BYTES = 128;

/** The manager of a write: as it says itself, or the first part of the client's User-Agent. */
export function fieldManagerOf(fieldManager: string | undefined, userAgent: string | undefined): string {
  if (fieldManager) return fieldManager;
  const [product = ''] = (userAgent ?? '').split('/');
  let name = '';
  for (const character of product) {
    if (!isPrintable(character)) continue;
    if (Buffer.byteLength(name + character) > MAX_FIELD_MANAGER_BYTES) break;
    name += character;
  }
  return name;
}

const NOT_PRINTABLE = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u;

export function isPrintable(text: string): boolean {
  return !NOT_PRINTABLE.test(text);
}

export interface Written {
  /** The object as it was, in the scope's version; undefined: there was none. */
  readonly live: KubeObject | undefined;
  /** The object as it was sent or patched, with defaults. */
  readonly object: KubeObject;
  readonly manager: string;
}

/**
 * metadata.managedFields of an object that is created, updated or patched; undefined: none. What the write itself says of them
 * counts where it makes sense; otherwise they are those of the live object. Never throws for a client's fault: then they stay.
 */
export function managedAfterUpdate(scope: FieldScope, { live, object, manager }: Written): ManagedFields | undefined {
  const present = storedFields(live);
  const managed = scope.subresource === undefined ? sentFields(object, present) : present;
  // Objects from before fields were managed begin to be with their first apply.
  if (managed.length === 0 && live !== undefined) return undefined;
  try {
    const after = capped(afterUpdate(scope, live ?? {}, object, managed, manager));
    return after.length > 0 ? after : undefined;
  } catch (error) {
    // A list whose items cannot be told apart: validation has the last word on it.
    if (!(error instanceof ItemError)) throw error;
    return present.length > 0 ? present : undefined;
  }
}

/** What is stored was written here: it is in order. */
function storedFields(live: KubeObject | undefined): ManagedFields {
  return (live?.metadata.managedFields as ManagedFields | undefined) ?? NOBODY;
}

function sentFields(object: KubeObject, present: ManagedFields): ManagedFields {
  const { managedFields } = object.metadata;
  if (managedFields === undefined || managedFields === present) return present;
  if (isReset(managedFields)) return NOBODY;
  if (sameJson(managedFields, present)) return present;
  try {
    const sent = readManagedFields(managedFields);
    return sent.length > 0 ? sent : present;
  } catch (error) {
    if (error instanceof FieldSetError) return present;
    throw error;
  }
}

/** Puts the oldest entries of updates together, those of one version each, until there are few enough. */
export function capped(managed: ManagedFields, max = MAX_UPDATE_MANAGERS): ManagedFields {
  const updaters = managed.filter((entry) => entry.operation === 'Update');
  if (updaters.length <= max) return managed;
  updaters.sort((a, b) => compareText(a.time ?? '', b.time ?? '') || compareText(identityText(a), identityText(b)));
  const kept = new Set<ManagedEntry>(managed);
  const firsts = new Map<string, ManagedEntry>();
  let count = updaters.length;
  for (const entry of updaters) {
    if (count <= max) break;
    const { apiVersion } = entry;
    const first = firsts.get(apiVersion);
    if (!first) {
      firsts.set(apiVersion, entry);
      continue;
    }
    const who: Manager = { manager: OLD_UPDATES, operation: 'Update', apiVersion, subresource: undefined };
    const bucket = [...kept].find((other) => other !== entry && sameManager(other, who)) ?? first;
    kept.delete(bucket);
    kept.delete(entry);
    kept.add(entryOf(who, union(fieldsOf(entry), fieldsOf(bucket)), entry.time));
    count--;
  }
  return inOrder([...kept]);
}

function identityText({ manager, operation, apiVersion, subresource }: ManagedEntry): string {
  return JSON.stringify({ manager, operation, apiVersion, subresource });
}

export interface AppliedObject {
  /** The object to store, not decoded, with its managedFields; it may share parts with the live one and the configuration. */
  readonly object: Draft<KubeObject>;
}

/**
 * The object that an applied configuration makes of the live one (of none, when it is absent). Throws BadRequest for a
 * configuration that is none of this kind, ApplyConflict when others manage what it would change.
 */
export function applyConfiguration(
  scope: FieldScope,
  live: KubeObject | undefined,
  configuration: Configuration & { readonly kind: string },
): AppliedObject {
  const { config, manager } = configuration;
  checkConfiguration(scope, configuration);
  const { managedFields: _, ...metadata } = live?.metadata ?? {};
  const bare = live ? { ...live, metadata } : {};
  let managed = decodedFields(live);
  if (managed.length === 0 && live) managed = afterUpdate(scope, {}, bare, NOBODY, BEFORE_APPLY);
  const applied = applyKnowing(scope, { live, bare, managed }, configuration);
  const object = asDraft((applied.object ?? bare) as KubeObject);
  if (applied.managed.length > 0) object.metadata.managedFields = applied.managed as Draft<ManagedEntry>[];
  if (manager === KUBECTL) updateLastApplied(object, config);
  return { object };
}

/** kubectl's own client-side applies are no conflict for it, where nobody changed what they wrote. */
function applyKnowing(
  scope: FieldScope,
  { live, bare, managed }: { live: KubeObject | undefined; bare: object; managed: ManagedFields },
  configuration: Configuration,
): Applied {
  try {
    return afterApply(scope, bare, managed, configuration);
  } catch (error) {
    if (!(error instanceof ApplyConflict) || configuration.manager !== KUBECTL || !live) throw error;
    const own = lastAppliedFields(scope, bare as KubeObject);
    const others = error.conflicts.filter(({ path }) => !hasPath(own, path));
    if (others.length > 0) throw own === EMPTY_SET ? error : new ApplyConflict(others);
    return afterApply(scope, bare, managed, { ...configuration, force: true });
  }
}

function decodedFields(live: KubeObject | undefined): ManagedFields {
  try {
    return readManagedFields(live?.metadata.managedFields);
  } catch (error) {
    if (!(error instanceof FieldSetError)) throw error;
    throw failure(`failed to decode managed fields: ${error.message}`, error);
  }
}

/** What is about to be changed is copied; the rest stays shared. */
function asDraft(object: KubeObject): Draft<KubeObject> {
  const { annotations } = object.metadata ?? {};
  const metadata = { ...object.metadata, ...(annotations && { annotations: { ...annotations } }) };
  return { ...object, metadata } as Draft<KubeObject>;
}

function checkConfiguration(scope: FieldScope, { config, kind }: { config: object; kind: string }): void {
  const sent = config as { apiVersion?: unknown; kind?: unknown; metadata?: { managedFields?: unknown } };
  if (sent.kind !== kind || sent.apiVersion !== scope.apiVersion) {
    throw badRequest(`invalid object type: ${typeText(sent.apiVersion, sent.kind)}`);
  }
  const { metadata } = sent;
  if (isJsonObject(metadata) && metadata.managedFields !== undefined && metadata.managedFields !== null) {
    throw badRequest('metadata.managedFields must be nil');
  }
  const wrong = typeErrors(scope.schema, config);
  if (wrong === undefined) return;
  const { namespace = '', name = '' } = (isJsonObject(metadata) ? metadata : {}) as {
    namespace?: string;
    name?: string;
  };
  const what = `${namespace}/${name}; ${typeText(sent.apiVersion, sent.kind)}`;
  throw failure(`failed to create typed patch object (${what}): ${wrong}`);
}

/** `apps/v1, Kind=Deployment` */
function typeText(apiVersion: unknown, kind: unknown): string {
  const version = typeof apiVersion === 'string' ? apiVersion : '';
  return `${version.includes('/') ? '' : '/'}${version}, Kind=${typeof kind === 'string' ? kind : ''}`;
}

/** A failure that upstream gives no reason for. */
function failure(message: string, cause?: unknown): StatusError {
  return Object.assign(new StatusError('InternalError', message, undefined, { cause }), { reason: '' });
}
