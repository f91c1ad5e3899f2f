// What every store must do: one suite, run against each implementation.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { FakeClock } from '../lib/fake-clock.ts';
import {
  MAX_GUARDS,
  type Revision,
  type Store,
  type StoreEvent,
  StoreUnavailableError,
  TooOldError,
  type WriteOutcome,
} from './contract.ts';
import { modelProperties } from './model.suite.ts';

export interface StoreUnderTest {
  readonly store: Store;
  /** The clock that time to live is measured by. A real one need not wait longer than for what ends by itself. */
  readonly clock: Pick<FakeClock, 'advance'>;
  /** An empty place made into a store by a snapshot of `store`. */
  restore(snapshot: AsyncIterable<Buffer>): Promise<Store>;
  /** A snapshot holds the history too, so that a restored store can go on from before it. */
  readonly snapshotHasHistory?: boolean;
  /** Writes that are under way at the same time may be carried out in any order. */
  readonly unordered?: boolean;
  /** History is kept elsewhere: a watch that was just begun may find it compacted by what was asked for after it. */
  readonly remote?: boolean;
  /** Closes and removes what was opened. */
  dispose(): Promise<void>;
}

export type OpenStore = () => Promise<StoreUnderTest>;

export const never = new AbortController().signal;

/** Writes that must succeed; returns the revision. */
export async function put(store: Store, key: string, text: string, expected = 0): Promise<Revision> {
  return committed(await store.write({ key, value: Buffer.from(text), expected }, never)).revision;
}

export async function remove(store: Store, key: string, expected: Revision): Promise<Revision> {
  return committed(await store.write({ key, value: null, expected }, never)).revision;
}

export function committed(outcome: WriteOutcome): Extract<WriteOutcome, { kind: 'committed' }> {
  assert.equal(outcome.kind, 'committed');
  return outcome as Extract<WriteOutcome, { kind: 'committed' }>;
}

/** One line for an event: what happened to which key at which revision, and the values after and before. */
export function line(event: StoreEvent): string {
  const before = event.previous ? ` was ${event.previous.value}@${event.previous.revision}` : '';
  if (event.type === 'delete') return `delete ${event.key}@${event.revision}${before}`;
  return `put ${event.stored.key}@${event.stored.revision} ${event.stored.value}${before}`;
}

/** The next `count` events of a watch, which is ended then. */
export async function take(
  store: Store,
  options: { prefix?: string; after: Revision; count: number },
): Promise<string[]> {
  const controller = new AbortController();
  const watch = store.watch({ prefix: options.prefix ?? '', after: options.after, signal: controller.signal });
  const lines = await collect(watch, options.count);
  controller.abort();
  return lines;
}

export async function collect(watch: AsyncIterable<readonly StoreEvent[]>, count: number): Promise<string[]> {
  const lines: string[] = [];
  if (count === 0) return lines;
  for await (const batch of watch) {
    for (const event of batch) lines.push(line(event));
    if (lines.length >= count) break;
  }
  return lines;
}

export function storeContract(name: string, open: OpenStore): void {
  const given =
    (body: (t: StoreUnderTest) => Promise<void>): (() => Promise<void>) =>
    async () => {
      const opened = await open();
      try {
        await body(opened);
      } finally {
        await opened.dispose();
      }
    };
  describe(`${name}: writes`, () => writes(given));
  describe(`${name}: lists`, () => lists(given));
  describe(`${name}: watches`, () => watches(given));
  describe(`${name}: time, snapshots, end`, () => lifecycle(given));
  describe(`${name}: against a naive model`, () => modelProperties(open));
}

type Given = (body: (t: StoreUnderTest) => Promise<void>) => () => Promise<void>;

