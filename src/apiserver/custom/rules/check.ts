// What is wrong with the rules of a definition's schema, told where each stands.
import { compileSchema, type SchemaProps } from '../../../api/structural/schema.ts';
import type { FieldError } from '../../../machinery/status.ts';
import { forbiddenField, invalidValue, notSupported, required } from '../../strategies/field-errors.ts';
import { checkRule, usesOldSelf } from './compile.ts';
import { DEFINITION_COST_LIMIT, estimateCost, RULE_COST_LIMIT } from './cost.ts';
import { maxCardinality } from './sizes.ts';

const REASONS = ['FieldValueDuplicate', 'FieldValueForbidden', 'FieldValueInvalid', 'FieldValueRequired'];

/** Findings of every rule in a schema, and of all together; `path` is where the schema stands. */
export function rulesProblems(schema: SchemaProps, path: string): FieldError[] {
  const total = new TotalCost();
  const errors = levelProblems(schema, { path, root: true, times: 1, correlates: true, total });
  return [...errors, ...total.problems(path)];
}

interface Place {
  readonly path: string;
  readonly root: boolean;
  /** How many values of this schema an object has at most; undefined: its bounds do not say. */
  readonly times: number | undefined;
  /** A value has a counterpart in the object before. */
  readonly correlates: boolean;
  readonly total: TotalCost;
}

/** What all rules of a schema cost at worst. */
class TotalCost {
  #sum = 0;
  #most: { readonly path: string; readonly cost: number }[] = [];

  add(path: string, cost: number): void {
    this.#sum += cost;
    // Upstream names four that are more than a hundredth of what all may cost.
    if (cost >= DEFINITION_COST_LIMIT / 100) this.#most.push({ path, cost });
    this.#most = this.#most.sort((a, b) => b.cost - a.cost).slice(0, 4);
  }

  problems(path: string): FieldError[] {
    if (this.#sum <= DEFINITION_COST_LIMIT) return [];
    const contributed = 'contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema';
    const what = 'x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema';
    const whole = overBudget(what, this.#sum / DEFINITION_COST_LIMIT);
    return [...this.#most.map((one) => forbiddenField(one.path, contributed)), forbiddenField(path, whole)];
  }
}

function levelProblems(schema: SchemaProps, place: Place): FieldError[] {
  const errors = ownProblems(schema, place);
  const { path, times, correlates, total } = place;
  const inner = { root: false, correlates, total };
  for (const [name, one] of Object.entries(schema.properties ?? {})) {
    errors.push(...levelProblems(one, { ...inner, path: `${path}.properties[${name}]`, times }));
  }
  const bound = schema.type === 'object' ? schema.maxProperties : schema.maxItems;
  const below = { ...inner, times: times === undefined || bound === undefined ? undefined : times * bound };
  if (schema.items && !Array.isArray(schema.items)) {
    const keyed = schema['x-kubernetes-list-type'] === 'map';
    const at = { ...below, path: `${path}.items`, correlates: correlates && keyed };
    errors.push(...levelProblems(schema.items as SchemaProps, at));
  }
  if (typeof schema.additionalProperties === 'object') {
    errors.push(...levelProblems(schema.additionalProperties, { ...below, path: `${path}.additionalProperties` }));
  }
  return errors;
}

function ownProblems(schema: SchemaProps, { path, root, times, correlates, total }: Place): FieldError[] {
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
    const structural = compileSchema(schema);
    const cost = estimateCost(rule.rule, structural) * (times ?? maxCardinality(structural));
    errors.push(...costProblems(`${at}.rule`, 'estimated rule cost', cost));
    total.add(`${at}.rule`, cost);
    if (!rule.messageExpression) continue;
    const messageCost = estimateCost(rule.messageExpression, structural);
    errors.push(...costProblems(`${at}.messageExpression`, 'estimated messageExpression cost', messageCost));
    total.add(`${at}.messageExpression`, messageCost);
  }
  return errors;
}

function costProblems(path: string, what: string, cost: number): FieldError[] {
  return cost > RULE_COST_LIMIT ? [forbiddenField(path, overBudget(what, cost / RULE_COST_LIMIT))] : [];
}

function overBudget(what: string, factor: number): string {
  const how = factor > 100 ? 'more than 100x' : `${factor.toFixed(factor < 1.5 ? 6 : 1)}x`;
  return (
    `${what} exceeds budget by factor of ${how} (try simplifying the rule, or adding maxItems, maxProperties, ` +
    'and maxLength where arrays, maps, and strings are declared)'
  );
}
