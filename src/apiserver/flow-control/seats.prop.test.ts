import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Account, apportion, emptyAccount, type Grant, grant, release, type SeatOptions } from './seats.ts';

const anyLevel = fc.record(
  {
    shares: fc.integer({ min: 0, max: 100 }),
    lendablePercent: fc.integer({ min: 0, max: 100 }),
    borrowingLimitPercent: fc.integer({ min: 0, max: 400 }),
  },
  { requiredKeys: ['shares', 'lendablePercent'] },
);
const anyStep = fc.record({
  level: fc.nat(),
  seats: fc.integer({ min: 1, max: 10 }),
  isRelease: fc.boolean(),
  pick: fc.nat(),
});

function accounts(total: number, levels: readonly SeatOptions[]): Account[] {
  const all = new Map(levels.map((options) => [emptyAccount(), options]));
  apportion(total, all);
  return [...all.keys()];
}

test('no more seats are held than there are, nobody lends or borrows beyond the limits, and all come back', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 600 }),
      fc.array(anyLevel, { minLength: 1, maxLength: 6 }),
      fc.array(anyStep, { maxLength: 200 }),
      (total, levels, steps) => {
        const all = accounts(total, levels);
        const held: Grant[] = [];
        for (const { level, seats, isRelease, pick } of steps) {
          if (isRelease && held.length > 0) release(held.splice(pick % held.length, 1)[0]!);
          else {
            const granted = grant(all[level % all.length]!, seats, all);
            if (granted) held.push(granted);
          }
          let inUse = 0;
          for (const one of all) {
            assert.ok(one.own >= 0 && one.lent >= 0 && one.borrowed >= 0);
            assert.ok(one.own + one.lent <= one.nominal);
            assert.ok(one.lent <= one.lendable);
            assert.ok(one.borrowed <= one.borrowing);
            inUse += one.own + one.lent;
          }
          const granted = held.reduce((sum, { own, from }) => sum + own + from.reduce((n, [, s]) => n + s, 0), 0);
          assert.equal(inUse, granted);
        }
        for (const one of held) release(one);
        for (const one of all) assert.deepEqual([one.own, one.lent, one.borrowed], [0, 0, 0]);
      },
    ),
  );
});

test('what a level does not lend is its own, whatever others hold', () => {
  fc.assert(
    fc.property(fc.array(anyLevel, { minLength: 2, maxLength: 6 }), fc.nat(), (levels, which) => {
      const all = accounts(600, levels);
      const mine = all[which % all.length]!;
      for (const other of all) if (other !== mine) while (grant(other, 1, all));
      for (let i = 0; i < mine.nominal - mine.lendable; i++) assert.ok(grant(mine, 1, all));
    }),
  );
});

test('shares as upstream divides them; one request is wider than its level; who waits lends nothing', () => {
  const [system, low, all] = (() => {
    const both = accounts(600, [
      { shares: 30, lendablePercent: 33 },
      { shares: 215, lendablePercent: 90 },
    ]);
    return [both[0]!, both[1]!, both];
  })();
  assert.deepEqual([system.nominal, system.lendable], [74, 24]);
  assert.deepEqual([low.nominal, low.lendable], [527, 474]);
  const [tiny] = accounts(1, [{ shares: 1, lendablePercent: 0 }]);
  assert.ok(grant(tiny!, 10, [tiny!]));
  low.waiting = 1;
  for (let i = 0; i < 74; i++) assert.ok(grant(system, 1, all));
  assert.equal(grant(system, 1, all), undefined);
  low.waiting = 0;
  assert.ok(grant(system, 1, all));
});
