import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { copyByTable, decode, serialize } from './codec.ts';
import { applyDefaults } from './defaults.ts';
import { type Node, planOf } from './plan.ts';
import { Tables } from './tables.ts';
import { structFor } from './test-arbitrary.ts';

const tables = new Tables();

/** The same value with its members in the opposite order. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, member]) => [key, key === 'fieldsV1' || key === 'raw' ? member : reversed(member)]),
  );
}

const TYPES = ['Pod', 'Service', 'ConfigMap', 'PersistentVolumeClaim', 'LimitRange', 'Event']
  .map((kind) => `io.k8s.api.core.v1.${kind}`)
  .concat(['io.k8s.api.apps.v1.Deployment', 'io.k8s.api.apps.v1.StatefulSet', 'io.k8s.api.batch.v1.CronJob']);

for (const type of TYPES) {
  const root = { plan: planOf(tables, type) } as Node;
  test(`${type}: writing, reading, copying and defaulting agree`, () => {
    fc.assert(
      fc.property(structFor(root, 6), (value) => {
        const object = decode(tables, type, structuredClone(value), { fieldValidation: 'Strict' }).object;
        const bytes = serialize(tables, type, object);
        const again = decode(tables, type, JSON.parse(bytes.toString()), { fieldValidation: 'Strict' }).object;
        assert.deepEqual(again, object);
        assert.deepEqual(serialize(tables, type, JSON.parse(bytes.toString())), bytes);
        assert.deepEqual(serialize(tables, type, reversed(object) as object), bytes);
        const copy = copyByTable(tables, type, object);
        assert.deepEqual(copy, object);
        applyDefaults(tables, type, copy);
        const once = serialize(tables, type, copy).toString();
        const twice = decode(tables, type, JSON.parse(once)).object;
        applyDefaults(tables, type, twice);
        assert.equal(serialize(tables, type, twice).toString(), once);
      }),
      { numRuns: 40 },
    );
  });
}
