import assert from 'node:assert/strict';
import { test } from 'node:test';
import { callCost, operatorCost, sizeOf } from './call-cost.ts';

const texts = (count: number, length: number): readonly string[] => Array(count).fill('x'.repeat(length));

test('functions cost by what they go through and what they make', () => {
  for (const [name, args, cost] of [
    ['join', [texts(10, 100), ''], 200],
    ['join', [texts(10, 100), 'y'.repeat(100)], 400],
    ['split', ['x'.repeat(100), ','], 20],
    ['contains', ['x'.repeat(100), 'y'.repeat(50)], 50],
    ['lowerAscii', ['x'.repeat(101)], 11],
    ['find', ['x'.repeat(99), 'y'.repeat(80)], 30 + 10 * 81],
    ['matches', ['x'.repeat(99), '(ab?){100}'], 30 + 10 * 502],
    ['contains', [{}, texts(10, 1), texts(10, 1)], 1 + 100 + 2],
    ['equivalent', [{}, texts(10, 1), texts(10, 1)], 1 + 200 + 2],
    ['check', [{}, 'get'], 70_000],
    ['allowed', [1], 1],
    ['getHours', [new Date(0)], 1],
    ['getHours', [new Date(0), 'Europe/Berlin'], 1_000],
  ] as const) {
    const found = callCost(name, args);
    assert.ok(Math.abs(found - cost) <= cost * 0.02 + 1, `${name}: ${found}, not ${cost}`);
  }
});

test('values are compared to their depth, members and their names included', () => {
  const object = (key: string, value: string): object => ({ [key]: { a: [value] } });
  const cost = (key: string, value: string): number => operatorCost('==', object(key, value), object(key, value));
  assert.ok(cost('k'.repeat(1_000), 'v') > cost('k', 'v') + 100);
  assert.ok(cost('k', 'v'.repeat(1_000)) > cost('k', 'v') + 100);
  assert.equal(operatorCost('==', texts(10, 100), texts(11, 100)), 1, 'lists of different lengths differ at once');
  assert.equal(operatorCost('==', 1n, 2n), 1);
  assert.equal(operatorCost('<', 'x'.repeat(100), 'x'.repeat(50)), 5);
  assert.equal(operatorCost('+', 'x'.repeat(100), 'x'.repeat(50)), 15);
  assert.equal(operatorCost('in', 'x', texts(30, 1)), 30);
  assert.equal(sizeOf({ a: 1, b: 2 }), 2);
  assert.equal(sizeOf(Object.create(null, { a: { value: 1, enumerable: true } })), 1);
});
