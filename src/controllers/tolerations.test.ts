import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Taint, Toleration } from '../api/generated/types.ts';
import { evictionTime, tolerates } from './tolerations.ts';

const TAINT: Taint = { key: 'k', value: '5', effect: 'NoExecute' };

it('covers a taint by key, value and effect as the API says', () => {
  const cases: [Toleration, boolean][] = [
    [{ operator: 'Exists' }, true],
    [{ key: 'k', operator: 'Exists' }, true],
    [{ key: 'other', operator: 'Exists' }, false],
    [{ key: 'k', value: '5' }, true],
    [{ key: 'k', operator: 'Equal', value: '6' }, false],
    [{ key: 'k', value: '5', effect: 'NoExecute' }, true],
    [{ key: 'k', value: '5', effect: 'NoSchedule' }, false],
    [{ key: 'k', operator: 'Gt', value: '4' }, true],
    [{ key: 'k', operator: 'Gt', value: '5' }, false],
    [{ key: 'k', operator: 'Lt', value: '10' }, true],
    [{ key: 'k', operator: 'Lt', value: 'ten' }, false],
  ];
  for (const [toleration, expected] of cases) {
    assert.equal(tolerates(toleration, TAINT), expected, JSON.stringify(toleration));
  }
});

it('a pod leaves now, later or never', () => {
  const timed = [
    { taint: TAINT, sinceMs: 1_000 },
    { taint: { ...TAINT, key: 'm' }, sinceMs: 5_000 },
  ];
  const of = (seconds?: number, key?: string): Toleration => ({
    operator: 'Exists',
    ...(key && { key }),
    ...(seconds !== undefined && { tolerationSeconds: seconds }),
  });
  assert.equal(evictionTime(timed, []), Number.NEGATIVE_INFINITY);
  assert.equal(evictionTime(timed, [of(60, 'k')]), Number.NEGATIVE_INFINITY, 'one taint is not tolerated');
  assert.equal(evictionTime(timed, [of()]), undefined);
  assert.equal(evictionTime(timed, [of(60, 'k'), of(10, 'm')]), 15_000);
  assert.equal(evictionTime(timed, [of(0, 'k'), of()]), Number.NEGATIVE_INFINITY);
  assert.equal(evictionTime(timed, [of(undefined, 'k'), of(3, 'k'), of(10)]), 15_000, 'the first that covers counts');
});
