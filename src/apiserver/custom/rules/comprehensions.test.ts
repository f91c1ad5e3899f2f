import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kubernetesEnvironment } from './library.ts';

const env = kubernetesEnvironment();
const value = (text: string): unknown => env.evaluate(text);

test('index and value of a list, key and value of a map', () => {
  for (const text of [
    '[1, 2, 3].all(i, v, v == i + 1) && ![1, 2, 4].all(i, v, v == i + 1) && [].all(i, v, false)',
    "{'a': 1, 'b': 2}.exists(k, v, k == 'b' && v == 2) && !{'a': 1}.exists(k, v, v == 2)",
    '[5, 6, 5].existsOne(i, v, v == 6 && i == 1) && ![5, 6, 5].existsOne(i, v, v == 5)',
    '[5, 6, 5].existsOne(v, v == 6) && ![5, 6, 5].existsOne(v, v == 5)',
    '[10, 20].transformList(i, v, v + i) == [10, 21]',
    '[10, 20, 30].transformList(i, v, i != 1, v) == [10, 30]',
    "{'a': 1, 'b': 2}.transformMap(k, v, v * 10) == {'a': 10, 'b': 20}",
    "{'a': 1, 'b': 2}.transformMap(k, v, k == 'b', v * 10) == {'b': 20}",
    "{'a': 'x', 'b': 'y'}.transformMapEntry(k, v, {v: k}) == {'x': 'a', 'y': 'b'}",
    "['x', 'y'].transformMapEntry(i, v, i == 1, {v: i}) == {'y': 1}",
    '[[1, 2], [3, 4]].all(i, row, row.all(j, v, v == 2 * i + j + 1))',
  ]) {
    assert.equal(value(text), true, text);
  }
});

test('an error counts only where no round decides; of existsOne and of keys that are there already always', () => {
  assert.equal(value('[0, 1].all(i, v, 1 / v == 2)'), false);
  assert.equal(value('[0, 1].exists(i, v, 1 / v == 1)'), true);
  assert.throws(() => value('[0, 1].all(i, v, 1 / v == 1)'), /division by zero/i);
  assert.throws(() => value('[0, 1].existsOne(i, v, 1 / v == 1)'), /division by zero/i);
  assert.throws(() => value('[1, 2].transformMapEntry(i, v, {"same": v})'), /key same already exists/);
});

test('types are checked', () => {
  const issue = (text: string): string => String(env.check(text).error?.message ?? '').split('\n')[0]!;
  assert.match(issue('[1].all(i, v, v + i)'), /predicate must return bool, got 'int'/);
  assert.match(issue("[1].all(i, v, v == 'x')"), /no such overload: int == string/);
  assert.match(issue("{'a': 1}.all(k, v, k == 1)"), /no such overload: string == int/);
  assert.match(issue('1.all(i, v, true)'), /cannot be range of a comprehension/);
  assert.equal(env.check('[1].transformList(i, v, string(v))').type, 'list<string>');
  assert.equal(env.check("{'a': 1}.transformMap(k, v, v > 0)").type, 'map<string, bool>');
  assert.throws(() => env.parse('[1].all(i, i, true)'), /overlapping variable name 'i'/);
  assert.throws(() => env.parse('[1].all(1, v, true)'), /must be a simple name/);
});
