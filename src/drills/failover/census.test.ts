import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Census, grown, memoryGrown } from './census.ts';

const BEFORE: Census = { processes: 60, openFiles: 800, memoryMiB: 900, rules: 900, mounts: 200, interfaces: 27 };

test('one rule, mount or interface too many is growth; memory at one moment is not', () => {
  assert.deepEqual(grown(BEFORE, { ...BEFORE, memoryMiB: 1_500, processes: 66, openFiles: 919 }), []);
  assert.deepEqual(grown(BEFORE, { ...BEFORE, processes: 50, rules: 10 }), []);
  assert.deepEqual(grown(BEFORE, { ...BEFORE, processes: 67, openFiles: 921 }), [
    'processes: 60, then 67',
    'openFiles: 800, then 921',
  ]);
  assert.deepEqual(grown(BEFORE, { ...BEFORE, rules: 901, mounts: 201, interfaces: 28 }), [
    'rules: 900, then 901',
    'mounts: 200, then 201',
    'interfaces: 27, then 28',
  ]);
});

test('memory that fills caches, and goes up and down then, has not grown; memory that goes on growing has', () => {
  assert.deepEqual(memoryGrown([900, 980, 1_060, 1_130, 1_300, 1_110, 1_150, 930, 1_220, 1_190, 1_260, 1_050]), []);
  const leak = Array.from({ length: 12 }, (_, i) => 900 + 60 * i);
  assert.deepEqual(memoryGrown(leak), ['memory: 1260 MiB in the second third of the time, 1500 MiB in the last']);
  assert.deepEqual(memoryGrown(leak.slice(0, 8)), [], 'too few to tell');
});
