import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import type { KubeObject } from '../api/object.ts';
import { silentLog } from '../lib/log.ts';
import { ObjectIndex } from './object-index.ts';

const SIGNAL = new AbortController().signal;
const name = fc.constantFrom('a', 'b', 'c', 'd');
const labels = fc.dictionary(fc.constantFrom('x', 'y'), fc.constantFrom('1', '2'));
const object = fc.record({ name, labels, uid: fc.constantFrom('u', 'v') });
const step = fc.oneof(
  fc.record({ kind: fc.constant('put' as const), object }),
  fc.record({ kind: fc.constant('remove' as const), name }),
  fc.record({ kind: fc.constant('list' as const), objects: fc.uniqueArray(object, { selector: (one) => one.name }) }),
);

/** "label=value" pairs. */
const values = ({ metadata }: KubeObject): string[] =>
  Object.entries(metadata.labels ?? {}).map(([key, value]) => `${key}=${value}`);

it('an index is what a naive search finds, and handlers that replay changes know the same objects', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const index = new ObjectIndex(silentLog);
      index.addIndex('early', values);
      const naive = new Map<string, KubeObject>();
      const replayed = new Map<string, KubeObject>();
      const key = (one: KubeObject): string => `${one.metadata.name}/${one.metadata.uid}`;
      index.subscribe(
        {
          add: (one) => {
            assert.ok(!replayed.has(key(one)));
            replayed.set(key(one), one);
          },
          update: (one, previous) => {
            assert.equal(replayed.get(key(one)), previous);
            replayed.set(key(one), one);
          },
          delete: (one) => assert.ok(replayed.delete(key(one))),
        },
        SIGNAL,
      );
      let version = 0;
      const made = (of: { name: string; labels: { [key: string]: string }; uid: string }): KubeObject => ({
        metadata: { ...of, resourceVersion: String(++version) },
      });
      for (const one of steps) {
        if (one.kind === 'put') {
          const put = made(one.object);
          naive.set(put.metadata.name, put);
          index.apply([{ type: 'MODIFIED', object: put }]);
        } else if (one.kind === 'remove') {
          const gone = naive.get(one.name) ?? made({ name: one.name, labels: {}, uid: 'w' });
          naive.delete(one.name);
          index.apply([{ type: 'DELETED', object: gone }]);
        } else {
          const list = one.objects.map(made);
          naive.clear();
          for (const listed of list) naive.set(listed.metadata.name, listed);
          await index.replace(list, String(++version), SIGNAL);
        }
      }
      index.addIndex('late', values);
      const expected = [...naive.values()];
      const sorted = (objects: Iterable<KubeObject>): string[] =>
        [...objects].map((one) => one.metadata.resourceVersion ?? '').sort();
      assert.deepEqual(sorted(index.list()), sorted(expected));
      assert.deepEqual(sorted(replayed.values()), sorted(expected));
      for (const value of ['x=1', 'x=2', 'y=1', 'y=2']) {
        const found = expected.filter((one) => values(one).includes(value));
        assert.deepEqual(sorted(index.byIndex('early', value)), sorted(found));
        assert.deepEqual(sorted(index.byIndex('late', value)), sorted(found));
      }
    }),
    { numRuns: 150 },
  );
});
