import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cloneJson, sameJson } from '../../api/json.ts';
import { Tables } from '../../api/tables.ts';
import { applyMergePatch } from './merge.ts';
import { applyStrategicPatch } from './strategic.ts';

const tables = new Tables();
const POD = 'io.k8s.api.core.v1.Pod';
const DEPLOYMENT = 'io.k8s.api.apps.v1.Deployment';

// biome-ignore lint/suspicious/noExplicitAny: tests look into objects of every type
const patched = (type: string, document: object, patch: unknown): any =>
  applyStrategicPatch(tables, type, document, patch);
const spec = (document: object, patch: unknown): unknown => patched(POD, { spec: document }, { spec: patch }).spec;
const names = (value: unknown): string[] =>
  (value as { containers: { name: string }[] }).containers.map((container) => container.name);

test('lists of objects are merged by their key', () => {
  const document = { containers: [{ name: 'a', image: '1', env: [{ name: 'X', value: '1' }] }, { name: 'b' }] };
  const patch = { containers: [{ name: 'a', image: '2', env: [{ name: 'Y', value: '2' }] }, { name: 'c' }] };
  assert.deepEqual(spec(document, patch), {
    containers: [
      {
        name: 'a',
        image: '2',
        env: [
          { name: 'Y', value: '2' },
          { name: 'X', value: '1' },
        ],
      },
      { name: 'c' },
      { name: 'b' },
    ],
  });
});

test('other lists are replaced, and null removes', () => {
  assert.deepEqual(
    spec({ tolerations: [{ key: 'a' }], hostNetwork: true }, { tolerations: [{ key: 'b' }], hostNetwork: null }),
    {
      tolerations: [{ key: 'b' }],
    },
  );
  assert.deepEqual(
    patched(POD, { metadata: { labels: { a: '1', b: '2' } } }, { metadata: { labels: { a: null, c: '3' } } }),
    {
      metadata: { labels: { b: '2', c: '3' } },
    },
  );
});

test('$patch in lists and maps', () => {
  const document = { containers: [{ name: 'a' }, { name: 'b' }], nodeSelector: { x: '1' } };
  assert.deepEqual(names(spec(document, { containers: [{ name: 'a', $patch: 'delete' }] })), ['b']);
  assert.deepEqual(names(spec(document, { containers: [{ name: 'z' }, { $patch: 'replace' }] })), ['z']);
  assert.deepEqual(spec(document, { nodeSelector: { y: '2', $patch: 'replace' } }), {
    ...document,
    nodeSelector: { y: '2' },
  });
  assert.deepEqual(spec(document, { nodeSelector: { $patch: 'delete' } }), { ...document, nodeSelector: {} });
  assert.deepEqual(
    spec(
      {},
      {
        containers: [
          { name: 'a', $patch: 'delete' },
          { name: 'b', image: null },
        ],
      },
    ),
    {
      containers: [{ name: 'b' }],
    },
  );
});

test('$retainKeys clears what it does not name', () => {
  const strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } };
  const patch = { spec: { strategy: { $retainKeys: ['type'], type: 'Recreate' } } };
  assert.deepEqual(patched(DEPLOYMENT, { spec: { strategy } }, patch), { spec: { strategy: { type: 'Recreate' } } });
  const volumes = [{ name: 'v', emptyDir: {} }];
  const change = { volumes: [{ name: 'v', $retainKeys: ['name', 'hostPath'], hostPath: { path: '/' } }] };
  assert.deepEqual(spec({ volumes }, change), { volumes: [{ name: 'v', hostPath: { path: '/' } }] });
  const bad = { strategy: { $retainKeys: ['type'], rollingUpdate: {} } };
  assert.throws(() => patched(DEPLOYMENT, { spec: { strategy } }, { spec: bad }), {
    reason: 'BadRequest',
    message: 'invalid patch format of retainKeys',
  });
});

test('lists of scalars: union, and $deleteFromPrimitiveList', () => {
  const metadata = { finalizers: ['a', 'b'] };
  const finalizers = (patch: object): unknown => patched(POD, { metadata }, { metadata: patch }).metadata.finalizers;
  assert.deepEqual(finalizers({ finalizers: ['c', 'a'] }), ['c', 'a', 'b']);
  assert.deepEqual(finalizers({ '$deleteFromPrimitiveList/finalizers': ['a', 'x'] }), ['b']);
  assert.deepEqual(patched(POD, { metadata: {} }, { metadata: { '$deleteFromPrimitiveList/finalizers': ['a'] } }), {
    metadata: {},
  });
});

