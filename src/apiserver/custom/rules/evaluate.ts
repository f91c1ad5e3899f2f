// Runs the rules of a schema on a value, level by level, with the value that was there before where one corresponds.
import { sameJson } from '../../../api/json.ts';
import { schemaOfMember } from '../../../api/structural/default.ts';
import type { StructuralSchema } from '../../../api/structural/schema.ts';
import type { FieldError, FieldErrorReason } from '../../../machinery/status.ts';
import { itemWithKeysOf } from '../list-identity.ts';
import { type CompiledRule, compileRule, firstLine } from './compile.ts';
import { celValue } from './types.ts';

/** Rules by schema: compiled when first run. */
const compiled = new WeakMap<StructuralSchema, readonly (CompiledRule | Error)[]>();

/** Findings of every rule in a schema; `old` is the object before an update. */
export function ruleProblems(schema: StructuralSchema, object: unknown, old: unknown): FieldError[] {
  return schema.hasRules ? levelProblems(schema, object, { path: '', old, root: true }) : [];
}

interface Place {
  readonly path: string;
  /** undefined: there was nothing, or nothing that corresponds. */
  readonly old: unknown;
  readonly root: boolean;
}

type Members = { readonly [name: string]: unknown };

const isObject = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function levelProblems(schema: StructuralSchema, value: unknown, place: Place): FieldError[] {
  // What is as it was may stay so, whatever rules have come since.
  if (!schema.hasRules || value === null || (place.old !== undefined && sameJson(value, place.old))) return [];
  const errors = ownProblems(schema, value, place);
  if (Array.isArray(value)) {
    const { items } = schema;
    const before = oldItems(schema, place.old);
    if (items) {
      for (const [i, item] of value.entries()) {
        errors.push(...levelProblems(items, item, { path: `${place.path}[${i}]`, old: before(item), root: false }));
      }
    }
  } else if (isObject(value)) {
    const before = isObject(place.old) ? place.old : undefined;
    for (const [name, member] of Object.entries(value)) {
      const property = schemaOfMember(schema, name);
      if (!property || (place.root && name === 'metadata')) continue;
      const path = place.path === '' ? name : `${place.path}.${name}`;
      const old = before && Object.hasOwn(before, name) ? before[name] : undefined;
      errors.push(...levelProblems(property, member, { path, old, root: false }));
    }
  }
  return errors;
}

function oldItems(schema: StructuralSchema, old: unknown): (item: unknown) => unknown {
  if (!Array.isArray(old) || schema.listType !== 'map') return () => undefined;
  return itemWithKeysOf(schema.listMapKeys, old);
}

function ownProblems(schema: StructuralSchema, value: unknown, { path, old, root }: Place): FieldError[] {
  const rules = rulesOf(schema);
  if (rules.length === 0) return [];
  const self = celValue(schema, value, root);
  const oldSelf = old === undefined ? undefined : celValue(schema, old, root);
  const errors: FieldError[] = [];
  for (const rule of rules) {
    const found =
      rule instanceof Error ? finding(schema, path, firstLine(rule)) : problemOf(rule, schema, path, self, oldSelf);
    if (found) errors.push(found);
  }
  return errors;
}

function problemOf(
  rule: CompiledRule,
  schema: StructuralSchema,
  path: string,
  self: unknown,
  oldSelf: unknown,
): FieldError | undefined {
  if (rule.usesOldSelf && oldSelf === undefined) return undefined;
  const { rule: text, message, reason, fieldPath } = rule.source;
  try {
    if (rule.holds(self, oldSelf)) return undefined;
  } catch (error) {
    return finding(schema, path, `evaluation error: ${firstLine(error)} evaluating rule: ${message ?? text}`);
  }
  const said = rule.message(self, oldSelf) ?? (message?.trim() || `failed rule: ${text.trim()}`);
  return finding(schema, `${path}${fieldPath ?? ''}`.replace(/^\./, ''), said, reason);
}

/** A value is named by its type: the rule has said what there is to say of it. */
function finding(schema: StructuralSchema, path: string, said: string, reason?: FieldErrorReason): FieldError {
  const field = path === '' ? '<nil>' : path;
  const type = JSON.stringify(schema.type);
  if (reason === 'FieldValueForbidden') return { reason, field, message: `Forbidden: ${said}` };
  if (reason === 'FieldValueRequired') return { reason, field, message: `Required value: ${said}` };
  if (reason === 'FieldValueDuplicate') return { reason, field, message: `Duplicate value: ${type}` };
  return { reason: 'FieldValueInvalid', field, message: `Invalid value: ${type}: ${said}` };
}

function rulesOf(schema: StructuralSchema): readonly (CompiledRule | Error)[] {
  let rules = compiled.get(schema);
  if (!rules) {
    rules = (schema.source['x-kubernetes-validations'] ?? []).map((source) => {
      try {
        return compileRule(source);
      } catch (error) {
        return error as Error;
      }
    });
    compiled.set(schema, rules);
  }
  return rules;
}
