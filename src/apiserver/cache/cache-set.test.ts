import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { KubeObject } from '../../api/object.ts';
import { type Resource, Tables } from '../../api/tables.ts';
import { InvariantError } from '../../lib/assert.ts';
import { FakeClock, settle } from '../../lib/fake-clock.ts';
import { silentLog } from '../../lib/log.ts';
import { seededRandom } from '../../lib/random.ts';
import { parseFieldSelector, parseLabelSelector } from '../../machinery/selector-parse.ts';
import { type Store, type StoreEvent, StoreUnavailableError, TooOldError } from '../../store/contract.ts';
import { openMemoryStore } from '../../store/memory.ts';
import type { Filter, ResourceCache, WatchDelivery } from '../contract.ts';
import { type FieldsOf, type StoreCaches, startCaches } from './cache-set.ts';
import type { PlacedObject } from './cached-object.ts';
import { HISTORY_EVENTS } from './history.ts';

const tables = new Tables();
const pods = tables.resource('', 'v1', 'pods')!;
const services = tables.resource('', 'v1', 'services')!;
const nodes = tables.resource('', 'v1', 'nodes')!;
const never = new AbortController().signal;

const fieldsOf: FieldsOf = (_resource, object) => ({
  'metadata.name': object.metadata.name,
  'metadata.namespace': object.metadata.namespace ?? '',
  'spec.nodeName': (object as KubeObject & { spec?: { nodeName?: string } }).spec?.nodeName ?? '',
});

interface Change {
  readonly labels?: { readonly [key: string]: string };
  readonly nodeName?: string;
}

/** Writes objects by key, knowing the revision of each. */
class Writer {
  readonly store: Store;
  readonly #revisions = new Map<string, number>();

  constructor(store: Store) {
    this.store = store;
  }

  put(key: string, change: Change = {}): Promise<number> {
    const [name, namespace] = key.split('/').reverse();
    const metadata = { name, ...(key.split('/').length > 4 && { namespace }), labels: change.labels };
    const object = { kind: 'X', apiVersion: 'v1', metadata, spec: { nodeName: change.nodeName } };
    return this.write(key, Buffer.from(JSON.stringify(object)));
  }

  remove(key: string): Promise<number> {
    return this.write(key, null);
  }

  async write(key: string, value: Buffer | null): Promise<number> {
    const expected = this.#revisions.get(key) ?? 0;
    const outcome = await this.store.write({ key, value, expected }, never);
    assert.equal(outcome.kind, 'committed');
    const { revision } = outcome as { revision: number };
    if (value) this.#revisions.set(key, revision);
    else this.#revisions.delete(key);
    return revision;
  }
}

interface Started extends Writer {
  readonly caches: StoreCaches;
  readonly clock: FakeClock;
}

async function start(t: TestContext, store = openMemoryStore({ clock: new FakeClock() })): Promise<Started> {
  const controller = new AbortController();
  const clock = new FakeClock();
  const env = { clock, random: seededRandom(1), log: silentLog };
  const caches = await startCaches(store, tables, fieldsOf, env, controller.signal);
  t.after(() => controller.abort());
  return Object.assign(new Writer(store), { caches, clock });
}

interface Seen {
  readonly lines: string[];
  readonly batches: (readonly WatchDelivery[])[];
  readonly stop: AbortController;
  ended: Error | undefined;
}

function watch(cache: ResourceCache, filter: Filter = {}, after = cache.revision): Seen {
  const seen: Seen = { lines: [], batches: [], stop: new AbortController(), ended: undefined };
  cache.watch({
    filter,
    after,
    signal: seen.stop.signal,
    deliver: (batch) => {
      seen.batches.push(batch);
      for (const d of batch) if (d.type !== 'BOOKMARK') seen.lines.push(`${d.type} ${d.object.name}@${d.revision}`);
    },
    end: (reason) => {
      assert.equal(seen.ended, undefined, 'the end comes once');
      seen.ended = reason;
    },
  });
  return seen;
}

const names = (cache: ResourceCache, filter: Filter = {}, page = {}): string =>
  cache
    .list(filter, page)
    .items.map((o) => o.name)
    .join(' ');

