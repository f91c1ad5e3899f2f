import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { dealHand, flowHash } from './shuffle-shard.ts';

test('a hand has different cards of the deck, the same ones each time', () => {
  const anyHash = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
  fc.assert(
    fc.property(anyHash, fc.integer({ min: 1, max: 512 }), fc.integer({ min: 1, max: 10 }), (hash, deck, size) => {
      const hand = dealHand(hash, deck, size);
      assert.equal(new Set(hand).size, Math.min(size, deck));
      assert.ok(hand.every((card) => Number.isInteger(card) && card >= 0 && card < deck));
      assert.deepEqual(dealHand(hash, deck, size), hand);
    }),
  );
});

test('every hand of a small deck is dealt by some hash: as a deck from which cards are taken one by one', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1e9 }), fc.integer({ min: 1, max: 30 }), (hash, deck) => {
      const cards = Array.from({ length: deck }, (_, i) => i);
      let rest = hash;
      const naive: number[] = [];
      for (let i = 0; i < Math.min(5, deck); i++) {
        const at = rest % cards.length;
        rest = Math.floor(rest / cards.length);
        naive.push(...cards.splice(at, 1));
      }
      assert.deepEqual(dealHand(hash, deck, 5), naive);
    }),
  );
});

test('users are spread over the queues, and few of many share all of theirs with one other', () => {
  const used = new Map<number, number>();
  const heavy = new Set(dealHand(flowHash('global-default', 'heavy'), 128, 6));
  let blocked = 0;
  for (let i = 0; i < 4000; i++) {
    const hand = dealHand(flowHash('global-default', `user-${i}`), 128, 6);
    for (const card of hand) used.set(card, (used.get(card) ?? 0) + 1);
    if (hand.every((card) => heavy.has(card))) blocked++;
  }
  assert.equal(used.size, 128);
  const mean = (4000 * 6) / 128;
  for (const [card, count] of used) assert.ok(Math.abs(count - mean) < mean / 2, `queue ${card}: ${count} of ${mean}`);
  assert.equal(blocked, 0);
});
