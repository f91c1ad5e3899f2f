// matchConditions of webhooks: CEL over the request, the objects and what the user may do.
import type { MatchCondition } from '../../../api/generated/types.ts';
import type { UserInfo } from '../../contract.ts';
import { firstLine, linearExpression } from '../../custom/rules/compile.ts';
import { celValue } from '../../custom/rules/types.ts';
import { type AuthorizerParts, authorizerEnvironment, authorizerOf } from './cel-authorizer.ts';

/** What an expression is asked about; members are as they stand in the review. */
export interface ConditionInput {
  readonly request: object;
  readonly object: unknown;
  readonly oldObject: unknown;
  readonly authorizer: AuthorizerParts;
  readonly user: UserInfo;
}

export type Verdict =
  | { readonly kind: 'matches' }
  | { readonly kind: 'differs' }
  /** No condition is false, but these could not be told. */
  | { readonly kind: 'unclear'; readonly why: string };

export interface Conditions {
  readonly count: number;
  evaluate(input: ConditionInput): Verdict;
}

type Program = (bindings: { readonly [name: string]: unknown }) => unknown;

/** Programs are made when a webhook is first asked; those that cannot be fail as they would on evaluation. */
export function compileConditions(conditions: readonly MatchCondition[]): Conditions {
  let programs: readonly (Program | Error)[] | undefined;
  return {
    count: conditions.length,
    evaluate(input) {
      programs ??= conditions.map(({ expression }) => programOf(expression));
      const bindings = bindingsOf(input);
      const errors: string[] = [];
      for (const [i, program] of programs.entries()) {
        try {
          if (program instanceof Error) throw program;
          if (program(bindings) !== true) return { kind: 'differs' };
        } catch (error) {
          errors.push(`expression '${conditions[i]?.expression}' resulted in error: ${firstLine(error)}`);
        }
      }
      if (errors.length === 0) return { kind: 'matches' };
      return { kind: 'unclear', why: errors.length === 1 ? errors[0]! : `[${errors.join(', ')}]` };
    },
  };
}

function programOf(expression: string): Program | Error {
  try {
    return authorizerEnvironment().parse(linearExpression(expression)) as Program;
  } catch (error) {
    return error as Error;
  }
}

function bindingsOf({ request, object, oldObject, authorizer, user }: ConditionInput): { [name: string]: unknown } {
  return {
    request: celValue(undefined, request),
    object: celValue(undefined, object),
    oldObject: celValue(undefined, oldObject),
    authorizer: authorizerOf(authorizer, user),
  };
}

/** Why an expression cannot be a condition; undefined when it can. */
export function conditionProblem(expression: string): string | undefined {
  try {
    const result = authorizerEnvironment().check(linearExpression(expression));
    if (!result.valid) return `compilation failed: ${firstLine(result.error)}`;
    return result.type === 'bool' || result.type === 'dyn' ? undefined : 'must evaluate to bool';
  } catch (error) {
    return `compilation failed: ${firstLine(error)}`;
  }
}
