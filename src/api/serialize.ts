// Typed objects laid out as they are written: for their bytes, and for copies.
import { setMember, stringifyJson } from './json.ts';
import { canonicalLeaf } from './leaves.ts';
import type { Draft, KubeObject } from './object.ts';
import { type Node, type Plan, type PlannedField, planOf } from './plan.ts';
import { arrangeStructural, copyStructural } from './structural/codec.ts';
import type { Tables } from './tables.ts';
import { isEmpty, isGiven, zeroValue } from './zero.ts';

type Members = { [key: string]: unknown };

/**
 * A deep copy of a typed object that holds only what its type has, in the type's order: for writes of components in the same
 * process. Leaves are trusted, except that quantities are brought to canonical form.
 */
export function copyByTable<T extends object = KubeObject>(tables: Tables, typeName: string, object: T): Draft<T> {
  const schema = tables.type(typeName).structural;
  if (schema)
    return copyStructural(schema, object, (metadata) => copyByTable(tables, OBJECT_META, metadata)) as Draft<T>;
  return arrangeStruct(planOf(tables, typeName), object as Members, COPY) as Draft<T>;
}

/**
 * An object's JSON as it is stored and served: kind, apiVersion and metadata first, members in the type's order, empty ones
 * left out or written as Go would. The bytes begin `{"kind":…,"apiVersion":…,"metadata":{`.
 */
export function serialize(tables: Tables, typeName: string, object: object): Buffer {
  return Buffer.from(serializeText(tables, typeName, object));
}

export function serializeText(tables: Tables, typeName: string, object: object): string {
  if (tables.type(typeName).structural) {
    const metadata = planOf(tables, OBJECT_META);
    return stringifyJson(arrangeStructural(object, (value) => arrangeStruct(metadata, value as Members, WRITE)));
  }
  return stringifyJson(arrangeStruct(planOf(tables, typeName), object as Members, WRITE_PARTS));
}

const OBJECT_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';

/**
 * Whether values are shared with the source, whether nil is written as null, and whether the object's parts are first looked
 * at whether they need anything at all: spec and status are as they were read when only metadata was changed.
 */
interface Arrangement {
  readonly share: boolean;
  readonly nulls: boolean;
  readonly byPart: boolean;
}
const COPY: Arrangement = { share: false, nulls: false, byPart: false };
const WRITE: Arrangement = { share: true, nulls: true, byPart: false };
const WRITE_PARTS: Arrangement = { share: true, nulls: true, byPart: true };

/** Whether an object is written as it stands: most parts of most objects are, and need no second one. */
function isArranged(plan: Plan, source: Members): boolean {
  let last = -1;
  for (const key in source) {
    const field = plan.byName.get(key);
    if (field === undefined || field.index <= last) return false;
    last = field.index;
    const value = source[key];
    if (value === null ? field.absent !== 'null' : value === undefined || (field.dropEmpty && isEmpty(value)))
      return false;
    if (typeof value === 'object' ? value !== null && !isArrangedValue(field.node, value) : field.shape === 'quantity')
      return false;
  }
  for (const field of plan.written) if (source[field.name] === undefined) return false;
  return true;
}

function isArrangedValue(node: Node, value: object): boolean {
  switch (node.shape) {
    case 'struct':
      return isArranged(node.plan, value as Members);
    case 'list':
      return (value as unknown[]).every((item) =>
        typeof item === 'object'
          ? item !== null && isArrangedValue(node.element!, item)
          : node.element!.shape !== 'quantity',
      );
    case 'map':
      return isArrangedMap(node.element!, value as Members);
    default:
      return node.shape !== 'custom';
  }
}

function isArrangedMap(element: Node, map: Members): boolean {
  let last = '';
  for (const key in map) {
    if (key < last) return false;
    last = key;
    const value = map[key];
    if (value === null || value === undefined) return false;
    if (typeof value === 'object' && !isArrangedValue(element, value)) return false;
    if (element.shape === 'quantity' && canonicalLeaf('quantity', value) !== value) return false;
  }
  return true;
}

function arrangeStruct(plan: Plan, source: Members, how: Arrangement): Members {
  // As long as everything stands as it is written nothing is gathered: the source serves.
  let gathered = how.share ? undefined : new Gathered();
  let kept = 0;
  let last = -1;
  for (const key in source) {
    const field = plan.byName.get(key);
    const value = source[key];
    if (field === undefined || isLeftOut(field, value, how)) {
      gathered ??= firstMembers(plan, source, kept);
    } else {
      const after = value === null ? null : arrange(field.node, value, how);
      if (after !== value || field.index < last) gathered ??= firstMembers(plan, source, kept);
      gathered?.add(field, after);
      last = field.index;
      kept++;
    }
  }
  return withAbsent(plan, source, how, gathered);
}

