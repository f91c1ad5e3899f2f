import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ObjectEvent } from './event.ts';
import { HISTORY_BYTES, HISTORY_EVENTS, History } from './history.ts';

const eventAt = (revision: number): ObjectEvent => ({ revision, cool: () => undefined }) as ObjectEvent;

test('history is bounded by number, and its floor says from where it is whole', () => {
  const history = new History(0);
  for (let revision = 1; 3 * HISTORY_EVENTS >= revision; revision++) history.add(eventAt(revision), 1);
  const kept = history.after(history.floor, Number.POSITIVE_INFINITY);
  assert.ok(kept.length >= HISTORY_EVENTS && 1.1 * HISTORY_EVENTS >= kept.length, `${kept.length} kept`);
  assert.equal(kept[0]!.revision, history.floor + 1);
  assert.equal(kept.at(-1)!.revision, 3 * HISTORY_EVENTS);
});

test('history is bounded by bytes, but a hundred changes stay however big they are', () => {
  const history = new History(0);
  const size = HISTORY_BYTES / 200;
  for (let revision = 1; 1000 >= revision; revision++) history.add(eventAt(revision), size);
  const kept = history.after(history.floor, 10_000).length;
  assert.ok(200 >= kept && kept >= 170, `${kept} kept`);
  const big = new History(0);
  for (let revision = 1; 300 >= revision; revision++) big.add(eventAt(revision), HISTORY_BYTES);
  assert.equal(big.after(big.floor, 10_000).length, 100);
  assert.equal(big.floor, 200);
});