function writes(given: Given): void {
  test(
    'revisions grow by one with each write, whatever the key',
    given(async ({ store }) => {
      const start = await store.revision(never);
      assert.equal(await put(store, '/a', '1'), start + 1);
      assert.equal(await put(store, '/b', '1'), start + 2);
      assert.equal(await put(store, '/a', '2', start + 1), start + 3);
      assert.equal(await remove(store, '/b', start + 2), start + 4);
      assert.equal(await store.revision(never), start + 4);
    }),
  );

  test(
    'a write returns what was there before',
    given(async ({ store }) => {
      const first = committed(await store.write({ key: '/a', value: Buffer.from('1'), expected: 0 }, never));
      assert.equal(first.previous, undefined);
      const second = await store.write({ key: '/a', value: Buffer.from('2'), expected: first.revision }, never);
      assert.deepEqual(committed(second).previous, { key: '/a', value: Buffer.from('1'), revision: first.revision });
      const third = await store.write({ key: '/a', value: null, expected: committed(second).revision }, never);
      assert.equal(committed(third).previous?.value.toString(), '2');
      const again = committed(await store.write({ key: '/a', value: Buffer.from('3'), expected: 0 }, never));
      assert.equal(again.previous, undefined);
    }),
  );

  test(
    'a write of another revision than the key has is refused with what is there, and changes nothing',
    given(async ({ store }) => {
      const revision = await put(store, '/a', 'there');
      for (const expected of [0, revision - 1, revision + 1]) {
        for (const value of [Buffer.from('new'), null]) {
          if (value === null && expected === 0) continue;
          const outcome = await store.write({ key: '/a', value, expected }, never);
          assert.deepEqual(outcome, {
            kind: 'conflict',
            current: { key: '/a', value: Buffer.from('there'), revision },
          });
        }
      }
      const absent = await store.write({ key: '/none', value: Buffer.from('x'), expected: revision }, never);
      assert.deepEqual(absent, { kind: 'conflict', current: undefined });
      assert.deepEqual(await store.get('/a', never), {
        stored: { key: '/a', value: Buffer.from('there'), revision },
        revision,
      });
    }),
  );

  test(
    'guards: keys whose revision changed refuse the write and are named',
    given(async ({ store }) => {
      const term = await put(store, '/term', '1');
      const write = (key: string, guards: { key: string; revision: Revision }[]): Promise<WriteOutcome> =>
        store.write({ key, value: Buffer.from('x'), expected: 0, guards }, never);
      const both = [
        { key: '/term', revision: term },
        { key: '/absent', revision: 0 },
      ];
      const done = committed(await write('/a', both));
      const next = await put(store, '/term', '2', term);
      assert.deepEqual(await write('/b', both), { kind: 'conflict', current: undefined, guard: '/term' });
      const present = [{ key: '/a', revision: 0 }];
      assert.deepEqual(await write('/b', present), { kind: 'conflict', current: undefined, guard: '/a' });
      assert.equal((await write('/b', [{ key: '/a', revision: done.revision }])).kind, 'committed');
      await remove(store, '/term', next);
      assert.equal((await write('/c', [{ key: '/term', revision: next }])).kind, 'conflict');
      assert.equal((await write('/c', [{ key: '/term', revision: 0 }])).kind, 'committed');
      const many = Array.from({ length: MAX_GUARDS + 1 }, (_, i) => ({ key: `/g${i}`, revision: 0 }));
      await assert.rejects(write('/d', many), RangeError);
    }),
  );

  test(
    'of concurrent writers of one revision exactly one wins',
    given(async ({ store }) => {
      let revision = await put(store, '/n', '0');
      for (let round = 1; 5 >= round; round++) {
        const attempts = Array.from({ length: 20 }, (_, i) =>
          store.write({ key: '/n', value: Buffer.from(`${round}.${i}`), expected: revision }, never),
        );
        const outcomes = await Promise.all(attempts);
        const won = outcomes.filter((o) => o.kind === 'committed');
        assert.equal(won.length, 1);
        const { stored } = await store.get('/n', never);
        for (const o of outcomes) if (o.kind === 'conflict') assert.deepEqual(o.current, stored);
        revision = committed(won[0]!).revision;
        assert.equal(stored?.revision, revision);
      }
    }),
  );

  test(
    'counters incremented by many writers lose nothing',
    given(async ({ store }) => {
      await put(store, '/n', '0');
      const increment = async (): Promise<void> => {
        for (;;) {
          const { stored } = await store.get('/n', never);
          const value = Buffer.from(String(Number(stored!.value) + 1));
          const outcome = await store.write({ key: '/n', value, expected: stored!.revision }, never);
          if (outcome.kind === 'committed') return;
        }
      };
      await Promise.all(
        Array.from({ length: 8 }, async () => {
          for (let i = 0; 5 > i; i++) await increment();
        }),
      );
      assert.equal((await store.get('/n', never)).stored?.value.toString(), '40');
    }),
  );

  test(
    'what was written stays when the writer reuses nothing: values of every size and byte',
    given(async ({ store }) => {
      const values = [0, 1, 4095, 4096, 70_000, 1_500_000].map((size) => Buffer.alloc(size, size % 251));
      await Promise.all(values.map((value, i) => store.write({ key: `/v${i}`, value, expected: 0 }, never)));
      for (const [i, value] of values.entries()) {
        assert.ok((await store.get(`/v${i}`, never)).stored?.value.equals(value), `value ${i}`);
      }
    }),
  );
}

