// Bugs that are planted on purpose: each is noticed, by the invariant that it breaks, and the same run without it breaks none.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { ConfigMap } from '../api/generated/types.ts';
import { secondRegistry, testRegistry } from '../apiserver/registry/test-registry.ts';
import { checkLinearizable, type Operation } from '../drills/checkers/linearizability.ts';
import { type RegisterInput, type RegisterOutput, register } from '../drills/checkers/register.ts';
import { BUGS, type Bug, plant } from '../lib/planted.ts';
import type { Store } from '../store/contract.ts';
import { FAULTS, type FaultKind } from './faults.ts';
import { simulate } from './simulation.ts';

interface Scene {
  readonly seed: number;
  readonly nodes: number;
  readonly durationMs: number;
  readonly faults: readonly FaultKind[];
  /** The invariant that is violated, among whatever else. */
  readonly breaks: RegExp;
}

const SCENES: Readonly<Partial<Record<Bug, Scene>>> = {
  'acknowledge-before-durable': {
    seed: 1,
    nodes: 6,
    durationMs: 60_000,
    faults: ['apiserver'],
    breaks: /acknowledged write lost/,
  },
  'skip-watch-event': { seed: 2, nodes: 4, durationMs: 30_000, faults: [], breaks: /watch order/ },
  'no-fencing': { seed: 3, nodes: 8, durationMs: 90_000, faults: ['leaders', 'disk'], breaks: /fencing/ },
  'forget-finalizer': { seed: 5, nodes: 6, durationMs: 120_000, faults: [], breaks: /finalizers/ },
  'bind-twice': { seed: 2, nodes: 4, durationMs: 30_000, faults: ['nodes'], breaks: /one node a pod/ },
  'dead-endpoints': { seed: 2, nodes: 4, durationMs: 30_000, faults: [], breaks: /convergence/ },
  'ignore-budget': { seed: 2, nodes: 8, durationMs: 90_000, faults: FAULTS, breaks: /disruption budget/ },
};

/** A bug needs its occasion, which one seed in a few gives: any change of the program makes other runs of them. */
const SEEDS = 6;

after(() => plant());

for (const [bug, { breaks, ...scene }] of Object.entries(SCENES)) {
  test(`${bug} is noticed by the simulator, and nothing is without it`, async () => {
    plant(bug);
    const seen: string[] = [];
    for (let { seed } = scene; scene.seed + SEEDS > seed && !seen.some((text) => breaks.test(text)); seed++) {
      const { violations } = await simulate({ ...scene, seed });
      seen.push([...new Set(violations.map(({ invariant }) => invariant))].join('; '));
    }
    assert.match(seen.at(-1) ?? '', breaks);
    plant();
    assert.deepEqual((await simulate({ ...scene, seed: scene.seed + seen.length - 1 })).violations, []);
  });
}

test('stale-read is noticed by the history of two servers of one store, and nothing is without it', async () => {
  plant('stale-read');
  assert.equal((await historyOfTwoServers()).linearizable, false);
  plant();
  assert.equal((await historyOfTwoServers()).linearizable, true);
});

test('every bug that can be planted is noticed here', () => {
  assert.deepEqual([...Object.keys(SCENES), 'stale-read'].sort(), [...BUGS].sort());
  assert.throws(() => plant('another'), /there is no bug "another"/);
});

/** What is written through one server is read through the other, whose watch of the store is late. */
async function historyOfTwoServers() {
  const one = await testRegistry();
  const other = await secondRegistry(one, { store: late(one.store) });
  try {
    const operations: Operation<RegisterInput, RegisterOutput>[] = [];
    let time = 0;
    for (const value of ['a', 'b', 'c']) {
      const call = time++;
      const body = { metadata: { name: 'x', namespace: 'default' }, data: { value } };
      if (value === 'a') await one.create('configmaps', body);
      else await one.update('configmaps', body);
      operations.push({ call, return: time++, input: { kind: 'write', value }, output: { kind: 'done' } });
      const asked = time++;
      const found = await other.get('configmaps', 'x', 'default').then(
        (object) => (object as ConfigMap).data?.value,
        () => undefined,
      );
      const output = { kind: 'value', value: found } as const;
      operations.push({ call: asked, return: time++, input: { kind: 'read' }, output });
    }
    return checkLinearizable(register, operations);
  } finally {
    await one.close();
    await other.close();
  }
}

/** Its watch shows what happened some turns of the event loop later. */
function late(store: Store): Store {
  return {
    ...bound(store),
    watch: (options) =>
      (async function* () {
        for await (const batch of store.watch(options)) {
          for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve));
          yield batch;
        }
      })(),
  };
}

function bound(store: Store): Omit<Store, 'watch'> {
  return {
    get: (key, signal) => store.get(key, signal),
    list: (options) => store.list(options),
    write: (write, signal) => store.write(write, signal),
    revision: (signal) => store.revision(signal),
    compact: (revision, signal) => store.compact(revision, signal),
    snapshot: (signal) => store.snapshot(signal),
    close: () => store.close(),
  };
}