test('$setElementOrder', () => {
  const document = { containers: [{ name: 'a' }, { name: 'server' }, { name: 'b' }, { name: 'c' }] };
  const order = (...list: string[]): object => ({ '$setElementOrder/containers': list.map((name) => ({ name })) });
  assert.deepEqual(names(spec(document, order('c', 'b', 'a'))), ['server', 'c', 'b', 'a']);
  const change = { ...order('b', 'd', 'a', 'c'), containers: [{ name: 'd' }, { name: 'a', image: 'x' }] };
  const result = spec(document, change) as { containers: object[] };
  assert.deepEqual(names(result), ['server', 'b', 'd', 'a', 'c']);
  assert.deepEqual(
    result.containers.find((c) => (c as { name: string }).name === 'a'),
    { name: 'a', image: 'x' },
  );
  assert.throws(() => spec(document, { ...order('a'), containers: [{ name: 'b' }] }), {
    message: /^The order in patch list:/,
  });
  const finalizers = patched(
    POD,
    { metadata: { finalizers: ['x', 'a', 'b'] } },
    { metadata: { '$setElementOrder/finalizers': ['b', 'a'] } },
  );
  assert.deepEqual(finalizers.metadata.finalizers.indexOf('b') < finalizers.metadata.finalizers.indexOf('a'), true);
});

test('a declared replacement replaces a map', () => {
  const type = 'io.k8s.api.policy.v1.PodDisruptionBudget';
  const before = { spec: { selector: { matchLabels: { a: '1' } } } };
  assert.deepEqual(patched(type, before, { spec: { selector: { matchLabels: { b: '2' } } } }), {
    spec: { selector: { matchLabels: { b: '2' } } },
  });
});

test('malformed patches are refused', () => {
  const document = { containers: [{ name: 'a' }] };
  assert.throws(() => patched(POD, {}, []), { reason: 'BadRequest', message: 'invalid JSON document' });
  assert.throws(() => spec(document, { containers: [{ image: 'x' }] }), {
    message: 'map: map[image:x] does not contain declared merge key: name',
  });
  assert.throws(() => spec(document, { containers: [{ name: 'a', $patch: 'explode' }] }), {
    message: /^unknown patch type: explode in map/,
  });
  assert.throws(() => spec(document, { $patch: 'explode' }), { message: /^unknown patch type: explode/ });
  assert.throws(() => spec(document, { containers: ['a'] }), { message: /^list element types are not identical/ });
  assert.throws(() => spec(document, { containers: [['a']] }), { code: 422 });
  assert.throws(() => spec(document, { '$setElementOrder/containers': 1 }), { reason: 'BadRequest' });
});

const scalarMap = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.option(fc.string(), { freq: 3 }), { maxKeys: 3 });

test('on maps of scalars it is a merge patch', () => {
  fc.assert(
    fc.property(scalarMap, scalarMap, (labels, change) => {
      const document = {
        metadata: { labels: Object.fromEntries(Object.entries(labels).filter(([, v]) => v !== null)) },
      };
      const patch = { metadata: { labels: change } };
      assert.ok(sameJson(patched(POD, document, patch), applyMergePatch(document, patch)));
    }),
  );
});

const containerList = fc.uniqueArray(
  fc.record(
    { name: fc.constantFrom('a', 'b', 'c', 'd'), image: fc.constantFrom('x', 'y') },
    { requiredKeys: ['name'] },
  ),
  { selector: (c) => c.name, maxLength: 4 },
);

test('merging by key agrees with merging maps by name, changes no input, and keeps the patch order', () => {
  fc.assert(
    fc.property(containerList, containerList, fc.subarray(['a', 'b', 'c', 'd']), (live, change, deleted) => {
      const removals = deleted.filter((name) => !change.some((c) => c.name === name));
      const patch = { containers: [...change, ...removals.map((name) => ({ name, $patch: 'delete' }))] };
      const [l, p] = [cloneJson(live), cloneJson(patch)];
      const result = spec({ containers: live }, patch) as { containers: { name: string }[] };
      const expected = new Map(live.filter((c) => !removals.includes(c.name)).map((c) => [c.name, c]));
      for (const c of change) expected.set(c.name, { ...expected.get(c.name), ...c });
      const got = new Map(result.containers.map((c) => [c.name, c]));
      assert.ok(sameJson(Object.fromEntries(got), Object.fromEntries(expected)));
      assert.equal(result.containers.length, expected.size);
      const changed: string[] = change.map((c) => c.name);
      assert.deepEqual(
        names(result).filter((n) => changed.includes(n)),
        changed,
      );
      const others: string[] = live.map((c) => c.name).filter((n) => !changed.includes(n) && !removals.includes(n));
      assert.deepEqual(
        names(result).filter((n) => others.includes(n)),
        others,
      );
      assert.ok(sameJson([live, patch], [l, p]));
    }),
  );
});
