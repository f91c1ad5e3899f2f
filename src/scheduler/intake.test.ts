import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '../lib/clock.ts';
import { FakeClock } from '../lib/fake-clock.ts';
import { type Log, silentLog } from '../lib/log.ts';
import { Intake } from './intake.ts';

/** Time passes by looking at it: three milliseconds a look, so that a slice holds one change. */
function passingClock(): Clock {
  const clock = new FakeClock();
  let looks = 0;
  return { now: () => clock.now(), timer: (ms, fire) => clock.timer(ms, fire), monotonic: () => ++looks * 3 };
}

test('a change that throws is logged and stops no other, at once or in a later turn', async () => {
  const errors: string[] = [];
  const log: Log = { ...silentLog, error: (_message, error) => void errors.push(String(error)) };
  const intake = new Intake(passingClock(), log);
  const done: string[] = [];
  const bad = (): void => {
    throw new Error('bad');
  };
  intake.take(bad);
  for (const name of ['first', 'second', 'third']) {
    intake.take(() => done.push(name));
    intake.take(bad);
  }
  assert.ok(done.length < 3, 'some had to wait for a later turn');
  await intake.drained();
  assert.deepEqual(done, ['first', 'second', 'third']);
  assert.equal(errors.length, 4);
});
