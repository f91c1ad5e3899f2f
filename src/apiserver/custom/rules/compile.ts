// Rules (x-kubernetes-validations) compiled: checked against the types of their schema, run on values.

import type { ASTNode } from '@marcbachmann/cel-js';
import { Environment, Optional } from '@marcbachmann/cel-js';
import type { ValidationRule } from '../../../api/generated/types.ts';
import type { StructuralSchema } from '../../../api/structural/schema.ts';
import { kubernetesEnvironment, MATCHES } from './library.ts';
import { meteredProgram } from './metered-program.ts';
import { HAS_MEMBER, isPlainPath } from './presence.ts';
import { declareType } from './types.ts';

/** A rule that can be run. */
export interface CompiledRule {
  readonly source: ValidationRule;
  /** It compares with the value before. */
  readonly usesOldSelf: boolean;
  /** Whether it holds; throws an Error of evaluation. */
  holds(self: unknown, oldSelf: unknown): boolean;
  /** The message of its messageExpression; undefined: there is none, or it failed. */
  message(self: unknown, oldSelf: unknown): string | undefined;
}

export interface RuleProblem {
  /** Member of the rule: "rule", "messageExpression". */
  readonly member: 'rule' | 'messageExpression';
  readonly value: string;
  readonly message: string;
}

const base: { env?: Environment } = {};

/** Made when the first rule is: most clusters have definitions without rules. */
function baseEnvironment(): Environment {
  base.env ??= kubernetesEnvironment();
  return base.env;
}

/** Runs on any values: what may stand where was checked when the definition was written. */
const running = new Map<string, Environment>();
function runningEnvironment(oldSelf: 'dyn' | 'optional<dyn>'): Environment {
  const known = running.get(oldSelf);
  if (known) return known;
  const env = baseEnvironment().clone().registerVariable('self', 'dyn').registerVariable('oldSelf', oldSelf);
  running.set(oldSelf, env);
  return env;
}

/** Compiles one rule for running; throws an Error that says why it cannot be. */
export function compileRule(source: ValidationRule): CompiledRule {
  const rule = linearRule(source.rule);
  const optional = source.optionalOldSelf === true;
  const env = runningEnvironment(optional ? 'optional<dyn>' : 'dyn');
  const program = meteredProgram(env.parse(rule.text));
  const text = source.messageExpression && linearRule(source.messageExpression).text;
  const message = text ? meteredProgram(env.parse(text)) : undefined;
  const bindings = (self: unknown, oldSelf: unknown): { [name: string]: unknown } => ({
    self,
    oldSelf: optional ? (oldSelf === undefined ? Optional.none() : Optional.of(oldSelf)) : oldSelf,
  });
  return {
    source,
    usesOldSelf: rule.usesOldSelf && !optional,
    holds: (self, oldSelf) => program(bindings(self, oldSelf)) === true,
    message(self, oldSelf) {
      if (!message) return undefined;
      try {
        const made = message(bindings(self, oldSelf)) as unknown;
        return typeof made === 'string' && made.trim() !== '' && !made.includes('\n') ? made : undefined;
      } catch {
        // Upstream falls back to the message too.
        return undefined;
      }
    },
  };
}

/** What is wrong with a rule of a schema: unknown fields, wrong types, no bool. `depth` names the schema's type. */
export function checkRule(source: ValidationRule, schema: StructuralSchema, root: boolean): RuleProblem[] {
  const problems: RuleProblem[] = [];
  const env = baseEnvironment().clone();
  const type = declareType(env, schema, 'self_type', root);
  env.registerVariable('self', type);
  env.registerVariable('oldSelf', source.optionalOldSelf ? `optional<${type}>` : type);
  const check = (member: RuleProblem['member'], value: string, wanted: string): void => {
    const fail = (message: string): void => void problems.push({ member, value, message });
    try {
      const result = env.check(linearRule(value).text);
      if (!result.valid) fail(`compilation failed: ${firstLine(result.error)}`);
      else if (result.type !== wanted && result.type !== 'dyn') {
        fail(member === 'rule' ? 'must evaluate to a bool' : 'messageExpression must evaluate to a string');
      }
    } catch (error) {
      fail(`compilation failed: ${firstLine(error)}`);
    }
  };
  check('rule', source.rule, 'bool');
  if (source.messageExpression) check('messageExpression', source.messageExpression, 'string');
  return problems;
}

export function firstLine(error: unknown): string {
  const [line = ''] = String((error as Error | undefined)?.message ?? error).split('\n');
  return line;
}

/** An expression to be parsed where `matches` has the name that runs in linear time; throws for one that is none. */
export function linearExpression(expression: string): string {
  return linearRule(expression).text;
}

/** Whether an expression names oldSelf; throws for one that is none. */
export function usesOldSelf(expression: string): boolean {
  return linearRule(expression).usesOldSelf;
}

/** An expression with the names exchanged that the library does not do justice to, and whether it names oldSelf. */
function linearRule(text: string): { readonly text: string; readonly usesOldSelf: boolean } {
  const places: { readonly at: number; readonly from: string; readonly to: string }[] = [];
  let names = false;
  visit(parserEnvironment().parse(text).ast, (node) => {
    if (node.op === 'id' && node.args === 'oldSelf') names = true;
    if (node.op === 'rcall' && node.args[0] === 'matches') {
      places.push({ at: text.indexOf('matches', node.args[1].end), from: 'matches', to: MATCHES });
    } else if (node.op === 'call' && node.args[0] === 'has' && node.args[1].some((one) => !isPlainPath(one))) {
      places.push({ at: text.indexOf('has', node.start), from: 'has', to: HAS_MEMBER });
    }
  });
  let changed = text;
  for (const { at, from, to } of places.sort((a, b) => b.at - a.at)) {
    if (at >= 0) changed = `${changed.slice(0, at)}${to}${changed.slice(at + from.length)}`;
  }
  return { text: changed, usesOldSelf: names };
}

const parsing: { env?: Environment } = {};
function parserEnvironment(): Environment {
  parsing.env ??= new Environment({
    unlistedVariablesAreDyn: true,
    enableOptionalTypes: true,
    homogeneousAggregateLiterals: false,
  });
  return parsing.env;
}

function visit(node: unknown, see: (node: ASTNode) => void): void {
  if (Array.isArray(node)) {
    for (const one of node) visit(one, see);
  } else if (typeof node === 'object' && node !== null && 'op' in node && 'args' in node) {
    see(node as ASTNode);
    visit((node as ASTNode).args, see);
  }
}
