import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type RandomMix, randomMix } from './random-mix.ts';

const MIX = fc.record({
  seed: fc.integer({ min: 0, max: 1e9 }),
  durationMs: fc.integer({ min: 5_000, max: 120_000 }),
  radius: fc.record({ controlPlanes: fc.integer({ min: 0, max: 2 }), workers: fc.integer({ min: 0, max: 2 }) }),
});
const HOSTS = { controlPlanes: ['cp-1', 'cp-2', 'cp-3'], workers: ['worker-1', 'worker-2', 'worker-3'] };

test('never more hosts of a role are broken at the same time than the blast radius', () => {
  fc.assert(
    fc.property(MIX, (some) => {
      const mix: RandomMix = { ...some, ...HOSTS };
      const { steps } = randomMix(mix);
      for (const { atMs } of steps) {
        const now = steps.filter((step) => step.atMs <= atMs && atMs < step.atMs + (step.forMs ?? 0) + 1);
        const hosts = now.map(({ fault }) => {
          const target = fault.kind === 'partition' ? fault.from : 'on' in fault ? fault.on : undefined;
          return target && 'hosts' in target ? target.hosts[0]! : '';
        });
        assert.equal(new Set(hosts).size, hosts.length, 'no host is hit twice at the same time');
        assert.ok(hosts.filter((name) => name.startsWith('cp-')).length <= mix.radius.controlPlanes);
        assert.ok(hosts.filter((name) => name.startsWith('worker-')).length <= mix.radius.workers);
        for (const kind of ['partition', 'loss']) {
          assert.ok(now.filter(({ fault }) => fault.kind === kind).length <= 1, `${kind} is healed as a whole`);
        }
      }
      assert.ok(steps.every(({ atMs, forMs = 0 }) => atMs + forMs <= mix.durationMs));
      assert.deepEqual(randomMix(mix), randomMix(mix), 'the same seed is the same drill');
    }),
  );
});

test('some mix of a minute breaks things of either role', () => {
  const { steps } = randomMix({ seed: 4, durationMs: 60_000, radius: { controlPlanes: 1, workers: 1 }, ...HOSTS });
  assert.ok(steps.length >= 4, `${steps.length} faults`);
});
