// The annotation of kubectl's client-side apply, where server-side apply meets it (apimachinery, managedfields/internal).
import { isJsonObject, parseJson, stringifyJson } from '../../api/json.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import { fieldSetOf } from '../field-sets/applied-set.ts';
import { compareObjects } from '../field-sets/compare.ts';
import { difference, EMPTY_SET, type FieldSet } from '../field-sets/field-set.ts';
import { compareText } from '../field-sets/path-element.ts';
import { typeErrors } from '../field-sets/validate.ts';
import type { FieldVersion } from './ownership.ts';

export const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/** The field manager of kubectl apply --server-side: only for it do the two kinds of apply know of each other. */
export const KUBECTL = 'kubectl';

/** All annotations together may have this many bytes. */
const TOTAL_ANNOTATION_BYTES = 256 * 1024;

/** The fields that the last client-side apply set and that still have its values. */
export function lastAppliedFields(version: FieldVersion, live: KubeObject): FieldSet {
  const text = live.metadata.annotations?.[LAST_APPLIED];
  if (!text) return EMPTY_SET;
  let applied: unknown;
  try {
    applied = parseJson(text);
  } catch {
    return EMPTY_SET;
  }
  if (!isJsonObject(applied) || applied.apiVersion !== version.apiVersion) return EMPTY_SET;
  if (typeErrors(version.schema, applied) !== undefined) return EMPTY_SET;
  const { changed, removed } = compareObjects(version.schema, applied, live);
  return difference(difference(fieldSetOf(version.schema, applied), changed), removed);
}

/** Writes what was applied into the annotation of an object that has it; without it when there is too much of it. */
export function updateLastApplied(object: Draft<KubeObject>, config: object): void {
  const { annotations } = object.metadata;
  if (!annotations?.[LAST_APPLIED]) return;
  annotations[LAST_APPLIED] = configurationText(config);
  let total = 0;
  for (const [key, value] of Object.entries(annotations)) total += Buffer.byteLength(key) + Buffer.byteLength(value);
  if (total > TOTAL_ANNOTATION_BYTES) delete annotations[LAST_APPLIED];
}

function configurationText(config: object): string {
  const { metadata, ...rest } = config as { metadata?: { annotations?: { [key: string]: unknown } } };
  const { [LAST_APPLIED]: _, ...annotations } = metadata?.annotations ?? {};
  const kept = { ...rest, metadata: { ...metadata, ...(metadata?.annotations && { annotations }) } };
  const text = stringifyJson(byKey(kept));
  return `${text.replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)}\n`;
}

/** As Go writes maps. */
function byKey(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(byKey);
  if (!isJsonObject(value)) return value;
  const keys = Object.keys(value).sort(compareText);
  return Object.fromEntries(keys.map((key) => [key, byKey(value[key])]));
}
