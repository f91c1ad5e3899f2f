// What is wrong with the rules of a definition's schema, told where each stands.
import { compileSchema, type SchemaProps } from '../../../api/structural/schema.ts';
import type { FieldError } from '../../../machinery/status.ts';
import { forbiddenField, invalidValue, notSupported, required } from '../../strategies/field-errors.ts';
import { checkRule, usesOldSelf } from './compile.ts';
import { estimateCost, maxCount, RULE_COST_LIMIT } from './cost.ts';

const REASONS = ['FieldValueDuplicate', 'FieldValueForbidden', 'FieldValueInvalid', 'FieldValueRequired'];

/** Findings of every rule in a schema; `path` is where the schema stands. */
export function rulesProblems(schema: SchemaProps, path: string): FieldError[] {
  return levelProblems(schema, { path, root: true, times: 1, correlates: true });
}

interface Place {
  readonly path: string;
  readonly root: boolean;
  /** How many values of this schema an object has at most. */
  readonly times: number;
  /** A value has a counterpart in the object before. */
  readonly correlates: boolean;
}

function levelProblems(schema: SchemaProps, place: Place): FieldError[] {
  const errors = ownProblems(schema, place);
  const { path, times, correlates } = place;
  for (const [name, one] of Object.entries(schema.properties ?? {})) {
    errors.push(...levelProblems(one, { path: `${path}.properties[${name}]`, root: false, times, correlates }));
  }
  const count = schema.items || typeof schema.additionalProperties === 'object' ? maxCount(compileSchema(schema)) : 1;
  if (schema.items && !Array.isArray(schema.items)) {
    const keyed = schema['x-kubernetes-list-type'] === 'map';
    const inner = { path: `${path}.items`, root: false, times: times * count, correlates: correlates && keyed };
    errors.push(...levelProblems(schema.items as SchemaProps, inner));
  }
  if (typeof schema.additionalProperties === 'object') {
    const inner = { path: `${path}.additionalProperties`, root: false, times: times * count, correlates };
    errors.push(...levelProblems(schema.additionalProperties, inner));
  }
  return errors;
}

function ownProblems(schema: SchemaProps, { path, root, times, correlates }: Place): FieldError[] {
  const errors: FieldError[] = [];
  for (const [i, rule] of (schema['x-kubernetes-validations'] ?? []).entries()) {
    const at = `${path}.x-kubernetes-validations[${i}]`;
    if (!rule.rule?.trim()) {
      errors.push(required(`${at}.rule`, 'rule is not specified'));
      continue;
    }
    if (rule.message !== undefined && rule.message.trim() === '' && rule.message !== '') {
      errors.push(invalidValue(`${at}.message`, rule.message, 'message must be non-empty if specified'));
    }
    if (rule.message?.includes('\n'))
      errors.push(invalidValue(`${at}.message`, rule.message, 'message must not contain line breaks'));
    if (rule.reason !== undefined && !REASONS.includes(rule.reason))
      errors.push(notSupported(`${at}.reason`, rule.reason, REASONS));
    const problems = checkRule(rule, compileSchema(schema), root);
    errors.push(...problems.map((one) => invalidValue(`${at}.${one.member}`, one.value, one.message)));
    if (problems.length > 0) continue;
    if (!correlates && usesOldSelf(rule.rule)) {
      const what = 'oldSelf cannot be used on the uncorrelatable portion of the schema within ';
      errors.push(invalidValue(`${at}.rule`, rule.rule, `${what}${path}`));
    }
    const factor = (estimateCost(rule.rule, compileSchema(schema)) * times) / RULE_COST_LIMIT;
    if (factor > 1) errors.push(forbiddenField(`${at}.rule`, overBudget(factor)));
  }
  return errors;
}

function overBudget(factor: number): string {
  const how = factor > 100 ? 'more than 100x' : `${factor.toFixed(1)}x`;
  return (
    `estimated rule cost exceeds budget by factor of ${how} (try simplifying the rule, or adding maxItems, maxProperties, ` +
    'and maxLength where arrays, maps, and strings are declared)'
  );
}
