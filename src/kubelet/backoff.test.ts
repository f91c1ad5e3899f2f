import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FailureBackoff, goSeconds } from './backoff.ts';

test('10 s, doubling to 5 min, from the time of each failure', () => {
  const backoff = new FailureBackoff();
  let nowMs = 0;
  const waits: number[] = [];
  for (let crash = 0; crash < 8; crash++) {
    const untilMs = backoff.waitsUntil('k', nowMs, nowMs);
    waits.push(untilMs === undefined ? 0 : untilMs - nowMs);
    const failedMs = nowMs;
    nowMs = untilMs ?? nowMs;
    assert.equal(backoff.waitsUntil('k', failedMs, nowMs), undefined);
    backoff.next('k', failedMs, nowMs);
  }
  assert.deepEqual(waits, [0, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
});

test('ten minutes of peace make it begin anew', () => {
  const backoff = new FailureBackoff();
  backoff.next('k', 0, 0);
  backoff.next('k', 0, 0);
  assert.equal(backoff.waitMs('k'), 20_000);
  const laterMs = 600_001;
  assert.equal(backoff.waitsUntil('k', laterMs, laterMs), undefined);
  backoff.next('k', laterMs, laterMs);
  assert.equal(backoff.waitMs('k'), 10_000);
});

test('what has no effect any more is collected', () => {
  const backoff = new FailureBackoff();
  backoff.next('k', 0, 0);
  backoff.collect(600_000);
  assert.equal(backoff.waitMs('k'), 10_000);
  backoff.collect(600_001);
  assert.equal(backoff.waitMs('k'), 0);
});

test('durations are printed as Go does', () => {
  assert.deepEqual([10_000, 80_000, 300_000].map(goSeconds), ['10s', '1m20s', '5m0s']);
});
