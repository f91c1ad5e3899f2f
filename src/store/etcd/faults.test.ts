import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, settle } from '../../lib/fake-clock.ts';
import { silentLog } from '../../lib/log.ts';
import { collect, committed, never, put } from '../contract.suite.ts';
import { type StoreEvent, StoreUnavailableError, TooOldError } from '../contract.ts';
import { COMPACTION_KEY, compactOnce } from './compactor.ts';
import { EtcdStore } from './etcd-store.ts';
import { MAX_KEYS_PER_LEASE } from './leases.ts';
import { EtcdModel, type ModelClient } from './model.ts';

function opened(): { store: EtcdStore; client: ModelClient; model: EtcdModel; clock: FakeClock } {
  const clock = new FakeClock();
  const model = new EtcdModel(clock);
  const client = model.client();
  return { clock, model, client, store: new EtcdStore({ rpc: client, clock, log: silentLog }) };
}

test('a write that never left throws, one that may have arrived is unknown, and neither is sent twice', async () => {
  const { store, client } = opened();
  const write = { key: '/a', value: Buffer.from('1'), expected: 0 };
  let sent = 0;
  client.fate = (method) => {
    if (method !== 'txn') return 'passes';
    sent++;
    return 'refused';
  };
  await assert.rejects(store.write(write, never), StoreUnavailableError);
  for (const fate of ['lost', 'unanswered'] as const) {
    sent = 0;
    client.fate = (method) => {
      if (method !== 'txn') return 'passes';
      sent++;
      return fate;
    };
    assert.equal((await store.write(write, never)).kind, 'unknown');
    assert.equal(sent, 1, fate);
    const { stored } = await store.get('/a', never);
    assert.equal(stored !== undefined, fate === 'unanswered');
  }
  await store.close();
});

test('callers of one moment share a read of the present; one that asks later is never answered by an earlier read', async () => {
  const { store, client } = opened();
  let reads = 0;
  const release: (() => void)[] = [];
  client.fate = (method) => {
    if (method === 'range') reads++;
    return method === 'range' ? new Promise((resolve) => release.push(() => resolve('passes'))) : 'passes';
  };
  const first = store.revision(never);
  await settle();
  const later = Array.from({ length: 50 }, () => store.revision(never));
  const { revision } = committed(await store.write({ key: '/a', value: Buffer.from('1'), expected: 0 }, never));
  release.shift()!();
  await first;
  await settle();
  release.shift()!();
  for (const seen of await Promise.all(later)) assert.equal(seen, revision);
  assert.equal(reads, 2);
  await store.close();
});

test('a watch goes on after a lost connection where it was: nothing twice, nothing left out', async () => {
  const { store, client, clock } = opened();
  const controller = new AbortController();
  const lines: number[] = [];
  const watch = store.watch({ prefix: '', after: 1, signal: controller.signal });
  const over = (async () => {
    for await (const batch of watch) lines.push(...batch.map(revisionOf));
  })();
  for (let i = 0; 30 > i; i++) {
    await put(store, `/k${i}`, 'x');
    if (i % 3 === 0) client.disconnect();
    if (i % 7 === 0) await settle();
    if (i % 5 === 0) await clock.advance(100);
  }
  await clock.advance(1_000);
  assert.deepEqual(
    lines,
    Array.from({ length: 30 }, (_, i) => i + 2),
  );
  controller.abort();
  await over;
  await store.close();
});

test('a watch that was away while its history went says so, also where only the next change is gone', async () => {
  const { store, client, clock } = opened();
  const a = await put(store, '/a', '1');
  const stop = new AbortController();
  const watch = store.watch({ prefix: '/', after: a, signal: stop.signal })[Symbol.asyncIterator]();
  await settle();
  client.disconnect();
  const gone = committed(await store.write({ key: '/a', value: null, expected: a }, never)).revision;
  await store.compact(gone, never);
  await put(store, '/b', '1');
  const next = assert.rejects(watch.next(), TooOldError);
  await clock.advance(1_000);
  await next;
  await store.close();
});

