// A store against a naive model of itself: a list of all events ever, from which everything else is computed anew.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { collect, line, never, type OpenStore } from './contract.suite.ts';
import { type Guard, type Revision, type Stored, type StoreEvent, TooOldError, type Write } from './contract.ts';

class Model {
  readonly events: StoreEvent[] = [];
  compacted: Revision;
  readonly start: Revision;

  constructor(start: Revision) {
    this.start = start;
    this.compacted = start;
  }

  get revision(): Revision {
    return this.start + this.events.length;
  }

  present(at: Revision): Stored[] {
    const found = new Map<string, Stored>();
    for (const event of this.events.slice(0, at - this.start)) {
      if (event.type === 'put') found.set(event.stored.key, event.stored);
      else found.delete(event.key);
    }
    return [...found.values()].sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)));
  }

  current(key: string): Stored | undefined {
    return this.present(this.revision).find((s) => s.key === key);
  }

  write({ key, value, expected, guards = [] }: Write): unknown {
    const current = this.current(key);
    if ((current?.revision ?? 0) !== expected) return { kind: 'conflict', current };
    const broken = guards.find((g) => (this.current(g.key)?.revision ?? 0) !== g.revision);
    if (broken) return { kind: 'conflict', current, guard: broken.key };
    const revision = this.revision + 1;
    if (value === null) this.events.push({ type: 'delete', key, revision, previous: current! });
    else this.events.push({ type: 'put', stored: { key, value, revision }, previous: current });
    return { kind: 'committed', revision, previous: current };
  }
}

/** A key of a small set, so that writes meet. */
const KEYS = ['/a', '/a/b', '/a/c', '/b', '/b/\u{1f600}', '/b/ａ', '/c'];
const PREFIXES = ['', '/', '/a', '/a/', '/b/', '/z'];
/** A key of each prefix. */
const MARKS = ['/a/mark', '/b/mark', '/z/mark'];

/** `aim` picks the revision that the writer believes in: the right one mostly. */
const writeCommand = fc.record({
  kind: fc.constant('write' as const),
  key: fc.constantFrom(...KEYS),
  remove: fc.boolean(),
  aim: fc.constantFrom(0, 0, 0, 0, 1, -1),
  guard: fc.option(fc.record({ key: fc.constantFrom(...KEYS), aim: fc.constantFrom(0, 0, 1) })),
});
const listCommand = fc.record({
  kind: fc.constant('list' as const),
  prefix: fc.constantFrom(...PREFIXES),
  after: fc.option(fc.constantFrom(...KEYS)),
  limit: fc.option(fc.integer({ min: 1, max: 5 })),
  /** A share of the way from the start to the present; null: now. */
  when: fc.option(fc.double({ min: 0, max: 1, noNaN: true })),
});
const watchCommand = fc.record({
  kind: fc.constant('watch' as const),
  prefix: fc.constantFrom(...PREFIXES),
  when: fc.double({ min: 0, max: 1, noNaN: true }),
});
const compactCommand = fc.record({
  kind: fc.constant('compact' as const),
  when: fc.double({ min: 0, max: 1, noNaN: true }),
});
const command = fc.oneof(
  { weight: 12, arbitrary: writeCommand },
  { weight: 3, arbitrary: listCommand },
  { weight: 2, arbitrary: watchCommand },
  { weight: 1, arbitrary: compactCommand },
);
/** Groups are issued without waiting between their commands. */
const groups = fc.array(fc.array(command, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 12 });

export function modelProperties(open: OpenStore): void {
  test('any sequence of writes, lists, watches and compactions ends as the model says', async () => {
    await fc.assert(
      fc.asyncProperty(groups, async (commands) => {
        const opened = await open();
        try {
          await run(opened, commands);
        } finally {
          await opened.dispose();
        }
      }),
      { numRuns: 60 },
    );
  });
}

type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;

