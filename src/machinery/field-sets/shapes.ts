// The fields of a new object, known by its shape: objects that are made alike have the same ones.
import { sameJson } from '../../api/json.ts';
import { compareObjects } from './compare.ts';
import type { FieldSet } from './field-set.ts';
import { DEDUCED, type FieldSchema } from './schema.ts';

type Members = { readonly [name: string]: unknown };

/** What of a value decides which fields it has. Whatever else it is does not matter. */
type Shape =
  /** A scalar that is not `zero`, which would stand for nothing at all. */
  | { readonly kind: 'scalar'; readonly zero: unknown }
  /** This very scalar: a zero, null, or what tells the items of a list apart. */
  | { readonly kind: 'value'; readonly value: unknown }
  /** Owned as a whole, and not empty. */
  | { readonly kind: 'whole'; readonly list: boolean }
  | { readonly kind: 'members'; readonly names: readonly string[]; readonly shapes: readonly Shape[] }
  | { readonly kind: 'items'; readonly shapes: readonly Shape[] };

interface Known {
  readonly shape: Shape;
  readonly skip: FieldSet | undefined;
  readonly fields: FieldSet;
}

/** Shapes that are known of a type; the least recently met is forgotten. */
const SHAPES = 8;
/** Larger objects are rarely made alike, and their shapes would take much room. */
const MAX_PARTS = 400;

const known = new WeakMap<FieldSchema, Known[]>();

/**
 * Every field of an object that was not there before, without what `skip` has as leaves: as compareObjects with an empty
 * object tells it, from memory where an object of the same shape was seen. The set is shared. Throws ItemError.
 */
export function fieldsOfNew(schema: FieldSchema, object: object, skip?: FieldSet): FieldSet {
  let shapes = known.get(schema);
  if (shapes === undefined) {
    shapes = [];
    known.set(schema, shapes);
  }
  const at = shapes.findIndex((one) => one.skip === skip && hasShape(one.shape, object));
  if (at >= 0) {
    const found = shapes[at]!;
    if (at > 0) {
      shapes.splice(at, 1);
      shapes.unshift(found);
    }
    return found.fields;
  }
  const fields = compareObjects(schema, {}, object, skip).changed;
  const shape = new Drawing().shapeOf(schema, object);
  if (shape) {
    shapes.unshift({ shape, skip, fields });
    if (shapes.length > SHAPES) shapes.pop();
  }
  return fields;
}

function hasShape(shape: Shape, value: unknown): boolean {
  switch (shape.kind) {
    case 'scalar':
      return typeof value !== 'object' && value !== undefined && !sameJson(value, shape.zero);
    case 'value':
      return value === shape.value;
    case 'whole':
      return typeof value === 'object' && value !== null && Array.isArray(value) === shape.list && !isEmpty(value);
    case 'items':
      return Array.isArray(value) && hasItems(shape.shapes, value);
    default:
      return typeof value === 'object' && value !== null && !Array.isArray(value) && hasMembers(shape, value);
  }
}

function hasItems(shapes: readonly Shape[], items: readonly unknown[]): boolean {
  if (items.length !== shapes.length) return false;
  for (let i = 0; i < items.length; i++) if (!hasShape(shapes[i]!, items[i])) return false;
  return true;
}

/** The same members in the same order, as one program makes them. */
function hasMembers({ names, shapes }: Extract<Shape, { kind: 'members' }>, value: object): boolean {
  let i = 0;
  for (const name in value) {
    if (name !== names[i] || !hasShape(shapes[i]!, (value as Members)[name])) return false;
    i++;
  }
  return i === names.length;
}

function isEmpty(value: object): boolean {
  for (const _ in value) return false;
  return true;
}

const NO_KEYS: ReadonlySet<string> = new Set();

/** Draws an object's shape, unless it is too large. */
class Drawing {
  #parts = 0;

  /** `zero` is what stands for the value where it is absent; members named in `exact` tell it apart from others. */
  shapeOf(schema: FieldSchema, value: unknown, zero?: unknown, exact = NO_KEYS): Shape | undefined {
    if (++this.#parts > MAX_PARTS) return undefined;
    if (typeof value !== 'object' || value === null) {
      const special = value === null || value === undefined || sameJson(value, zero);
      return special ? { kind: 'value', value } : { kind: 'scalar', zero };
    }
    const list = Array.isArray(value);
    const granular = list ? schema.kind === 'list' && !schema.leaf : !schema.leaf;
    if (!granular && exact.size === 0 && !isEmpty(value)) return { kind: 'whole', list };
    return list ? this.#items(schema, value) : this.#members(schema, value as Members, exact);
  }

  #members(schema: FieldSchema, value: Members, exact: ReadonlySet<string>): Shape | undefined {
    const names: string[] = [];
    const shapes: Shape[] = [];
    for (const name in value) {
      const field = schema.byName?.get(name);
      const member = value[name];
      const shape = exact.has(name)
        ? this.#exactly(member)
        : this.shapeOf(field?.schema ?? schema.element ?? DEDUCED, member, field?.zero);
      if (shape === undefined) return undefined;
      names.push(name);
      shapes.push(shape);
    }
    return { kind: 'members', names, shapes };
  }

  #items(schema: FieldSchema, items: readonly unknown[]): Shape | undefined {
    const keys = schema.keys ?? [];
    const exact = new Set(keys.map(({ name }) => name));
    const shapes: Shape[] = [];
    for (const item of items) {
      const shape = keys.length === 0 ? this.#exactly(item) : this.shapeOf(schema.element!, item, undefined, exact);
      if (shape === undefined) return undefined;
      shapes.push(shape);
    }
    return { kind: 'items', shapes };
  }

  /** What tells items apart is a scalar; of anything else no shape is kept. */
  #exactly(value: unknown): Shape | undefined {
    this.#parts++;
    return typeof value === 'object' && value !== null ? undefined : { kind: 'value', value };
  }
}
