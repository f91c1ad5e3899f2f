// Defaults of custom resources, as their schemas state them.
import { cloneJson, setMember } from '../json.ts';
import type { StructuralSchema } from './schema.ts';

type Members = { [key: string]: unknown };

/**
 * Sets defaults in place, at every level, where a member is absent; a null that may not be null is taken for absent, and
 * removed where there is no default. `root` leaves out the object's own metadata.
 */
export function applySchemaDefaults(schema: StructuralSchema, value: unknown, root = true): void {
  if (!schema.hasDefaults && !root) {
    dropNulls(schema, value);
  } else if (Array.isArray(value)) {
    const { items } = schema;
    if (!items) return;
    for (const [i, item] of value.entries()) {
      if (item === null && !items.nullable && items.default !== undefined) value[i] = cloneJson(items.default);
      applySchemaDefaults(items, value[i], false);
    }
  } else if (typeof value === 'object' && value !== null) defaultMembers(schema, value as Members, root);
}

function defaultMembers(schema: StructuralSchema, object: Members, root: boolean): void {
  for (const [name, property] of schema.properties) {
    if (root && name === 'metadata') continue;
    const present = Object.hasOwn(object, name) && object[name] !== undefined;
    if (property.default !== undefined && (!present || (object[name] === null && !property.nullable))) {
      setMember(object, name, cloneJson(property.default));
    }
  }
  for (const name of Object.keys(object)) {
    const property = schemaOfMember(schema, name);
    if (!property || (root && name === 'metadata')) continue;
    if (object[name] === null && !property.nullable) {
      if (property.default === undefined) {
        delete object[name];
        continue;
      }
      setMember(object, name, cloneJson(property.default));
    }
    applySchemaDefaults(property, object[name], false);
  }
}

/** Nulls that may not be are absent, also where nothing has a default. */
function dropNulls(schema: StructuralSchema, value: unknown): void {
  if (Array.isArray(value)) {
    if (schema.items) for (const item of value) dropNulls(schema.items, item);
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  const object = value as Members;
  for (const name of Object.keys(object)) {
    const property = schemaOfMember(schema, name);
    if (!property) continue;
    if (object[name] === null && !property.nullable) delete object[name];
    else dropNulls(property, object[name]);
  }
}

/** The schema of an object's member; undefined where there is none. */
export function schemaOfMember(schema: StructuralSchema, name: string): StructuralSchema | undefined {
  return schema.properties.get(name) ?? (typeof schema.additional === 'object' ? schema.additional : undefined);
}
