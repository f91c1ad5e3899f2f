import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, settle } from '../lib/fake-clock.ts';
import { never, put, storeContract, take } from './contract.suite.ts';
import { type StoreEvent, TooOldError, WATCH_BUFFER } from './contract.ts';
import { HISTORY_MS } from './local.ts';
import { openMemoryStore, restoreMemoryStore } from './memory.ts';

storeContract('memory', async () => {
  const clock = new FakeClock();
  const store = openMemoryStore({ clock });
  return {
    store,
    clock,
    restore: (snapshot) => restoreMemoryStore({ clock }, snapshot),
    dispose: () => store.close(),
  };
});

test('a reader that falls behind by more than the buffer is told so; one that keeps up is not', async () => {
  const store = openMemoryStore({ clock: new FakeClock() });
  const value = Buffer.from('x');
  const controller = new AbortController();
  const slow = store.watch({ prefix: '/', after: 0, signal: controller.signal });
  const quick = count(store.watch({ prefix: '/', after: 0, signal: controller.signal }));
  let last: Promise<unknown> = Promise.resolve();
  let revision = 0;
  for (let written = 0; WATCH_BUFFER >= written; written++) {
    last = store.write({ key: '/a', value, expected: revision++ }, never);
    if (revision % 5_000 === 0) await last;
  }
  await last;
  await assert.rejects(slow[Symbol.asyncIterator]().next(), TooOldError);
  while (quick.events !== revision) await new Promise((resolve) => setImmediate(resolve));
  controller.abort();
  await store.close();
});

function count(watch: AsyncIterable<readonly StoreEvent[]>): { events: number } {
  const seen = { events: 0 };
  void (async () => {
    for await (const batch of watch) seen.events += batch.length;
  })();
  return seen;
}

test('history is forgotten by age, never the newest thousand changes', async () => {
  const clock = new FakeClock();
  const store = openMemoryStore({ clock });
  for (let i = 0; 3_000 > i; i++) await put(store, `/${i}`, 'x');
  await clock.advance(HISTORY_MS - 1);
  assert.equal((await take(store, { after: 1, count: 2_999 })).length, 2_999);
  await clock.advance(2 * HISTORY_MS);
  await assert.rejects(take(store, { after: 1_999, count: 1 }), TooOldError);
  assert.equal((await take(store, { after: 2_000, count: 1_000 })).length, 1_000);
  assert.equal(clock.pending, 0, 'an idle store sets no timer');
  await store.close();
});

test('a write that comes at any moment of the end of another flush is acknowledged without a further write', async () => {
  for (let depth = 0; 40 > depth; depth++) {
    const store = openMemoryStore({ clock: new FakeClock() });
    const first = store.write({ key: '/a', value: Buffer.from('x'), expected: 0 }, never);
    for (let i = 0; depth > i; i++) await undefined;
    let acknowledged = false;
    store.write({ key: '/b', value: Buffer.from('x'), expected: 0 }, never).then(() => {
      acknowledged = true;
    });
    await first;
    await settle();
    assert.ok(acknowledged, `a write ${depth} microtasks after the first hangs`);
    await store.close();
  }
});
