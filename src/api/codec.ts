// Objects in and out of JSON as Go's typed decoding and encoding would have it, driven only by the table of types.
//
// A decoded object holds no member that its type lacks, no null, and no empty value that would not be written: absent and
// empty are one thing, as they are in Go. What cannot be absent in Go (a struct that is no pointer, a number that is always
// written) is present. Leaves are in canonical form.
import { badRequest } from '../machinery/status.ts';
import { duplicateKeys, parseJson, setMember, stringifyJson } from './json.ts';
import { canonicalLeaf, jsonKind, LeafError, milliQuantity, TypeMismatch, zeroLeaf } from './leaves.ts';
import type { Draft, KubeObject } from './object.ts';
import { type Node, type Plan, type PlannedField, planOf } from './plan.ts';
import type { Tables } from './tables.ts';

type Members = { [key: string]: unknown };

export type FieldValidation = 'Ignore' | 'Warn' | 'Strict';

export interface DecodeOptions {
  /** What to do about unknown and duplicate fields; absent: Warn, as the API. */
  readonly fieldValidation?: FieldValidation;
  /** Findings about the text itself, which its parsed value does not show (duplicateKeys, YAML). */
  readonly textProblems?: readonly string[];
}

export interface Decoded<T> {
  readonly object: Draft<T>;
  /** For Warn: `unknown field "spec.foo"`, `duplicate field "spec.foo"`. */
  readonly problems: string[];
}

/** Upstream stops counting here too. */
const PROBLEM_LIMIT = 100;

/**
 * Makes an object of its type out of a parsed JSON value, which it takes over and changes. Defaults are not applied.
 * Throws a BadRequest Status for a value of the wrong type, and for unknown or duplicate fields when Strict.
 */
export function decode<T extends object = KubeObject>(
  tables: Tables,
  typeName: string,
  value: unknown,
  options: DecodeOptions = {},
): Decoded<T> {
  const plan = planOf(tables, typeName);
  const run = new Decoding(options.fieldValidation !== 'Ignore');
  try {
    const object = run.struct(plan, membersOf(value, plan.goName)) as Draft<T>;
    if (options.fieldValidation === 'Ignore') return { object, problems: [] };
    const problems = [...(options.textProblems ?? []), ...run.problems].slice(0, PROBLEM_LIMIT);
    if (options.fieldValidation === 'Strict' && problems.length > 0) {
      throw new LeafError(`strict decoding error: ${problems.join(', ')}`);
    }
    return { object, problems };
  } catch (error) {
    if (error instanceof LeafError) throw badRequest(`${subject(plan, value)}: ${error.message}`, error);
    throw error;
  }
}

/** Decodes JSON text: parseJson, duplicate fields, decode. Throws a BadRequest Status for text that is no JSON. */
export function decodeText<T extends object = KubeObject>(
  tables: Tables,
  typeName: string,
  source: string | Buffer,
  options: DecodeOptions = {},
): Decoded<T> {
  const text = typeof source === 'string' ? source : source.toString('utf8');
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    const kind = planOf(tables, typeName).goName;
    const why = `couldn't get version/kind; json parse error: ${(error as Error).message}`;
    throw badRequest(`the object provided is unrecognized (must be of type ${kind}): ${why}`, error);
  }
  if (options.fieldValidation === 'Ignore') return decode(tables, typeName, value, options);
  const duplicates = duplicateKeys(text, value).map((path) => `duplicate field ${JSON.stringify(path)}`);
  return decode(tables, typeName, value, {
    ...options,
    textProblems: [...(options.textProblems ?? []), ...duplicates],
  });
}

function membersOf(value: unknown, goName: string): Members {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Members;
  throw new LeafError(`json: cannot unmarshal ${jsonKind(value)} into Go value of type ${goName}`);
}

/** `Deployment in version "v1" cannot be handled as a Deployment` */
function subject(plan: Plan, value: unknown): string {
  const { kind, apiVersion } = (typeof value === 'object' && value !== null ? value : {}) as Members;
  if (typeof kind !== 'string' || kind === '') {
    return `the object provided is unrecognized (must be of type ${plan.goName})`;
  }
  const version = typeof apiVersion === 'string' ? apiVersion.slice(apiVersion.indexOf('/') + 1) : '';
  return `${kind} in version ${JSON.stringify(version)} cannot be handled as a ${plan.goName}`;
}

