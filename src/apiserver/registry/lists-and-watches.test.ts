// Lists of now and of the past, and watches, over the whole registry.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { settle } from '../../lib/fake-clock.ts';
import { StatusError } from '../../machinery/status.ts';
import type { WatchDelivery } from '../contract.ts';
import { secondRegistry, type TestRegistry, testRegistry } from './test-registry.ts';

let registry: TestRegistry;
before(async () => {
  registry = await testRegistry();
});
after(() => registry.close());

const refused =
  (reason: string, pattern: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof StatusError, String(error));
    assert.equal(error.reason, reason, error.message);
    assert.match(error.message, pattern);
    return true;
  };

const podOf = (name: string, more: object = {}): object => ({
  metadata: { namespace: 'default', name, ...more },
  spec: { containers: [{ name: 'c', image: 'busybox' }] },
});

test('a list of the past has what has not changed since, and what has as it was', async () => {
  const place = { namespace: 'past' };
  await registry.create('namespaces', { metadata: { name: 'past' } });
  for (const name of ['same', 'other']) await registry.create('configmaps', { metadata: { ...place, name } });
  const { revision } = await registry.api.list(registry.ctx(), registry.target('configmaps', 'past'), {});
  await registry.merge('configmaps', { ...place, name: 'other' }, { data: { a: 'b' } });
  const then = await registry.api.list(registry.ctx(), registry.target('configmaps', 'past'), {
    resourceVersion: String(revision),
    resourceVersionMatch: 'Exact',
  });
  assert.equal(then.revision, revision);
  assert.deepEqual(
    then.items.map(({ name, object }) => [name, (object as { data?: object }).data]),
    [
      ['other', undefined],
      ['same', undefined],
    ],
  );
});

describe('list', () => {
  test('pages are of one revision', async () => {
    for (const i of [1, 2, 3, 4, 5])
      await registry.create('secrets', { metadata: { namespace: 'default', name: `s${i}` } });
    const target = registry.target('secrets', 'default');
    const first = await registry.api.list(registry.ctx(), target, { limit: 2 });
    assert.deepEqual(
      first.items.map((i) => i.name),
      ['s1', 's2'],
    );
    assert.equal(first.remainingItemCount, 3);
    await registry.api.delete(registry.ctx(), registry.target('secrets', 'default', 's3'), {});
    await registry.create('secrets', { metadata: { namespace: 'default', name: 's6' } });
    const second = await registry.api.list(registry.ctx(), target, { limit: 2, continue: first.continue! });
    assert.deepEqual(
      second.items.map((i) => i.name),
      ['s3', 's4'],
    );
    assert.equal(second.revision, first.revision);
    const third = await registry.api.list(registry.ctx(), target, { limit: 2, continue: second.continue! });
    assert.deepEqual(
      third.items.map((i) => i.name),
      ['s5'],
    );
    assert.equal(third.continue, undefined);
    const exact = await registry.api.list(registry.ctx(), target, {
      resourceVersion: String(first.revision),
      resourceVersionMatch: 'Exact',
    });
    assert.equal(exact.items.length, 5);
  });

  test('a list whose revision was compacted goes on at the present, consistently from there', async () => {
    const namespace = 'paged';
    await registry.create('namespaces', { metadata: { name: namespace } });
    const secret = (name: string): Promise<unknown> => registry.create('secrets', { metadata: { namespace, name } });
    for (const name of ['s1', 's2', 's3', 's4', 's5']) await secret(name);
    const target = registry.target('secrets', namespace);
    const page = (limit: number, at: string) => registry.api.list(registry.ctx(), target, { limit, continue: at });
    const first = await registry.api.list(registry.ctx(), target, { limit: 2 });
    await registry.api.delete(registry.ctx(), registry.target('secrets', namespace, 's3'), {});
    await secret('s6');
    await registry.store.compact(await registry.store.revision(registry.ctx().signal), registry.ctx().signal);
    let expired: StatusError | undefined;
    await assert.rejects(page(2, first.continue!), (error: StatusError) => {
      expired = error;
      return error.code === 410 && error.reason === 'Expired';
    });
    const second = await page(2, expired!.status.metadata.continue!);
    assert.deepEqual(
      second.items.map((i) => i.name),
      ['s4', 's5'],
    );
    assert.ok(BigInt(second.revision) > BigInt(first.revision));
    assert.equal(second.remainingItemCount, 1);
    await secret('s7');
    const third = await page(2, second.continue!);
    assert.deepEqual(
      third.items.map((i) => i.name),
      ['s6'],
    );
    assert.deepEqual([third.revision, third.continue], [second.revision, undefined]);
  });

  test('field selectors: what the kind offers, and nothing else', async () => {
    const target = registry.target('pods', 'default');
    for (const name of ['fixed', 'other']) await registry.create('pods', podOf(name));
    const found = await registry.api.list(registry.ctx(), target, {
      fieldSelector: 'metadata.name=fixed,status.phase=Pending',
    });
    assert.deepEqual(
      found.items.map((i) => i.name),
      ['fixed'],
    );
    await assert.rejects(
      registry.api.list(registry.ctx(), target, { fieldSelector: 'spec.foo=1' }),
      refused('BadRequest', /^field label not supported: spec.foo$/),
    );
    const maps = registry.target('configmaps', 'default');
    await assert.rejects(
      registry.api.list(registry.ctx(), maps, { fieldSelector: 'data=1' }),
      refused('BadRequest', /^"data" is not a known field selector: only "metadata.name", "metadata.namespace"$/),
    );
  });

  test('a revision that is not yet: too large', async () => {
    const future = registry.api.list(registry.ctx(), registry.target('pods', 'default'), { resourceVersion: '999999' });
    const refusedLate = assert.rejects(
      future,
      refused('Timeout', /^Timeout: Too large resource version: 999999, current: \d+$/),
    );
    await registry.clock.advance(3000);
    await refusedLate;
  });
});