test('caches show what the store holds, by resource', async (t) => {
  const { caches, ...w } = await start(t);
  const { store } = w;
  const writer = new Writer(store);
  await writer.put('/registry/pods/a/one');
  await writer.put('/registry/pods/b/one');
  await writer.put('/registry/services/specs/a/svc');
  const at = await writer.put('/registry/minions/node-1');
  assert.equal(await caches.consistent(never), at);
  assert.equal(names(caches.for(pods)), 'one one');
  assert.equal(names(caches.for(services)), 'svc');
  assert.equal(caches.for(nodes).get(undefined, 'node-1')?.revision, at);
  assert.equal(caches.for(nodes).get(undefined, 'node-1')?.namespace, undefined);
  assert.equal(caches.for(pods).get('b', 'one')?.namespace, 'b');
  assert.equal(caches.for(pods).get('c', 'one'), undefined);
  assert.equal(caches.for(pods).get('a', 'one')?.object.metadata.resourceVersion, '1');
  await writer.remove('/registry/pods/a/one');
  await caches.consistent(never);
  assert.equal(caches.for(pods).get('a', 'one'), undefined);
});

test('lists: key order, namespaces, names, selectors and pages', async (t) => {
  const { caches, store } = await start(t);
  const w = new Writer(store);
  for (const key of ['b/y', 'a/x', 'a-b/x', 'a/z', 'a/y', 'b/x']) {
    await w.put(`/registry/pods/${key}`, {
      labels: { on: key.startsWith('a/') ? 'yes' : 'no' },
      nodeName: key.slice(-1),
    });
  }
  await caches.consistent(never);
  const cache = caches.for(pods);
  const keys = (filter: Filter, page = {}): string =>
    cache
      .list(filter, page)
      .items.map((o) => `${o.namespace}/${o.name}`)
      .join(' ');
  assert.equal(keys({}), 'a-b/x a/x a/y a/z b/x b/y');
  assert.equal(keys({ namespace: 'a' }), 'a/x a/y a/z');
  assert.equal(keys({ namespace: 'a', name: 'y' }), 'a/y');
  assert.equal(keys({ name: 'y' }), 'a/y b/y');
  assert.equal(keys({ labels: parseLabelSelector('on=yes'), fields: parseFieldSelector('spec.nodeName=z') }), 'a/z');
  assert.equal(keys({ fields: parseFieldSelector('metadata.namespace=b,metadata.name!=x') }), 'b/y');
  assert.equal(cache.list({}, { limit: 2 }).remaining, 4);
  assert.equal(keys({}, { limit: 2, after: '/registry/pods/a/x' }), 'a/y a/z');
  assert.equal(cache.list({ namespace: 'a' }, { limit: 2 }).remaining, 1);
  assert.equal(cache.list({ labels: parseLabelSelector('on=no') }, { limit: 2 }).remaining, 1);
  assert.equal(cache.list({ labels: parseLabelSelector('on=no') }, { limit: 3 }).remaining, 0);
});

test('watches: every change once, in order, batched by turn', async (t) => {
  const { caches, store } = await start(t);
  const w = new Writer(store);
  const seen = watch(caches.for(pods));
  const others = watch(caches.for(services));
  await Promise.all([w.put('/registry/pods/a/x'), w.put('/registry/pods/a/y'), w.put('/registry/services/specs/a/s')]);
  await settle();
  await w.put('/registry/pods/a/x');
  await w.remove('/registry/pods/a/y');
  await settle();
  assert.deepEqual(seen.lines, ['ADDED x@1', 'ADDED y@2', 'MODIFIED x@4', 'DELETED y@5']);
  assert.deepEqual(others.lines, ['ADDED s@3']);
  assert.equal(seen.batches[0]?.length, 2);
  const last = seen.batches.at(-1)!.at(-1)!;
  assert.ok(last.type === 'DELETED' && last.object.object.metadata.resourceVersion === '5');
  seen.stop.abort();
  await w.put('/registry/pods/a/x');
  await settle();
  assert.equal(seen.lines.length, 4);
});