/** Whether a value is one that omitempty leaves out. */
function isEmpty(value: unknown): boolean {
  switch (typeof value) {
    case 'string':
      return value === '';
    case 'boolean':
      return !value;
    case 'number':
      return value === 0;
    case 'object':
      if (value === null) return true;
      if (Array.isArray(value)) return value.length === 0;
      for (const _ in value) return false;
      return true;
    default:
      return value === undefined;
  }
}

/** One walk over one value, changing it in place. */
class Decoding {
  readonly problems: string[] = [];
  readonly #reportUnknown: boolean;
  /** Names, `[index]` and map keys down to the container being read. */
  readonly #path: (string | number)[] = [];
  /** For type errors: the field names of the path, without indexes and map keys, as Go has them. */
  readonly #fields: string[] = [];

  constructor(reportUnknown: boolean) {
    this.#reportUnknown = reportUnknown;
  }

  struct(plan: Plan, value: Members): Members {
    let dropped = false;
    for (const key in value) {
      const field = plan.byName.get(key);
      const before = value[key];
      if (field === undefined) {
        this.#unknown(key);
        value[key] = undefined;
        dropped = true;
      } else if (before === null || before === undefined) {
        dropped = true;
      } else {
        const after = this.#field(plan, field, before);
        if (after !== before) value[key] = after;
        if (field.dropEmpty && isEmpty(after)) {
          value[key] = undefined;
          dropped = true;
        }
      }
    }
    const object = dropped ? withoutAbsent(value) : value;
    for (const field of plan.filled) {
      if (object[field.name] === undefined) object[field.name] = zeroValue(field.node);
    }
    return object;
  }

  #field(plan: Plan, field: PlannedField, value: unknown): unknown {
    const { shape, node } = field;
    if (shape === 'string' && typeof value === 'string') return value;
    this.#fields.push(field.name);
    this.#path.push(field.name);
    const after = this.#value(plan, node, value);
    this.#path.pop();
    this.#fields.pop();
    // Resource lists of core/v1 are rounded up to thousandths.
    return shape === 'map' && node.element!.shape === 'quantity' && plan.name.startsWith('io.k8s.api.core.v1.')
      ? roundResourceList(after as Members)
      : after;
  }

  /** A value that is not null. `plan` is the struct around it, for messages. */
  #value(plan: Plan, node: Node, value: unknown): unknown {
    switch (node.shape) {
      case 'struct':
        if (typeof value !== 'object' || Array.isArray(value)) throw this.#mismatch(plan, node, jsonKind(value));
        return this.struct(node.plan, value as Members);
      case 'list':
        if (!Array.isArray(value)) throw this.#mismatch(plan, node, jsonKind(value));
        return this.#list(plan, node.element!, value);
      case 'map':
        if (typeof value !== 'object' || Array.isArray(value)) throw this.#mismatch(plan, node, jsonKind(value));
        return this.#map(plan, node.element!, value as Members);
      case 'custom':
        return this.#custom(plan, node, value);
      default:
        return this.#leaf(plan, node, value);
    }
  }

  #list(plan: Plan, element: Node, list: unknown[]): unknown[] {
    for (let i = 0; i < list.length; i++) {
      const before = list[i];
      this.#path.push(i);
      const after = before === null || before === undefined ? zeroValue(element) : this.#value(plan, element, before);
      this.#path.pop();
      if (after !== before) list[i] = after;
    }
    return list;
  }

  #map(plan: Plan, element: Node, map: Members): Members {
    for (const key in map) {
      const before = map[key];
      if (typeof before === 'string' && element.shape === 'string') continue;
      this.#path.push(key);
      const after = before === null || before === undefined ? zeroValue(element) : this.#value(plan, element, before);
      this.#path.pop();
      if (after !== before) map[key] = after;
    }
    return map;
  }

  /** A schema, or the other thing that may stand in its place. */
  #custom(plan: Plan, node: Node, value: unknown): unknown {
    if (Array.isArray(value) && node.element) return this.#list(plan, node.element, value);
    if (typeof value === 'boolean' && !node.element) return value;
    if (typeof value === 'object' && !Array.isArray(value)) return this.struct(node.plan, value as Members);
    throw new LeafError(node.element ? `invalid value for ${node.goType}` : 'boolean or JSON schema expected');
  }

  #leaf(plan: Plan, node: Node, value: unknown): unknown {
    try {
      return canonicalLeaf(node.shape, value);
    } catch (error) {
      if (error instanceof TypeMismatch) throw this.#mismatch(plan, node, error.found);
      throw error;
    }
  }

  #mismatch(plan: Plan, node: Node, found: string): LeafError {
    const field = `${plan.goName}.${this.#fields.join('.')}`;
    return new LeafError(`json: cannot unmarshal ${found} into Go struct field ${field} of type ${node.goType}`);
  }

  #unknown(key: string): void {
    if (!this.#reportUnknown || this.problems.length >= PROBLEM_LIMIT) return;
    let path = '';
    for (const part of [...this.#path, key]) {
      if (typeof part === 'number') path += `[${part}]`;
      else path += path === '' ? part : `.${part}`;
    }
    this.problems.push(`unknown field ${JSON.stringify(path)}`);
  }
}

