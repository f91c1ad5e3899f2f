import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AnswerObject } from '../registry/answer-object.ts';
import { KEPT_LIST_MIN_BYTES, KEPT_LISTS_BYTES, ListBodies } from './list-bodies.ts';

const object = (name: string, size = 10) =>
  new AnswerObject({ metadata: { name, annotations: { x: 'ü'.repeat(size) } } });

test('a body is the list as JSON', () => {
  const items = [object('a'), object('b')];
  const { plain } = new ListBodies().join('{"kind":"L","note":"ß"}', items);
  assert.deepEqual(JSON.parse(plain.toString()), { kind: 'L', note: 'ß', items: items.map((item) => item.object) });
  assert.deepEqual(JSON.parse(new ListBodies().join('{"kind":"L"}', []).plain.toString()), { kind: 'L', items: [] });
});

test('a big body is kept until something in it changes', () => {
  const bodies = new ListBodies();
  const items = [object('a', KEPT_LIST_MIN_BYTES), object('b')];
  const first = bodies.join('{"v":1}', items);
  assert.equal(bodies.join('{"v":1}', [...items]), first);
  assert.notEqual(bodies.join('{"v":2}', items), first);
  assert.notEqual(bodies.join('{"v":1}', [items[0]!, object('b')]), first);
  assert.notEqual(bodies.join('{"v":1}', items.slice(0, 1)), first);
  const small = [object('a')];
  assert.notEqual(bodies.join('{}', small), bodies.join('{}', small));
});

test('what is kept has a bound; what was used last stays', () => {
  const bodies = new ListBodies();
  const third = Math.floor(KEPT_LISTS_BYTES / 7);
  const lists = ['a', 'b', 'c', 'd'].map((name) => [object(name, third)]);
  const made = lists.slice(0, 3).map((items) => bodies.join('{}', items));
  assert.equal(bodies.join('{}', lists[0]!), made[0]);
  bodies.join('{}', lists[3]!);
  assert.equal(bodies.join('{}', lists[0]!), made[0]);
  assert.notEqual(bodies.join('{}', lists[1]!), made[1]);
});
