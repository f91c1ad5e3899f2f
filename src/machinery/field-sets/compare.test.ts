import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { compileSchema, type SchemaProps } from '../../api/structural/schema.ts';
import { Tables } from '../../api/tables.ts';
import { fieldSetOf } from './applied-set.ts';
import { compareObjects } from './compare.ts';
import { type FieldSet, pathsOf, setOfPaths } from './field-set.ts';
import { mergeValues } from './merge.ts';
import { printPath } from './path-element.ts';
import { reconcileSet } from './reconcile.ts';
import { DEDUCED, type FieldSchema } from './schema.ts';
import { structuralFields } from './structural.ts';
import { fieldSchemaOf } from './table-schema.ts';

const tables = new Tables();
const POD_SPEC = fieldSchemaOf(tables, 'io.k8s.api.core.v1.PodSpec');
const print = (set: FieldSet): string[] => pathsOf(set).map(printPath);

function changes(
  schema: FieldSchema,
  before: object,
  after: object,
  skip?: FieldSet,
): [changed: string[], removed: string[]] {
  const { changed, removed } = compareObjects(schema, before, after, skip);
  return [print(changed), print(removed)];
}

const env = (...entries: readonly (readonly [name: string, value: string])[]): object => ({
  containers: [{ name: 'c', env: entries.map(([name, value]) => ({ name, value })) }],
});
const AT = '.containers[name="c"].env';

describe('items that a list has more than once', () => {
  test('are owned together when they come', () => {
    const [changed, removed] = changes(POD_SPEC, env(['A', '1']), env(['A', '1'], ['A', '2']));
    assert.deepEqual(changed, [`${AT}[name="A"]`]);
    assert.deepEqual(removed, [`${AT}[name="A"].name`, `${AT}[name="A"].value`]);
  });

  test('are owned one by one when one is left', () => {
    const [changed, removed] = changes(POD_SPEC, env(['A', '1'], ['A', '2']), env(['A', '2']));
    assert.deepEqual(changed, [`${AT}[name="A"]`, `${AT}[name="A"].name`, `${AT}[name="A"].value`]);
    assert.deepEqual(removed, [`${AT}[name="A"]`]);
  });

  test('change as a whole', () => {
    const before = env(['A', '1'], ['A', '2']);
    assert.deepEqual(changes(POD_SPEC, before, env(['A', '1'], ['A', '3'])), [[`${AT}[name="A"]`], []]);
    assert.deepEqual(changes(POD_SPEC, before, env(['A', '1'], ['A', '2'])), [[], []]);
    assert.deepEqual(changes(POD_SPEC, before, env()), [[], [`${AT}[name="A"]`]]);
    assert.deepEqual(print(fieldSetOf(POD_SPEC, before)), [
      '.containers[name="c"]',
      '.containers[name="c"].name',
      `${AT}[name="A"]`,
    ]);
  });

  test('become one when a configuration names them', () => {
    const merged = mergeValues(POD_SPEC, env(['A', '1'], ['B', '1'], ['A', '2']), env(['A', '3']));
    assert.deepEqual(merged, env(['A', '3'], ['B', '1']));
  });
});

test('the order of merged items is the configuration’s, the others stay where they were', () => {
  const merged = mergeValues(
    POD_SPEC,
    env(['A', ''], ['B', ''], ['C', ''], ['D', '']),
    env(['D', ''], ['X', ''], ['B', '']),
  );
  assert.deepEqual(merged, env(['A', ''], ['C', ''], ['D', ''], ['X', ''], ['B', '']));
});

test('what is skipped is not looked at', () => {
  const schema = fieldSchemaOf(tables, 'io.k8s.api.core.v1.Pod');
  const skip = setOfPaths([['f:status'], ['f:metadata', 'f:name']]);
  const after = { metadata: { name: 'a', labels: { a: 'b' } }, status: { phase: 'Running' } };
  assert.deepEqual(changes(schema, {}, after, skip), [['.metadata.labels', '.metadata.labels.a'], []]);
});

test('without a schema, maps are granular and lists are not', () => {
  const before = { a: { b: 1, c: [1] }, d: 'text' };
  assert.deepEqual(changes(DEDUCED, before, { a: { b: 1, c: [2] }, d: 'text' }), [['.a.c'], []]);
  assert.deepEqual(changes(DEDUCED, before, { a: 'text', d: { e: 1 } }), [
    ['.a', '.d', '.d.e'],
    ['.a.b', '.a.c'],
  ]);
});

describe('custom schemas', () => {
  const schemaOf = (props: SchemaProps): FieldSchema => structuralFields(compileSchema(props), DEDUCED, true);
  const list = (more: object): SchemaProps => ({
    type: 'object',
    properties: {
      list: {
        type: 'array',
        items: { type: 'object', properties: { name: { type: 'string' }, port: { type: 'integer', default: 1 } } },
        ...more,
      },
    },
  });
  const two = { list: [{ name: 'a' }, { name: 'a', port: 2 }] };

  test('lists are atomic, or maps by their keys with defaults', () => {
    assert.deepEqual(print(fieldSetOf(schemaOf(list({})), two)), ['.list']);
    const keyed = schemaOf(list({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name', 'port'] }));
    assert.deepEqual(
      print(fieldSetOf(keyed, two)).filter((path) => path.endsWith(']')),
      ['.list[name="a",port=1]', '.list[name="a",port=2]'],
    );
  });

  test('sets of before are read as the schema is now', () => {
    const atomic = schemaOf(list({}));
    const keyed = schemaOf(list({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name', 'port'] }));
    const granular = fieldSetOf(keyed, two);
    assert.deepEqual(print(reconcileSet(atomic, granular, two)), ['.list']);
    const whole = print(reconcileSet(keyed, fieldSetOf(atomic, two), two));
    assert.deepEqual(whole, ['.list', ...print(granular)]);
  });
});
