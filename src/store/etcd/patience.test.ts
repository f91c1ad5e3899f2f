import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../../lib/fake-clock.ts';
import { Patience } from './patience.ts';

const timings = { unavailableAfterMs: 2_500, leaderlessAfterMs: 1_000 };

function begun() {
  const clock = new FakeClock();
  const lost: number[] = [];
  const patience = new Patience(clock, timings, () => lost.push(clock.monotonic()));
  const left = (): number => patience.offeredUntil(clock.monotonic()) - clock.monotonic();
  return { clock, lost, patience, left };
}

test('a quorum that was there and is gone: who asks later waits less, and in the end not at all', async () => {
  const { clock, lost, patience, left } = begun();
  patience.see(true);
  assert.equal(left(), 2_500);
  const goneMs = clock.monotonic();
  patience.see(false);
  assert.equal(left(), 1_000);
  await clock.advance(600);
  // A second member that is not well any more does not begin the time anew.
  patience.see(false);
  assert.equal(left(), 400);
  assert.deepEqual(lost, []);
  await clock.advance(400);
  assert.deepEqual(lost, [goneMs + 1_000]);
  assert.equal(left(), 0);
  await clock.advance(5_000);
  assert.ok(left() < 0);
  assert.equal(lost.length, 1);
  patience.see(true);
  assert.equal(left(), 2_500);
});

test('an election that ends in time is no loss, and the next one has the whole time again', async () => {
  const { clock, lost, patience, left } = begun();
  patience.see(true);
  patience.see(false);
  await clock.advance(900);
  patience.see(true);
  await clock.advance(900);
  assert.deepEqual(lost, []);
  patience.see(false);
  assert.equal(left(), 1_000);
  await clock.advance(900);
  assert.deepEqual(lost, []);
  patience.close();
  await clock.advance(900);
  assert.deepEqual(lost, []);
});

test('before a member was well for the first time, a request has its own time only', async () => {
  const { clock, lost, patience, left } = begun();
  patience.see(false);
  await clock.advance(60_000);
  assert.equal(left(), 2_500);
  assert.deepEqual(lost, []);
});
