// Expressions of admission policies: checked when a policy is written, compiled once, run with what a request brings.
import type { Environment } from '@marcbachmann/cel-js';
import { type Budget, OutOfBudget } from '../../custom/rules/budget.ts';
import { type CelError, errorText } from '../../custom/rules/error-text.ts';
import { meteredProgram } from '../../custom/rules/metered-program.ts';
import { celValue } from '../../custom/rules/types.ts';
import { runningEnvironment } from './environment.ts';
import { sourceOf } from './source.ts';

export interface Expression {
  readonly text: string;
  /** Its value; throws an Error with upstream's message, or OutOfBudget. */
  run(bindings: Bindings, budget: Budget): unknown;
}

/** The variables, as CEL sees them. */
export type Bindings = { readonly [variable: string]: unknown };

type Program = (bindings: Bindings) => unknown;

/** Compiled when first run; one that cannot be fails then. */
export function expressionOf(text: string): Expression {
  let program: Program | Error | undefined;
  return {
    text,
    run(bindings, budget) {
      program ??= programOf(text);
      if (program instanceof Error) throw new Error(`compilation error: ${program.message}`);
      const run = program;
      try {
        return budget.spend(() => run(bindings));
      } catch (error) {
        if (error instanceof OutOfBudget) throw error;
        throw new Error(`expression '${text}' resulted in error: ${errorText(error)}`, { cause: error });
      }
    },
  };
}

function programOf(text: string): Program | Error {
  try {
    return meteredProgram(runningEnvironment().parse(sourceOf(text)));
  } catch (error) {
    return new Error(`compilation failed: ${issueText(text, error)}`);
  }
}

export interface Variable {
  readonly name: string;
  readonly expression: Expression;
}

/** The variable `variables`: each is worked out when it is first asked for. */
export function variablesOf(variables: readonly Variable[], bindings: () => Bindings, budget: Budget): object {
  const made = {};
  for (const { name, expression } of variables) {
    let known: { readonly value: unknown } | { readonly error: Error } | undefined;
    const get = (): unknown => {
      known ??= outcome(() => expression.run(bindings(), budget));
      if ('value' in known) return known.value;
      if (known.error instanceof OutOfBudget) throw known.error;
      const why = errorText(known.error.cause ?? known.error);
      throw new Error(`composited variable ${JSON.stringify(name)} fails to evaluate: ${why}`);
    };
    Object.defineProperty(made, name, { get, enumerable: true });
  }
  return made;
}

function outcome(run: () => unknown): { readonly value: unknown } | { readonly error: Error } {
  try {
    return { value: run() };
  } catch (error) {
    return { error: error as Error };
  }
}

/** An object as a variable: integers exact; absent: null. */
export const variableValue = (value: unknown): unknown => celValue(undefined, value);

/** The type of an expression's value, in the words of the CEL library, or what is wrong with it. */
export function checkExpression(
  env: Environment,
  text: string,
): { readonly type: string } | { readonly issue: string } {
  try {
    const result = env.check(sourceOf(text));
    if (!result.valid) return { issue: issueText(text, result.error) };
    return { type: result.type ?? 'dyn' };
  } catch (error) {
    return { issue: issueText(text, error) };
  }
}

/** Why an expression cannot be one of a policy; `wanted` are the types that it may have. undefined: it can. */
export function expressionProblem(env: Environment, text: string, wanted: readonly string[]): string | undefined {
  const found = checkExpression(env, text);
  if ('issue' in found) return `compilation failed: ${found.issue}`;
  if (wanted.includes(found.type)) return undefined;
  const [only = ''] = wanted;
  const list = wanted.length === 1 ? shownType(only) : `one of [${wanted.map(shownType).join(' ')}]`;
  return `must evaluate to ${list} but got ${shownType(found.type)}`;
}

/** A type as upstream writes it. */
function shownType(type: string): string {
  if (type === 'null') return 'null_type';
  if (type === 'list') return 'list(dyn)';
  if (type === 'map') return 'map(dyn, dyn)';
  return type
    .replace(/\b(list|map|optional)</g, '$1(')
    .replaceAll('>', ')')
    .replace(/\b[TAKV]\b/g, 'dyn');
}

/** An error of compilation, with the line and where in it. */
function issueText(expression: string, error: unknown): string {
  const said = errorText(error).replace(/^no such key: (.*)$/, "undefined field '$1'");
  // The library read another text where there was something to rewrite: then the place is not known.
  const place = sourceOf(expression) === expression ? ((error as CelError).node?.pos ?? 0) : 0;
  const dot = said.startsWith('undefined field') && expression[place - 1] === '.' ? 1 : 0;
  const start = Math.min(place - dot, expression.length);
  const before = expression.slice(0, start).split('\n');
  const column = before.at(-1)!.length;
  const line = expression.split('\n')[before.length - 1];
  return `ERROR: <input>:${before.length}:${column + 1}: ${said}\n | ${line}\n | ${'.'.repeat(column)}^`;
}
