// Whether an object matches a filter, and where watchers with that filter are to be looked for.
import type { KubeObject } from '../../api/object.ts';
import type { CachedObject, Filter } from '../contract.ts';

/** The selectable fields of an object of a resource, by name. */
export type Fields = { readonly [field: string]: string };

export type Matcher = (object: CachedObject) => boolean;

const METADATA_FIELDS: readonly string[] = ['metadata.name', 'metadata.namespace'];

/** Undefined: everything matches. */
export function matcherOf(filter: Filter, fieldsOf: (object: KubeObject) => Fields): Matcher | undefined {
  const tests: Matcher[] = [];
  const { namespace, name, labels, fields } = filter;
  if (namespace !== undefined) tests.push((object) => object.namespace === namespace);
  if (name !== undefined) tests.push((object) => object.name === name);
  if (fields && !fields.empty) {
    // Name and namespace are known without parsing the object.
    const placed = fields.requirements.length > 0 && fields.requirements.every((r) => METADATA_FIELDS.includes(r.key));
    tests.push((object) => fields.matches(placed ? placeOf(object) : fieldsOfCached(object, fieldsOf)));
  }
  if (labels && !labels.empty) tests.push((object) => labels.matches(object.unmanaged.metadata.labels));
  if (tests.length === 0) return undefined;
  return tests.length === 1 ? tests[0] : (object) => tests.every((test) => test(object));
}

/** Whether seeing if an object matches takes more than its name and namespace. */
export function parses({ labels, fields }: Filter): boolean {
  if (labels && !labels.empty) return true;
  return fields?.requirements.some((r) => !METADATA_FIELDS.includes(r.key)) ?? false;
}

/** The fields, found once for each object. */
export function fieldsOfCached(object: CachedObject, fieldsOf: (object: KubeObject) => Fields): Fields {
  return object.derived('fields', (self) => fieldsOf(self.unmanaged));
}

function placeOf(object: CachedObject): Fields {
  return { 'metadata.name': object.name, 'metadata.namespace': object.namespace ?? '' };
}

/** The one field that a filter demands a value of, besides name and namespace: watchers are found by it. */
export function demandedField(filter: Filter): { readonly field: string; readonly value: string } | undefined {
  for (const { key, operator, values } of filter.fields?.requirements ?? []) {
    if (operator !== 'In' || values.length !== 1 || METADATA_FIELDS.includes(key)) continue;
    return { field: key, value: values[0]! };
  }
  return undefined;
}