test('watches with selectors: objects that begin or cease to match are added or deleted', async (t) => {
  const { caches, store } = await start(t);
  const w = new Writer(store);
  const cache = caches.for(pods);
  const labelled = watch(cache, { labels: parseLabelSelector('on=yes') });
  const bound = watch(cache, { fields: parseFieldSelector('spec.nodeName=n1') });
  const unbound = watch(cache, { namespace: 'a', fields: parseFieldSelector('spec.nodeName=') });
  const elsewhere = watch(cache, { namespace: 'b', fields: parseFieldSelector('spec.nodeName=n1') });
  await w.put('/registry/pods/a/x', { labels: { on: 'no' } });
  await w.put('/registry/pods/a/x', { labels: { on: 'yes' } });
  await w.put('/registry/pods/a/x', { labels: { on: 'yes' }, nodeName: 'n1' });
  await w.put('/registry/pods/a/x', { labels: { on: 'no' }, nodeName: 'n1' });
  await w.put('/registry/pods/a/x', { labels: { on: 'yes' }, nodeName: 'n2' });
  await w.remove('/registry/pods/a/x');
  await settle();
  assert.deepEqual(labelled.lines, ['ADDED x@2', 'MODIFIED x@3', 'DELETED x@4', 'ADDED x@5', 'DELETED x@6']);
  assert.deepEqual(bound.lines, ['ADDED x@3', 'MODIFIED x@4', 'DELETED x@5']);
  assert.deepEqual(unbound.lines, ['ADDED x@1', 'MODIFIED x@2', 'DELETED x@3']);
  assert.deepEqual(elsewhere.lines, []);
  const left = bound.batches.flat().at(-1)!;
  assert.ok(left.type === 'DELETED');
  assert.equal(left.object.object.metadata.resourceVersion, '5', 'the last state that matched, as of the change');
  assert.equal((left.object.object as { spec?: { nodeName?: string } }).spec?.nodeName, 'n1');
});

test('watches of a namespace, a name, or one object receive exactly theirs', async (t) => {
  const { caches, store } = await start(t);
  const w = new Writer(store);
  const cache = caches.for(pods);
  const namespace = watch(cache, { namespace: 'a' });
  const name = watch(cache, { name: 'x' });
  const one = watch(cache, { namespace: 'a', name: 'x' });
  const node = watch(caches.for(nodes), { name: 'n' });
  for (const key of ['pods/a/x', 'pods/b/x', 'pods/a/y', 'minions/n', 'minions/m']) await w.put(`/registry/${key}`);
  await settle();
  assert.deepEqual(namespace.lines, ['ADDED x@1', 'ADDED y@3']);
  assert.deepEqual(name.lines, ['ADDED x@1', 'ADDED x@2']);
  assert.deepEqual(one.lines, ['ADDED x@1']);
  assert.deepEqual(node.lines, ['ADDED n@4']);
});

test('a watch resumes from any revision that history holds, also far back, and is told when it does not', async (t) => {
  const { caches, store } = await start(t);
  const w = new Writer(store);
  const cache = caches.for(pods);
  for (let i = 0; HISTORY_EVENTS + 1_000 > i; i++) await w.put('/registry/pods/a/x');
  const last = await w.put('/registry/pods/a/x');
  await caches.consistent(never);
  const far = watch(cache, {}, last - 3_000);
  const near = watch(cache, {}, last - 2);
  const future = watch(cache, {}, last + 1);
  await w.put('/registry/pods/a/y');
  await w.put('/registry/pods/a/z');
  while (far.lines.length !== 3_002) await settle();
  const wanted = Array.from({ length: 3_000 }, (_, i) => `MODIFIED x@${last - 2_999 + i}`);
  const added = [`ADDED y@${last + 1}`, `ADDED z@${last + 2}`];
  assert.deepEqual(far.lines, [...wanted, ...added]);
  assert.deepEqual(near.lines, [...wanted.slice(-2), ...added]);
  assert.deepEqual(future.lines, added.slice(1));
  assert.ok(Math.max(...far.batches.map((b) => b.length)) <= 502, 'a long way is gone in steps');
  assert.throws(() => watch(cache, {}, 1), TooOldError);
});

test('a watch that resumes after a restart misses nothing', async (t) => {
  const store = openMemoryStore({ clock: new FakeClock() });
  const w = new Writer(store);
  await w.put('/registry/pods/a/x');
  await w.put('/registry/pods/a/y');
  await store.compact(1, never);
  await w.remove('/registry/pods/a/x');
  const { caches } = await start(t, store);
  assert.equal(names(caches.for(pods)), 'y');
  const seen = watch(caches.for(pods), {}, 1);
  await settle();
  assert.deepEqual(seen.lines, ['ADDED y@2', 'DELETED x@3']);
  assert.throws(() => watch(caches.for(pods), {}, 0), TooOldError);
});

test('custom resources: objects that were there before their resource was known', async (t) => {
  const { caches, store } = await start(t);
  const w = new Writer(store);
  await w.put('/registry/example.com/things/a/x');
  await caches.consistent(never);
  const thing: Resource = { ...pods, group: 'example.com', resource: 'things', etcdPrefix: 'example.com/things' };
  assert.equal(names(caches.for(thing)), 'x');
  assert.equal(caches.for(thing), caches.for({ ...thing, version: 'v2' }), 'versions share what is stored');
  const fresh = caches.for({ ...thing, etcdPrefix: 'example.com/others' });
  assert.equal(names(fresh), '');
  const seen = watch(fresh);
  await w.put('/registry/example.com/others/cluster-wide');
  await settle();
  assert.deepEqual(seen.lines, ['ADDED cluster-wide@2']);
  assert.throws(() => caches.for({ ...thing, etcdPrefix: undefined }), /not stored/);
});