describe('watch', () => {
  test('begins with what is there, then says what changes, with bookmarks, until its time is up', async () => {
    const events: WatchDelivery[] = [];
    let ended: { error?: Error } | undefined;
    const sink = {
      deliver: (batch: readonly WatchDelivery[]) => events.push(...batch),
      end: (error?: Error) => {
        ended = error ? { error } : {};
      },
    };
    const target = registry.target('limitranges', 'default');
    const timers = registry.clock.pending;
    await registry.create('limitranges', { metadata: { namespace: 'default', name: 'a' } });
    await registry.api.watch(
      registry.ctx(),
      target,
      { sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan', allowWatchBookmarks: true, timeoutSeconds: 100 },
      sink,
    );
    await registry.create('limitranges', { metadata: { namespace: 'default', name: 'b' } });
    await settle();
    assert.deepEqual(
      events.map((e) => (e.type === 'BOOKMARK' ? `end=${e.initialEventsEnd}` : e.object.name)),
      ['a', 'end=true', 'b'],
    );
    await registry.clock.advance(80_000);
    assert.equal(events.at(-1)?.type, 'BOOKMARK');
    assert.equal(ended, undefined);
    await registry.clock.advance(20_001);
    await settle();
    assert.deepEqual(ended, {});
    assert.equal(registry.clock.pending, timers, 'no timer is left behind');
  });

  test('too old a revision ends it with Expired', async () => {
    await registry.store.compact(await registry.store.revision(registry.ctx().signal), registry.ctx().signal);
    const fresh = await secondRegistry(registry);
    const ended = await new Promise<Error | undefined>((resolve) => {
      void fresh.api.watch(
        fresh.ctx(),
        fresh.target('pods', 'default'),
        { resourceVersion: '1' },
        { deliver: () => undefined, end: resolve },
      );
    }).catch((e) => e);
    assert.equal((ended as StatusError).reason, 'Expired');
    assert.match((ended as StatusError).message, /^too old resource version: 1 \(\d+\)$/);
  });

  test('another version of a kind shows the same objects its own way', async () => {
    const events = registry.tables.resource('events.k8s.io', 'v1', 'events')!;
    const target = { resource: events, namespace: 'default' };
    const body = {
      metadata: { namespace: 'default', name: 'e1' },
      eventTime: '2026-01-01T00:00:00.000000Z',
      reason: 'Tested',
      note: 'hello',
      regarding: { kind: 'Pod', namespace: 'default', name: 'p' },
      reportingController: 'me',
      reportingInstance: 'me-1',
      action: 'Test',
      type: 'Normal',
    };
    const made = await registry.api.create(registry.ctx(), target, registry.body(target, body), {});
    assert.equal((made.object.object as { note?: string }).note, 'hello');
    const core = (await registry.get('events', 'e1', 'default')) as {
      message?: string;
      involvedObject?: { name?: string };
    };
    assert.equal(core.message, 'hello');
    assert.equal(core.involvedObject?.name, 'p');
    const found = await registry.api.list(registry.ctx(), target, { fieldSelector: 'regarding.name=p' });
    assert.equal(found.items.length, 1);
    assert.equal(found.items[0]?.object.apiVersion, 'events.k8s.io/v1');
  });
});
