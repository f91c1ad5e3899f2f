// Validation of metadata for every kind (apimachinery ValidateObjectMeta and ValidateObjectMetaUpdate).
import type { ObjectMeta, OwnerReference } from '../../api/generated/types.ts';
import type { FieldError } from '../../machinery/status.ts';
import { sameMeaning } from './equality.ts';
import {
  duplicate,
  eachInvalid,
  FIELD_IMMUTABLE,
  forbiddenField,
  invalidValue,
  required,
  tooLong,
} from './field-errors.ts';
import { dnsLabel, labelValue, qualifiedName } from './name-rules.ts';
import type { NameRule } from './strategy.ts';

/** All annotations together may have this many bytes. */
export const TOTAL_ANNOTATION_BYTES = 256 * 1024;

export function validateObjectMeta(
  meta: ObjectMeta,
  rules: { readonly namespaced: boolean; readonly nameRule: NameRule },
  path = 'metadata',
): FieldError[] {
  const errors: FieldError[] = [];
  if (meta.generateName) {
    errors.push(...eachInvalid(`${path}.generateName`, meta.generateName, rules.nameRule(meta.generateName, true)));
  }
  if (!meta.name) errors.push(required(`${path}.name`, 'name or generateName is required'));
  else errors.push(...eachInvalid(`${path}.name`, meta.name, rules.nameRule(meta.name, false)));
  if (rules.namespaced) {
    if (!meta.namespace) errors.push(required(`${path}.namespace`));
    else errors.push(...eachInvalid(`${path}.namespace`, meta.namespace, dnsLabel(meta.namespace)));
  } else if (meta.namespace) {
    errors.push(forbiddenField(`${path}.namespace`, 'not allowed on this type'));
  }
  errors.push(...validateLabels(meta.labels, `${path}.labels`));
  errors.push(...validateAnnotations(meta.annotations, `${path}.annotations`));
  errors.push(...validateOwnerReferences(meta.ownerReferences, `${path}.ownerReferences`));
  errors.push(...validateFinalizers(meta.finalizers, `${path}.finalizers`));
  return errors;
}

export function validateLabels(labels: ObjectMeta['labels'], path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(labels ?? {})) {
    errors.push(...eachInvalid(path, key, qualifiedName(key)));
    errors.push(...eachInvalid(path, value, labelValue(value)));
  }
  return errors;
}

export function validateAnnotations(annotations: ObjectMeta['annotations'], path: string): FieldError[] {
  const errors: FieldError[] = [];
  let total = 0;
  for (const [key, value] of Object.entries(annotations ?? {})) {
    // Upper-case prefixes are accepted here, as upstream does for old clients.
    errors.push(...eachInvalid(path, key, qualifiedName(key.toLowerCase())));
    total += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (total > TOTAL_ANNOTATION_BYTES) errors.push(tooLong(path, TOTAL_ANNOTATION_BYTES));
  return errors;
}

function validateOwnerReferences(references: readonly OwnerReference[] | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  let controller: OwnerReference | undefined;
  for (const [i, reference] of (references ?? []).entries()) {
    const at = `${path}[${i}]`;
    if (!reference.apiVersion) errors.push(invalidValue(`${at}.apiVersion`, '', 'version must not be empty'));
    if (!reference.kind) errors.push(invalidValue(`${at}.kind`, '', 'must not be empty'));
    if (!reference.name) errors.push(invalidValue(`${at}.name`, '', 'must not be empty'));
    if (!reference.uid) errors.push(invalidValue(`${at}.uid`, '', 'must not be empty'));
    if (reference.apiVersion === 'v1' && reference.kind === 'Event') {
      errors.push(invalidValue(at, reference, '/v1, Kind=Event is disallowed from being an owner'));
    }
    if (!reference.controller) continue;
    if (controller) {
      const text =
        `Only one reference can have Controller set to true. Found "true" in references for ` +
        `${controller.kind}/${controller.name} and ${reference.kind}/${reference.name}`;
      errors.push(invalidValue(path, references, text));
    }
    controller = reference;
  }
  return errors;
}

function validateFinalizers(finalizers: readonly string[] | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [i, finalizer] of (finalizers ?? []).entries()) {
    errors.push(...eachInvalid(`${path}[${i}]`, finalizer, qualifiedName(finalizer)));
  }
  const both = finalizers?.includes('orphan') && finalizers.includes('foregroundDeletion');
  if (both) errors.push(invalidValue(path, finalizers, 'finalizers orphan and foregroundDeletion cannot be both set'));
  return errors;
}

const IMMUTABLE = [
  'name',
  'namespace',
  'uid',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
] as const;

export function validateObjectMetaUpdate(meta: ObjectMeta, old: ObjectMeta, path = 'metadata'): FieldError[] {
  const errors: FieldError[] = [];
  if (old.deletionTimestamp) {
    const added = (meta.finalizers ?? []).filter((f) => !(old.finalizers ?? []).includes(f));
    if (added.length > 0) {
      const list = `[]string{${added.map((f) => JSON.stringify(f)).join(', ')}}`;
      const text = `no new finalizers can be added if the object is being deleted, found new finalizers ${list}`;
      errors.push(forbiddenField(`${path}.finalizers`, text));
    }
  }
  for (const name of IMMUTABLE) {
    if (!sameMeaning(meta[name], old[name])) errors.push(invalidValue(`${path}.${name}`, meta[name], FIELD_IMMUTABLE));
  }
  if ((meta.generation ?? 0) < (old.generation ?? 0)) {
    errors.push(invalidValue(`${path}.generation`, meta.generation ?? 0, 'must not be decremented'));
  }
  errors.push(...validateLabels(meta.labels, `${path}.labels`));
  errors.push(...validateAnnotations(meta.annotations, `${path}.annotations`));
  errors.push(...validateOwnerReferences(meta.ownerReferences, `${path}.ownerReferences`));
  errors.push(...validateFinalizers(meta.finalizers, `${path}.finalizers`));
  return errors;
}

/** Keys of a list that must be unique, in order of appearance: findings for the repeated ones. */
export function duplicates(values: readonly (string | undefined)[], at: (index: number) => string): FieldError[] {
  const seen = new Set<string>();
  const errors: FieldError[] = [];
  for (const [i, value] of values.entries()) {
    if (value === undefined || value === '') continue;
    if (seen.has(value)) errors.push(duplicate(at(i), value));
    seen.add(value);
  }
  return errors;
}
