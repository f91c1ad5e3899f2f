import { isJsonObject, setMember } from '../../api/json.ts';
import { below, type FieldSet, hasElement } from './field-set.ts';
import { itemElement } from './list-items.ts';
import { memberSchema } from './merge.ts';
import type { FieldSchema } from './schema.ts';

/**
 * The value without the members of a set; what is left empty is null. The value is not changed, and what nothing is taken
 * from is shared (structured-merge-diff, typed.RemoveItems).
 */
export function removeItems(schema: FieldSchema, value: unknown, remove: FieldSet): unknown {
  if (typeof value !== 'object' || value === null || schema.kind === 'scalar') return value;
  // Part of what is owned as a whole cannot be taken away: all of it goes.
  if (schema.leaf) return null;
  if (Array.isArray(value)) {
    if (schema.kind !== 'list') return null;
    const kept: unknown[] = [];
    for (const item of value) {
      const element = itemElement(schema, item);
      if (hasElement(remove, element)) continue;
      const inner = below(remove, element);
      kept.push(inner ? removeItems(schema.element!, item, inner) : item);
    }
    return kept.length > 0 ? kept : null;
  }
  if (!isJsonObject(value) || schema.kind === 'list') return null;
  const kept: { [key: string]: unknown } = {};
  let any = false;
  for (const key of Object.keys(value)) {
    const element = `f:${key}`;
    if (hasElement(remove, element)) continue;
    const inner = below(remove, element);
    setMember(kept, key, inner ? removeItems(memberSchema(schema, key), value[key], inner) : value[key]);
    any = true;
  }
  return any ? kept : null;
}
