import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  addQuantities,
  canonicalQuantity,
  compareQuantities,
  formatQuantity,
  milliValue,
  parseQuantity,
  quantityValue,
  subtractQuantities,
} from './quantity.ts';

const CANONICAL = {
  '0': '0', '0.0': '0', '0Gi': '0', '-0': '0', '1': '1', '+1': '1', '1.0': '1', '1000m': '1', '1500m': '1500m',
  '1.5': '1500m', '0.5': '500m', '.5': '500m', '5.': '5', '1024Mi': '1Gi', '1000Mi': '1000Mi', '1Gi': '1Gi',
  '1.5Gi': '1536Mi', '0.5Mi': '512Ki', '100Ki': '100Ki', '512': '512', '1000': '1k', '1000000': '1M', '12345': '12345',
  '100000': '100k', '1e3': '1e3', '1E3': '1e3', '1e2': '100', '12e4': '120e3', '1E': '1E', '1Ei': '1Ei', '1k': '1k',
  '1Ki': '1Ki', '1023Ki': '1023Ki', '0.001Ki': '1024m', '1n': '1n', '0.1n': '1n', '-0.1n': '-1n', '1.23u': '1230n',
  '-1500m': '-1500m', '9223372036854775807': '9223372036854775807', '100Ei': '9223372036854775807',
  '00012': '12', '1e-3': '1e-3', '5Pi': '5Pi', '0.1Gi': '107374182400m', '2048': '2048', '1000E': '1000E', '256Mi': '256Mi',
}; // biome-ignore format: a table

test('canonical forms', () => {
  for (const [text, canonical] of Object.entries(CANONICAL)) assert.equal(canonicalQuantity(text), canonical, text);
});

test('refusals carry the wording of upstream', () => {
  const shape = /^quantities must match the regular expression/;
  for (const text of ['', ' 1', '1 ', 'a', '1x', '1.2.3', '1Gi1.', '1Gii ']) {
    assert.throws(() => parseQuantity(text), { name: 'QuantityError', message: shape }, text);
  }
  for (const text of ['--1', '1K', '1mi', '1kM', '1e', '1i', '1-', '1e+', '1m3']) {
    assert.throws(() => parseQuantity(text), { message: /suffix/ }, text);
  }
  assert.throws(() => parseQuantity('1e1001'), { message: /numeric/ });
});

test('values round up, away from zero', () => {
  assert.equal(milliValue('1.0001'), 1001);
  assert.equal(milliValue('-1.0001'), -1001);
  assert.equal(milliValue('2'), 2000);
  assert.equal(quantityValue('1500m'), 2);
  assert.equal(quantityValue('1Ki'), 1024);
  assert.equal(quantityValue('1e3'), 1000);
});

test('a sum is written as its first part, or as the other when that is zero', () => {
  const sum = (a: string, b: string): string => formatQuantity(addQuantities(parseQuantity(a), parseQuantity(b)));
  assert.equal(sum('1Gi', '1024Mi'), '2Gi');
  assert.equal(sum('0', '512Mi'), '512Mi');
  assert.equal(sum('100m', '1'), '1100m');
  assert.equal(formatQuantity(subtractQuantities(parseQuantity('1'), parseQuantity('250m'))), '750m');
});

const anyQuantity = fc
  .tuple(
    fc.constantFrom('', '-', '+'),
    fc.integer({ min: 0, max: 999_999_999 }),
    fc.option(fc.integer({ min: 0, max: 999_999 })),
    fc.constantFrom('', 'n', 'u', 'm', 'k', 'M', 'G', 'T', 'Ki', 'Mi', 'Gi', 'Ti', 'e3', 'e-2', 'E5'),
  )
  .map(([sign, whole, fraction, suffix]) => `${sign}${whole}${fraction === null ? '' : `.${fraction}`}${suffix}`);

test('the canonical form is a fixed point and has the same value', () => {
  fc.assert(
    fc.property(anyQuantity, (text) => {
      const canonical = canonicalQuantity(text);
      assert.equal(canonicalQuantity(canonical), canonical);
      assert.equal(compareQuantities(parseQuantity(text), parseQuantity(canonical)), 0);
    }),
  );
});

test('addition and subtraction undo each other', () => {
  fc.assert(
    fc.property(anyQuantity, anyQuantity, (a, b) => {
      const [x, y] = [parseQuantity(a), parseQuantity(b)];
      assert.equal(compareQuantities(subtractQuantities(addQuantities(x, y), y), x), 0);
      assert.equal(compareQuantities(x, y) + compareQuantities(y, x), 0);
    }),
  );
});
