// An applyConfiguration of a policy laid over an object, as server-side apply would, but nobody comes to manage the fields.
import { isJsonObject } from '../../../api/json.ts';
import type { KubeObject } from '../../../api/object.ts';
import type { Tables } from '../../../api/tables.ts';
import { memberSchema, mergeValues } from '../../../machinery/field-sets/merge.ts';
import type { FieldSchema } from '../../../machinery/field-sets/schema.ts';
import { fieldSchemaOf } from '../../../machinery/field-sets/table-schema.ts';
import { typeErrors } from '../../../machinery/field-sets/validate.ts';

/** Throws an Error with upstream's message. */
export function mergedConfiguration(
  tables: Tables,
  type: string,
  object: KubeObject,
  fields: { readonly [name: string]: unknown },
): KubeObject {
  const schema = fieldSchemaOf(tables, type);
  const config = { ...fields, apiVersion: object.apiVersion, kind: object.kind };
  const problems = typeErrors(schema, config);
  if (problems) throw failed(`failed to convert patch object to typed object: ${problems}`);
  const atomics = [...atomicPaths(schema, config, '')];
  if (atomics.length > 0) {
    throw failed(`invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: ${atomics.join(', ')}`);
  }
  return mergeValues(schema, object, config) as KubeObject;
}

const failed = (why: string): Error => new Error(`error applying patch: ${why}`);

/** What would be replaced as a whole: who writes some of it seldom means to remove the rest. */
function* atomicPaths(schema: FieldSchema, value: unknown, path: string): Generator<string> {
  const isList = Array.isArray(value);
  if (!isList && !isJsonObject(value)) return;
  // Lists without a schema are atomic, maps without one are not.
  if (schema.leaf || (isList && schema.kind === 'deduced')) yield path;
  if (isList) {
    for (const [i, item] of value.entries())
      if (schema.element) yield* atomicPaths(schema.element, item, `${path}[${i}]`);
  } else if (isJsonObject(value)) {
    for (const [name, member] of Object.entries(value))
      yield* atomicPaths(memberSchema(schema, name), member, `${path}.${name}`);
  }
}
