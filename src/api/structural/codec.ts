// Custom resources between JSON and objects, driven by their schemas. Their metadata is read by the table, as everybody's.
import { cloneJson, isJsonObject, setMember } from '../json.ts';
import { applySchemaDefaults } from './default.ts';
import { prune } from './prune.ts';
import type { StructuralSchema } from './schema.ts';

type Members = { [key: string]: unknown };

/** Reads metadata by its type; `problems` are told of unknown fields. */
export type ReadMetadata = (metadata: unknown) => { readonly object: object; readonly problems: readonly string[] };

/**
 * Makes an object out of a parsed JSON value, which it takes over and changes: defaults are set, then it is pruned. What was
 * unknown is told as `unknown field "spec.x"`.
 */
export function decodeStructural(
  schema: StructuralSchema,
  value: Members,
  readMetadata: ReadMetadata,
): {
  readonly object: Members;
  readonly problems: string[];
} {
  const problems: string[] = [];
  const metadata = readMetadata(value.metadata ?? {});
  for (const text of metadata.problems) problems.push(text.replace(/^(\w+ field ")/, '$1metadata.'));
  value.metadata = metadata.object;
  applySchemaDefaults(schema, value);
  for (const path of prune(schema, value)) problems.push(`unknown field ${JSON.stringify(path)}`);
  coerceEmbedded(schema, value, readMetadata, true);
  return { object: value, problems };
}

/** A deep copy that its owner may change, pruned and with defaults. */
export function copyStructural(
  schema: StructuralSchema,
  object: object,
  copyMetadata: (metadata: object) => object,
): Members {
  const copy: Members = {};
  for (const [name, member] of Object.entries(object)) {
    if (member !== undefined)
      setMember(copy, name, name === 'metadata' ? copyMetadata(member as object) : cloneJson(member));
  }
  applySchemaDefaults(schema, copy);
  prune(schema, copy);
  return copy;
}

/** An object's members in the order in which they are written: kind, apiVersion, metadata, then the others as they are. */
export function arrangeStructural(object: object, arrangeMetadata: (metadata: object) => object): Members {
  const { kind, apiVersion, metadata, ...rest } = object as Members;
  return { kind, apiVersion, metadata: arrangeMetadata((metadata ?? {}) as object), ...rest };
}

/** Metadata of embedded resources holds what metadata may hold, in canonical form. */
function coerceEmbedded(schema: StructuralSchema, value: unknown, readMetadata: ReadMetadata, root: boolean): void {
  if (Array.isArray(value)) {
    if (schema.items) for (const item of value) coerceEmbedded(schema.items, item, readMetadata, false);
  } else if (isJsonObject(value)) {
    const object = value as Members;
    if (schema.embedded && !root && isJsonObject(object.metadata))
      object.metadata = readMetadata(object.metadata).object;
    for (const [name, property] of schema.properties) coerceEmbedded(property, object[name], readMetadata, false);
    const { additional } = schema;
    if (typeof additional !== 'object') return;
    for (const name of Object.keys(object)) {
      if (!schema.properties.has(name)) coerceEmbedded(additional, object[name], readMetadata, false);
    }
  }
}
