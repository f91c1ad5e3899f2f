import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { AnswerObject } from '../registry/answer-object.ts';
import {
  JOINED_LIST_MAX_BYTES,
  KEPT_LIST_MIN_BYTES,
  KEPT_LISTS,
  KEPT_LISTS_BYTES,
  ListBodies,
  type ListBody,
  listOfTexts,
  type StoredList,
} from './list-bodies.ts';
import { sendAssembled } from './pieces.ts';

const object = (name: string, size = 10) =>
  new AnswerObject({ metadata: { name, annotations: { x: 'ü'.repeat(size) } } });

/** As a client receives it. */
async function sent(body: ListBody | StoredList): Promise<string> {
  if ('plain' in body) return body.plain.toString();
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      // Later than the call, as a network takes it; a copy, since the sender uses its memory again.
      setImmediate(() => {
        chunks.push(Buffer.from(chunk));
        done();
      });
    },
  });
  await Promise.all([sendAssembled(stream, body), once(stream, 'finish')]);
  const all = Buffer.concat(chunks);
  assert.equal(all.length, body.length);
  return all.toString();
}

function stored(body: ListBody | StoredList): StoredList {
  assert.ok('zipped' in body && typeof body.zipped === 'function', 'a large body');
  return body as StoredList;
}

test('a body is the list as JSON, whatever its size and where its pieces end', async () => {
  const items = [object('a'), object('b')];
  const body = await new ListBodies().join('{"kind":"L","note":"ß"}', items);
  assert.deepEqual(JSON.parse(await sent(body)), { kind: 'L', note: 'ß', items: items.map((item) => item.object) });
  const empty = await sent(await new ListBodies().join('{"kind":"L"}', []));
  assert.deepEqual(JSON.parse(empty), { kind: 'L', items: [] });
  const large = [...items, object('c', JOINED_LIST_MAX_BYTES), object('d', 100_000), object('e')];
  const wanted = `{"kind":"L","items":[${large.map((item) => JSON.stringify(item.object)).join(',')}]}\n`;
  const list = stored(await new ListBodies().join('{"kind":"L"}', large));
  assert.equal(await sent(list), wanted);
  assert.equal(gunzipSync(await list.zipped()).toString(), wanted);
});

test('a reader fills buffers of any size to the brim', async () => {
  const items = Array.from({ length: 30 }, (_, i) => object(`o${i}`, JOINED_LIST_MAX_BYTES / 50 + i));
  const list = stored(await new ListBodies().join('{"kind":"L"}', items));
  const whole = Buffer.alloc(list.length + 10);
  assert.equal(list.reader()(whole), list.length);
  for (const size of [37, 4096, 70_001]) {
    const read = list.reader();
    const into = Buffer.alloc(size);
    let at = 0;
    for (let length = read(into); length > 0; length = read(into)) {
      assert.ok(length === size || at + length === list.length);
      assert.ok(into.subarray(0, length).equals(whole.subarray(at, at + length)));
      at += length;
    }
    assert.equal(at, list.length);
  }
});

test('a body is kept until something in it changes', async () => {
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

test('those who ask for the same body at once wait for one', async () => {
  const bodies = new ListBodies();
  for (const size of [KEPT_LIST_MIN_BYTES, JOINED_LIST_MAX_BYTES]) {
    const items = [object('a', size), object('b')];
    const [one, two] = await Promise.all([bodies.join('{}', items), bodies.join('{}', [...items])]);
    assert.equal(one, two);
  }
});

test('of a long list the compressed form is kept', async () => {
  const bodies = new ListBodies();
  const items = [object('a', JOINED_LIST_MAX_BYTES)];
  const list = stored(await bodies.join('{}', items));
  assert.notEqual(await bodies.join('{}', items), list, 'nothing of it is worth keeping yet');
  const [one, two] = await Promise.all([list.zipped(), list.zipped()]);
  assert.equal(one, two);
  assert.equal(await stored(await bodies.join('{}', [...items])).zipped(), one);
});

test('what is kept has bounds, of bytes and of number; what was used last stays', async () => {
  for (const [kept, size] of [
    [KEPT_LISTS, KEPT_LIST_MIN_BYTES],
    [4, Math.floor(KEPT_LISTS_BYTES / 9)],
  ] as const) {
    const bodies = new ListBodies();
    const lists = Array.from({ length: kept + 1 }, (_, i) => [object(`o${i}`, size)]);
    const made: unknown[] = [];
    for (const items of lists.slice(0, kept)) made.push(await bodies.join('{}', items));
    assert.equal(await bodies.join('{}', lists[0]!), made[0]);
    await bodies.join('{}', lists[kept]!);
    assert.equal(await bodies.join('{}', lists[0]!), made[0]);
    assert.notEqual(await bodies.join('{}', lists[1]!), made[1]);
  }
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
  const body = stored(await new ListBodies().join('{"kind":"L"}', items));
  over = true;
  await running;
  assert.ok(rounds >= body.length / (2 * 1024 * 1024), `${rounds} rounds of the event loop`);
});

test('a client that goes away while a list is sent ends the sending', async () => {
  const list = stored(await new ListBodies().join('{}', [object('a', JOINED_LIST_MAX_BYTES)]));
  const stream = new Writable({ write: () => stream.destroy() });
  await sendAssembled(stream, list);
  assert.ok(stream.destroyed && !stream.writableEnded);
});

test('texts are joined as they would be at once', async () => {
  const around = { opening: '{"rows":[', separator: ',', closing: ']}' };
  const numbers = Array.from({ length: 30_000 }, (_, i) => i);
  const body = await listOfTexts(numbers, around, (n) => JSON.stringify({ n, text: 'xxxxxxxx' }), 1);
  assert.equal(body.toString(), JSON.stringify({ rows: numbers.map((n) => ({ n, text: 'xxxxxxxx' })) }));
  assert.equal((await listOfTexts([], around, String, 1)).toString(), '{"rows":[]}');
});
