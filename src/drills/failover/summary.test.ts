import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Seen } from './load.ts';
import type { Outcome } from './repetition.ts';
import type { Row } from './rows.ts';
import { spread, summarizeRow, table } from './summary.ts';

const seen = (more: Partial<Seen> = {}): Seen => ({
  writesGoneMs: 20,
  readsGoneMs: 20,
  cachedReadsGoneMs: 50,
  serviceGoneMs: 0,
  asked: 100,
  retried: 0,
  failed: 0,
  serviceAsked: 10,
  serviceRetried: 0,
  serviceFailed: 0,
  errors: {},
  ...more,
});
const outcome = (repetition: number, during: Partial<Seen>, more: Partial<Outcome> = {}): Outcome => ({
  row: 'r',
  repetition,
  during: seen(during),
  after: seen(),
  wholeAfterMs: 1000,
  extra: {},
  problems: [],
  ...more,
});
const row: Row = { id: 'r', title: 'a failure', watchMs: 0, strike: async () => undefined };

test('median and worst', () => {
  assert.deepEqual(spread([]), { median: 0, worst: 0 });
  assert.deepEqual(spread([5]), { median: 5, worst: 5 });
  assert.deepEqual(spread([9, 1, 4, 2]), { median: 3, worst: 9 });
  assert.deepEqual(spread([10, 9, 100]), { median: 10, worst: 100 });
});

test('a row that meets its targets, and what each miss is called', () => {
  const strict: Row = { ...row, writesMs: [100, 200], extraMs: { readyMs: 50 }, retryHelps: true };
  const good = [outcome(0, { writesGoneMs: 90 }, { extra: { readyMs: 50 } }), outcome(1, { writesGoneMs: 110 })];
  assert.deepEqual(summarizeRow(strict, good).misses, []);
  const slow = [
    outcome(0, { writesGoneMs: 110, failed: 2 }, { extra: { readyMs: 51 }, problems: ['lost'] }),
    outcome(1, { writesGoneMs: 201 }),
  ];
  assert.deepEqual(summarizeRow(strict, slow).misses, [
    'writes gone, median 156, wanted 100',
    'writes gone, worst 201, wanted 200',
    'readyMs, worst 51, wanted 50',
    '2 requests failed twice',
    'the history: 1 problems',
  ]);
  assert.deepEqual(summarizeRow(strict, [outcome(0, {})]).misses, ['readyMs was not measured']);
});

test('the table is Markdown with a line a row', () => {
  const lines = table([summarizeRow(row, [outcome(0, { writesGoneMs: 1234.5 })])])
    .trimEnd()
    .split('\n');
  assert.equal(lines.length, 3);
  assert.match(lines[2]!, /^\| a failure \| 1 \| 1235 \/ 1235 \|/);
  assert.equal(new Set(lines.map((line) => line.split('|').length)).size, 1);
});
