import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileSchema, type SchemaProps } from '../../../api/structural/schema.ts';
import { estimateCost, RULE_COST_LIMIT } from './cost.ts';

const text: SchemaProps = { type: 'string' };
const schema = compileSchema({
  type: 'object',
  properties: {
    text,
    short: { type: 'string', maxLength: 20 },
    list: { type: 'array', maxItems: 10, items: { type: 'string', maxLength: 10 } },
    free: { type: 'object', additionalProperties: true },
  },
});
const fits = (rule: string): boolean => estimateCost(rule, schema) <= RULE_COST_LIMIT;

test('loops over what a text is cut into take as many rounds as it has characters', () => {
  assert.ok(!fits("self.text.split('').all(a, self.text.split('').all(b, a == b))"));
  assert.ok(!fits("self.text.findAll('.').exists(a, self.text.findAll('.').exists(b, a == b))"));
  assert.ok(fits("self.short.split('').all(a, self.short.split('').all(b, a == b))"));
  assert.ok(!fits("self.text.split(',').all(a, a.matches('^[a-z]+$'))"), 'as upstream: a text has to have a maxLength');
});

test('loops over data of no known shape take as many as an object has room for', () => {
  assert.ok(!fits("self.free['x'].all(a, self.free['x'].all(b, a == b))"));
});

test('loops over what is written, put together or chosen are as long as its parts', () => {
  for (const rule of [
    '[1, 2, 3].all(a, [1, 2, 3].all(b, a == b))',
    '(self.list + self.list).all(a, (self.list + self.list).all(b, a == b))',
    '(has(self.list) ? self.list : []).all(a, (has(self.list) ? self.list : []).all(b, a == b))',
    'self.?list.orValue([]).all(a, self.?list.orValue([]).all(b, a.startsWith(b)))',
    'self.list.filter(a, a.size() > 1).all(a, self.list.map(b, b).all(b, a == b))',
  ]) {
    assert.ok(fits(rule), rule);
    assert.ok(estimateCost(rule, schema) < 10_000, rule);
  }
});

test('a loop with two variables knows what its values are; sets are compared pair by pair', () => {
  assert.ok(fits('self.list.all(i, v, v.matches("^[a-z]+$"))'));
  assert.ok(!fits('self.free.all(k, v, self.free.all(l, w, k == l))'));
  assert.ok(fits('sets.contains(self.list, self.list)'));
  assert.ok(!fits("sets.contains(self.text.split(''), self.text.split(''))"));
  assert.ok(!fits("self.text.split('').distinct().size() > 1"));
});
