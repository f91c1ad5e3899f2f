// Values of custom resources against their schemas, with upstream's findings and wording (kube-openapi's validator).
import { RE2JS } from 're2js';
import { sameJson } from '../../api/json.ts';
import type { SchemaProps } from '../../api/structural/schema.ts';
import type { FieldError } from '../../machinery/status.ts';
import { invalidValue, notSupported, required, tooLong, tooMany } from '../strategies/field-errors.ts';
import { hasFormat } from './formats.ts';
import { itemWithKeysOf } from './list-identity.ts';

/** Of one list or object further findings are not looked for: a body has room for a million wrong items. */
export const MAX_FINDINGS = 100;

/**
 * Findings of a value; `path` names it ("spec.replicas", "" for the whole object). With the value `old` that was there
 * before, what is the same as then is not looked at: an object that was valid once can still be changed elsewhere.
 */
export function validateValue(schema: SchemaProps, value: unknown, path: string, old?: unknown): FieldError[] {
  if (old !== undefined && sameJson(value, old)) return [];
  if (value === null) return schema.nullable || schema.type === undefined ? [] : [wrongType(schema, value, path)];
  const type = typeProblem(schema, value, path);
  if (type) return [type];
  return [
    ...enumProblem(schema, value, path),
    ...(typeof value === 'string' ? stringProblems(schema, value, path) : []),
    ...(isNumber(value) ? numberProblems(schema, value, path) : []),
    ...(Array.isArray(value) ? listProblems(schema, value, path, old) : []),
    ...(isObject(value) ? objectProblems(schema, value, path, old) : []),
    ...junctorProblems(schema, value, path),
  ];
}

type Members = { readonly [name: string]: unknown };

const isNumber = (value: unknown): value is number | bigint => typeof value === 'number' || typeof value === 'bigint';
const isObject = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isInteger = (value: number | bigint): boolean => typeof value === 'bigint' || Number.isInteger(value);

/** A value's type as the messages name it. */
function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (isNumber(value)) return isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

function typeProblem(schema: SchemaProps, value: unknown, path: string): FieldError | undefined {
  const { type } = schema;
  if (schema['x-kubernetes-int-or-string']) {
    const fits = typeof value === 'string' || (isNumber(value) && isInteger(value));
    return fits ? undefined : wrongType({ type: 'integer,string' }, value, path);
  }
  if (type === undefined || type === '') return undefined;
  const found = typeOf(value);
  return found === type || (type === 'number' && found === 'integer') ? undefined : wrongType(schema, value, path);
}

function wrongType(schema: Pick<SchemaProps, 'type'>, value: unknown, path: string): FieldError {
  const found = typeOf(value);
  const detail = `${inBody(path)} must be of type ${schema.type}: ${JSON.stringify(found)}`;
  return {
    reason: 'FieldValueTypeInvalid',
    field: named(path),
    message: `Invalid value: ${JSON.stringify(found)}: ${detail}`,
  };
}

/** How upstream names the whole object. */
const named = (path: string): string => (path === '' ? '<nil>' : path);
const inBody = (path: string): string => `${path} in body`;

const say = (path: string, value: unknown, what: string): FieldError =>
  invalidValue(named(path), value, `${inBody(path)} ${what}`);

function enumProblem(schema: SchemaProps, value: unknown, path: string): FieldError[] {
  const allowed = schema.enum;
  if (!allowed || allowed.length === 0 || allowed.some((one) => sameJson(one, value))) return [];
  return [
    notSupported(
      named(path),
      value,
      allowed.map((one) => (typeof one === 'string' ? one : JSON.stringify(one))),
    ),
  ];
}

function stringProblems(schema: SchemaProps, value: string, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { maxLength, minLength, pattern, format } = schema;
  const counts = maxLength !== undefined || minLength !== undefined;
  const length = counts ? [...value].length : 0;
  if (maxLength !== undefined && length > maxLength) errors.push(tooLong(named(path), maxLength));
  if (minLength !== undefined && length < minLength)
    errors.push(say(path, value, `should be at least ${minLength} chars long`));
  if (pattern && !patternOf(pattern)?.matcher(value).find()) errors.push(say(path, value, `should match '${pattern}'`));
  if (format && !hasFormat(format, value)) {
    errors.push(say(path, value, `must be of type ${format}: ${JSON.stringify(value)}`));
  }
  return errors;
}

const PATTERNS_KEPT = 1_000;
const patterns = new Map<string, RE2JS | undefined>();

/** A pattern compiled, with Go's syntax and in linear time; undefined for one that is none. */
export function patternOf(text: string): RE2JS | undefined {
  if (!patterns.has(text)) {
    if (patterns.size >= PATTERNS_KEPT) patterns.clear();
    patterns.set(text, compilePattern(text));
  }
  return patterns.get(text);
}

function compilePattern(text: string): RE2JS | undefined {
  try {
    return RE2JS.compile(text);
  } catch {
    // The definition's own check has told of it; what is stored from before matches nothing.
    return undefined;
  }
}

const INTEGER_RANGES: { readonly [format: string]: readonly [bigint, bigint] } = {
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
};

