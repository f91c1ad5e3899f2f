// Items of lists that are maps or sets: how each is called on a path.
import { isJsonObject } from '../../api/json.ts';
import { compareScalars, goJson, type PathElement } from './path-element.ts';
import type { FieldSchema, SchemaKey } from './schema.ts';

/** A list item that has no name on a path. */
export class ItemError extends Error {
  override name = 'ItemError';
}

type Members = { readonly [key: string]: unknown };

/** The name of an item of a list that is not atomic. Throws ItemError. */
export function itemElement(schema: FieldSchema, item: unknown): PathElement {
  const keys = schema.keys!;
  return keys.length === 0 ? setElement(item) : keyedElement(keys, item);
}

function setElement(item: unknown): PathElement {
  if (item === null || item === undefined) {
    throw new ItemError("associative list without keys has an element that's an explicit null");
  }
  if (Array.isArray(item)) throw new ItemError('not supported: associative list with lists as elements');
  if (typeof item === 'object') throw new ItemError("associative list without keys has an element that's a map type");
  return `v:${goJson(item)}`;
}

function keyedElement(keys: readonly SchemaKey[], item: unknown): PathElement {
  if (item === null || item === undefined) {
    throw new ItemError('associative list with keys may not have a null element');
  }
  if (!isJsonObject(item)) throw new ItemError('associative list with keys may not have non-map elements');
  let text = '';
  for (const key of keys) {
    const value = (item as Members)[key.name] ?? key.default;
    if (value === undefined) continue;
    text += `${text === '' ? '' : ','}"${key.name}":${goJson(value)}`;
  }
  if (text === '') {
    const names = keys.map((key) => JSON.stringify(key.name)).join(' ');
    const why = "(and doesn't have default values for any key fields)";
    throw new ItemError(`associative list with keys has an element that omits all key fields [${names}] ${why}`);
  }
  return `k:{${text}}`;
}

/** The order of a list's items in FieldsV1. */
export function compareItems(schema: FieldSchema, a: unknown, b: unknown): number {
  const keys = schema.keys!;
  if (keys.length === 0) return compareScalars(a, b);
  for (const key of keys) {
    const order = compareScalars((a as Members)[key.name] ?? key.default, (b as Members)[key.name] ?? key.default);
    if (order !== 0) return order;
  }
  return 0;
}

export interface NamedItem {
  readonly element: PathElement;
  readonly item: unknown;
}

/** Items with their names, in the order of FieldsV1. */
export function namedItems(schema: FieldSchema, list: readonly unknown[]): readonly NamedItem[] {
  const named = list.map((item): NamedItem => ({ element: itemElement(schema, item), item }));
  return named.length > 1 ? named.sort((a, b) => compareItems(schema, a.item, b.item)) : named;
}

/** Items by name; those that are there more than once together. */
export function itemsByElement(schema: FieldSchema, list: readonly unknown[]): Map<PathElement, unknown[]> {
  const items = new Map<PathElement, unknown[]>();
  for (const { element, item } of namedItems(schema, list)) {
    const same = items.get(element);
    if (same) same.push(item);
    else items.set(element, [item]);
  }
  return items;
}
