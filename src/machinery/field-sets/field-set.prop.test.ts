// Field sets against plain sets of paths.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  difference,
  EMPTY_SET,
  type FieldSet,
  hasPath,
  intersection,
  isEmptySet,
  pathsOf,
  readFieldSet,
  recursiveDifference,
  setOfPaths,
  union,
} from './field-set.ts';
import { comparePathElements } from './path-element.ts';

const element = fc.constantFrom(
  'f:a',
  'f:b',
  'f:aa',
  'f:é',
  'k:{"name":"x"}',
  'k:{"name":"xy"}',
  'k:{"port":80,"protocol":"TCP"}',
  'k:{"port":443,"protocol":"TCP"}',
  'v:"x"',
  'v:1',
  'v:10',
  'i:0',
);
const path = fc.array(element, { minLength: 1, maxLength: 4 });
const paths = fc.array(path, { maxLength: 12 });

const text = (of: readonly string[]): string => JSON.stringify(of);
const naive = (set: FieldSet): Set<string> => new Set(pathsOf(set).map(text));
const texts = (of: readonly (readonly string[])[]): Set<string> => new Set(of.map(text));

function isInOrder(set: FieldSet): boolean {
  const elements = Object.keys(set);
  const own = elements[0] === '.' ? elements.slice(1) : elements;
  if (own.includes('.')) return false;
  if (own.some((name, i) => i > 0 && comparePathElements(own[i - 1]!, name) >= 0)) return false;
  return own.every((name) => isInOrder(set[name]!));
}

/** Every tree that comes out is in order and has no branch that says nothing. */
function check(set: FieldSet, expected: Set<string>): void {
  assert.deepEqual(naive(set), expected);
  assert.ok(isInOrder(set), JSON.stringify(set));
  assert.deepEqual(readFieldSet(JSON.parse(JSON.stringify(set))), set);
  assert.equal(isEmptySet(set), expected.size === 0);
}

describe('field sets are sets of paths', () => {
  test('made of paths', () => {
    fc.assert(
      fc.property(paths, path, (of, other) => {
        const set = setOfPaths(of);
        check(set, texts(of));
        assert.equal(hasPath(set, other), texts(of).has(text(other)));
      }),
    );
  });

  test('union, difference, intersection', () => {
    fc.assert(
      fc.property(paths, paths, (left, right) => {
        const [a, b] = [setOfPaths(left), setOfPaths(right)];
        const before = JSON.stringify([a, b]);
        const [as, bs] = [texts(left), texts(right)];
        check(union(a, b), as.union(bs));
        check(difference(a, b), as.difference(bs));
        check(intersection(a, b), as.intersection(bs));
        const below = left.filter((one) => !right.some((whole) => text(one.slice(0, whole.length)) === text(whole)));
        check(recursiveDifference(a, b), texts(below));
        assert.equal(JSON.stringify([a, b]), before, 'the operands are as they were');
      }),
    );
  });

  test('what does not change is shared', () => {
    fc.assert(
      fc.property(paths, paths, (left, right) => {
        const a = setOfPaths(left);
        assert.equal(union(a, EMPTY_SET), a);
        assert.equal(difference(a, EMPTY_SET), a);
        if (texts(left).isDisjointFrom(texts(right))) assert.equal(difference(a, setOfPaths(right)), a);
      }),
    );
  });
});

describe('FieldsV1 that clients send', () => {
  test('is put in order; unknown elements are left out', () => {
    const read = readFieldSet({ 'f:b': {}, 'x:1': {}, 'f:a': { 'f:c': {}, '.': {} } });
    assert.equal(JSON.stringify(read), '{"f:a":{".":{},"f:c":{}},"f:b":{}}');
  });

  test('is refused when it is none', () => {
    for (const wrong of ['text', { f: {} }, { abc: {} }, { 'f:a': 1 }]) assert.throws(() => readFieldSet(wrong));
  });
});
