// Objects out of JSON as Go's typed decoding would have it, driven only by the table of types (serialize.ts: into JSON).
//
// A decoded object holds no member that its type lacks, no null, and no empty value that would not be written: absent and
// empty are one thing, as they are in Go. What cannot be absent in Go (a struct that is no pointer, a number that is always
// written) is present. Leaves are in canonical form.
import { badRequest } from '../machinery/status.ts';
import { duplicateKeys, MAX_JSON_DEPTH, parseJson, setMember } from './json.ts';
import { canonicalLeaf, jsonKind, LeafError, milliQuantity, TypeMismatch } from './leaves.ts';
import type { Draft, KubeObject } from './object.ts';
import { type Node, type Plan, type PlannedField, planOf } from './plan.ts';
import { decodeStructural } from './structural/codec.ts';
import type { Tables, TypeRow } from './tables.ts';
import { isEmpty, zeroValue } from './zero.ts';

export { copyByTable, serialize, serializeText } from './serialize.ts';

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
  const row = tables.type(typeName);
  if (row.structural) return decodeCustom(tables, row, value, options);
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

const OBJECT_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';

/** A custom resource: shaped by its schema, which says nothing of metadata. Types are checked later, by validation. */
function decodeCustom<T extends object>(
  tables: Tables,
  row: TypeRow,
  value: unknown,
  options: DecodeOptions,
): Decoded<T> {
  const kind = row.gvk[0]?.[2] ?? row.name;
  const fail = (message: string, cause?: unknown): never => {
    throw badRequest(`${subject({ goName: kind }, value)}: ${message}`, cause);
  };
  const ignores = options.fieldValidation === 'Ignore';
  try {
    const { object, problems: found } = decodeStructural(row.structural!, membersOf(value, kind), (metadata) =>
      decode(tables, OBJECT_META, metadata, { fieldValidation: ignores ? 'Ignore' : 'Warn' }),
    );
    if (ignores) return { object: object as Draft<T>, problems: [] };
    const problems = [...(options.textProblems ?? []), ...found].slice(0, PROBLEM_LIMIT);
    if (options.fieldValidation === 'Strict' && problems.length > 0) {
      return fail(`strict decoding error: ${problems.join(', ')}`);
    }
    return { object: object as Draft<T>, problems };
  } catch (error) {
    if (error instanceof LeafError) return fail(error.message, error);
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
    const row = tables.type(typeName);
    const kind = row.structural ? row.gvk[0]?.[2] : planOf(tables, typeName).goName;
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
function subject(plan: Pick<Plan, 'goName'>, value: unknown): string {
  const { kind, apiVersion } = (typeof value === 'object' && value !== null ? value : {}) as Members;
  if (typeof kind !== 'string' || kind === '') {
    return `the object provided is unrecognized (must be of type ${plan.goName})`;
  }
  const version = typeof apiVersion === 'string' ? apiVersion.slice(apiVersion.indexOf('/') + 1) : '';
  return `${kind} in version ${JSON.stringify(version)} cannot be handled as a ${plan.goName}`;
}

/** A map key on the path of a walk: it stands in the paths of unknown fields, but not in those of type errors. */
interface MapKey {
  readonly key: string;
}

/** One walk over one value, changing it in place. */
class Decoding {
  readonly problems: string[] = [];
  readonly #reportUnknown: boolean;
  /** Field names, list indexes and map keys down to the container being read. */
  readonly #path: (string | number | MapKey)[] = [];

  constructor(reportUnknown: boolean) {
    this.#reportUnknown = reportUnknown;
  }

  struct(plan: Plan, value: Members): Members {
    if (this.#path.length > MAX_JSON_DEPTH) throw new LeafError('json: exceeded max depth');
    let dropped = false;
    for (const key in value) {
      const field = plan.byName.get(key);
      const before = value[key];
      if (field === undefined) {
        this.#unknown(key);
        value[key] = undefined;
        dropped = true;
        continue;
      }
      if (before === null || before === undefined) {
        dropped = true;
        continue;
      }
      // A string, the commonest value by far, needs nothing done to it.
      const after = field.shape === 'string' && typeof before === 'string' ? before : this.#field(plan, field, before);
      if (after !== before) value[key] = after;
      if (field.dropEmpty && isEmpty(after)) {
        value[key] = undefined;
        dropped = true;
      }
    }
    const object = dropped ? withoutAbsent(value) : value;
    for (const field of plan.filled) {
      if (object[field.name] === undefined) object[field.name] = zeroValue(field.node);
    }
    return object;
  }

  #field(plan: Plan, field: PlannedField, value: unknown): unknown {
    const { node } = field;
    if (node.isLeaf) return this.#leaf(plan, node, value, field.name);
    this.#path.push(field.name);
    const after = this.#container(plan, node, value);
    this.#path.pop();
    return field.isResourceList ? roundResourceList(after as Members) : after;
  }

  /** An element of a list or map. `plan` is the struct around it, for messages. */
  #element(plan: Plan, node: Node, value: unknown, at: number | MapKey): unknown {
    if (value === null || value === undefined) return zeroValue(node);
    if (node.isLeaf) return this.#leaf(plan, node, value);
    this.#path.push(at);
    const after = this.#container(plan, node, value);
    this.#path.pop();
    return after;
  }

  #container(plan: Plan, node: Node, value: unknown): unknown {
    const isList = Array.isArray(value);
    if (node.shape === 'custom') return this.#custom(plan, node, value);
    if (typeof value !== 'object' || isList !== (node.shape === 'list'))
      throw this.#mismatch(plan, node, jsonKind(value));
    if (node.shape === 'struct') return this.struct(node.plan, value as Members);
    return isList ? this.#list(plan, node.element!, value) : this.#map(plan, node.element!, value as Members);
  }

  #list(plan: Plan, element: Node, list: unknown[]): unknown[] {
    for (let i = 0; i < list.length; i++) {
      const before = list[i];
      const after = this.#element(plan, element, before, i);
      if (after !== before) list[i] = after;
    }
    return list;
  }

  #map(plan: Plan, element: Node, map: Members): Members {
    const strings = element.shape === 'string';
    for (const key in map) {
      const before = map[key];
      if (strings && typeof before === 'string') continue;
      const after = this.#element(plan, element, before, element.isLeaf ? 0 : { key });
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

  #leaf(plan: Plan, node: Node, value: unknown, field?: string): unknown {
    try {
      return canonicalLeaf(node.shape, value);
    } catch (error) {
      if (error instanceof TypeMismatch) throw this.#mismatch(plan, node, error.found, field);
      throw error;
    }
  }

  #mismatch(plan: Plan, node: Node, found: string, field?: string): LeafError {
    const names = this.#path.filter((part) => typeof part === 'string');
    const path = [plan.goName, ...names, ...(field === undefined ? [] : [field])].join('.');
    return new LeafError(`json: cannot unmarshal ${found} into Go struct field ${path} of type ${node.goType}`);
  }

  #unknown(key: string): void {
    if (!this.#reportUnknown || this.problems.length >= PROBLEM_LIMIT) return;
    let path = '';
    for (const part of [...this.#path, key]) {
      if (typeof part === 'number') path += `[${part}]`;
      else path += `${path === '' ? '' : '.'}${typeof part === 'string' ? part : part.key}`;
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
