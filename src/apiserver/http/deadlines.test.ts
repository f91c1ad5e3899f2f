import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../../lib/fake-clock.ts';
import { Deadlines } from './deadlines.ts';

test('each request is given up when its own time is over, and not when it ended before', async () => {
  const clock = new FakeClock();
  const deadlines = new Deadlines(clock, 60);
  const expired: string[] = [];
  const begin = (name: string): number => {
    const end = (): void => {
      expired.push(name);
      deadlines.remove(slot);
    };
    const slot = deadlines.add({ startMs: clock.monotonic(), expire: end });
    return slot;
  };
  begin('a');
  const slot = begin('b');
  await clock.advance(30);
  begin('c');
  deadlines.remove(slot);
  await clock.advance(29);
  assert.deepEqual(expired, []);
  await clock.advance(1);
  assert.deepEqual(expired, ['a']);
  await clock.advance(29);
  assert.deepEqual(expired, ['a']);
  await clock.advance(1);
  assert.deepEqual(expired, ['a', 'c']);
  assert.equal(clock.pending, 0);
});

test('after the close no timer outlasts the requests under way', () => {
  const clock = new FakeClock();
  const deadlines = new Deadlines(clock, 60);
  const due = { startMs: clock.monotonic(), expire: () => assert.fail('it ended in time') };
  const slot = deadlines.add(due);
  deadlines.close();
  assert.equal(clock.pending, 1);
  deadlines.remove(slot);
  assert.equal(clock.pending, 0);
});
