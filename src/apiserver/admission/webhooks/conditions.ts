// matchConditions of webhooks: CEL over the request, the objects and what the user may do.
import type { MatchCondition } from '../../../api/generated/types.ts';
import { nextTurn } from '../../../lib/turns.ts';
import type { UserInfo } from '../../contract.ts';
import { Budget, MATCH_CONDITIONS_COST_BUDGET } from '../../custom/rules/budget.ts';
import { celValue } from '../../custom/rules/types.ts';
import { checkingEnvironment } from '../policies/environment.ts';
import { expressionOf, expressionProblem } from '../policies/expressions.ts';
import { type AuthorizerParts, authorizerOf } from './cel-authorizer.ts';

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
  evaluate(input: ConditionInput): Promise<Verdict>;
}

/** Expressions are compiled when a webhook is first asked; those that cannot be fail as they would on evaluation. */
export function compileConditions(conditions: readonly MatchCondition[]): Conditions {
  const expressions = conditions.map(({ expression }) => expressionOf(expression));
  return {
    count: conditions.length,
    async evaluate(input) {
      const bindings = bindingsOf(input);
      const budget = new Budget(MATCH_CONDITIONS_COST_BUDGET);
      const errors: string[] = [];
      for (const expression of expressions) {
        if (budget.isLongTurn) await nextTurn();
        try {
          if (expression.run(bindings, budget) !== true) return { kind: 'differs' };
        } catch (error) {
          errors.push((error as Error).message);
        }
      }
      if (errors.length === 0) return { kind: 'matches' };
      return { kind: 'unclear', why: errors.length === 1 ? errors[0]! : `[${errors.join(', ')}]` };
    },
  };
}

function bindingsOf({ request, object, oldObject, authorizer, user }: ConditionInput): { [name: string]: unknown } {
  return {
    request: celValue(undefined, request),
    object: celValue(undefined, object),
    oldObject: celValue(undefined, oldObject),
    // Conditions are judged before the namespace is looked for.
    namespaceObject: null,
    authorizer: authorizerOf(authorizer, user),
  };
}

let checking: ReturnType<typeof checkingEnvironment> | undefined;

/** Why an expression cannot be a condition; undefined when it can. */
export function conditionProblem(expression: string): string | undefined {
  checking ??= checkingEnvironment({ params: false, authorizer: true, messages: false });
  return expressionProblem(checking, expression, ['bool']);
}
