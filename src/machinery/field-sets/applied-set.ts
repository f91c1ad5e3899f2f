// The fields that an applied configuration names: leaves, list items, map entries; not the structs around them
// (structured-merge-diff, typed.ToFieldSet).
import { EMPTY_SET, type FieldSet, inOrder, isEmptySet, LEAF, nodeOf } from './field-set.ts';
import { itemsByElement } from './list-items.ts';
import { compareText, type PathElement, SELF } from './path-element.ts';
import { DEDUCED, type FieldSchema } from './schema.ts';

type Members = { readonly [key: string]: unknown };
type Growing = { [element: PathElement]: FieldSet };

export function fieldSetOf(schema: FieldSchema, object: unknown): FieldSet {
  return (typeof object === 'object' && object !== null && belowOf(schema, object)) || EMPTY_SET;
}

/** What is owned below a value; undefined: nothing. */
function belowOf(schema: FieldSchema, value: unknown): FieldSet | undefined {
  if (schema.leaf || typeof value !== 'object' || value === null) return undefined;
  if (schema.kind === 'list') return Array.isArray(value) ? itemsOf(schema, value) : undefined;
  if (Array.isArray(value)) return undefined;
  const node: Growing = {};
  let any = false;
  for (const key of Object.keys(value).sort(compareText)) {
    const member = (value as Members)[key];
    if (member === undefined) continue;
    const field = schema.byName?.get(key);
    const inner = field?.schema ?? schema.element ?? DEDUCED;
    // A map's entry is owned itself; a struct's field only where nothing in it can be.
    const itself = field === undefined || isOwnedItself(inner, member);
    const owned = nodeOf(itself, belowOf(inner, member));
    if (owned === undefined) continue;
    node[`f:${key}`] = owned;
    any = true;
  }
  return any ? node : undefined;
}

function isOwnedItself(schema: FieldSchema, value: unknown): boolean {
  if (schema.leaf || typeof value !== 'object' || value === null) return true;
  if (Array.isArray(value)) return schema.kind !== 'list';
  for (const _ in value) return false;
  return true;
}

function itemsOf(schema: FieldSchema, list: readonly unknown[]): FieldSet | undefined {
  if (list.length === 0) return undefined;
  const node: Growing = {};
  for (const [element, items] of itemsByElement(schema, list)) {
    node[element] = items.length > 1 ? LEAF : (nodeOf(true, belowOf(schema.element!, items[0])) ?? LEAF);
  }
  return inOrder(node);
}

/** The set with every struct field on the way to a member a member too (fieldpath.EnsureNamedFieldsAreMembers). */
export function withNamedFields(schema: FieldSchema | undefined, set: FieldSet): FieldSet {
  const node: Growing = {};
  for (const element in set) {
    if (element === SELF) {
      node[SELF] = LEAF;
      continue;
    }
    const { named, schema: inner } = stepInto(schema, element);
    const below = withNamedFields(inner, set[element]!);
    node[element] = named && !isEmptySet(below) && !(SELF in below) ? { [SELF]: LEAF, ...below } : below;
  }
  return node;
}

function stepInto(
  schema: FieldSchema | undefined,
  element: PathElement,
): { readonly named: boolean; readonly schema: FieldSchema | undefined } {
  if (element.startsWith('f:')) {
    const field = schema?.byName?.get(element.slice(2));
    if (field) return { named: true, schema: field.schema };
    const inner = schema?.kind === 'deduced' ? DEDUCED : schema?.kind === 'list' ? undefined : schema?.element;
    return { named: false, schema: inner };
  }
  return { named: false, schema: schema?.kind === 'list' ? schema.element : undefined };
}
