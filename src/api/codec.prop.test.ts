import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { copyByTable, decode, serialize } from './codec.ts';
import { applyDefaults } from './defaults.ts';
import { type Node, planOf } from './plan.ts';
import { Tables } from './tables.ts';

const tables = new Tables();

/** A value that the node takes, sometimes null, sometimes with unknown members. */
function valueFor(node: Node, depth: number): fc.Arbitrary<unknown> {
  switch (node.shape) {
    case 'struct':
      return structFor(node, depth);
    case 'list':
      return fc.array(valueFor(node.element!, depth - 1), { maxLength: 2 });
    case 'map':
      return fc.dictionary(fc.stringMatching(/^[a-z]{1,3}$/), valueFor(node.element!, depth - 1), { maxKeys: 2 });
    case 'bool':
      return fc.boolean();
    case 'int32':
    case 'int64':
    case 'double':
      return fc.integer({ min: -3, max: 3 });
    case 'bytes':
      return fc.constantFrom('', 'YQ==');
    case 'time':
    case 'microtime':
      return fc.constantFrom('2024-01-01T00:00:00Z', '2024-01-01T01:00:00.5+01:00');
    case 'duration':
      return fc.constantFrom('90m', '1s');
    case 'quantity':
      return fc.constantFrom('1000m', 1, '0', '1024Ki');
    case 'intorstring':
      return fc.constantFrom(0, 80, '25%');
    case 'fieldsv1':
      return fc.constant({ 'f:a': {} });
    case 'custom':
      return fc.constant({});
    case 'string':
      return fc.constantFrom('', 'a', 'nginx:latest', 'ClientIP', 'RollingUpdate', 'LoadBalancer');
    default:
      return fc.constant({ any: [1, 'x'] });
  }
}

function structFor(node: Node, depth: number): fc.Arbitrary<unknown> {
  if (depth <= 0) return fc.constant({});
  const model: { [name: string]: fc.Arbitrary<unknown> } = {};
  for (const field of node.plan.fields) model[field.name] = fc.option(valueFor(field.node, depth - 1), { freq: 6 });
  return fc.record(model, { requiredKeys: [] });
}

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
