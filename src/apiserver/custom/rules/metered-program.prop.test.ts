// Counting changes nothing of what an expression says, and counts the same each time.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { Budget } from './budget.ts';
import { kubernetesEnvironment } from './library.ts';
import { meteredProgram } from './metered-program.ts';

const self = { n: 3n, s: 'abcab', l: [1n, 2n, 3n, 2n], m: { a: 1n, b: 2n }, e: [] };
const env = kubernetesEnvironment().registerVariable('self', 'dyn');

class Counting extends Budget {
  counted = 0;
  override count(cost: number): boolean {
    this.counted += cost;
    return super.count(cost);
  }
}

const { int, bool, text, list } = fc.letrec<{ int: string; bool: string; text: string; list: string }>((tie) => {
  const two = (make: (a: string, b: string) => string, a: 'int' | 'bool' | 'text' | 'list', b = a) =>
    fc.tuple(tie(a), tie(b)).map(([x, y]) => make(x, y));
  const one = (make: (a: string) => string, a: 'int' | 'bool' | 'text' | 'list') => tie(a).map(make);
  const limit = { maxDepth: 4, depthSize: 'small' } as const;
  return {
    int: fc.oneof(
      limit,
      fc.constantFrom('0', '1', '2', 'self.n', 'self.l[1]', 'self.l[9]', "self.m['b']", 'self.m.none'),
      two((a, b) => `(${a} + ${b})`, 'int'),
      two((a, b) => `(${a} / ${b})`, 'int'),
      one((a) => `size(${a})`, 'text'),
      one((a) => `${a}.size()`, 'list'),
      one((a) => `cel.bind(v, ${a}, v + v)`, 'int'),
      fc.tuple(tie('bool'), tie('int'), tie('int')).map(([c, a, b]) => `(${c} ? ${a} : ${b})`),
    ),
    bool: fc.oneof(
      limit,
      fc.constantFrom('true', 'false', 'has(self.m.a)', 'has(self.none)', "'a' in self.m", '1 / 0 == 1'),
      two((a, b) => `(${a} == ${b})`, 'int'),
      two((a, b) => `(${a} < ${b})`, 'int'),
      two((a, b) => `(${a} == ${b})`, 'list'),
      two((a, b) => `(${a} && ${b})`, 'bool'),
      two((a, b) => `(${a} || ${b})`, 'bool'),
      one((a) => `!${a}`, 'bool'),
      two((a, b) => `${a}.startsWith(${b})`, 'text'),
      two((a, b) => `(${a} in ${b})`, 'int', 'list'),
      two((a, b) => `${a}.all(x, x > 1 || ${b})`, 'list', 'bool'),
      two((a, b) => `${a}.exists(x, x == ${b})`, 'list', 'int'),
      two((a, b) => `${a}.exists_one(x, x == ${b})`, 'list', 'int'),
      two((a, b) => `${a}.all(i, x, x >= i && ${b})`, 'list', 'bool'),
      two((a, b) => `sets.contains(${a}, ${b})`, 'list'),
    ),
    text: fc.oneof(
      limit,
      fc.constantFrom("''", "'ab'", 'self.s', 'self.none'),
      two((a, b) => `(${a} + ${b})`, 'text'),
      two((a, b) => `${a}.replace(${b}, 'x')`, 'text'),
      one((a) => `string(${a})`, 'int'),
      one((a) => `'%d'.format([${a}])`, 'int'),
    ),
    list: fc.oneof(
      limit,
      fc.constantFrom('[]', '[1, 2]', 'self.l', 'self.e', '[self.n]'),
      two((a, b) => `(${a} + ${b})`, 'list'),
      two((a, b) => `${a}.map(x, x + ${b})`, 'list', 'int'),
      two((a, b) => `${a}.filter(x, x > 1 && ${b})`, 'list', 'bool'),
      two((a, b) => `${a}.transformList(i, x, ${b}, x * i)`, 'list', 'bool'),
      one((a) => `${a}.distinct().sort()`, 'list'),
    ),
  };
});

function outcome(run: () => unknown): string {
  try {
    return inspect(run(), { depth: 5 });
  } catch (error) {
    return `throws ${String((error as Error).message).split('\n')[0]}`;
  }
}

test('counting changes nothing of what an expression says', () => {
  fc.assert(
    fc.property(fc.oneof(int, bool, text, list), (expression) => {
      const plain = outcome(() => env.parse(expression)({ self }));
      const program = meteredProgram(env.parse(expression));
      const costs = [1, 2].map(() => {
        const budget = new Counting();
        assert.equal(
          outcome(() => budget.spend(() => program({ self }))),
          plain,
          expression,
        );
        return budget.counted;
      });
      assert.equal(costs[0], costs[1], expression);
    }),
    { numRuns: 500 },
  );
});