test('writes of about the same time share a lease, which is full at its bound; a lease that is gone is replaced', async () => {
  const { store, client, clock, model } = opened();
  let grants = 0;
  client.fate = (method) => {
    if (method === 'leaseGrant') grants++;
    return 'passes';
  };
  const write = async (key: string): Promise<void> => {
    committed(await store.write({ key, value: Buffer.from('x'), expected: 0, ttlSeconds: 3_600 }, never));
  };
  for (let i = 0; MAX_KEYS_PER_LEASE > i; i++) await write(`/a${i}`);
  assert.equal(grants, 1);
  await write('/b');
  assert.equal(grants, 2);
  await clock.advance(59_000);
  await write('/c');
  assert.equal(grants, 2);
  await clock.advance(2_000);
  await write('/d');
  assert.equal(grants, 3);
  for (const { id } of model.state().leases) model.revoke(id);
  await write('/e');
  assert.equal(grants, 4);
  await clock.advance(3_599_000);
  assert.ok((await store.get('/e', never)).stored, 'not before its time');
  await clock.advance(70_000);
  assert.equal((await store.get('/e', never)).stored, undefined);
  await store.close();
});

test('of several servers one compacts a round, to what it saw a round ago', async () => {
  const { store, model, clock } = opened();
  const options = () => ({ rpc: model.client(), clock, log: silentLog });
  const [one, two] = [options(), options()];
  const none = { version: 0, revision: 0 };
  let a = await compactOnce(one, none, never);
  let b = await compactOnce(two, none, never);
  const first = await put(store, '/a', '1');
  const second = await put(store, '/a', '2', first);
  const list = (revision: number): Promise<unknown> => store.list({ prefix: '/', revision, signal: never });
  await list(first);
  // The first server has been overtaken by nobody: it is its turn; the other sees that and waits a round.
  a = await compactOnce(one, a, never);
  b = await compactOnce(two, b, never);
  await list(first);
  await put(store, '/a', '3', second);
  a = await compactOnce(one, a, never);
  await assert.rejects(list(first), TooOldError);
  b = await compactOnce(two, b, never);
  // The first server is gone: the other takes over, with what it saw a round ago.
  const saw = b.revision;
  b = await compactOnce(two, b, never);
  await list(saw);
  await assert.rejects(list(saw - 1), TooOldError);
  assert.ok(b.version > a.version);
  // Readers of everything see the compactor's key go by, and lists of the cluster's own keys do not show it.
  const seen = await collect(store.watch({ prefix: '', after: saw, signal: never }), 1);
  assert.match(seen[0]!, new RegExp(`^put ${COMPACTION_KEY}@`));
  const { items } = await store.list({ prefix: '', signal: never });
  assert.deepEqual(
    items.map((i) => i.key),
    ['/a'],
  );
  await store.close();
});

function revisionOf(event: StoreEvent): number {
  return event.type === 'put' ? event.stored.revision : event.revision;
}

test('who shares a lease does not share the end of the one that asked for it; without a lease nothing was written', async () => {
  const { store, client } = opened();
  let grants = 0;
  let release: () => void = () => undefined;
  client.fate = (method) => {
    if (method !== 'leaseGrant') return 'passes';
    grants++;
    return new Promise((resolve) => {
      release = () => resolve('passes');
    });
  };
  const write = (key: string, signal: AbortSignal) =>
    store.write({ key, value: Buffer.from('1'), expected: 0, ttlSeconds: 60 }, signal);
  const impatient = new AbortController();
  const first = write('/first', impatient.signal);
  const second = write('/second', never);
  await settle();
  impatient.abort(new Error('the client has gone'));
  assert.equal((await first).kind, 'unknown');
  release();
  committed(await second);
  assert.equal(grants, 1);
  client.fate = (method) => (method === 'leaseGrant' ? 'unanswered' : 'passes');
  const other = store.write({ key: '/other', value: Buffer.from('1'), expected: 0, ttlSeconds: 90 }, never);
  await assert.rejects(other, StoreUnavailableError);
  await store.close();
});