function lists(given: Given): void {
  const keys = async (store: Store, prefix: string, more: object = {}): Promise<string[]> =>
    (await store.list({ prefix, signal: never, ...more })).items.map((s) => s.key);

  test(
    'keys come in bytewise order, of the prefix only',
    given(async ({ store }) => {
      // U+FF41 orders before U+1F600 in UTF-8, after it in UTF-16.
      const all = ['/p/\u{1f600}', '/p/b', '/q', '/p', '/p/', '/p/a-b', '/p/a/b', '/p/ａ', '/pa', '/p/a'];
      for (const key of all) await put(store, key, key);
      assert.deepEqual(await keys(store, '/p/'), ['/p/', '/p/a', '/p/a-b', '/p/a/b', '/p/b', '/p/ａ', '/p/\u{1f600}']);
      assert.deepEqual(
        await keys(store, ''),
        [...all].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
      );
      assert.deepEqual(await keys(store, '/none'), []);
    }),
  );

  test(
    'pages: limit, after and how many remain',
    given(async ({ store }) => {
      for (let i = 0; 10 > i; i++) await put(store, `/p/${i}`, 'x');
      await put(store, '/q/0', 'x');
      const page = async (after?: string): Promise<[string, number]> => {
        const { items, remaining } = await store.list({
          prefix: '/p/',
          limit: 4,
          ...(after && { after }),
          signal: never,
        });
        return [items.map((s) => s.key.slice(3)).join(''), remaining];
      };
      assert.deepEqual(await page(), ['0123', 6]);
      assert.deepEqual(await page('/p/3'), ['4567', 2]);
      assert.deepEqual(await page('/p/35'), ['4567', 2]);
      assert.deepEqual(await page('/p/7'), ['89', 0]);
      assert.deepEqual(await page('/p/9'), ['', 0]);
      assert.deepEqual(await page('/a'), ['0123', 6]);
      await remove(store, '/p/9', (await store.get('/p/9', never)).stored!.revision);
      assert.deepEqual(await page('/p/3'), ['4567', 1]);
    }),
  );

  test(
    'the past: a list at a revision shows what was then, until it is compacted',
    given(async ({ store }) => {
      const r1 = await put(store, '/a', '1');
      const r2 = await put(store, '/b', '1');
      const r3 = await put(store, '/a', '2', r1);
      const r4 = await remove(store, '/b', r2);
      const r5 = await put(store, '/b', '3');
      const at = async (revision: Revision): Promise<string> => {
        const result = await store.list({ prefix: '/', revision, signal: never });
        assert.equal(result.revision, revision);
        return result.items.map((s) => `${s.key}=${s.value}@${s.revision}`).join(' ');
      };
      assert.equal(await at(r1), `/a=1@${r1}`);
      assert.equal(await at(r2), `/a=1@${r1} /b=1@${r2}`);
      assert.equal(await at(r3), `/a=2@${r3} /b=1@${r2}`);
      assert.equal(await at(r4), `/a=2@${r3}`);
      assert.equal(await at(r5), `/a=2@${r3} /b=3@${r5}`);
      const past = await store.list({ prefix: '/', revision: r3, limit: 1, signal: never });
      assert.equal(past.remaining, 1);
      await store.compact(r3, never);
      assert.equal(await at(r3), `/a=2@${r3} /b=1@${r2}`);
      assert.equal(await at(r4), `/a=2@${r3}`);
      await assert.rejects(at(r2), (error) => error instanceof TooOldError && error.compacted === r3);
      await assert.rejects(at(r5 + 1));
      await store.compact(r5, never);
      assert.equal(await at(r5), `/a=2@${r3} /b=3@${r5}`);
    }),
  );
}

