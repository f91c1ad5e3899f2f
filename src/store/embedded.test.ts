import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { FakeClock } from '../lib/fake-clock.ts';
import { silentLog } from '../lib/log.ts';
import { until } from '../lib/test-until.ts';
import { never, put, remove, storeContract, take } from './contract.suite.ts';
import { type Store, TooOldError } from './contract.ts';
import { openEmbeddedStore, restoreEmbeddedStore } from './embedded.ts';
import { openLmdbRecords } from './lmdb-records.ts';

function directory(): string {
  return mkdtempSync(join(tmpdir(), 'tsukube-store-'));
}

storeContract('embedded', async () => {
  const clock = new FakeClock();
  const root = directory();
  const store = openEmbeddedStore({ directory: join(root, 'a'), clock, log: silentLog });
  let restored = 0;
  return {
    store,
    clock,
    restore: (snapshot) =>
      restoreEmbeddedStore({ directory: join(root, `restored-${restored++}`), clock, log: silentLog }, snapshot),
    dispose: async () => {
      await store.close();
      rmSync(root, { recursive: true });
    },
  };
});

function place(t: TestContext): { open: (clock?: FakeClock) => Store; path: string } {
  const path = directory();
  t.after(() => rmSync(path, { recursive: true }));
  return { path, open: (clock = new FakeClock()) => openEmbeddedStore({ directory: path, clock, log: silentLog }) };
}

test('what was there when it was closed is there when it is opened, and watches resume', async (t) => {
  const { open } = place(t);
  let store = open();
  const r1 = await put(store, '/a', '1');
  const r2 = await put(store, '/b', '1');
  const r3 = await put(store, '/a', '2', r1);
  const r4 = await remove(store, '/b', r2);
  await store.compact(r1, never);
  const before = await store.list({ prefix: '', signal: never });
  await store.close();
  store = open();
  assert.deepEqual(await store.list({ prefix: '', signal: never }), before);
  assert.deepEqual(await take(store, { after: r1, count: 3 }), [
    `put /b@${r2} 1`,
    `put /a@${r3} 2 was 1@${r1}`,
    `delete /b@${r4} was 1@${r2}`,
  ]);
  await assert.rejects(take(store, { after: r1 - 1, count: 1 }), TooOldError);
  assert.equal(await put(store, '/b', '2'), r4 + 1);
  await store.compact(r4 + 1, never);
  await store.close();
  store = open();
  assert.equal(await store.revision(never), r4 + 1);
  await store.close();
});

test('compaction removes from disk what nobody can ask for', async (t) => {
  const { open, path } = place(t);
  const store = open();
  let revision = 0;
  for (let i = 0; 20 > i; i++) revision = await put(store, '/a', String(i), revision);
  await remove(store, '/b', await put(store, '/b', 'x'));
  await store.compact(22, never);
  await store.close();
  const records = openLmdbRecords(path);
  assert.deepEqual(
    [...records.scan(0)].map((r) => [r.key, r.revision]),
    [['/a', 20]],
  );
  assert.equal(records.compacted, 22);
  await records.close();
});

test('the compacted revision is on disk with the batch in which it moved, and stays', async (t) => {
  const { path } = place(t);
  const record = (revision: number) => ({ key: '/a', revision, value: Buffer.from('x'), expiresAtMs: undefined });
  const batches = [
    { records: [record(1), record(2)], remove: [], compacted: 0 },
    { records: [record(3)], remove: [], compacted: 2 },
    { records: [record(4)], remove: [1], compacted: 2 },
    { records: [], remove: [2], compacted: 3 },
    { records: [], remove: [], compacted: 3 },
    { records: [], remove: [3], compacted: 4 },
  ];
  let head = 0;
  for (const batch of batches) {
    const log = openLmdbRecords(path);
    await log.append(batch);
    // Nothing new: neither a write nor a wait for one.
    await log.append({ records: [], remove: [], compacted: batch.compacted });
    await log.close();
    const again = openLmdbRecords(path);
    assert.equal(again.compacted, batch.compacted);
    head = Math.max(head, ...batch.records.map((r) => r.revision));
    assert.equal([...again.scan(0)].at(-1)?.revision, head);
    await again.close();
  }
  const log = openLmdbRecords(path);
  for (const compacted of [4, 5, 6]) await log.append({ records: [record(compacted + 1)], remove: [], compacted });
  await log.close();
  const last = openLmdbRecords(path);
  assert.equal(last.compacted, 6);
  await last.close();
});

