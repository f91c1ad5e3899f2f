import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inSlices, Turns } from './turns.ts';

const round = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('one worker has its turn in each round of the event loop, in order', async () => {
  const turns = new Turns();
  const log: string[] = [];
  const worker = async (name: string): Promise<void> => {
    for (let i = 0; i < 2; i++) {
      await turns.next();
      log.push(name);
    }
  };
  const all = Promise.all([worker('a'), worker('b'), worker('c')]);
  const lengths: number[] = [];
  for (let i = 0; i < 6; i++) {
    await round();
    lengths.push(log.length);
  }
  await all;
  assert.deepEqual(log, ['a', 'b', 'c', 'a', 'b', 'c']);
  lengths.forEach((length, i) => {
    assert.ok(length <= i + 1, `${length} turns in ${i + 1} rounds`);
  });
});

test('slices end where their items add up to the limit', async () => {
  const rounds: number[] = [];
  let now = 0;
  let over = false;
  const count = async (): Promise<void> => {
    for (; !over; now++) await round();
  };
  const counting = count();
  await inSlices([3, 3, 3, 9, 1, 1], 6, (item) => {
    rounds.push(now);
    return item;
  });
  over = true;
  await counting;
  const starts = rounds.map((at, i) => i > 0 && at !== rounds[i - 1]);
  assert.deepEqual(starts, [false, false, true, false, true, false]);
});