test('the cache of a resource that is no more is let go of, unless objects are left; its watches end', async (t) => {
  const { caches, store } = await start(t);
  const w = new Writer(store);
  const thing: Resource = { ...pods, group: 'example.com', resource: 'things', etcdPrefix: 'example.com/things' };
  const before = caches.for(thing);
  await w.put('/registry/example.com/things/a/x');
  await caches.consistent(never);
  caches.forget(thing);
  assert.equal(caches.for(thing), before, 'an object is left');
  const seen = watch(before);
  await w.remove('/registry/example.com/things/a/x');
  await caches.consistent(never);
  await settle();
  caches.forget(thing);
  assert.ok(seen.ended instanceof TooOldError);
  assert.throws(() => watch(before), TooOldError, 'who found it before waits for nothing');
  // Made again it is another one, which knows what comes from now on.
  const after = caches.for(thing);
  assert.notEqual(after, before);
  const again = watch(after, {}, after.revision);
  await w.put('/registry/example.com/things/a/y');
  await settle();
  assert.equal(names(after), 'y');
  assert.equal(again.lines.length, 1);
});

test('keys outside the registry, and values that are no objects, disturb nothing', async (t) => {
  const { caches, store } = await start(t);
  const w = new Writer(store);
  await w.write('/terms/x', Buffer.from('1'));
  await w.write('/registry/odd', Buffer.from('?'));
  const at = await w.write('/registry/pods/a/broken', Buffer.from('?'));
  await w.put('/registry/pods/a/good');
  assert.equal(await caches.consistent(never), at + 1);
  assert.equal(caches.for(pods).get('a', 'good')?.object.metadata.name, 'good');
  assert.throws(() => caches.for(pods).get('a', 'broken')?.bytes, /no object/);
});

test('a watcher that throws is ended alone', async (t) => {
  const { caches, store } = await start(t);
  const w = new Writer(store);
  const good = watch(caches.for(pods));
  let reason: Error | undefined;
  caches.for(pods).watch({
    filter: {},
    after: 0,
    signal: never,
    deliver: () => {
      throw new Error('broken pipe');
    },
    end: (error) => {
      reason = error;
    },
  });
  await w.put('/registry/pods/a/x');
  await settle();
  await w.put('/registry/pods/a/y');
  await settle();
  assert.equal(reason?.message, 'broken pipe');
  assert.equal(good.lines.length, 2);
});

/** A store whose watch can be made to break or to say what never happened. */
interface Unsteady {
  readonly store: Store;
  readonly fail: (error: Error) => void;
  readonly say: (event: StoreEvent) => void;
  /** From the next event on nothing is delivered, until the watch fails. */
  readonly mute: () => void;
}

function unsteady(store: Store): Unsteady {
  let muted = false;
  let fail: (error: Error) => void = () => undefined;
  let say: (event: StoreEvent) => void = () => undefined;
  const steady: Store = Object.create(store, {
    watch: {
      value: async function* (options: Parameters<Store['watch']>[0]) {
        const events = store.watch(options)[Symbol.asyncIterator]();
        const broken = new Promise<never>((_resolve, reject) => {
          fail = (error) => {
            muted = false;
            reject(error);
          };
        });
        const said = new Promise<IteratorResult<readonly StoreEvent[]>>((resolve) => {
          say = (event) => resolve({ done: false, value: [event] });
        });
        for (;;) {
          const next = await Promise.race([broken, said, events.next()]);
          if (next.done) return;
          if (muted) await broken;
          yield next.value;
        }
      },
    },
  });
  for (const method of ['get', 'list', 'write', 'revision', 'compact', 'close'] as const) {
    Object.defineProperty(steady, method, { value: store[method].bind(store) });
  }
  return {
    store: steady,
    fail: (error) => fail(error),
    say: (event) => say(event),
    mute: () => {
      muted = true;
    },
  };
}

test('when the watch of the store breaks the caches go on where they were', async (t) => {
  const { store, fail } = unsteady(openMemoryStore({ clock: new FakeClock() }));
  const { caches, clock } = await start(t, store);
  const w = new Writer(store);
  const seen = watch(caches.for(pods));
  await w.put('/registry/pods/a/x');
  await settle();
  fail(new StoreUnavailableError('no quorum'));
  await settle();
  await w.put('/registry/pods/a/y');
  const consistent = caches.consistent(never);
  await clock.advance(10_000);
  assert.equal(await consistent, 2);
  assert.deepEqual(seen.lines, ['ADDED x@1', 'ADDED y@2']);
  assert.equal(seen.ended, undefined);
});