function watches(given: Given): void {
  test(
    'every event of the prefix once, in order, with the value before',
    given(async ({ store }) => {
      const start = await store.revision(never);
      const r1 = await put(store, '/p/a', '1');
      await put(store, '/q/a', '1');
      const r3 = await put(store, '/p/a', '2', r1);
      const r4 = await remove(store, '/p/a', r3);
      const r5 = await put(store, '/p/a', '3');
      const all = [
        `put /p/a@${r1} 1`,
        `put /p/a@${r3} 2 was 1@${r1}`,
        `delete /p/a@${r4} was 2@${r3}`,
        `put /p/a@${r5} 3`,
      ];
      assert.deepEqual(await take(store, { prefix: '/p/', after: start, count: 4 }), all);
      assert.deepEqual(await take(store, { prefix: '/p/', after: r1, count: 3 }), all.slice(1));
      assert.deepEqual(await take(store, { prefix: '/p/', after: r4, count: 1 }), all.slice(3));
    }),
  );

  test(
    'it begins at the call: what is written before the first read is delivered',
    given(async ({ store }) => {
      const start = await store.revision(never);
      const controller = new AbortController();
      const watch = store.watch({ prefix: '/', after: start, signal: controller.signal });
      const later = store.watch({ prefix: '/', after: start + 1, signal: controller.signal });
      await put(store, '/a', '1');
      await put(store, '/b', '1');
      await store.compact(start + 2, never);
      assert.deepEqual(await collect(watch, 2), [`put /a@${start + 1} 1`, `put /b@${start + 2} 1`]);
      assert.deepEqual(await collect(later, 1), [`put /b@${start + 2} 1`]);
      controller.abort();
    }),
  );

  test(
    'watches begun at any moment amid concurrent writers see the same order',
    given(async ({ store }) => {
      const start = await store.revision(never);
      const total = 120;
      const seen: Promise<string[]>[] = [];
      const writer = async (n: number): Promise<void> => {
        for (let i = 0; 15 > i; i++) {
          const begin = await store.revision(never);
          await put(store, `/w${n}/${i}`, `${n}.${i}`);
          if (i % 5 === n % 5) {
            seen.push(take(store, { after: begin, count: start + total - begin }));
          }
        }
      };
      const full = take(store, { after: start, count: total });
      await Promise.all(Array.from({ length: 8 }, (_, n) => writer(n)));
      const reference = await full;
      assert.deepEqual(
        reference.map((text) => Number(/@(\d+)/.exec(text)![1])),
        Array.from({ length: total }, (_, i) => start + 1 + i),
      );
      for (const lines of await Promise.all(seen)) assert.deepEqual(lines, reference.slice(-lines.length));
    }),
  );

  test(
    'a compacted revision is too old, the revision of the compaction itself is not',
    given(async ({ store }) => {
      const r1 = await put(store, '/a', '1');
      const r2 = await put(store, '/a', '2', r1);
      const r3 = await put(store, '/a', '3', r2);
      await store.compact(r2, never);
      await assert.rejects(take(store, { after: r1, count: 1 }), (error) => {
        return error instanceof TooOldError && error.compacted === r2;
      });
      assert.deepEqual(await take(store, { after: r2, count: 1 }), [`put /a@${r3} 3 was 2@${r2}`]);
      await store.compact(r1, never);
      await assert.rejects(store.compact(r3 + 1, never));
    }),
  );

  test(
    'from the future: only later events',
    given(async ({ store }) => {
      const start = await store.revision(never);
      const watch = take(store, { after: start + 2, count: 1 });
      for (const key of ['/a', '/b', '/c']) await put(store, key, '1');
      assert.deepEqual(await watch, [`put /c@${start + 3} 1`]);
    }),
  );

  test(
    'it ends when the signal aborts',
    given(async ({ store }) => {
      const controller = new AbortController();
      const idle = collect(store.watch({ prefix: '/', after: 0, signal: controller.signal }), 1);
      await store.revision(never);
      controller.abort();
      assert.deepEqual(await idle, []);
      assert.deepEqual(await collect(store.watch({ prefix: '/', after: 0, signal: controller.signal }), 1), []);
    }),
  );
}

