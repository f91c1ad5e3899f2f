import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Tables } from '../../api/tables.ts';
import { FakeClock, settle } from '../../lib/fake-clock.ts';
import { silentLog } from '../../lib/log.ts';
import { seededRandom } from '../../lib/random.ts';
import { parseFieldSelector, parseLabelSelector } from '../../machinery/selector-parse.ts';
import { openMemoryStore } from '../../store/memory.ts';
import type { CachedObject, Filter } from '../contract.ts';
import { startCaches } from './cache-set.ts';

const tables = new Tables();
const pods = tables.resource('', 'v1', 'pods')!;
const never = new AbortController().signal;

interface Pod {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels?: { readonly [key: string]: string };
  };
  readonly spec: { readonly nodeName: string };
}

/** Each filter with what it means, said once more and naively. */
const FILTERS: readonly (readonly [Filter, (pod: Pod) => boolean])[] = [
  [{}, () => true],
  [{ namespace: 'a' }, (p) => p.metadata.namespace === 'a'],
  [{ name: 'x' }, (p) => p.metadata.name === 'x'],
  [{ namespace: 'b', name: 'y' }, (p) => p.metadata.namespace === 'b' && p.metadata.name === 'y'],
  [{ labels: parseLabelSelector('on=1') }, (p) => p.metadata.labels?.on === '1'],
  [{ fields: parseFieldSelector('spec.nodeName=n1') }, (p) => p.spec.nodeName === 'n1'],
  [
    {
      namespace: 'a',
      fields: parseFieldSelector('spec.nodeName=n1,metadata.name!=x'),
      labels: parseLabelSelector('on!=1'),
    },
    (p) =>
      p.metadata.namespace === 'a' &&
      p.spec.nodeName === 'n1' &&
      p.metadata.name !== 'x' &&
      p.metadata.labels?.on !== '1',
  ],
];

const step = fc.record({
  namespace: fc.constantFrom('a', 'b'),
  name: fc.constantFrom('x', 'y'),
  on: fc.constantFrom('0', '1'),
  nodeName: fc.constantFrom('', 'n1', 'n2'),
  remove: fc.boolean(),
  /** Begin a watch with this filter here, so far back. */
  watch: fc.option(fc.record({ filter: fc.nat(FILTERS.length - 1), back: fc.nat(5) })),
  pause: fc.boolean(),
});

/** A watcher is a replica: what it was told, applied to what it listed, is what it would list now. */
class Replica {
  readonly objects = new Map<string, number>();
  last: number;

  constructor(listed: readonly CachedObject[], after: number) {
    for (const object of listed) this.objects.set(object.key, object.revision);
    this.last = after;
  }

  take(type: string, object: CachedObject, revision: number): void {
    assert.ok(revision > this.last, 'in order, once');
    assert.equal(object.revision, revision);
    assert.equal(this.objects.has(object.key), type !== 'ADDED', `${type} ${object.key}@${revision}`);
    if (type === 'DELETED') this.objects.delete(object.key);
    else this.objects.set(object.key, revision);
    this.last = revision;
  }
}

test('whoever lists and then watches, with any filter and from any revision, ends with what a list shows', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 60, size: 'max' }), async (steps) => {
      const store = openMemoryStore({ clock: new FakeClock() });
      const controller = new AbortController();
      const env = { clock: new FakeClock(), random: seededRandom(1), log: silentLog };
      const fieldsOf = (_r: unknown, o: unknown): { [field: string]: string } => {
        const { metadata, spec } = o as Pod;
        return {
          'metadata.name': metadata.name,
          'metadata.namespace': metadata.namespace,
          'spec.nodeName': spec.nodeName,
        };
      };
      const caches = await startCaches(store, tables, fieldsOf, env, controller.signal);
      const cache = caches.for(pods);
      /** The state after each revision. */
      const states: ReadonlyMap<string, { pod: Pod; object: CachedObject }>[] = [new Map()];
      const replicas: { filter: number; replica: Replica }[] = [];
      for (const s of steps) {
        const key = `/registry/pods/${s.namespace}/${s.name}`;
        const state = new Map(states.at(-1));
        const expected = state.get(key)?.object.revision ?? 0;
        if (s.remove && expected === 0) continue;
        const metadata = { name: s.name, namespace: s.namespace, labels: { on: s.on } };
        const pod: Pod = { metadata, spec: { nodeName: s.nodeName } };
        const value = s.remove ? null : Buffer.from(JSON.stringify({ kind: 'Pod', apiVersion: 'v1', ...pod }));
        await store.write({ key, value, expected }, never);
        await caches.consistent(never);
        if (s.remove) state.delete(key);
        else state.set(key, { pod, object: cache.get(s.namespace, s.name)! });
        states.push(state);
        if (s.watch) {
          const { filter, back } = s.watch;
          const after = Math.max(0, states.length - 1 - back);
          const [wanted, matches] = FILTERS[filter]!;
          const listed = [...states[after]!.values()]
            .filter((entry) => matches(entry.pod))
            .map((entry) => entry.object);
          const replica = new Replica(listed, after);
          replicas.push({ filter, replica });
          cache.watch({
            filter: wanted,
            after,
            signal: controller.signal,
            deliver: (batch) => {
              for (const d of batch) if (d.type !== 'BOOKMARK') replica.take(d.type, d.object, d.revision);
            },
            end: assert.ifError,
          });
        }
        if (s.pause) await settle();
      }
      await settle();
      for (const { filter, replica } of replicas) {
        const [wanted, matches] = FILTERS[filter]!;
        const shown = cache.list(wanted).items.map((o) => [o.key, o.revision]);
        const naive = [...states.at(-1)!.values()]
          .filter((e) => matches(e.pod))
          .map((e) => [e.object.key, e.object.revision]);
        assert.deepEqual(shown, naive.sort());
        assert.deepEqual([...replica.objects].sort(), shown);
      }
      controller.abort();
    }),
    { numRuns: 60 },
  );
});
