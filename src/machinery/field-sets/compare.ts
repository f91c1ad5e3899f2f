// What an update does to an object's fields: one walk over both forms (structured-merge-diff, typed.Compare).
import { sameJson } from '../../api/json.ts';
import { EMPTY_SET, type FieldSet, inOrder, LEAF, nodeOf } from './field-set.ts';
import { itemsByElement } from './list-items.ts';
import { compareText, type PathElement, SELF } from './path-element.ts';
import { DEDUCED, type FieldSchema } from './schema.ts';

export interface Changes {
  /** Fields that are new or have another value. */
  readonly changed: FieldSet;
  readonly removed: FieldSet;
}

const NO_CHANGES: Changes = { changed: EMPTY_SET, removed: EMPTY_SET };

/** Changes at and below one path; undefined where nothing changed. */
interface NodeChanges {
  readonly changed: FieldSet | undefined;
  readonly removed: FieldSet | undefined;
}

type Members = { readonly [key: string]: unknown };
type Growing = { [element: PathElement]: FieldSet };

const MODIFIED: NodeChanges = { changed: LEAF, removed: undefined };

/**
 * The fields in which two objects of a type differ. An empty object stands for one that is not there yet. Whatever `skip`
 * has as a leaf is not looked at. Throws ItemError for a list whose items cannot be told apart.
 */
export function compareObjects(schema: FieldSchema, before: object, after: object, skip?: FieldSet): Changes {
  const changes = compareMembers(schema, before as Members, after as Members, skip);
  if (changes === undefined) return NO_CHANGES;
  return { changed: changes.changed ?? EMPTY_SET, removed: changes.removed ?? EMPTY_SET };
}

