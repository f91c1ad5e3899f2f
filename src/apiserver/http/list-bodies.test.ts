import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AnswerObject } from '../registry/answer-object.ts';
import { KEPT_LIST_MIN_BYTES, KEPT_LISTS_BYTES, ListBodies, listOfTexts } from './list-bodies.ts';

const object = (name: string, size = 10) =>
  new AnswerObject({ metadata: { name, annotations: { x: 'ü'.repeat(size) } } });

test('a body is the list as JSON', async () => {
  const items = [object('a'), object('b')];
  const { plain } = await new ListBodies().join('{"kind":"L","note":"ß"}', items);
  assert.deepEqual(JSON.parse(plain.toString()), { kind: 'L', note: 'ß', items: items.map((item) => item.object) });
  assert.deepEqual(JSON.parse((await new ListBodies().join('{"kind":"L"}', [])).plain.toString()), {
    kind: 'L',
    items: [],
  });
});

test('a big body is kept until something in it changes', async () => {
  const bodies = new ListBodies();
  const items = [object('a', KEPT_LIST_MIN_BYTES), object('b')];
  const first = await bodies.join('{"v":1}', items);
  assert.equal(await bodies.join('{"v":1}', [...items]), first);
  assert.notEqual(await bodies.join('{"v":2}', items), first);
  assert.notEqual(await bodies.join('{"v":1}', [items[0]!, object('b')]), first);
  assert.notEqual(await bodies.join('{"v":1}', items.slice(0, 1)), first);
  const small = [object('a')];
  assert.notEqual(await bodies.join('{}', small), await bodies.join('{}', small));
});

test('what is kept has a bound; what was used last stays', async () => {
  const bodies = new ListBodies();
  const third = Math.floor(KEPT_LISTS_BYTES / 7);
  const lists = ['a', 'b', 'c', 'd'].map((name) => [object(name, third)]);
  const made: unknown[] = [];
  for (const items of lists.slice(0, 3)) made.push(await bodies.join('{}', items));
  assert.equal(await bodies.join('{}', lists[0]!), made[0]);
  await bodies.join('{}', lists[3]!);
  assert.equal(await bodies.join('{}', lists[0]!), made[0]);
  assert.notEqual(await bodies.join('{}', lists[1]!), made[1]);
});

test('those who ask for the same body at once wait for one', async () => {
  const bodies = new ListBodies();
  const items = [object('a', KEPT_LIST_MIN_BYTES)];
  const [one, two] = await Promise.all([bodies.join('{}', items), bodies.join('{}', [...items])]);
  assert.equal(one, two);
});

test('nobody waits for a long list: others have their turns while it is made', async () => {
  const items = Array.from({ length: 40 }, (_, i) => object(`o${i}`, 256 * 1024));
  let rounds = 0;
  let over = false;
  const others = async (): Promise<void> => {
    while (!over) {
      await new Promise((resolve) => setImmediate(resolve));
      rounds++;
    }
  };
  const running = others();
  const { plain } = await new ListBodies().join('{"kind":"L"}', items);
  over = true;
  await running;
  assert.ok(rounds >= plain.length / (1024 * 1024), `${rounds} rounds of the event loop`);
  assert.equal(JSON.parse(plain.toString()).items.length, items.length);
});

test('texts are joined as they would be at once', async () => {
  const around = { opening: '{"rows":[', separator: ',', closing: ']}' };
  const numbers = Array.from({ length: 30_000 }, (_, i) => i);
  const body = await listOfTexts(numbers, around, (n) => JSON.stringify({ n, text: 'xxxxxxxx' }), 1);
  assert.equal(body.toString(), JSON.stringify({ rows: numbers.map((n) => ({ n, text: 'xxxxxxxx' })) }));
  assert.equal((await listOfTexts([], around, String, 1)).toString(), '{"rows":[]}');
});
