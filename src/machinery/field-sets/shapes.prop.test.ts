// What is known by shape against what a walk tells of every single object.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Node, planOf } from '../../api/plan.ts';
import { compileSchema } from '../../api/structural/schema.ts';
import { Tables } from '../../api/tables.ts';
import { structFor } from '../../api/test-arbitrary.ts';
import { compareObjects } from './compare.ts';
import { setOfPaths } from './field-set.ts';
import type { FieldSchema } from './schema.ts';
import { DEDUCED } from './schema.ts';
import { fieldsOfNew } from './shapes.ts';
import { structuralFields } from './structural.ts';
import { fieldSchemaOf } from './table-schema.ts';

/** More find more, slowly. */
const RUNS = 60;
const tables = new Tables();
const CORE = 'io.k8s.api.core.v1';
const META = 'io.k8s.apimachinery.pkg.apis.meta.v1';
const SKIP = setOfPaths([['f:status'], ['f:metadata', 'f:uid']]);

/** Objects one after the other, so that each may meet the shapes of those before it. */
function agrees(schema: FieldSchema, objects: Iterable<object>): void {
  for (const object of objects) {
    for (const skip of [undefined, SKIP]) {
      let expected: unknown;
      try {
        expected = compareObjects(schema, {}, object, skip).changed;
      } catch (error) {
        assert.throws(() => fieldsOfNew(schema, object, skip), error as Error);
        continue;
      }
      assert.deepEqual(fieldsOfNew(schema, object, skip), expected, JSON.stringify(object));
      assert.equal(JSON.stringify(fieldsOfNew(schema, object, skip)), JSON.stringify(expected));
    }
  }
}

/** The object, and objects that differ from it in one scalar. */
function* alike(object: object): Iterable<object> {
  yield object;
  for (const value of ['', 'other', 0, 7, '0', false, null]) {
    const parts: object[] = [object];
    for (let at = 0; at < parts.length; at++) {
      for (const [key, member] of Object.entries(parts[at]!)) {
        if (typeof member === 'object' && member !== null) parts.push(member);
        else if (typeof member === typeof value || value === null) {
          Object.assign(parts[at]!, { [key]: value });
          yield object;
          Object.assign(parts[at]!, { [key]: member });
        }
      }
    }
  }
}

describe('fields of new objects, known by their shapes', () => {
  for (const name of ['Container', 'PodSpec', 'ServiceSpec', 'ObjectMeta', 'ConfigMap', 'EphemeralContainer']) {
    const type = `${name === 'ObjectMeta' ? META : CORE}.${name}`;
    test(`of ${type}`, () => {
      const schema = fieldSchemaOf(tables, type);
      const object = structFor({ plan: planOf(tables, type) } as Node, 3);
      fc.assert(
        fc.property(object, (of) => agrees(schema, alike(of as object))),
        { numRuns: RUNS },
      );
    });
  }

  test('of custom resources, and of what has no schema', () => {
    const text = { type: 'string' };
    const schema = structuralFields(
      compileSchema({
        type: 'object',
        properties: {
          finalizers: { type: 'array', items: text, 'x-kubernetes-list-type': 'set' },
          items: {
            type: 'array',
            items: { type: 'object', properties: { name: text, value: text } },
            'x-kubernetes-list-type': 'map',
            'x-kubernetes-list-map-keys': ['name'],
          },
          selector: { type: 'object', additionalProperties: text, 'x-kubernetes-map-type': 'atomic' },
          labels: { type: 'object', additionalProperties: text },
        },
      }),
      DEDUCED,
    );
    const word = fc.constantFrom('', 'x', 'y');
    const words = fc.dictionary(word, word, { maxKeys: 2 });
    const item = fc.record({ name: word, value: word }, { requiredKeys: [] });
    const finalizers = fc.array(word, { maxLength: 3 });
    const object = fc.record(
      { finalizers, items: fc.array(item, { maxLength: 3 }), selector: words, labels: words, extra: words },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(object, (of) => {
        agrees(schema, alike(of));
        agrees(DEDUCED, alike(of));
      }),
      { numRuns: RUNS * 5 },
    );
  });

  test('an object that was made alike shares the set', () => {
    const schema = fieldSchemaOf(tables, 'io.k8s.api.core.v1.ConfigMap');
    const made = (name: string): object => ({ metadata: { name }, data: { a: `${name}'s` } });
    assert.equal(fieldsOfNew(schema, made('x')), fieldsOfNew(schema, made('y')));
    assert.notEqual(fieldsOfNew(schema, made('x')), fieldsOfNew(schema, { ...made('y'), immutable: true }));
  });

  test('of large objects no shape is kept', () => {
    const schema = fieldSchemaOf(tables, 'io.k8s.api.core.v1.ConfigMap');
    const data = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`key-${i}`, 'x']));
    assert.notEqual(fieldsOfNew(schema, { data }), fieldsOfNew(schema, { data }));
  });
});