test('when history is lost the caches begin anew and watches end, for none may skip a change', async (t) => {
  const { store, fail, mute } = unsteady(openMemoryStore({ clock: new FakeClock() }));
  const { caches } = await start(t, store);
  const w = new Writer(store);
  const cache = caches.for(pods);
  await w.put('/registry/pods/a/x');
  await w.put('/registry/pods/a/y');
  await settle();
  const seen = watch(cache);
  mute();
  await w.remove('/registry/pods/a/x');
  await w.put('/registry/pods/a/z');
  fail(new TooOldError(2));
  await settle();
  assert.ok(seen.ended instanceof TooOldError);
  assert.deepEqual(seen.lines, []);
  assert.equal(names(cache), 'y z');
  assert.equal(cache.revision, 4);
  assert.throws(() => watch(cache, {}, 3), TooOldError);
  const again = watch(cache, {}, 4);
  await w.put('/registry/pods/a/y');
  await settle();
  assert.deepEqual(again.lines, ['MODIFIED y@5']);
});

test('a watch of the store that skips or repeats a change is a broken invariant', async () => {
  const value = Buffer.from('{"metadata":{"name":"x"}}');
  const key = '/registry/pods/a/x';
  const lies: StoreEvent[] = [
    { type: 'put', stored: { key, value, revision: 1 }, previous: undefined },
    { type: 'put', stored: { key, value, revision: 3 }, previous: { key, value, revision: 2 } },
    { type: 'delete', key: '/registry/pods/a/y', revision: 2, previous: { key, value, revision: 1 } },
  ];
  for (const lie of lies) {
    const { store, say } = unsteady(openMemoryStore({ clock: new FakeClock() }));
    await new Writer(store).put(key);
    const env = { clock: new FakeClock(), random: seededRandom(1), log: silentLog };
    const controller = new AbortController();
    let broken: unknown;
    await startCaches(store, tables, fieldsOf, env, controller.signal, (error) => {
      broken = error;
    });
    say(lie);
    await settle();
    assert.ok(broken instanceof InvariantError, String(broken));
    controller.abort();
  }
});

test('reached waits for the revision or the signal', async (t) => {
  const { caches, store } = await start(t);
  const controller = new AbortController();
  const cache = caches.for(pods);
  const aborted = cache.reached(1, controller.signal);
  let done = false;
  const reached = cache.reached(2, never).then(() => {
    done = true;
  });
  controller.abort(new Error('gone'));
  await assert.rejects(aborted, /gone/);
  const w = new Writer(store);
  await w.put('/registry/pods/a/x');
  await settle();
  assert.equal(done, false);
  await w.put('/elsewhere');
  await reached;
});

test('what watchers saw of former and deleted objects is not kept parsed for as long as history is', async (t) => {
  const { caches, store } = await start(t);
  const w = new Writer(store);
  const cache = caches.for(pods);
  const delivered: PlacedObject[] = [];
  cache.watch({
    filter: { labels: parseLabelSelector('on=yes') },
    after: cache.revision,
    signal: never,
    deliver: (batch) => {
      for (const one of batch) {
        if (one.type === 'BOOKMARK') continue;
        // By now the object may be superseded.
        assert.equal(one.object.object.metadata.resourceVersion, String(one.revision));
        delivered.push(one.object as PlacedObject);
      }
    },
    end: (reason) => assert.fail(reason),
  });
  const labels = { on: 'yes' };
  for (let i = 0; i < 50; i++) {
    for (let n = 0; n < 20; n++) await w.put('/registry/pods/a/often', { labels, nodeName: `${n}` });
    await w.put(`/registry/pods/a/short-${i}`, { labels });
    await w.remove(`/registry/pods/a/short-${i}`);
    await caches.consistent(never);
    await settle();
  }
  assert.equal(delivered.length, 1100);
  for (let i = 0; i < 500; i++) await w.put('/registry/pods/a/other', { labels: { on: 'no' } });
  await caches.consistent(never);
  const kept = delivered.filter((object) => object.parsed).map(({ revision }) => revision);
  assert.deepEqual(kept, [cache.get('a', 'often')?.revision], 'only what is current');
  assert.equal(
    delivered[0]!.object.metadata.resourceVersion,
    String(delivered[0]!.revision),
    'parsed again when asked',
  );
});