function isLeftOut(field: PlannedField, value: unknown, how: Arrangement): boolean {
  if (value === null) return field.absent !== 'null' || !how.nulls;
  return value === undefined || (field.dropEmpty && isEmpty(value));
}

/** With the members that are written though they are absent. */
function withAbsent(plan: Plan, source: Members, how: Arrangement, gathered: Gathered | undefined): Members {
  let all = gathered;
  for (const field of plan.written) {
    const value = source[field.name];
    if (isGiven(value) || (field.absent === 'null' && (!how.nulls || value === null))) continue;
    all ??= firstMembers(plan, source, Number.POSITIVE_INFINITY);
    all.add(field, absentValue(field, how));
  }
  return all ? all.object() : source;
}

/** The first members of a struct, which are as they are written. */
function firstMembers(plan: Plan, source: Members, count: number): Gathered {
  const gathered = new Gathered();
  let left = count;
  for (const key in source) {
    if (left-- === 0) break;
    gathered.add(plan.byName.get(key)!, source[key]);
  }
  return gathered;
}

/** Members of a struct that is written anew. */
class Gathered {
  readonly fields: PlannedField[] = [];
  readonly values: unknown[] = [];
  ordered = true;

  add(field: PlannedField, value: unknown): void {
    const { fields } = this;
    if (fields.length > 0 && fields[fields.length - 1]!.index > field.index) this.ordered = false;
    fields.push(field);
    this.values.push(value);
  }

  object(): Members {
    const { fields, values } = this;
    if (!this.ordered) sortByIndex(fields, values);
    const object: Members = {};
    for (let i = 0; i < fields.length; i++) object[fields[i]!.name] = values[i];
    return object;
  }
}

function absentValue(field: PlannedField, how: Arrangement): unknown {
  if (field.absent === 'null') return null;
  return how.nulls ? zeroWritten(field.node) : zeroValue(field.node);
}

/** Sorts two lists that belong together; they are short and nearly sorted. */
function sortByIndex(fields: PlannedField[], values: unknown[]): void {
  for (let i = 1; i < fields.length; i++) {
    const field = fields[i]!;
    const value = values[i];
    let at = i;
    for (; at > 0 && fields[at - 1]!.index > field.index; at--) {
      fields[at] = fields[at - 1]!;
      values[at] = values[at - 1];
    }
    fields[at] = field;
    values[at] = value;
  }
}

function zeroWritten(node: Node): unknown {
  return node.shape === 'struct' ? arrangeStruct(node.plan, {}, WRITE) : zeroValue(node);
}

function arrange(node: Node, value: unknown, how: Arrangement): unknown {
  if (typeof value !== 'object' || value === null) return node.shape === 'quantity' ? quantityLeaf(value) : value;
  switch (node.shape) {
    case 'struct':
      if (!how.byPart) return arrangeStruct(node.plan, value as Members, how);
      return isArranged(node.plan, value as Members) ? value : arrangeStruct(node.plan, value as Members, WRITE);
    case 'list':
      return arrangeList(node.element!, value as unknown[], how.byPart ? WRITE : how);
    case 'map':
      return arrangeMap(node.element!, value as Members, how.byPart ? WRITE : how);
    case 'custom':
      if (Array.isArray(value)) return arrangeList(node.element!, value, how);
      return arrangeStruct(node.plan, value as Members, how);
    default:
      return how.share ? value : structuredClone(value);
  }
}

function quantityLeaf(value: unknown): unknown {
  return typeof value === 'string' ? canonicalLeaf('quantity', value) : value;
}

function arrangeList(element: Node, list: unknown[], how: Arrangement): unknown[] {
  if (how.share && element.shape === 'string') return list;
  let same = how.share;
  const items = list.map((item) => {
    const after = item === null || item === undefined ? zeroValue(element) : arrange(element, item, how);
    if (after !== item) same = false;
    return after;
  });
  return same ? list : items;
}

/** Maps are written in the order of their keys, so that equal objects have equal bytes. */
function arrangeMap(element: Node, map: Members, how: Arrangement): Members {
  const keys = Object.keys(map);
  const sorted = isSorted(keys);
  if (how.share && sorted && element.shape === 'string') return map;
  const copy: Members = {};
  for (const key of sorted ? keys : keys.sort()) {
    const item = map[key];
    if (item !== undefined) setMember(copy, key, item === null ? zeroValue(element) : arrange(element, item, how));
  }
  return copy;
}

function isSorted(keys: readonly string[]): boolean {
  for (let i = 1; i < keys.length; i++) if (keys[i - 1]! > keys[i]!) return false;
  return true;
}
