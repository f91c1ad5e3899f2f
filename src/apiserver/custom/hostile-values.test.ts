// Values of a body's full size that are made to take long.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeObject } from '../../api/object.ts';
import { compileSchema, type SchemaProps } from '../../api/structural/schema.ts';
import type { CustomFacts } from '../../api/tables.ts';
import { hasFormat } from './formats.ts';
import { customProblems } from './object-problems.ts';
import { ruleProblems } from './rules/evaluate.ts';
import { MAX_FINDINGS } from './validate-value.ts';

/** Of the process, so that a loaded machine counts for nothing. */
function cpuMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  return process.cpuUsage(before).user / 1000;
}

const BOUND_MS = 3_000;

const facts = (list: SchemaProps): CustomFacts =>
  ({ schema: compileSchema({ type: 'object', properties: { list } }) }) as unknown as CustomFacts;
const object = (list: readonly unknown[]): KubeObject =>
  ({ apiVersion: 'example.com/v1', kind: 'Thing', metadata: { name: 'a' }, list }) as unknown as KubeObject;

test('a duration is read in one pass', () => {
  for (const text of ['1h', '3 weeks', '1.5m', '2hours30min', '-1d', '5 Milliseconds'])
    assert.ok(hasFormat('duration', text), text);
  for (const text of ['', 'h', '1', '1 fortnight', `${'1min'.repeat(500_000)}!`, `${'1 '.repeat(500_000)}`]) {
    assert.ok(!hasFormat('duration', text), text.slice(0, 20));
  }
});

test('equal items of a set are told in one pass, and not all of them', () => {
  const set = facts({ type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'integer' } });
  const took = cpuMs(() => assert.equal(customProblems(set, object(Array(300_000).fill(1))).length, MAX_FINDINGS));
  assert.ok(took < BOUND_MS, `${took} ms`);
});

test('wrong items of a list that is as long as a body are findings, not a full stack', () => {
  const list = facts({ type: 'array', items: { type: 'string' } });
  assert.equal(customProblems(list, object(Array(200_000).fill(1))).length, MAX_FINDINGS);
  const map = facts({ type: 'object', additionalProperties: { type: 'string' } });
  const members = Object.fromEntries(Array.from({ length: 150_000 }, (_, i) => [`m${i}`, i]));
  assert.equal(customProblems(map, object(members as never)).length, MAX_FINDINGS);
});

test('items of a set are the same whatever the order of their members', () => {
  const set = facts({
    type: 'array',
    'x-kubernetes-list-type': 'set',
    items: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
  });
  const twice = [
    { a: 1, b: 2 },
    { b: 2, a: 1 },
  ];
  assert.deepEqual(
    customProblems(set, object(twice)).map((one) => one.field),
    ['list[1]'],
  );
  assert.deepEqual(
    customProblems(set, object([1, '1', 12345678901234567890n, '12345678901234567890'])).filter(
      (one) => one.reason === 'FieldValueDuplicate',
    ),
    [],
  );
});

test('items by keys are compared with those before in one pass, by schema and by rules', async () => {
  const items: SchemaProps = {
    type: 'object',
    required: ['name'],
    properties: {
      name: { type: 'string' },
      size: { type: 'integer', minimum: 0, 'x-kubernetes-validations': [{ rule: 'self >= oldSelf' }] },
    },
  };
  const map = facts({ type: 'array', 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'], items });
  const list = (size: number): object[] => Array.from({ length: 20_000 }, (_, i) => ({ name: `n${i}`, size }));
  const changed = list(1);
  changed[7] = { name: 'n7', size: 0 };
  const before = object(list(1).reverse());
  const took = cpuMs(() => assert.deepEqual(customProblems(map, object(list(2)), before), []));
  assert.ok(took < BOUND_MS, `${took} ms`);
  const start = process.cpuUsage();
  assert.deepEqual(await ruleProblems(map.schema, object(list(2)), before), []);
  const { user } = process.cpuUsage(start);
  assert.ok(user / 1000 < BOUND_MS, `${user / 1000} ms`);
  const found = await ruleProblems(map.schema, object(changed), before);
  assert.deepEqual(
    found.map((one) => one.field),
    ['list[7].size'],
  );
});
