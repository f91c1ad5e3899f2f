import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeObject } from '../../api/object.ts';
import { Tables } from '../../api/tables.ts';
import { FakeClock } from '../../lib/fake-clock.ts';
import { silentLog } from '../../lib/log.ts';
import { seededRandom } from '../../lib/random.ts';
import { nextTurn } from '../../lib/turns.ts';
import { openMemoryStore } from '../../store/memory.ts';
import type { WatchDelivery } from '../contract.ts';
import { startCaches } from './cache-set.ts';
import type { PlacedObject } from './cached-object.ts';
import { Drafts } from './drafts.ts';

const KEY = '/registry/pods/ns/a';
const draftOf = (name: string): { value: Buffer; object: KubeObject } => {
  const object = { kind: 'Pod', apiVersion: 'v1', metadata: { name, labels: { x: 'y' } } };
  return { value: Buffer.from(JSON.stringify(object)), object };
};

test('a draft is known by its key and its bytes, for as long as its write is under way', () => {
  const drafts = new Drafts();
  const [first, second] = [draftOf('a'), draftOf('b')];
  const stored = (key: string, value: Buffer) => ({ key, value, revision: 1 });
  const release = drafts.hold(KEY, first.value, first.object);
  assert.equal(drafts.of(stored(KEY, first.value)), first.object);
  assert.equal(drafts.of(stored(KEY, Buffer.from(first.value))), first.object, 'the same bytes from elsewhere');
  assert.equal(drafts.of(stored(KEY, second.value)), undefined, "another's write");
  assert.equal(drafts.of(stored(`${KEY}b`, first.value)), undefined);
  const releaseSecond = drafts.hold(KEY, second.value, second.object);
  release();
  assert.equal(drafts.of(stored(KEY, second.value)), second.object, 'the end of one write is not that of the next');
  releaseSecond();
  assert.equal(drafts.of(stored(KEY, second.value)), undefined);
});

test('watchers in this process get what was written without parsing it; later readers parse', async (t) => {
  const clock = new FakeClock();
  const store = openMemoryStore({ clock });
  const stop = new AbortController();
  t.after(async () => {
    stop.abort();
    await store.close();
  });
  const tables = new Tables();
  const env = { clock, random: seededRandom(1), log: silentLog };
  const caches = await startCaches(store, tables, () => ({}), env, stop.signal);
  const cache = caches.for(tables.resource('', 'v1', 'pods')!);
  const write = async (key: string, { value, object }: ReturnType<typeof draftOf>): Promise<PlacedObject> => {
    const release = caches.drafts.hold(key, value, object);
    const outcome = await store.write({ key, value, expected: 0 }, stop.signal);
    assert.equal(outcome.kind, 'committed');
    await cache.reached((outcome as { revision: number }).revision, stop.signal);
    release();
    return cache.at(key) as PlacedObject;
  };

  const unread = draftOf('a');
  const late = await write(KEY, unread);
  assert.equal(late.parsed, false);
  await nextTurn();
  await nextTurn();
  assert.notEqual(late.object.metadata.labels, unread.object.metadata.labels, 'kept for nobody');

  const got: KubeObject[] = [];
  const deliver = (batch: readonly WatchDelivery[]): void => {
    for (const one of batch) if (one.type !== 'BOOKMARK') got.push(one.object.object);
  };
  cache.watch({ filter: {}, after: cache.revision, signal: stop.signal, deliver, end: assert.fail });
  const read = draftOf('b');
  await write(`${KEY}b`, read);
  while (got.length === 0) await nextTurn();
  assert.equal(got[0]!.metadata.labels, read.object.metadata.labels, 'shared');
});