function lifecycle(given: Given): void {
  test(
    'a key with a time to live is deleted then, unless written again',
    given(async ({ store, clock }) => {
      const start = await store.revision(never);
      const write = async (key: string, expected: Revision, ttlSeconds?: number): Promise<Revision> => {
        const value = Buffer.from('x');
        const outcome = await store.write({ key, value, expected, ...(ttlSeconds && { ttlSeconds }) }, never);
        return committed(outcome).revision;
      };
      const short = await write('/short', 0, 10);
      const renewed = await write('/renewed', 0, 10);
      const kept = await write('/kept', 0, 10);
      await clock.advance(9_000);
      await write('/renewed', renewed, 10);
      await write('/kept', kept);
      const first = take(store, { after: start + 5, count: 1 });
      await clock.advance(2_000);
      assert.deepEqual(await first, [`delete /short@${start + 6} was x@${short}`]);
      assert.equal((await store.get('/short', never)).stored, undefined);
      assert.ok((await store.get('/renewed', never)).stored);
      const second = take(store, { after: start + 6, count: 1 });
      await clock.advance(9_000);
      assert.deepEqual(await second, [`delete /renewed@${start + 7} was x@${start + 4}`]);
      await clock.advance(3_600_000);
      assert.ok((await store.get('/kept', never)).stored);
    }),
  );

  test(
    'a snapshot holds one moment and makes an equal store',
    given(async ({ store, clock, restore, snapshotHasHistory = false }) => {
      for (let i = 0; 300 > i; i++) await put(store, `/p/${i}`, `value ${i}`.repeat(200));
      const updated = await put(store, '/p/7', 'new', (await store.get('/p/7', never)).stored!.revision);
      await store.write({ key: '/brief', value: Buffer.from('x'), expected: 0, ttlSeconds: 10 }, never);
      await remove(store, '/p/8', (await store.get('/p/8', never)).stored!.revision);
      const before = await store.list({ prefix: '', signal: never });
      const chunks: Buffer[] = [];
      for await (const chunk of store.snapshot(never)) {
        if (chunks.length === 0) {
          await put(store, '/later', 'x');
          await remove(store, '/p/7', updated);
          await store.compact(await store.revision(never), never);
        }
        chunks.push(chunk);
      }
      const again = await restore(stream(chunks));
      try {
        assert.deepEqual(await again.list({ prefix: '', signal: never }), before);
        if (!snapshotHasHistory) {
          await assert.rejects(take(again, { after: before.revision - 1, count: 1 }), TooOldError);
        }
        assert.equal(await put(again, '/next', 'x'), before.revision + 1);
        const gone = take(again, { after: before.revision + 1, count: 1 });
        await clock.advance(11_000);
        assert.match((await gone)[0]!, /^delete \/brief@/);
      } finally {
        await again.close();
      }
      await assert.rejects(restore(stream(chunks.slice(0, -1))), /cut short/);
    }),
  );

  test(
    'close ends watches, finishes writes, refuses the rest and may be repeated',
    given(async ({ store }) => {
      const watch = collect(store.watch({ prefix: '/', after: 0, signal: never }), 1_000);
      const write = store.write({ key: '/a', value: Buffer.from('1'), expected: 0 }, never);
      await Promise.all([store.close(), store.close()]);
      assert.equal((await write).kind, 'committed');
      assert.deepEqual((await watch).slice(1), []);
      const late = store.write({ key: '/b', value: Buffer.from('1'), expected: 0 }, never);
      await assert.rejects(late, StoreUnavailableError);
      await assert.rejects(store.get('/a', never), StoreUnavailableError);
      await assert.rejects(store.list({ prefix: '/', signal: never }), StoreUnavailableError);
      await store.close();
    }),
  );

  test(
    'an aborted caller gets its reason, or unknown once the write was submitted',
    given(async ({ store }) => {
      const reason = new Error('gone');
      const gone = AbortSignal.abort(reason);
      await assert.rejects(store.get('/a', gone), reason);
      await assert.rejects(store.write({ key: '/a', value: Buffer.from('1'), expected: 0 }, gone), reason);
      assert.equal((await store.get('/a', never)).stored, undefined);
      const controller = new AbortController();
      const write = store.write({ key: '/a', value: Buffer.from('1'), expected: 0 }, controller.signal);
      controller.abort(reason);
      const outcome = await write;
      if (outcome.kind === 'unknown') assert.equal(outcome.cause, reason);
      else assert.equal(outcome.kind, 'committed');
    }),
  );
}

export async function* stream(chunks: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* chunks;
}
