// Sets that say less or more than the schema does now (structured-merge-diff, typed.ReconcileFieldSetWithSchema).
import { isJsonObject } from '../../api/json.ts';
import { fieldSetOf } from './applied-set.ts';
import { type FieldSet, isEmptySet, LEAF, nodeOf } from './field-set.ts';
import { itemElement } from './list-items.ts';
import { type PathElement, SELF } from './path-element.ts';
import { DEDUCED, type FieldSchema } from './schema.ts';

type Growing = { [element: PathElement]: FieldSet };

/**
 * The set as it is to be read now: what is atomic is owned as a whole; of what is granular and was owned as a whole (because
 * it was atomic, or was left empty), everything that the live object has in it. The same set when nothing is different.
 */
export function reconcileSet(schema: FieldSchema, set: FieldSet, live?: object): FieldSet {
  return schema.kind === 'deduced' ? set : new Reconciling(schema, live).below(schema, set);
}

class Reconciling {
  readonly #schema: FieldSchema;
  readonly #live: object | undefined;
  readonly #path: PathElement[] = [];

  constructor(schema: FieldSchema, live: object | undefined) {
    this.#schema = schema;
    this.#live = live;
  }

  below(schema: FieldSchema, set: FieldSet): FieldSet {
    let result: Growing | undefined;
    for (const element in set) {
      if (element === SELF) continue;
      const inner = schemaBelow(schema, element);
      if (inner === undefined || inner.kind === 'scalar' || inner.kind === 'deduced') continue;
      const before = set[element]!;
      this.#path.push(element);
      const after = this.#node(inner, before);
      this.#path.pop();
      if (after === before) continue;
      result ??= { ...set };
      result[element] = after;
    }
    return result ?? set;
  }

  #node(schema: FieldSchema, node: FieldSet): FieldSet {
    if (isEmptySet(node)) return schema.leaf ? node : this.#expanded(schema, node);
    return schema.leaf ? LEAF : this.below(schema, node);
  }

  #expanded(schema: FieldSchema, node: FieldSet): FieldSet {
    const value = valueAt(this.#schema, this.#live, this.#path);
    const owned = value === undefined ? LEAF : fieldSetOf(schema, value);
    return isEmptySet(owned) ? node : nodeOf(true, owned)!;
  }
}

function schemaBelow(schema: FieldSchema, element: PathElement): FieldSchema | undefined {
  if (schema.kind === 'list') return schema.element;
  if (!element.startsWith('f:')) return undefined;
  return (
    schema.byName?.get(element.slice(2))?.schema ?? schema.element ?? (schema.kind === 'map' ? DEDUCED : undefined)
  );
}

function valueAt(root: FieldSchema, object: unknown, path: readonly PathElement[]): unknown {
  let value = object;
  let schema: FieldSchema | undefined = root;
  for (const element of path) {
    if (schema === undefined) return undefined;
    const list: FieldSchema = schema;
    if (Array.isArray(value)) value = value.find((item) => itemElement(list, item) === element);
    else if (isJsonObject(value) && element.startsWith('f:')) {
      const key = element.slice(2);
      value = Object.hasOwn(value, key) ? value[key] : undefined;
    } else return undefined;
    schema = schemaBelow(schema, element);
  }
  return value;
}
