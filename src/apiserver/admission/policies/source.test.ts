import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sourceOf } from './source.ts';

const checked = (text: string): string => sourceOf(text).checked;
const counted = (text: string): string => sourceOf(text).counted;

test('messages become calls, their fields quoted, whatever stands within them', () => {
  assert.equal(
    checked("Object{spec: Object.spec{replicas: 1 + [1, 2][0], ?paused: object.?a}, metadata: {'a{b': 'x:y'}}"),
    `newObjectMessage("Object", {"spec": newObjectMessage("Object.spec", {"replicas": 1 + [1, 2][0], "?paused": object.?a}), ` +
      `"metadata": {'a{b': 'x:y'}})`.replace('metadata": {', 'metadata": {'),
  );
  assert.equal(checked('[JSONPatch{op: "add", path: "/a"}]'), '[newJSONPatchMessage({"op": "add", "path": "/a"})]');
  assert.equal(checked('Object{}'), 'newObjectMessage("Object", {})');
});

test('what is no message stays as it is written', () => {
  for (const text of [
    "object.spec == {'a': 1}",
    "'x' in {'x': 1}",
    'object.a.b in {1: 2}',
    "'Object{a: 1}' == r'JSONPatch{'",
    'object.x ? {1: 2} : {}',
    '"""Object{""" + \'a\\\'Object{\'',
    'Foo.bar{a: 1}',
    'object.Object',
  ]) {
    assert.equal(checked(text), text);
  }
});

test('comments go, lines stay', () => {
  assert.equal(checked("1 // it's\n + 2"), '1 \n + 2');
});

test('matches gets the name that runs in linear time, in the text of strings it does not', () => {
  assert.equal(checked("object.a.matches('.matches(')"), "object.a.matchesInLinearTime('.matches(')");
});

test('rounds of loops are counted, those within others too', () => {
  assert.equal(counted('l.all(x, x > 0)'), 'l.all(x, countSteps(3) && ( x > 0))');
  assert.equal(counted('l.exists(x, (x))'), 'l.exists(x, !countSteps(3) || ( (x)))');
  assert.equal(counted('l.map(x, x + 1)'), 'l.map(x, countSteps(3),  x + 1)');
  assert.equal(counted('l.map(x, p, e)'), 'l.map(x, countSteps(3) && ( p),  e)');
  assert.match(
    counted('l.all(x, x.filter(y, true).size() > 0)'),
    /countSteps\(\d+\) && \( x\.filter\(y, countSteps\(1\) && \( true\)\)/,
  );
  assert.equal(counted('l.all(x)'), 'l.all(x)');
});

test('rounds of loops with two variables, and of existsOne, are counted', () => {
  assert.equal(counted('l.all(i, v, v > i)'), 'l.all(i, v, countSteps(3) && ( v > i))');
  assert.equal(counted('l.exists(i, v, v)'), 'l.exists(i, v, !countSteps(1) || ( v))');
  assert.equal(counted('l.existsOne(v, v)'), 'l.existsOne(v, countSteps(1) && ( v))');
  assert.equal(counted('l.transformList(i, v, v)'), 'l.transformList(i, v, countSteps(1),  v)');
  assert.equal(counted('l.transformMap(k, v, k, v)'), 'l.transformMap(k, v, countSteps(3) && ( k),  v)');
});
