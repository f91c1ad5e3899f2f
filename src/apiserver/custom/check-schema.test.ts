// The rules of structural schemas, each with upstream's wording.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SchemaProps } from '../../api/structural/schema.ts';
import { schemaProblems } from './check-schema.ts';

const told = (a: object, more: object = {}): string[] =>
  schemaProblems({ type: 'object', properties: { a }, ...more } as SchemaProps, '').map(
    ({ field, message }) => `${field.replace('.properties[a]', 'a')}: ${message}`,
  );

test('what is structural is told nothing of', () => {
  for (const good of [
    { type: 'array', items: { type: 'string' } },
    { type: 'string', anyOf: [{ pattern: 'a', nullable: false, description: '' }, { maxLength: 3 }] },
    { 'x-kubernetes-int-or-string': true, anyOf: [{ type: 'integer' }, { type: 'string' }] },
    { type: 'object', 'x-kubernetes-embedded-resource': true, properties: { kind: { type: 'string' } } },
    { type: 'object', properties: { b: { type: 'string' } }, oneOf: [{ required: ['b'] }] },
  ]) {
    assert.deepEqual(told(good), []);
  }
  assert.deepEqual(
    told(
      { type: 'string' },
      { properties: { metadata: { type: 'object', properties: { name: { type: 'string' } } } } },
    ),
    [],
  );
});

test('what is not is told where it stands', () => {
  const cases: [object, string][] = [
    [{ type: 'array' }, 'a.items: Required value: must be specified'],
    [{ type: 'string', anyOf: [{ nullable: true }] }, 'a.anyOf[0].nullable: Forbidden: must be false to be structural'],
    [{ type: 'string', not: { default: 'x' } }, 'a.not.default: Forbidden: must be undefined to be structural'],
    [{ type: 'string', allOf: [{ type: 'string' }] }, 'a.allOf[0].type: Forbidden: must be empty to be structural'],
    [
      { type: 'object', 'x-kubernetes-embedded-resource': true },
      'a.properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields',
    ],
    [
      { type: 'object', 'x-kubernetes-embedded-resource': true, properties: { kind: { type: 'integer' } } },
      'a.properties[kind].type: Invalid value: "integer": must be string',
    ],
    [
      { 'x-kubernetes-int-or-string': true, 'x-kubernetes-preserve-unknown-fields': true },
      'a.x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is true',
    ],
  ];
  for (const [schema, wanted] of cases) assert.deepEqual(told(schema), [wanted]);
  const bare = { type: 'string' };
  assert.deepEqual(told(bare, { properties: { metadata: {} } }), [
    '.properties[metadata].type: Invalid value: "": must be object',
  ]);
  const nested = {
    properties: { metadata: { type: 'object' } },
    anyOf: [{ properties: { metadata: { minProperties: 1 } } }],
  };
  assert.deepEqual(told(bare, nested), [
    '.anyOf[0].properties[metadata]: Forbidden: must not be specified in a nested context',
  ]);
  const free = { additionalProperties: true, 'x-kubernetes-preserve-unknown-fields': true, properties: undefined };
  assert.ok(told(bare, free).includes('.additionalProperties: Forbidden: must not be used at the root'));
});
