import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileSchema, type SchemaProps } from '../../../api/structural/schema.ts';
import { Budget } from './budget.ts';
import { rulesProblems } from './check.ts';
import { ruleProblems } from './evaluate.ts';

type Rules = SchemaProps['x-kubernetes-validations'];

const spec = (properties: { [name: string]: SchemaProps }, rules?: Rules): SchemaProps => ({
  ...{ type: 'object', properties },
  ...(rules && { 'x-kubernetes-validations': rules }),
});

const numbers = (size: number): number[] => Array.from({ length: size }, (_, i) => i);

async function found(schema: SchemaProps, object: object, budget?: Budget): Promise<readonly string[]> {
  const errors = await ruleProblems(compileSchema(schema), object, undefined, budget);
  return errors.map(({ field, message }) => `${field}: ${message}`);
}

test('a rule that costs too much is told of, and no other runs', async () => {
  const list: SchemaProps = { type: 'array', items: { type: 'integer' } };
  const rules = [
    { rule: 'self.list.size() < 0', message: 'first' },
    { rule: 'self.list.all(a, self.list.all(b, a + b >= 0))' },
    { rule: 'false', message: 'never' },
  ];
  const why =
    "'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds " +
    'limit for rule: self.list.all(a, self.list.all(b, a + b >= 0))';
  assert.deepEqual(await found(spec({ list }, rules), { list: numbers(2_000) }), [
    '<nil>: Invalid value: "object": first',
    `<nil>: Invalid value: "object": ${why}`,
  ]);
  assert.deepEqual(await found(spec({ list }, rules), { list: numbers(20) }), [
    '<nil>: Invalid value: "object": first',
    '<nil>: Invalid value: "object": never',
  ]);
});

test('all rules of an object, of all of its levels, share one budget', async () => {
  const item: SchemaProps = { type: 'integer', 'x-kubernetes-validations': [{ rule: 'self >= 0' }] };
  const schema = spec({ list: { type: 'array', items: item } });
  const out = 'validation failed due to running out of cost budget, no further validation rules will be run';
  // Two for each: a name and a comparison.
  assert.deepEqual(await found(schema, { list: numbers(100) }, new Budget(200)), []);
  assert.deepEqual(await found(schema, { list: numbers(101) }, new Budget(200)), [
    `list[100]: Invalid value: "integer": ${out}`,
  ]);
  assert.deepEqual(await found(schema, { list: numbers(500) }, new Budget(200)), [
    `list[100]: Invalid value: "integer": ${out}`,
  ]);
});

test('messages that are worked out cost too', async () => {
  const list: SchemaProps = { type: 'array', items: { type: 'integer' } };
  const messageExpression = "self.list.map(a, self.list.map(b, string(a + b)).join('')).join('')";
  const schema = spec({ list }, [{ rule: 'false', messageExpression }, { rule: 'false' }]);
  assert.deepEqual(await found(schema, { list: numbers(300) }), [
    '<nil>: Invalid value: "object": no further validation rules will be run due to call cost exceeds limit for ' +
      `messageExpression: ${JSON.stringify(messageExpression)}`,
  ]);
  assert.deepEqual(await found(schema, { list: numbers(30) }, new Budget(1_000)), [
    '<nil>: Invalid value: "object": messageExpression evaluation failed due to running out of cost budget, no further ' +
      'validation rules will be run',
  ]);
  assert.equal((await found(schema, { list: numbers(2) })).length, 2);
});

test('others have their turn between rules that take long', async () => {
  const list: SchemaProps = {
    type: 'array',
    items: spec({ n: { type: 'array', items: { type: 'integer' } } }, [
      { rule: 'self.n.all(a, self.n.all(b, a + b >= 0))' },
    ]),
  };
  let turns = 0;
  let over = false;
  const count = (): void => {
    turns++;
    if (!over) setImmediate(count);
  };
  setImmediate(count);
  assert.deepEqual(await found(spec({ list }), { list: Array(40).fill({ n: numbers(80) }) }), []);
  over = true;
  assert.ok(turns >= 20, `${turns} turns`);
});

test('values of formats that are types of their own, however they are written', async () => {
  const text = (format: string): SchemaProps => ({ type: 'string', format });
  const schema = spec({ d: text('duration'), t: text('date-time') }, [
    { rule: "!has(self.d) || self.d > duration('1h')", message: 'short' },
    { rule: "!has(self.t) || self.t > timestamp('2011-01-01T00:00:00Z')", message: 'early' },
  ]);
  for (const d of ['3 weeks', '2hours30min', '1h1s', '61m', '1.5 h'])
    assert.deepEqual(await found(schema, { d }), [], d);
  assert.deepEqual(await found(schema, { d: '-3 days' }), ['<nil>: Invalid value: "object": short']);
  assert.deepEqual(await found(schema, { t: '2011-08-18T19:03:37.010000000+01:00' }), []);
});

test('has() of any expression', async () => {
  const item = spec({ a: { type: 'integer' }, b: { type: 'integer' } });
  const map: SchemaProps = { type: 'object', additionalProperties: item };
  const schema = spec({ list: { type: 'array', items: item }, map }, [
    {
      rule: 'has(self.list[0].a) && !has(self.list[0].b) && has( self.list.filter(x, has(x.b))[0].b)',
      message: 'list',
    },
    { rule: "has(self.map['has(x'].a) && !has(self.map['has(x'].b)", message: 'map' },
    { rule: 'has(self.list[5].a)' },
  ]);
  const object = { list: [{ a: 1 }, { b: 2 }], map: { 'has(x': { a: 1 } } };
  const [broken, ...more] = await found(schema, object);
  assert.deepEqual(more, []);
  assert.match(broken!, /: index out of bounds: 5 evaluating rule: has\(self\.list\[5\]\.a\)$/);
  const wrong = spec({ list: { type: 'array', items: item } }, [{ rule: 'has(self.list[0].nope)' }]);
  assert.match(rulesProblems(wrong, 'schema')[0]!.message, /compilation failed: No such key: nope/);
  const empty = spec({ list: { type: 'array', items: item } }, [{ rule: 'has(self.list[0])' }]);
  assert.match(rulesProblems(empty, 'schema')[0]!.message, /compilation failed: has\(\) invalid argument/);
});

test('what goes wrong while a rule is evaluated is told in upstream’s words', async () => {
  const rules = [
    { rule: 'self.m.none == 1' },
    { rule: 'self.n / 0 == 1', message: 'not so' },
    { rule: 'self.x + 1 == 2' },
  ];
  const m: SchemaProps = { type: 'object', additionalProperties: { type: 'integer' } };
  const x: SchemaProps = { 'x-kubernetes-int-or-string': true };
  const object = { m: { a: 1 }, n: 1, x: 'text' };
  assert.deepEqual(await found(spec({ m, x, n: { type: 'integer' } }, rules), object), [
    '<nil>: Invalid value: "object": no such key: none evaluating rule: self.m.none == 1',
    '<nil>: Invalid value: "object": division by zero evaluating rule: not so',
    '<nil>: Invalid value: "object": \'no such overload\': call arguments did not match a supported operator, ' +
      'function or macro signature for rule: self.x + 1 == 2',
  ]);
});