function isMap(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isEmptyMap(value: Members): boolean {
  for (const _ in value) return false;
  return true;
}

/** Both values are there. */
function compareValues(schema: FieldSchema, before: unknown, after: unknown, skip?: FieldSet): NodeChanges | undefined {
  if (before === after) return undefined;
  if (schema.leaf) return sameJson(before, after) ? undefined : MODIFIED;
  if (schema.kind === 'deduced') return compareDeduced(schema, before, after, skip);
  if (schema.kind === 'list') return compareLists(schema, before, after);
  const [left, right] = [isMap(before) ? before : {}, isMap(after) ? after : {}];
  if (isEmptyMap(left) && isEmptyMap(right)) return before === null || after === null ? MODIFIED : undefined;
  return compareMembers(schema, left, right, skip);
}

/** A value that has become one of another kind is modified, and what is in either is new or gone. */
function compareDeduced(
  schema: FieldSchema,
  before: unknown,
  after: unknown,
  skip: FieldSet | undefined,
): NodeChanges | undefined {
  const left = isMap(before);
  const right = isMap(after);
  if (isMap(before) && isMap(after)) return compareMembers(schema, before, after, skip);
  if (!left && !right) return sameJson(before, after) ? undefined : MODIFIED;
  if (left) return { changed: LEAF, removed: below(wholeOf(schema, before)) };
  return { changed: nodeOf(true, below(wholeOf(schema, after))), removed: undefined };
}

function below(node: FieldSet): FieldSet | undefined {
  const { [SELF]: _, ...rest } = node;
  return isEmptyMap(rest) ? undefined : rest;
}

/** Gathers the changes of a node's children, which come in order. */
class Gathering {
  #changed: Growing | undefined;
  #removed: Growing | undefined;

  member(schema: FieldSchema, element: PathElement, before: unknown, after: unknown, skip?: FieldSet): void {
    if (before === undefined) {
      if (after !== undefined) this.add(element, { changed: wholeOf(schema, after, skip), removed: undefined });
    } else if (after === undefined) {
      this.add(element, { changed: undefined, removed: wholeOf(schema, before, skip) });
    } else this.add(element, compareValues(schema, before, after, skip));
  }

  add(element: PathElement, changes: NodeChanges | undefined): void {
    if (changes?.changed) {
      this.#changed ??= {};
      this.#changed[element] = changes.changed;
    }
    if (changes?.removed) {
      this.#removed ??= {};
      this.#removed[element] = changes.removed;
    }
  }

  get result(): NodeChanges | undefined {
    if (!this.#changed && !this.#removed) return undefined;
    return { changed: this.#changed, removed: this.#removed };
  }
}

function compareMembers(
  schema: FieldSchema,
  before: Members,
  after: Members,
  skip: FieldSet | undefined,
): NodeChanges | undefined {
  const gathering = new Gathering();
  if (schema.fields) {
    for (const field of schema.fields) {
      let left = before[field.name];
      let right = after[field.name];
      if (left === right) continue;
      const skipped = skip?.[field.element];
      if (skipped !== undefined && isEmptyMap(skipped)) continue;
      left ??= left === undefined ? field.zero : left;
      right ??= right === undefined ? field.zero : right;
      if (left !== right) gathering.member(field.schema, field.element, left, right, skipped);
    }
    if (!schema.element) return gathering.result;
  }
  const element = schema.element ?? DEDUCED;
  for (const key of allKeys(before, after)) {
    if (schema.byName?.has(key)) continue;
    const name: PathElement = `f:${key}`;
    const skipped = skip?.[name];
    if (skipped !== undefined && isEmptyMap(skipped)) continue;
    gathering.member(element, name, own(before, key), own(after, key), skipped);
  }
  const { result } = gathering;
  // Unknown fields of a struct come among its known ones.
  if (!schema.fields || !result) return result;
  return { changed: result.changed && inOrder(result.changed), removed: result.removed && inOrder(result.removed) };
}

function own(map: Members, key: string): unknown {
  return Object.hasOwn(map, key) ? map[key] : undefined;
}

function allKeys(before: Members, after: Members): string[] {
  const keys = Object.keys(before);
  for (const key in after) if (!Object.hasOwn(before, key)) keys.push(key);
  return keys.sort(compareText);
}

function compareLists(schema: FieldSchema, before: unknown, after: unknown): NodeChanges | undefined {
  const left = Array.isArray(before) ? before : [];
  const right = Array.isArray(after) ? after : [];
  if (left.length === 0 && right.length === 0) return undefined;
  if (sameJson(left, right)) return undefined;
  const [lefts, rights] = [itemsByElement(schema, left), itemsByElement(schema, right)];
  const gathering = new Gathering();
  for (const [element, was] of lefts) compareItem(schema.element!, gathering, element, was, rights.get(element) ?? []);
  for (const [element, is] of rights) if (!lefts.has(element)) compareItem(schema.element!, gathering, element, [], is);
  const { result } = gathering;
  return (
    result && { changed: result.changed && inOrder(result.changed), removed: result.removed && inOrder(result.removed) }
  );
}

/** Items that are there more than once are owned together, as a whole. */
function compareItem(
  schema: FieldSchema,
  gathering: Gathering,
  element: PathElement,
  was: readonly unknown[],
  is: readonly unknown[],
): void {
  if (was.length <= 1 && is.length <= 1) gathering.member(schema, element, was[0], is[0]);
  else if (was.length > 1 && is.length > 1) {
    if (!sameJson(was, is)) gathering.add(element, MODIFIED);
  } else if (was.length > 1) {
    const changed = is.length > 0 ? wholeOf(schema, is[0]) : undefined;
    gathering.add(element, { changed, removed: LEAF });
  } else {
    const removed = was.length > 0 ? below(wholeOf(schema, was[0])) : undefined;
    gathering.add(element, { changed: LEAF, removed });
  }
}

/** Every field of a value that was not there before: the value itself, and all that is in it. */
export function wholeOf(schema: FieldSchema, value: unknown, skip?: FieldSet): FieldSet {
  if (schema.leaf || typeof value !== 'object' || value === null) return LEAF;
  const node: Growing = { [SELF]: LEAF };
  let any = false;
  const add = (element: PathElement, inner: FieldSchema, item: unknown): void => {
    const skipped = skip?.[element];
    if (skipped !== undefined && isEmptyMap(skipped)) return;
    node[element] = wholeOf(inner, item, skipped);
    any = true;
  };
  if (schema.kind === 'list') {
    if (!Array.isArray(value) || value.length === 0) return LEAF;
    for (const [element, items] of itemsByElement(schema, value)) {
      node[element] = items.length > 1 ? LEAF : wholeOf(schema.element!, items[0]);
    }
    return node;
  }
  if (Array.isArray(value)) return LEAF;
  const map = value as Members;
  if (schema.fields) {
    for (const field of schema.fields) {
      const item = map[field.name];
      if (item !== undefined || field.zero === null) add(field.element, field.schema, item ?? null);
    }
    if (!schema.element) return any ? node : LEAF;
  }
  for (const key of Object.keys(map).sort(compareText)) {
    if (!schema.byName?.has(key)) add(`f:${key}`, schema.element ?? DEDUCED, map[key]);
  }
  if (!any) return LEAF;
  return schema.fields ? inOrder(node) : node;
}
