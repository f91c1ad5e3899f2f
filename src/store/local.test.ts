import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../lib/fake-clock.ts';
import { silentLog } from '../lib/log.ts';
import { never, put, take } from './contract.suite.ts';
import { type Revision, StoreUnavailableError } from './contract.ts';
import { LocalStore, RETRY_MS } from './local.ts';
import type { RecordBatch, RecordLog, WriteRecord } from './records.ts';

/** A log on a disk that fails when told: before anything is written, or after all is. */
class FaultyRecords implements RecordLog {
  readonly compacted = 0;
  readonly #records = new Map<Revision, WriteRecord>();
  fault: 'none' | 'before' | 'after' = 'none';
  appends = 0;

  scan(after: Revision): WriteRecord[] {
    return [...this.#records.values()].filter((r) => r.revision > after);
  }

  read(revision: Revision): Buffer {
    return this.#records.get(revision)!.value!;
  }

  async append({ records, remove }: RecordBatch): Promise<void> {
    this.appends++;
    if (this.fault === 'before') throw new Error('no space left on device');
    for (const record of records) this.#records.set(record.revision, record);
    for (const revision of remove) this.#records.delete(revision);
    if (this.fault === 'after') throw new Error('input/output error');
  }

  async probe(): Promise<void> {
    if (this.fault !== 'none') throw new Error('no space left on device');
  }

  async close(): Promise<void> {
    this.#records.clear();
  }
}

function broken(): { store: LocalStore; records: FaultyRecords; clock: FakeClock } {
  const records = new FaultyRecords();
  const clock = new FakeClock();
  return { records, clock, store: new LocalStore({ records, clock, log: silentLog, valuesInMemory: false }) };
}

test('when the disk refuses: what was submitted is unknown, what comes later is refused, reads go on', async () => {
  const { store, records, clock } = broken();
  const first = await put(store, '/a', '1');
  records.fault = 'before';
  const submitted = await store.write({ key: '/a', value: Buffer.from('2'), expected: first }, never);
  assert.equal(submitted.kind, 'unknown');
  const later = store.write({ key: '/b', value: Buffer.from('1'), expected: 0 }, never);
  await assert.rejects(later, (e) => e instanceof StoreUnavailableError && String(e.cause).includes('no space left'));
  assert.deepEqual(await store.get('/a', never), {
    stored: { key: '/a', value: Buffer.from('1'), revision: first },
    revision: first,
  });
  await clock.advance(RETRY_MS * 3);
  await assert.rejects(store.write({ key: '/b', value: Buffer.from('1'), expected: 0 }, never), StoreUnavailableError);
  records.fault = 'none';
  await clock.advance(RETRY_MS);
  assert.equal(await put(store, '/b', '1'), first + 1);
  assert.deepEqual(await take(store, { after: first, count: 1 }), [`put /b@${first + 1} 1`]);
  await store.close();
});

test('a batch that reached the disk although it failed did happen', async () => {
  const { store, records, clock } = broken();
  const events = take(store, { after: 0, count: 2 });
  const first = await put(store, '/a', '1');
  records.fault = 'after';
  assert.equal((await store.write({ key: '/a', value: Buffer.from('2'), expected: first }, never)).kind, 'unknown');
  assert.equal(await store.revision(never), first);
  records.fault = 'none';
  await clock.advance(RETRY_MS);
  assert.equal((await store.get('/a', never)).stored?.value.toString(), '2');
  assert.deepEqual(await events, [`put /a@${first} 1`, `put /a@${first + 1} 2 was 1@${first}`]);
  await store.close();
});

test('a conflict with a write that is not durable waits for it, and is no answer when that fails', async () => {
  const { store, records } = broken();
  const first = await put(store, '/a', '1');
  records.fault = 'before';
  const winner = store.write({ key: '/a', value: Buffer.from('2'), expected: first }, never);
  const loser = store.write({ key: '/a', value: Buffer.from('3'), expected: first }, never);
  await assert.rejects(loser, StoreUnavailableError);
  assert.equal((await winner).kind, 'unknown');
  await store.close();
});

test('an undurable write is seen by nobody', async () => {
  const { store } = broken();
  const write = put(store, '/a', '1');
  assert.equal((await store.get('/a', never)).stored, undefined);
  assert.deepEqual(await store.list({ prefix: '', signal: never }), { items: [], revision: 0, remaining: 0 });
  await write;
  assert.ok((await store.get('/a', never)).stored);
  await store.close();
});

test('a time to live that comes while the disk refuses is kept for later', async () => {
  const { store, records, clock } = broken();
  await store.write({ key: '/a', value: Buffer.from('1'), expected: 0, ttlSeconds: 10 }, never);
  records.fault = 'before';
  await clock.advance(15_000);
  assert.ok((await store.get('/a', never)).stored);
  records.fault = 'none';
  await clock.advance(RETRY_MS);
  assert.equal((await store.get('/a', never)).stored, undefined);
  await store.close();
});

test('writes of one turn share one durable step', async () => {
  const { store, records } = broken();
  await Promise.all(Array.from({ length: 500 }, (_, i) => put(store, `/${i}`, 'x')));
  assert.equal(records.appends, 1);
  await store.close();
});
