// Runs the rules of a schema on a value, level by level, with the value that was there before where one corresponds. All rules
// of an object share a budget; between two of them others have their turn when they take long.
import { sameJson } from '../../../api/json.ts';
import { schemaOfMember } from '../../../api/structural/default.ts';
import type { StructuralSchema } from '../../../api/structural/schema.ts';
import { turns } from '../../../lib/turns.ts';
import type { FieldError, FieldErrorReason } from '../../../machinery/status.ts';
import { itemWithKeysOf } from '../list-identity.ts';
import { Budget, CallLimitExceeded, OutOfBudget } from './budget.ts';
import { type CompiledRule, compileRule, firstLine } from './compile.ts';
import { errorText } from './error-text.ts';
import { celValue } from './types.ts';

/** Rules by schema: compiled when first run. */
const compiled = new WeakMap<StructuralSchema, readonly (CompiledRule | Error)[]>();

/** Findings of every rule in a schema; `old` is the object before an update. */
export async function ruleProblems(
  schema: StructuralSchema,
  object: unknown,
  old: unknown,
  budget = new Budget(),
): Promise<FieldError[]> {
  const errors: FieldError[] = [];
  try {
    for (const level of levelsOf(schema, object, { path: '', old, root: true })) {
      for (const one of ownProblems(level, budget)) {
        if (one) errors.push(one);
        if (budget.isLongTurn) await turns.next();
      }
    }
  } catch (error) {
    if (!(error instanceof NoMoreRules)) throw error;
    errors.push(error.finding);
  }
  return errors;
}

/** No rule is run after this finding. */
class NoMoreRules extends Error {
  readonly finding: FieldError;
  constructor(finding: FieldError) {
    super(finding.message);
    this.finding = finding;
  }
}

interface Place {
  readonly path: string;
  /** undefined: there was nothing, or nothing that corresponds. */
  readonly old: unknown;
  readonly root: boolean;
}

/** A value with rules of its own. */
interface Level extends Place {
  readonly schema: StructuralSchema;
  readonly value: unknown;
}

type Members = { readonly [name: string]: unknown };

const isObject = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function* levelsOf(schema: StructuralSchema, value: unknown, place: Place): Generator<Level> {
  // What is as it was may stay so, whatever rules have come since.
  if (!schema.hasRules || value === null || (place.old !== undefined && sameJson(value, place.old))) return;
  yield { schema, value, ...place };
  if (Array.isArray(value)) {
    const { items } = schema;
    const before = oldItems(schema, place.old);
    if (!items) return;
    for (const [i, item] of value.entries()) {
      yield* levelsOf(items, item, { path: `${place.path}[${i}]`, old: before(item), root: false });
    }
  } else if (isObject(value)) {
    const before = isObject(place.old) ? place.old : undefined;
    for (const [name, member] of Object.entries(value)) {
      const property = schemaOfMember(schema, name);
      if (!property || (place.root && name === 'metadata')) continue;
      const path = place.path === '' ? name : `${place.path}.${name}`;
      const old = before && Object.hasOwn(before, name) ? before[name] : undefined;
      yield* levelsOf(property, member, { path, old, root: false });
    }
  }
}

function oldItems(schema: StructuralSchema, old: unknown): (item: unknown) => unknown {
  if (!Array.isArray(old) || schema.listType !== 'map') return () => undefined;
  return itemWithKeysOf(schema.listMapKeys, old);
}

/** One entry for each rule: what it finds. Throws NoMoreRules. */
function* ownProblems(level: Level, budget: Budget): Generator<FieldError | undefined> {
  const { schema, value, path, old, root } = level;
  const rules = rulesOf(schema);
  if (rules.length === 0) return;
  const self = celValue(schema, value, root);
  const oldSelf = old === undefined ? undefined : celValue(schema, old, root);
  for (const rule of rules) {
    yield rule instanceof Error
      ? finding(schema, path, firstLine(rule))
      : problemOf(rule, { level, self, oldSelf, budget });
  }
}

interface Evaluation {
  readonly level: Level;
  readonly self: unknown;
  readonly oldSelf: unknown;
  readonly budget: Budget;
}

function problemOf(
  rule: CompiledRule,
  { level: { schema, path }, self, oldSelf, budget }: Evaluation,
): FieldError | undefined {
  if (rule.usesOldSelf && oldSelf === undefined) return undefined;
  const { message, reason, fieldPath } = rule.source;
  const text = message?.trim() || rule.source.rule.trim();
  const stop = (said: string): NoMoreRules => new NoMoreRules(finding(schema, path, said));
  try {
    if (budget.spend(() => rule.holds(self, oldSelf))) return undefined;
  } catch (error) {
    if (error instanceof OutOfBudget) throw stop(error.message);
    if (error instanceof CallLimitExceeded) {
      throw stop(
        `'${error.message}': no further validation rules will be run due to call cost exceeds limit for rule: ${text}`,
      );
    }
    const said = errorText(error);
    // Types are not known everywhere before: what is an int or a string may be either.
    if (said.startsWith('no such overload'))
      return finding(schema, path, `'no such overload': ${NO_OVERLOAD}: ${text}`);
    return finding(schema, path, `${said} evaluating rule: ${text}`);
  }
  const at = `${path}${fieldPath ?? ''}`.replace(/^\./, '');
  try {
    const made = budget.spend(() => rule.message(self, oldSelf));
    return finding(schema, at, made ?? (message?.trim() || `failed rule: ${text}`), reason);
  } catch (error) {
    if (error instanceof OutOfBudget) throw new NoMoreRules(finding(schema, at, MESSAGE_OUT_OF_BUDGET));
    const source = JSON.stringify(rule.source.messageExpression);
    throw new NoMoreRules(finding(schema, at, `${MESSAGE_EXCEEDS_LIMIT}: ${source}`));
  }
}

const NO_OVERLOAD = 'call arguments did not match a supported operator, function or macro signature for rule';
const MESSAGE_OUT_OF_BUDGET =
  'messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run';
const MESSAGE_EXCEEDS_LIMIT =
  'no further validation rules will be run due to call cost exceeds limit for messageExpression';

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
