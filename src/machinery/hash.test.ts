import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fnv32a, safeEncodeString, templateHash } from './hash.ts';
import { rollingUpdateBounds, scaledCount } from './percent.ts';
import {
  canonicalMicroTime,
  canonicalTime,
  durationNs,
  formatDuration,
  formatMicroTime,
  formatTime,
  timeMs,
} from './time.ts';

test('FNV-1a of the published vectors', () => {
  assert.equal(fnv32a(''), 0x811c9dc5);
  assert.equal(fnv32a('a'), 0xe40c292c);
  assert.equal(fnv32a('foobar'), 0xbf9cf968);
  assert.equal(fnv32a('bar', fnv32a('foo')), fnv32a('foobar'));
});

test('encoded strings have only safe characters', () => {
  assert.equal(safeEncodeString('0123456789'), '456789bcdf');
});

test('a template hash depends on content, not on order, and on the collision count', () => {
  const a = templateHash({ spec: { b: 1, a: [1, 2] }, x: undefined });
  assert.equal(templateHash({ spec: { a: [1, 2], b: 1 } }), a);
  assert.notEqual(templateHash({ spec: { a: [2, 1], b: 1 } }), a);
  assert.notEqual(templateHash({ spec: { a: [1, 2], b: 1 } }, 1), a);
  assert.match(a, /^[bcdfghjklmnpqrstvwxz2456789]+$/);
});

test('percentages of a total', () => {
  assert.equal(scaledCount('25%', 10, 'up'), 3);
  assert.equal(scaledCount('25%', 10, 'down'), 2);
  assert.equal(scaledCount(7, 10, 'up'), 7);
  assert.throws(() => scaledCount('7', 10, 'up'), { message: /string is not a percentage$/ });
  assert.throws(() => scaledCount('x%', 10, 'up'), { message: /invalid value "x%"/ });
  assert.deepEqual(rollingUpdateBounds('25%', '25%', 1), { surge: 1, unavailable: 0 });
  assert.deepEqual(rollingUpdateBounds(0, '1%', 3), { surge: 0, unavailable: 1 });
});

test('times are canonical', () => {
  assert.equal(canonicalTime('2024-02-29T23:59:59+02:00'), '2024-02-29T21:59:59Z');
  assert.equal(canonicalTime('2024-01-01T00:00:00.9Z'), '2024-01-01T00:00:00Z');
  assert.equal(canonicalMicroTime('2024-01-01T00:00:00.1234567Z'), '2024-01-01T00:00:00.123456Z');
  assert.equal(canonicalMicroTime('2024-01-01T00:00:00Z'), '2024-01-01T00:00:00.000000Z');
  assert.throws(() => canonicalTime('yesterday'), {
    message: /^parsing time "yesterday" as "2006-01-02T15:04:05Z07:00"/,
  });
  assert.throws(() => canonicalTime('2023-02-29T00:00:00Z'), { message: /day out of range/ });
  assert.throws(() => canonicalTime('2023-13-01T00:00:00Z'), { message: /month out of range/ });
  assert.equal(formatTime(timeMs('2024-02-29T21:59:59Z')!), '2024-02-29T21:59:59Z');
  assert.equal(formatMicroTime(1), '1970-01-01T00:00:00.001000Z');
  assert.equal(timeMs(undefined), undefined);
});

test('durations as Go writes them', () => {
  for (const text of ['1h0m0s', '1.5s', '250ms', '0s', '-2m3s', '7ns', '100h0m0.5s', '3µs']) {
    assert.equal(formatDuration(durationNs(text)), text);
  }
  assert.equal(formatDuration(durationNs('90m')), '1h30m0s');
  assert.throws(() => durationNs('5'), { message: 'time: missing unit in duration "5"' });
  assert.throws(() => durationNs('5d'), { message: 'time: unknown unit "d" in duration "5d"' });
  assert.throws(() => durationNs('x'), { message: 'time: invalid duration "x"' });
});