test('times to live hold over a restart', async (t) => {
  const { open } = place(t);
  const clock = new FakeClock();
  let store = open(clock);
  for (const [key, ttlSeconds] of [
    ['/a', 10],
    ['/b', 30],
  ] as const) {
    await store.write({ key, value: Buffer.from('x'), expected: 0, ttlSeconds }, never);
  }
  await store.close();
  await clock.advance(20_000);
  store = open(clock);
  await take(store, { after: 2, count: 0 });
  const gone = take(store, { after: 2, count: 2 });
  let all = false;
  void gone.then(() => {
    all = true;
  });
  // The first goes at once; the other's time is looked at when the disk has taken that.
  await until('both are gone', async () => {
    await clock.advance(11_000);
    return all;
  });
  assert.deepEqual(await gone, ['delete /a@3 was x@1', 'delete /b@4 was x@2']);
  await store.close();
});

test('values that left memory are read from disk', async (t) => {
  const { open } = place(t);
  const store = open();
  const text = (i: number): string => `${i}`.padEnd(8_192, '.');
  const writes = Array.from({ length: 5_000 }, (_, i) => put(store, `/${i}`, text(i)));
  await Promise.all(writes);
  assert.ok(20e6 > (store as Store & { hotBytes: number }).hotBytes);
  assert.equal((await store.get('/3', never)).stored?.value.toString(), text(3));
  const { items } = await store.list({ prefix: '/', signal: never });
  for (const item of items) assert.equal(item.value.toString(), text(Number(item.key.slice(1))));
  const [event] = await take(store, { after: 0, count: 1 });
  assert.match(event!, /^put \/0@1 0\.\.\./);
  await store.close();
});

test('a store is opened once: by this process or another', async (t) => {
  const { open, path } = place(t);
  const child = fork(new URL('./testdata/writer.ts', import.meta.url), [path], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  await once(child, 'message');
  assert.throws(open, new RegExp(`is open in process ${child.pid}`));
  child.kill('SIGKILL');
  await once(child, 'exit');
  const store = open();
  assert.throws(open, /is open already/);
  await store.close();
});

test('a store of another format is refused', async (t) => {
  const { path, open } = place(t);
  await open().close();
  const { open: openLmdb } = await import('lmdb');
  const root = openLmdb({ path, noSubdir: false, overlappingSync: false });
  const meta = root.openDB<string, string>({ name: 'meta', encoding: 'string' });
  await meta.put('format', `7 ${crc32('7').toString(16)}`);
  await root.close();
  assert.throws(open, /has format 7; this program reads format 3 and below/);
});

test('every acknowledged write survives kill -9, in order and without gaps', async (t) => {
  const { path, open } = place(t);
  let resume = 0;
  for (let kill = 0; 5 > kill; kill++) {
    const child = fork(new URL('./testdata/writer.ts', import.meta.url), [path], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const acknowledged = new Map<string, { revision: number; value: string }>();
    let last = 0;
    let told = 0;
    child.on('message', (m: { key?: string; revision: number; value: string }) => {
      if (!m.key) return;
      acknowledged.set(m.key, m);
      last = Math.max(last, m.revision);
      if (++told === 200 + 100 * kill) child.kill('SIGKILL');
    });
    await once(child, 'exit');
    const store = open();
    const revision = await store.revision(never);
    assert.ok(revision >= last, `the store is at ${revision}, ${last} was acknowledged`);
    for (const [key, { revision: at, value }] of acknowledged) {
      const { stored } = await store.get(key, never);
      // A later write of the same key may have been under way.
      if (stored?.revision === at) assert.equal(stored.value.toString(), value);
      else assert.ok((stored?.revision ?? 0) > at, `${key} was acknowledged at ${at}, found ${stored?.revision}`);
    }
    const events = await take(store, { after: resume, count: revision - resume });
    const revisions = events.map((text) => Number(/@(\d+)/.exec(text)![1]));
    assert.deepEqual(
      revisions,
      Array.from({ length: revision - resume }, (_, i) => resume + 1 + i),
    );
    resume = revision;
    await store.close();
  }
});