async function run(opened: Awaited<ReturnType<OpenStore>>, groups: readonly Command[][]): Promise<void> {
  const { store, unordered = false, remote = false } = opened;
  const model = new Model(await store.revision(never));
  const watches: Watching[] = [];
  const controller = new AbortController();
  const moment = (when: number): Revision => model.start + Math.round(when * (model.revision - model.start));
  for (const group of groups) {
    const pending: Promise<void>[] = [];
    for (const c of group) {
      if (c.kind === 'write') {
        const write = aimed(model, c);
        if (write.value === null && write.expected === 0) continue;
        const expected = model.write(write);
        pending.push(store.write(write, never).then((outcome) => assert.deepEqual(outcome, expected)));
        if (unordered) await Promise.all(pending.splice(0));
        continue;
      }
      await Promise.all(pending.splice(0));
      if (c.kind === 'list') await checkList(store, model, c, c.when === null ? undefined : moment(c.when));
      else if (c.kind === 'compact') {
        if (remote) {
          await mark(store, model);
          await checkWatches(model, watches);
        }
        model.compacted = Math.max(model.compacted, moment(c.when));
        await store.compact(moment(c.when), never);
      } else {
        const after = moment(c.when);
        const watch = store.watch({ prefix: c.prefix, after, signal: controller.signal });
        if (model.compacted > after) await assert.rejects(collect(watch, 1), TooOldError);
        else {
          const lines: string[] = [];
          watches.push({ prefix: c.prefix, after, lines, over: drain(watch, lines) });
        }
      }
    }
    await Promise.all(pending);
    assert.equal(await store.revision(never), model.revision);
  }
  await checkWatches(model, watches);
  controller.abort();
  await Promise.all(watches.map((w) => w.over));
}

interface Watching {
  readonly prefix: string;
  readonly after: Revision;
  readonly lines: readonly string[];
  readonly over: Promise<unknown>;
}

/** Gives every prefix a change, so that a watch with nothing else to tell shows that it has begun as well. */
async function mark(store: Awaited<ReturnType<OpenStore>>['store'], model: Model): Promise<void> {
  for (const key of MARKS) {
    const write = { key, value: Buffer.from('mark'), expected: model.current(key)?.revision ?? 0 };
    const expected = model.write(write);
    assert.deepEqual(await store.write(write, never), expected);
  }
}

/** Waits until every watch has told as much as the model knows, and compares. */
async function checkWatches(model: Model, watches: readonly Watching[]): Promise<void> {
  for (const { prefix, after, lines, over } of watches) {
    const wanted = model.events
      .slice(after - model.start)
      .filter((e) => keyOf(e).startsWith(prefix))
      .map(line);
    const ended = over.then(() => true);
    const turn = (): Promise<boolean> => new Promise((resolve) => setImmediate(() => resolve(false)));
    while (wanted.length > lines.length) if (await Promise.race([ended, turn()])) break;
    assert.deepEqual(lines, wanted);
  }
}

function aimed(model: Model, c: Extract<Command, { kind: 'write' }>): Write {
  const revision = (key: string, aim: number): Revision => Math.max(0, (model.current(key)?.revision ?? 0) + aim);
  const guards: Guard[] = c.guard ? [{ key: c.guard.key, revision: revision(c.guard.key, c.guard.aim) }] : [];
  const value = c.remove ? null : Buffer.from(`${c.key} ${model.revision}`);
  return { key: c.key, value, expected: revision(c.key, c.aim), guards };
}

async function checkList(
  store: Awaited<ReturnType<OpenStore>>['store'],
  model: Model,
  c: Extract<Command, { kind: 'list' }>,
  revision: Revision | undefined,
): Promise<void> {
  const { prefix, after, limit } = c;
  const list = store.list({
    prefix,
    ...(after !== null && { after }),
    ...(limit !== null && { limit }),
    ...(revision !== undefined && { revision }),
    signal: never,
  });
  if (revision !== undefined && model.compacted > revision) {
    await assert.rejects(list, TooOldError);
    return;
  }
  const at = revision ?? model.revision;
  const bytes = (text: string): Buffer => Buffer.from(text);
  const all = model
    .present(at)
    .filter((s) => s.key.startsWith(prefix) && (after === null || Buffer.compare(bytes(s.key), bytes(after)) > 0));
  const items = all.slice(0, limit ?? all.length);
  assert.deepEqual(await list, { items, revision: at, remaining: all.length - items.length });
}

async function drain(watch: AsyncIterable<readonly StoreEvent[]>, lines: string[]): Promise<void> {
  for await (const batch of watch) lines.push(...batch.map(line));
}

function keyOf(event: StoreEvent): string {
  return event.type === 'put' ? event.stored.key : event.key;
}
