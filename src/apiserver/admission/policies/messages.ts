// Messages that mutations are written with: Object{…} and JSONPatch{…}, and what they are as JSON.
import { type Environment, Optional } from '@marcbachmann/cel-js';
import { setMember } from '../../../api/json.ts';
import { NEW_JSON_PATCH, NEW_OBJECT } from './source.ts';

type Fields = { readonly [name: string]: unknown };

class ObjectMessage {
  readonly typeName: string;
  readonly fields: ReadonlyMap<string, unknown>;
  constructor(typeName: string, fields: ReadonlyMap<string, unknown>) {
    this.typeName = typeName;
    this.fields = fields;
  }
}

const PATCH_FIELDS = new Set(['op', 'path', 'from', 'value']);

class JsonPatchMessage {
  readonly fields: ReadonlyMap<string, unknown>;
  constructor(fields: ReadonlyMap<string, unknown>) {
    for (const name of fields.keys()) if (!PATCH_FIELDS.has(name)) throw new Error(`undefined field '${name}'`);
    this.fields = fields;
  }
}

/** Fields without those that are optional and not there. */
function given(fields: Fields): ReadonlyMap<string, unknown> {
  const made = new Map<string, unknown>();
  for (const [name, value] of Object.entries(fields)) {
    if (!name.startsWith('?')) made.set(name, value);
    else if (!(value instanceof Optional)) throw new Error(`cannot initialize optional entry '${name.slice(1)}'`);
    else if (value.hasValue()) made.set(name.slice(1), value.value());
  }
  return made;
}

class JsonPatchNamespace {}

/** Makes both kinds of messages, and `jsonpatch.escapeKey`, known. */
export function registerMessages(env: Environment): void {
  env.registerType('Object', { ctor: ObjectMessage as never, fields: {} });
  env.registerType('JSONPatch', { ctor: JsonPatchMessage as never, fields: {} });
  env.registerType('JSONPatchNamespace', { ctor: JsonPatchNamespace as never, fields: {} });
  env.registerConstant('jsonpatch', 'JSONPatchNamespace', new JsonPatchNamespace());
  env.registerFunction(
    `${NEW_OBJECT}(string, map): Object`,
    (name: string, fields: Fields) => new ObjectMessage(name, given(fields)),
  );
  env.registerFunction(`${NEW_JSON_PATCH}(map): JSONPatch`, (fields: Fields) => new JsonPatchMessage(given(fields)));
  env.registerFunction('JSONPatchNamespace.escapeKey(string): string', (_: unknown, key: string) =>
    key.replaceAll('~', '~0').replaceAll('/', '~1'),
  );
}

/** What the expression of an applyConfiguration says; throws an Error when it says something else. */
export function appliedConfiguration(value: unknown): Fields {
  if (!(value instanceof ObjectMessage)) {
    throw new Error('unsupported return type from ApplyConfiguration expression');
  }
  checkNames(value, 'Object');
  return jsonOf(value) as Fields;
}

/** The operations that the expression of a jsonPatch says. */
export function jsonPatchOperations(value: unknown): object[] {
  if (!Array.isArray(value)) throw new Error('type mismatch: JSONPatchType.expression should evaluate to array');
  return value.map((one: unknown) => {
    if (!(one instanceof JsonPatchMessage)) {
      throw new Error('type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch');
    }
    const content = one.fields.get('value');
    if (content instanceof ObjectMessage) checkNames(content, content.typeName);
    const { op = '', path = '', ...more } = jsonOf(one) as Fields;
    return { op, path, ...more };
  });
}

/** A message stands where its type's name says. */
function checkNames(value: unknown, path: string): void {
  if (Array.isArray(value)) for (const one of value) checkNames(one, path);
  else if (value instanceof ObjectMessage) {
    if (value.typeName !== path) {
      const wanted = `expected ${JSON.stringify(path)}, which matches field name path from root Object type`;
      throw new Error(`type mismatch: unexpected type name ${JSON.stringify(value.typeName)}, ${wanted}`);
    }
    for (const [name, field] of value.fields) checkNames(field, `${path}.${name}`);
  } else if (isPlain(value)) for (const field of Object.values(value)) checkNames(field, path);
}

const isPlain = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && (value.constructor === Object || value.constructor === undefined);

function jsonOf(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (value instanceof Date) return value.toISOString().replace('.000Z', 'Z');
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (value instanceof Optional) return value.hasValue() ? jsonOf(value.value()) : null;
  if (Array.isArray(value) || value instanceof Set) return [...value].map(jsonOf);
  const entries =
    value instanceof ObjectMessage || value instanceof JsonPatchMessage
      ? value.fields
      : value instanceof Map
        ? value
        : isPlain(value)
          ? Object.entries(value)
          : undefined;
  if (!entries) {
    if (typeof value === 'object' && value !== null) throw new Error(`cannot be written as JSON: ${String(value)}`);
    return value;
  }
  const made: { [name: string]: unknown } = {};
  for (const [name, member] of entries) setMember(made, String(name), jsonOf(member));
  return made;
}
