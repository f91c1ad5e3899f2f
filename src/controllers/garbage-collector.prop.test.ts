import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { garbageCollector } from './garbage-collector.ts';
import { runTestControllers } from './test-controllers.ts';

const COUNT = 8;
const policy = fc.constantFrom('Background' as const, 'Foreground' as const, 'Orphan' as const);
/** Object i may be owned by any before it, so there are no circles. */
const world = fc.record({
  owners: fc.tuple(...Array.from({ length: COUNT }, (_, i) => fc.subarray(Array.from({ length: i }, (_, j) => j)))),
  deletions: fc.array(fc.record({ index: fc.nat({ max: COUNT - 1 }), policy }), { maxLength: 4 }),
});

/** What is left when objects are deleted one after the other, each time until all is quiet. */
function naive(
  owners: readonly (readonly number[])[],
  deletions: readonly { index: number; policy: string }[],
): number[] {
  const alive = new Set(owners.keys());
  const refs = owners.map((of) => new Set(of));
  for (const { index, policy: how } of deletions) {
    if (!alive.delete(index)) continue;
    if (how === 'Orphan') for (const of of refs) of.delete(index);
    for (let changed = true; changed; ) {
      changed = false;
      for (const one of alive) {
        const of = refs[one]!;
        if (of.size === 0) continue;
        const living = [...of].filter((owner) => alive.has(owner));
        if (living.length > 0) refs[one] = new Set(living);
        else changed = alive.delete(one) || changed;
      }
    }
  }
  return [...alive];
}

it('deleting a thing deletes what it owns, or orphans it, and nothing else', async () => {
  await fc.assert(
    fc.asyncProperty(world, async ({ owners, deletions }) => {
      const cluster = await runTestControllers(garbageCollector());
      const maps = cluster.client.resource('configmaps');
      try {
        const uids: string[] = [];
        for (const [i, of] of owners.entries()) {
          const ownerReferences = of.map((j) => ({
            apiVersion: 'v1',
            kind: 'ConfigMap',
            name: `m${j}`,
            uid: uids[j]!,
          }));
          const made = await maps.create({ metadata: { namespace: 'default', name: `m${i}`, ownerReferences } });
          uids.push(made.metadata.uid ?? '');
        }
        await cluster.pass(100);
        for (const deletion of deletions) {
          const query = { propagationPolicy: deletion.policy };
          await maps.delete({ namespace: 'default', name: `m${deletion.index}` }, query).catch(() => undefined);
          for (let i = 0; i < COUNT; i++) await cluster.pass(1_000);
        }
        const left = (await maps.list({ namespace: 'default' })).items.map((one) => one.metadata.name);
        assert.deepEqual(
          left,
          naive(owners, deletions)
            .map((i) => `m${i}`)
            .sort(),
        );
      } finally {
        await cluster.close();
      }
    }),
    { numRuns: 15 },
  );
});
