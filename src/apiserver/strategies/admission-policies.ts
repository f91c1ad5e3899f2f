// ValidatingAdmissionPolicy and MutatingAdmissionPolicy: their expressions have to compile, each to a value of its type.
import type { Environment } from '@marcbachmann/cel-js';
import type {
  MatchCondition,
  MutatingAdmissionPolicy,
  Mutation,
  ParamKind,
  ValidatingAdmissionPolicy,
  Variable,
} from '../../api/generated/types.ts';
import { qualifiedNameProblems } from '../../machinery/names.ts';
import type { FieldError } from '../../machinery/status.ts';
import { checkingEnvironment } from '../admission/policies/environment.ts';
import { checkExpression, expressionProblem } from '../admission/policies/expressions.ts';
import { invalidValue, required } from './field-errors.ts';
import { defineStrategy } from './strategy.ts';

const MAX_VALUE_EXPRESSION_BYTES = 5 * 1024;

export const validatingPolicyStrategy = defineStrategy<ValidatingAdmissionPolicy>({
  countsGenerations: true,
  unconditionalUpdate: false,
  validate: (policy) => validatingProblems(policy, undefined),
  validateUpdate: (policy, old) => validatingProblems(policy, old),
});

export const mutatingPolicyStrategy = defineStrategy<MutatingAdmissionPolicy>({
  countsGenerations: true,
  unconditionalUpdate: false,
  validate: (policy) => mutatingProblems(policy, undefined),
  validateUpdate: (policy, old) => mutatingProblems(policy, old),
});

/** What both kinds have. */
interface Common {
  readonly paramKind?: ParamKind;
  readonly matchConditions?: readonly MatchCondition[];
  readonly variables?: readonly Variable[];
}

/** What is as it was may stay so. */
const isSame = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

function validatingProblems(
  policy: ValidatingAdmissionPolicy,
  old: ValidatingAdmissionPolicy | undefined,
): FieldError[] {
  const { spec = {}, metadata } = policy;
  if (old && isSame(spec, old.spec)) return [];
  const { validations = [], auditAnnotations = [] } = spec;
  const checker = new Checker(spec, false);
  const errors = [...checker.common()];
  for (const [i, { expression, messageExpression }] of validations.entries()) {
    const at = `spec.validations[${i}]`;
    errors.push(...checker.of(`${at}.expression`, expression, ['bool']));
    if (messageExpression === undefined || messageExpression === '') continue;
    if (messageExpression.trim() === '') {
      errors.push(invalidValue(`${at}.messageExpression`, messageExpression, 'must be non-empty if specified'));
    } else errors.push(...checker.of(`${at}.messageExpression`, messageExpression, ['string'], false));
  }
  for (const [i, { key, valueExpression }] of auditAnnotations.entries()) {
    const at = `spec.auditAnnotations[${i}]`;
    const name = `${metadata.name}/${key}`;
    errors.push(...qualifiedNameProblems(name).map((why) => invalidValue(`${at}.key`, name, why)));
    if (valueExpression.trim().length > MAX_VALUE_EXPRESSION_BYTES) {
      errors.push(required(`${at}.valueExpression`, `must not exceed ${MAX_VALUE_EXPRESSION_BYTES} bytes in length`));
    } else errors.push(...checker.of(`${at}.valueExpression`, valueExpression, ['string', 'null']));
  }
  return errors;
}

function mutatingProblems(policy: MutatingAdmissionPolicy, old: MutatingAdmissionPolicy | undefined): FieldError[] {
  const { spec = {} } = policy;
  if (old && isSame(spec, old.spec)) return [];
  const checker = new Checker(spec, true);
  const errors = [...checker.common()];
  for (const [i, { patchType, applyConfiguration, jsonPatch }] of (
    (spec.mutations ?? []) as readonly Mutation[]
  ).entries()) {
    const at = `spec.mutations[${i}]`;
    if (patchType === 'ApplyConfiguration' && applyConfiguration) {
      errors.push(
        ...checker.of(`${at}.applyConfiguration.expression`, applyConfiguration.expression ?? '', ['Object']),
      );
    } else if (patchType === 'JSONPatch' && jsonPatch) {
      errors.push(...checker.of(`${at}.jsonPatch.expression`, jsonPatch.expression ?? '', ['list<JSONPatch>']));
    }
  }
  return errors;
}

const IDENTIFIER = /^[_a-zA-Z][_a-zA-Z0-9]*$/;
const RESERVED = new Set(
  'true false null in as break const continue else for function if import let loop package namespace return var void while'.split(
    ' ',
  ),
);

class Checker {
  readonly #spec: Common;
  readonly #messages: boolean;
  readonly #variables: { [name: string]: string } = {};

  constructor(spec: Common, messages: boolean) {
    this.#spec = spec;
    this.#messages = messages;
  }

  /** Conditions, which see no variables, and variables, which see those before them. */
  *common(): Generator<FieldError> {
    for (const [i, { expression }] of (this.#spec.matchConditions ?? []).entries()) {
      yield* this.of(`spec.matchConditions[${i}].expression`, expression.trim(), ['bool']);
    }
    for (const [i, { name, expression }] of (this.#spec.variables ?? []).entries()) {
      const at = `spec.variables[${i}]`;
      if (!name.trim()) yield required(`${at}.name`, 'name is not specified');
      else if (!IDENTIFIER.test(name) || RESERVED.has(name)) {
        yield invalidValue(`${at}.name`, name, 'name is not a valid CEL identifier');
      }
      if (!expression.trim()) continue;
      const found = checkExpression(this.#environment(true), expression);
      if ('issue' in found) yield invalidValue(`${at}.expression`, expression, `compilation failed: ${found.issue}`);
      this.#variables[name] = 'type' in found && isNameable(found.type) ? found.type : 'dyn';
    }
  }

  *of(field: string, expression: string, wanted: readonly string[], authorizer = true): Generator<FieldError> {
    if (!expression.trim()) return;
    const problem = expressionProblem(this.#environment(authorizer), expression, wanted);
    if (problem !== undefined) yield invalidValue(field, expression, problem);
  }

  #environment(authorizer: boolean): Environment {
    const variables = { ...this.#variables };
    return checkingEnvironment({
      params: this.#spec.paramKind !== undefined,
      authorizer,
      messages: this.#messages,
      ...(Object.keys(variables).length > 0 && { variables }),
    });
  }
}

/** Types that can be declared again by their name. */
function isNameable(type: string): boolean {
  return /^(bool|int|uint|double|string|bytes|google\.protobuf\.(Timestamp|Duration)|(list|map)<[a-z, <>]+>)$/.test(
    type,
  );
}