function numberProblems(schema: SchemaProps, value: number | bigint, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { maximum, minimum, multipleOf, format } = schema;
  if (maximum !== undefined && (value > maximum || (schema.exclusiveMaximum && value === maximum))) {
    errors.push(say(path, value, `should be less than ${schema.exclusiveMaximum ? '' : 'or equal to '}${maximum}`));
  }
  if (minimum !== undefined && (value < minimum || (schema.exclusiveMinimum && value === minimum))) {
    errors.push(say(path, value, `should be greater than ${schema.exclusiveMinimum ? '' : 'or equal to '}${minimum}`));
  }
  if (multipleOf !== undefined && !isMultiple(value, multipleOf)) {
    errors.push(say(path, value, `should be a multiple of ${multipleOf}`));
  }
  const range =
    isInteger(value) && format !== undefined && Object.hasOwn(INTEGER_RANGES, format) && INTEGER_RANGES[format];
  if (range && (BigInt(value) < range[0] || BigInt(value) > range[1])) {
    errors.push(say(path, value, `must be of type ${format}: ${JSON.stringify(String(value))}`));
  }
  return errors;
}

function isMultiple(value: number | bigint, of: number): boolean {
  if (isInteger(value) && Number.isSafeInteger(of)) return of !== 0 && BigInt(value) % BigInt(of) === 0n;
  const quotient = Number(value) / of;
  return Number.isInteger(quotient) || Math.abs(quotient - Math.round(quotient)) < 1e-9;
}

function listProblems(schema: SchemaProps, list: readonly unknown[], path: string, old: unknown): FieldError[] {
  const errors: FieldError[] = [];
  const { maxItems, minItems, items } = schema;
  if (maxItems !== undefined && list.length > maxItems) errors.push(tooMany(named(path), list.length, maxItems));
  if (minItems !== undefined && list.length < minItems) {
    errors.push(say(path, list.length, `should have at least ${minItems} items`));
  }
  const element = items && !Array.isArray(items) ? (items as SchemaProps) : undefined;
  if (!element) return errors;
  const before = oldElements(schema, old);
  for (const [i, item] of list.entries()) {
    errors.push(...validateValue(element, item, `${path}[${i}]`, before(item)));
    if (errors.length >= MAX_FINDINGS) break;
  }
  return errors;
}

/** Elements of a list by keys correspond by their keys; of other lists none does. */
function oldElements(schema: SchemaProps, old: unknown): (item: unknown) => unknown {
  const keys = schema['x-kubernetes-list-map-keys'];
  if (!Array.isArray(old) || schema['x-kubernetes-list-type'] !== 'map' || !keys) return () => undefined;
  return itemWithKeysOf(keys, old);
}

function objectProblems(schema: SchemaProps, object: Members, path: string, old: unknown): FieldError[] {
  const errors: FieldError[] = [];
  const count = Object.keys(object).length;
  const { maxProperties, minProperties, properties = {}, additionalProperties } = schema;
  if (maxProperties !== undefined && count > maxProperties) errors.push(tooMany(named(path), count, maxProperties));
  if (minProperties !== undefined && count < minProperties) {
    errors.push(say(path, count, `should have at least ${minProperties} properties`));
  }
  const child = (name: string): string => (path === '' ? name : `${path}.${name}`);
  for (const name of schema.required ?? []) if (!Object.hasOwn(object, name)) errors.push(required(child(name)));
  const before = isObject(old) ? old : undefined;
  for (const name of Object.keys(object)) {
    const one = Object.hasOwn(properties, name) ? properties[name] : additionalProperties;
    if (typeof one !== 'object' || (path === '' && name === 'metadata')) continue;
    const was = before && Object.hasOwn(before, name) ? before[name] : undefined;
    errors.push(...validateValue(one, object[name], child(name), was));
    if (errors.length >= MAX_FINDINGS) break;
  }
  return errors;
}

function junctorProblems(schema: SchemaProps, value: unknown, path: string): FieldError[] {
  const { allOf = [], anyOf = [], oneOf = [], not } = schema;
  const errors: FieldError[] = [];
  const fits = (one: SchemaProps): boolean => validateValue(one, value, path).length === 0;
  if (anyOf.length > 0 && !anyOf.some(fits)) {
    errors.push(junctor(path, value, 'must validate at least one schema (anyOf)'), ...closest(anyOf, value, path));
  }
  if (oneOf.length > 0) {
    const fitting = oneOf.filter(fits).length;
    const found = fitting === 0 ? 'none valid' : `${fitting} valid alternatives`;
    if (fitting !== 1)
      errors.push(junctor(path, value, `must validate one and only one schema (oneOf). Found ${found}`));
    if (fitting === 0) errors.push(...closest(oneOf, value, path));
  }
  const failing = allOf.flatMap((one) => validateValue(one, value, path));
  if (failing.length > 0) {
    const none = allOf.some(fits) ? '' : '. None validated';
    errors.push(junctor(path, value, `must validate all the schemas (allOf)${none}`), ...failing);
  }
  if (not && fits(not)) errors.push(junctor(path, value, 'must not validate the schema (not)'));
  return errors;
}

function junctor(path: string, value: unknown, what: string): FieldError {
  return invalidValue(
    named(path),
    isObject(value) || Array.isArray(value) ? '' : value,
    `${JSON.stringify(path)} ${what}`,
  );
}

/** Of several schemas that all fail, the findings of the one with the fewest say most. */
function closest(schemas: readonly SchemaProps[], value: unknown, path: string): FieldError[] {
  const findings = schemas.map((one) => validateValue(one, value, path));
  return findings.reduce((best, one) => (one.length < best.length ? one : best));
}
