// Schemas as CEL types, and values as CEL sees them.
import { type Environment, parse } from '@marcbachmann/cel-js';
import { setMember } from '../../../api/json.ts';
import type { StructuralSchema } from '../../../api/structural/schema.ts';
import { goDuration } from './duration.ts';

/** Words of CEL that may be no names; a property of that name is reached as __word__. */
const KEYWORDS = new Set(
  'true false null in as break const continue else for function if import let loop package namespace return var void while'.split(
    ' ',
  ),
);

/** The name under which a property is reached in CEL; undefined for one that cannot be. */
export function escapeProperty(name: string): string | undefined {
  if (!/^[A-Za-z_./-][A-Za-z0-9_./-]*$/.test(name)) return undefined;
  if (KEYWORDS.has(name)) return `__${name}__`;
  const escaped = name
    .replaceAll('__', '__underscores__')
    .replaceAll('.', '__dot__')
    .replaceAll('-', '__dash__')
    .replaceAll('/', '__slash__');
  return /^\d/.test(escaped) ? undefined : escaped;
}

const STRING_TYPES: { readonly [format: string]: string } = {
  byte: 'bytes',
  date: 'google.protobuf.Timestamp',
  'date-time': 'google.protobuf.Timestamp',
  duration: 'google.protobuf.Duration',
};

/**
 * Declares a schema's type, and those below, in an environment; returns its name. `name` is the path of the schema; what stands
 * between two underscores is no property's name.
 */
export function declareType(env: Environment, schema: StructuralSchema, name: string, root = false): string {
  if (schema.intOrString) return 'dyn';
  switch (schema.type) {
    case 'integer':
      return 'int';
    case 'number':
      return 'double';
    case 'boolean':
      return 'bool';
    case 'string':
      return Object.hasOwn(STRING_TYPES, schema.source.format ?? '') ? STRING_TYPES[schema.source.format!]! : 'string';
    case 'array':
      return schema.items ? `list<${declareType(env, schema.items, `${name}.__idx__`)}>` : 'list<dyn>';
    case 'object':
      break;
    default:
      return 'dyn';
  }
  if (schema.additional) {
    const value = schema.additional === true ? 'dyn' : declareType(env, schema.additional, `${name}.__prop__`);
    return `map<string, ${value}>`;
  }
  const fields: { [field: string]: string } = {};
  for (const [property, one] of schema.properties) {
    const escaped = escapeProperty(property);
    if (escaped !== undefined && !(root && property === 'metadata'))
      fields[escaped] = declareType(env, one, `${name}.${escaped}`);
  }
  if (schema.embedded || root) {
    declareComparable(env, `${name}.metadata`, { name: 'string', generateName: 'string' });
    Object.assign(fields, { apiVersion: 'string', kind: 'string', metadata: `${name}.metadata` });
  }
  declareComparable(env, name, fields);
  return name;
}

/** An object's type, for checking; the library compares those of types that it knows only. */
function declareComparable(env: Environment, name: string, fields: { [field: string]: string }): void {
  env.registerType(name, { fields });
  env.registerOperator(`${name} == ${name}`, () => false);
}

/** A value as the rules of its schema see it: integers exact, properties under their CEL names. */
export function celValue(schema: StructuralSchema | undefined, value: unknown, root = false): unknown {
  if (value === null || value === undefined) return null;
  if (schema?.intOrString) return typeof value === 'number' ? BigInt(value) : value;
  if (typeof value === 'number') return schema?.type === 'number' || !Number.isInteger(value) ? value : BigInt(value);
  if (typeof value === 'bigint') return schema?.type === 'number' ? Number(value) : value;
  if (typeof value === 'string') return celString(schema?.source.format, value);
  if (Array.isArray(value)) return value.map((item) => celValue(schema?.items, item));
  if (typeof value !== 'object') return value;
  const made: { [name: string]: unknown } = {};
  const isMap = schema === undefined || schema.additional !== undefined;
  for (const [name, member] of Object.entries(value)) {
    const property =
      schema?.properties.get(name) ?? (typeof schema?.additional === 'object' ? schema.additional : undefined);
    const escaped = isMap ? name : escapeProperty(name);
    if (escaped === undefined) continue;
    if ((root || schema?.embedded) && name === 'metadata') made.metadata = namesOf(member);
    else if (member !== undefined) setMember(made, escaped, celValue(property, member));
  }
  return made;
}

const toDuration = parse('duration(text)');

/** A time (RFC 3339) as CEL's timestamp. The library's own function takes texts of few lengths only. */
export const celTime = (text: string): unknown => new Date(text);

/** Strings of some formats are values of a type of their own; validation has seen to it that they are. */
function celString(format: string | undefined, text: string): unknown {
  switch (format) {
    case 'byte':
      return new Uint8Array(Buffer.from(text, 'base64'));
    case 'date':
      return celTime(`${text}T00:00:00Z`);
    case 'date-time':
      return celTime(text);
    case 'duration':
      return toDuration({ text: goDuration(text) });
    default:
      return text;
  }
}

/** Of metadata, rules see the names only. */
function namesOf(metadata: unknown): object {
  const { name, generateName } = (metadata ?? {}) as { name?: string; generateName?: string };
  return { ...(name !== undefined && { name }), ...(generateName !== undefined && { generateName }) };
}
