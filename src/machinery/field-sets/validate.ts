// Whether a configuration that was sent has its type's form (structured-merge-diff, typed.AsTyped).
import { isJsonObject } from '../../api/json.ts';
import { ItemError, itemElement } from './list-items.ts';
import { compareText, printPathElement } from './path-element.ts';
import type { FieldSchema } from './schema.ts';

interface Finding {
  readonly path: string;
  readonly message: string;
}

/** What is wrong, in upstream's words; undefined when nothing is. */
export function typeErrors(schema: FieldSchema, value: unknown): string | undefined {
  const findings = [...check(schema, value, '')].map(({ path, message }) =>
    path === '' ? message : `${path}: ${message}`,
  );
  if (findings.length === 0) return undefined;
  return findings.length === 1 ? findings[0] : ['errors:', ...findings.map((text) => `  ${text}`)].join('\n');
}

function* check(schema: FieldSchema, value: unknown, path: string): Generator<Finding> {
  if (value === null || value === undefined || schema.kind === 'deduced') return;
  if (schema.kind === 'scalar') yield* checkScalar(schema, value, path);
  else if (schema.kind === 'list') yield* checkList(schema, value, path);
  else if (isJsonObject(value)) yield* checkMembers(schema, value, path);
  else yield { path, message: `expected map, got ${goValue(value)}` };
}

function* checkScalar(schema: FieldSchema, value: unknown, path: string): Generator<Finding> {
  const type = typeof value;
  switch (schema.scalar) {
    case 'numeric':
      if (type !== 'number' && type !== 'bigint') {
        yield { path, message: 'expected numeric (int or float), got *value.valueUnstructured' };
      }
      break;
    case 'string':
      if (type !== 'string') {
        yield { path, message: `expected string, got &value.valueUnstructured{Value:${goText(value)}}` };
      }
      break;
    case 'boolean':
      if (type !== 'boolean') yield { path, message: `expected boolean, got ${goValue(value)}` };
  }
}

function* checkMembers(
  schema: FieldSchema,
  map: { readonly [key: string]: unknown },
  path: string,
): Generator<Finding> {
  for (const key of Object.keys(map).sort(compareText)) {
    const inner = schema.byName?.get(key)?.schema ?? schema.element;
    if (!inner) {
      yield { path: `${path}.${key}`, message: 'field not declared in schema' };
      return;
    }
    yield* check(inner, map[key], `${path}.${key}`);
  }
}

function* checkList(schema: FieldSchema, list: unknown, path: string): Generator<Finding> {
  if (!Array.isArray(list)) {
    yield { path, message: `expected list, got ${goValue(list)}` };
    return;
  }
  const seen = new Set<string>();
  for (const [i, item] of list.entries()) {
    let element = `i:${i}`;
    if (!schema.leaf) {
      try {
        element = itemElement(schema, item);
      } catch (error) {
        if (!(error instanceof ItemError)) throw error;
        yield { path, message: `element ${i}: ${error.message}` };
        return;
      }
      if (seen.has(element)) yield { path, message: `duplicate entries for key ${printPathElement(element)}` };
      seen.add(element);
    }
    yield* check(schema.element!, item, path + printPathElement(element));
  }
}

/** A wrapped value as Go's %v prints it. */
function goValue(value: unknown): string {
  return `&{${goPlain(value)}}`;
}

function goPlain(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(goPlain).join(' ')}]`;
  if (!isJsonObject(value)) return value === null || value === undefined ? '<nil>' : String(value);
  const keys = Object.keys(value).sort(compareText);
  return `map[${keys.map((key) => `${key}:${goPlain(value[key])}`).join(' ')}]`;
}

function goText(value: unknown): string {
  if (Array.isArray(value)) return `[]interface {}{${value.map(goText).join(', ')}}`;
  if (!isJsonObject(value)) return typeof value === 'string' ? JSON.stringify(value) : String(value);
  const keys = Object.keys(value).sort(compareText);
  return `map[string]interface {}{${keys.map((key) => `${JSON.stringify(key)}:${goText(value[key])}`).join(', ')}}`;
}
