import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Budget, MATCH_CONDITIONS_COST_BUDGET } from '../../custom/rules/budget.ts';
import { Evaluation } from './activation.ts';
import { expressionOf } from './expressions.ts';
import type { Invocation } from './invocations.ts';

test('match conditions have a budget of their own', async () => {
  const object = { list: Array.from({ length: 150 }, (_, i) => BigInt(i)) };
  const bindings = { object, oldObject: null, request: {}, namespaceObject: null };
  // Each of 150 times 150 rounds, of 7 and more.
  const conditions = Array(20).fill(expressionOf('object.list.all(a, object.list.all(b, a + b >= 0))'));
  const budget = new Budget(1_000);
  const evaluation = (count: number): Evaluation => {
    const policy = { variables: [], conditions: conditions.slice(0, count) };
    return new Evaluation(bindings, { policy, param: undefined } as unknown as Invocation, budget);
  };
  const meets = (count: number): Promise<boolean> => {
    const { policy } = { policy: { conditions: conditions.slice(0, count) } };
    return evaluation(count).meets(policy as never);
  };
  assert.equal(await meets(10), true);
  await assert.rejects(meets(20), /validation failed due to running out of cost budget/);
  assert.equal(evaluation(0).run(expressionOf('1 + 1')), 2n);
  assert.equal(MATCH_CONDITIONS_COST_BUDGET, 2_500_000);
});
