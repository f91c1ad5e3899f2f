import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Tables } from '../../api/tables.ts';
import { FakeClock, settle } from '../../lib/fake-clock.ts';
import { silentLog } from '../../lib/log.ts';
import { seededRandom } from '../../lib/random.ts';
import { EtcdStore } from '../../store/etcd/etcd-store.ts';
import { EtcdModel } from '../../store/etcd/model.ts';
import { startCaches } from './cache-set.ts';

const never = new AbortController().signal;
const KEYS_OF_ONE_LEASE = 1_000;

test('objects that expire at one revision all go, for every watcher, whenever it began', async () => {
  const clock = new FakeClock();
  const store = new EtcdStore({ rpc: new EtcdModel(clock).client(), clock, log: silentLog });
  const tables = new Tables();
  const events = tables.resource('', 'v1', 'events')!;
  const stop = new AbortController();
  const caches = await startCaches(
    store,
    tables,
    () => ({}),
    { clock, random: seededRandom(1), log: silentLog },
    stop.signal,
  );
  const value = (name: string): Buffer =>
    Buffer.from(`{"kind":"Event","apiVersion":"v1","metadata":{"name":"${name}","namespace":"a"}}`);
  for (let i = 0; KEYS_OF_ONE_LEASE > i; i++) {
    const key = `/registry/${events.etcdPrefix}/a/e${i}`;
    await store.write({ key, value: value(`e${i}`), expected: 0, ttlSeconds: 3_600 }, never);
  }
  const written = await caches.consistent(never);
  const cache = caches.for(events);
  assert.equal(cache.list({}).items.length, KEYS_OF_ONE_LEASE);
  const gone = { early: new Set<string>(), late: new Set<string>() };
  const watch = (into: Set<string>): void =>
    cache.watch({
      filter: {},
      after: written,
      deliver: (batch) => {
        for (const delivery of batch) {
          if (delivery.type !== 'DELETED') continue;
          assert.ok(!into.has(delivery.object.name), 'once');
          into.add(delivery.object.name);
        }
      },
      end: (reason) => assert.fail(reason),
      signal: stop.signal,
    });
  watch(gone.early);
  await clock.advance(3_700_000);
  await caches.reached(written + 1, never);
  watch(gone.late);
  await settle();
  assert.equal(cache.list({}).items.length, 0);
  assert.equal(await store.revision(never), written + 1, 'one lease ends at one revision');
  assert.equal(gone.early.size, KEYS_OF_ONE_LEASE);
  assert.equal(gone.late.size, KEYS_OF_ONE_LEASE);
  stop.abort();
  await store.close();
});