function roundResourceList(list: Members): Members {
  for (const resource in list) {
    const quantity = list[resource] as string;
    const rounded = milliQuantity(quantity);
    if (rounded !== quantity) list[resource] = rounded;
  }
  return list;
}

/** Deleting members makes an object slow for good; a copy without them does not. */
function withoutAbsent(value: Members): Members {
  const kept: Members = {};
  for (const key in value) {
    const member = value[key];
    if (member !== undefined && member !== null) setMember(kept, key, member);
  }
  return kept;
}

/** The value that stands for one that was not given, where there must be one. */
function zeroValue(node: Node): unknown {
  switch (node.shape) {
    case 'struct': {
      const object: Members = {};
      for (const field of node.plan.filled) object[field.name] = zeroValue(field.node);
      return object;
    }
    case 'list':
      return [];
    case 'map':
      return {};
    default:
      return zeroLeaf(node.shape);
  }
}

/**
 * A deep copy of a typed object that holds only what its type has, in the type's order: for writes of components in the same
 * process. Leaves are trusted, except that quantities are brought to canonical form.
 */
export function copyByTable<T extends object = KubeObject>(tables: Tables, typeName: string, object: T): Draft<T> {
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
  return stringifyJson(arrangeStruct(planOf(tables, typeName), object as Members, WRITE));
}

/** Whether values are shared with the source, and whether nil is written as null. */
interface Arrangement {
  readonly share: boolean;
  readonly nulls: boolean;
}
const COPY: Arrangement = { share: false, nulls: false };
const WRITE: Arrangement = { share: true, nulls: true };

function arrangeStruct(plan: Plan, source: Members, how: Arrangement): Members {
  const object: Members = {};
  for (const field of plan.fields) {
    const value = source[field.name];
    if (value === undefined || value === null) {
      if (field.absent === 'filled') object[field.name] = how.nulls ? zeroWritten(field.node) : zeroValue(field.node);
      else if (field.absent === 'null' && how.nulls) object[field.name] = null;
    } else if (!(field.dropEmpty && isEmpty(value))) {
      object[field.name] = arrange(field.node, value, how);
    }
  }
  return object;
}

function zeroWritten(node: Node): unknown {
  return node.shape === 'struct' ? arrangeStruct(node.plan, {}, WRITE) : zeroValue(node);
}

function arrange(node: Node, value: unknown, how: Arrangement): unknown {
  if (typeof value !== 'object' || value === null) return node.shape === 'quantity' ? quantityLeaf(value) : value;
  switch (node.shape) {
    case 'struct':
      return arrangeStruct(node.plan, value as Members, how);
    case 'list':
      return arrangeList(node.element!, value as unknown[], how);
    case 'map':
      return arrangeMap(node.element!, value as Members, how);
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
  return list.map((item) => (item === null || item === undefined ? zeroValue(element) : arrange(element, item, how)));
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
