import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ask, define, object, schema } from './test-server.ts';

test('members are called as they are, also as what every object inherits', async () => {
  const text = { type: 'string' };
  const path = await define('Odd', [
    schema({
      properties: { a: text, constructor: text, toString: text, free: { type: 'object', additionalProperties: text } },
    }),
  ]);
  const apply = { 'content-type': 'application/apply-patch+yaml' };
  const one = await ask(
    'PATCH',
    `${path}/o?fieldManager=one`,
    object('Odd', 'o', { spec: { a: 'x', free: JSON.parse('{"__proto__":"p","k":"v"}') } }),
    apply,
  );
  assert.equal(one.status, 201, one.text);
  assert.deepEqual(Object.keys(one.json.metadata.managedFields[0].fieldsV1['f:spec']), ['f:a', 'f:free']);
  const two = await ask(
    'PATCH',
    `${path}/o?fieldManager=two`,
    object('Odd', 'o', { spec: { constructor: 'c' } }),
    apply,
  );
  assert.equal(two.status, 200, two.text);
  const three = await ask('PATCH', `${path}/o?fieldManager=one`, object('Odd', 'o', { spec: { a: 'x' } }), apply);
  assert.deepEqual(three.json.spec, { a: 'x', constructor: 'c' });
});

test('a null that may be is not the same as nothing, nor is an empty list', async () => {
  const text = { type: 'string', nullable: true };
  const list = { type: 'array', items: { type: 'string' } };
  const path = await define('Void', [schema({ properties: { a: text, b: text, list } })]);
  const apply = async (spec: object): Promise<unknown> => {
    const { json } = await ask('GET', `${path}/v`);
    const put = await ask('PUT', `${path}/v`, { ...json, spec });
    assert.equal(put.status, 200, put.text);
    const { json: now } = await ask('GET', `${path}/v`);
    assert.deepEqual(now.spec, spec);
    return now.metadata.generation;
  };
  assert.equal((await ask('POST', path, object('Void', 'v', { spec: { a: null } }))).status, 201);
  assert.equal(await apply({ b: null }), 2);
  assert.equal(await apply({}), 3);
  assert.equal(await apply({ list: [] }), 4);
  assert.equal(await apply({ list: [] }), 4);
});
