import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FieldSet, setOfPaths } from './field-set.ts';
import { interned } from './interned.ts';

const setOf = (...names: string[]): FieldSet => setOfPaths(names.map((name) => ['f:data', `f:${name}`]));

test('equal sets become one, others stay apart', () => {
  const first = interned(setOf('a', 'b'));
  assert.equal(interned(setOf('a', 'b')), first);
  assert.notEqual(interned(setOf('a', 'c')), first);
  assert.deepEqual(interned(setOf('a', 'c')), setOf('a', 'c'));
});

test('however many there are, and however long, a set is what it was', () => {
  const before = interned(setOf('first'));
  for (let i = 0; 3000 > i; i++) assert.deepEqual(interned(setOf(`x${i}`)), setOf(`x${i}`));
  assert.deepEqual(interned(setOf('first')), before);
  assert.notEqual(interned(setOf('first')), before, 'it was forgotten');
  const long = setOf('y'.repeat(10_000));
  assert.equal(interned(long), long);
  assert.notEqual(interned(setOf('y'.repeat(10_000))), long, 'not kept');
});
