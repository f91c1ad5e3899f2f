import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sourceOf } from './source.ts';

test('messages become calls, their fields quoted, whatever stands within them', () => {
  assert.equal(
    sourceOf("Object{spec: Object.spec{replicas: 1 + [1, 2][0], ?paused: object.?a}, metadata: {'a{b': 'x:y'}}"),
    `newObjectMessage("Object", {"spec": newObjectMessage("Object.spec", {"replicas": 1 + [1, 2][0], "?paused": object.?a}), ` +
      `"metadata": {'a{b': 'x:y'}})`.replace('metadata": {', 'metadata": {'),
  );
  assert.equal(sourceOf('[JSONPatch{op: "add", path: "/a"}]'), '[newJSONPatchMessage({"op": "add", "path": "/a"})]');
  assert.equal(sourceOf('Object{}'), 'newObjectMessage("Object", {})');
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
    assert.equal(sourceOf(text), text);
  }
});

test('comments go, lines stay', () => {
  assert.equal(sourceOf("1 // it's\n + 2"), '1 \n + 2');
});

test('matches gets the name that runs in linear time, in the text of strings it does not', () => {
  assert.equal(sourceOf("object.a.matches('.matches(')"), "object.a.matchesInLinearTime('.matches(')");
});

test('has() of more than names gets the name that takes it', () => {
  assert.equal(sourceOf('has(object.a) && has(object.?a.b)'), 'has(object.a) && has(object.?a.b)');
  assert.equal(
    sourceOf("has(object.a[0].b) || 'has(a[0].b)' == x.has(y[0])"),
    "hasMember(object.a[0].b) || 'has(a[0].b)' == x.has(y[0])",
  );
});
