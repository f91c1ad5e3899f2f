import assert from 'node:assert/strict';
import { test } from 'node:test';
import { initialProbeState, isProbeDue, nextProbeState, type ProbeState, type ProbeType } from './state.ts';

function play(
  type: ProbeType,
  outcomes: string,
  thresholds: { failureThreshold?: number; successThreshold?: number },
): string[] {
  let state: ProbeState = initialProbeState(type, 'c');
  return [...outcomes].map((o) => {
    state = nextProbeState(state, type, thresholds, o === '+' ? 'success' : 'failure');
    return state.verdict;
  });
}

test('liveness fails after as many failures in a row as its threshold', () => {
  assert.deepEqual(play('liveness', '--+---', { failureThreshold: 3 }), [
    'success', 'success', 'success', 'success', 'success', 'failure',
  ]); // biome-ignore format: a row
});

test('readiness goes both ways', () => {
  assert.deepEqual(play('readiness', '++-+--', { failureThreshold: 2, successThreshold: 2 }), [
    'failure', 'success', 'success', 'success', 'success', 'failure',
  ]); // biome-ignore format: a row
});

test('a fatal verdict holds until there is another container', () => {
  let state = initialProbeState('startup', 'c');
  assert.equal(state.verdict, 'unknown');
  state = nextProbeState(state, 'startup', { failureThreshold: 1 }, 'failure');
  const timing = { nowMs: 10_000, startedAtMs: 0, started: false };
  assert.equal(state.onHold, true);
  assert.equal(isProbeDue(state, 'startup', {}, timing), false);
  assert.equal(isProbeDue(initialProbeState('startup', 'd'), 'startup', {}, timing), true);
});

test('the others wait for startup, startup ends with its success, all wait for the initial delay', () => {
  const at = (started: boolean, nowMs = 10_000) => ({ nowMs, startedAtMs: 0, started });
  const due = (type: ProbeType, started: boolean, nowMs?: number): boolean =>
    isProbeDue(initialProbeState(type, 'c'), type, { initialDelaySeconds: 5 }, at(started, nowMs));
  assert.deepEqual([due('startup', false), due('startup', true)], [true, false]);
  assert.deepEqual([due('liveness', false), due('liveness', true)], [false, true]);
  assert.deepEqual([due('readiness', true, 4_999), due('readiness', true, 5_000)], [false, true]);
});

test('readiness that an earlier kubelet reported stands until a probe says otherwise', () => {
  assert.equal(initialProbeState('readiness', 'c', true).verdict, 'success');
  assert.equal(initialProbeState('readiness', 'c').verdict, 'failure');
});
