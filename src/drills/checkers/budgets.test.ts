import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../../lib/fake-clock.ts';
import type { PodView } from '../run/workload.ts';
import { Budgets } from './budgets.ts';

const pod = (name: string, more: Partial<PodView> = {}): PodView => ({
  ...{ name, uid: name, app: 'web', node: 'n', isReady: true, isLeaving: false, isEvicted: false },
  ...more,
});
const EVICTED = { isEvicted: true, isLeaving: true };

function three(): { readonly budgets: Budgets; readonly clock: FakeClock } {
  const clock = new FakeClock();
  const budgets = new Budgets(clock);
  for (const name of ['a', 'b', 'c']) budgets.saw(false, pod(name));
  return { budgets, clock };
}

test('one of three may go, the next when another has come', () => {
  const { budgets } = three();
  // Marked first, told to go then: counted once.
  budgets.saw(false, pod('a', { isEvicted: true }));
  budgets.saw(false, pod('a', EVICTED));
  budgets.saw(false, pod('a', { ...EVICTED, isReady: false }));
  budgets.saw(true, pod('a', EVICTED));
  budgets.saw(false, pod('d'));
  budgets.saw(false, pod('b', EVICTED));
  assert.deepEqual([budgets.evicted, budgets.overdrawn], [2, []]);
});

test('a second one at once breaks the budget', () => {
  const { budgets } = three();
  budgets.saw(false, pod('a', EVICTED));
  budgets.saw(false, pod('b', EVICTED));
  assert.deepEqual(budgets.overdrawn, ['b was evicted, and 1 of 2 were ready']);
});

test('so does one that goes while another is known to be lost, but not at the moment of the loss', async () => {
  const late = three();
  late.budgets.saw(false, pod('a', { isReady: false }));
  await late.clock.advance(1_500);
  late.budgets.saw(false, pod('b', EVICTED));
  assert.deepEqual(late.budgets.overdrawn, ['b was evicted, and 1 of 2 were ready']);

  const crossing = three();
  crossing.budgets.saw(false, pod('a', { isReady: false }));
  crossing.budgets.saw(false, pod('b', EVICTED));
  assert.deepEqual(crossing.budgets.overdrawn, []);
});

test('of pods that went unseen nothing is said, and those that are left are what counts', () => {
  const { budgets } = three();
  budgets.begin([pod('b'), pod('c')]);
  assert.deepEqual([budgets.evicted, budgets.overdrawn], [0, []]);
  budgets.saw(false, pod('b', EVICTED));
  assert.deepEqual(budgets.overdrawn, ['b was evicted, and 1 of 2 were ready']);
});

test('what a lost node takes along asks no budget, and other apps have their own', () => {
  const { budgets } = three();
  for (const name of ['a', 'b', 'c']) budgets.saw(false, pod(name, { isLeaving: true }));
  budgets.saw(false, pod('o-0', { app: 'ordered' }));
  budgets.saw(false, pod('o-1', { app: 'ordered' }));
  budgets.saw(false, pod('o-0', { app: 'ordered', ...EVICTED }));
  budgets.saw(false, pod('other', { app: 'started' }));
  budgets.saw(false, pod('other', { app: 'started', ...EVICTED }));
  assert.deepEqual([budgets.evicted, budgets.overdrawn], [1, []]);
});
