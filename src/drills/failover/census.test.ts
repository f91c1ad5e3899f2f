import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Census, grown } from './census.ts';

const before: Census = { processes: 100, openFiles: 1000, memoryMiB: 1000, rules: 500, mounts: 80, interfaces: 30 };

test('growth is what goes beyond what comes and goes', () => {
  assert.deepEqual(grown(before, before), []);
  assert.deepEqual(grown(before, { ...before, processes: 106, openFiles: 1150, memoryMiB: 1300 }), []);
  assert.deepEqual(grown(before, { ...before, processes: 50, rules: 10 }), []);
  assert.deepEqual(
    grown(before, { processes: 107, openFiles: 1151, memoryMiB: 1301, rules: 501, mounts: 81, interfaces: 31 }),
    [
      'processes: 100, then 107',
      'openFiles: 1000, then 1151',
      'memoryMiB: 1000, then 1301',
      'rules: 500, then 501',
      'mounts: 80, then 81',
      'interfaces: 30, then 31',
    ],
  );
});
