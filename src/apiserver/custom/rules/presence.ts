// has(e.f) of any expression e (`has(self.list[0].f)`). The macro of the CEL library takes names joined by dots only: those are
// left to it, and others are written with the name of ours before they are parsed.
import { type Environment, Optional } from '@marcbachmann/cel-js';
import type { Checker, Context, Evaluator, Node } from './comprehensions.ts';

export const HAS_MEMBER = 'hasMember';

/** Whether the library's own macro takes it. */
export function isPlainPath(node: Node): boolean {
  let at = node;
  while (at.op === '.' || at.op === '.?') [at] = at.args as [Node];
  return at.op === 'id';
}

interface Call {
  readonly args: readonly [Node];
  readonly ast: Node;
}

export function registerPresence(env: Environment): void {
  env.registerFunction(`${HAS_MEMBER}(ast): bool`, (({ args: [node], ast }: Call) => {
    if (node.op !== '.') throw Object.assign(new Error('has() invalid argument'), { node });
    const [of, name] = node.args as [Node, string];
    return {
      ast,
      async: false,
      typeCheck(checker: Checker, _: unknown, context: Context) {
        checker.check(node, context);
        return checker.getType('bool');
      },
      evaluate: (evaluator: Evaluator, _: unknown, context: Context) => isThere(evaluator.run(of, context), name),
    };
  }) as never);
}

function isThere(value: unknown, name: string): boolean {
  if (value instanceof Optional) return value.hasValue() && isThere(value.value(), name);
  if (value instanceof Map) return value.get(name) !== undefined;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`no such key: ${name}`);
  return Object.hasOwn(value, name) && (value as { readonly [name: string]: unknown })[name] !== undefined;
}
