// The store over a real etcd while members are killed, paused and cut off: what was acknowledged is there, what was refused is
// not, and the watch tells it all once and in order.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { PROFILES } from '../../src/cluster/profiles.ts';
import { sleep } from '../../src/lib/clock.ts';
import { realEnvironment } from '../../src/platform/environment.ts';
import { never } from '../../src/store/contract.suite.ts';
import { type Revision, type Store, type StoreEvent, StoreUnavailableError } from '../../src/store/contract.ts';
import { openEtcdStore } from '../../src/store/etcd/open.ts';
import type { EtcdRpc } from '../../src/store/etcd/rpc.ts';
import { Members } from './etcd-members.ts';

const env = realEnvironment('silent');
const timings = PROFILES.fast.etcd;
const WRITERS = 8;
/** Nothing here takes longer, even on a busy machine. */
const GENEROUS_MS = 30_000;

let members: Members;
before(async () => {
  members = await Members.start({ env, count: 3 });
});
after(() => members?.stop());

interface Attempt {
  readonly value: string;
  readonly outcome: 'committed' | 'unknown' | 'refused';
  readonly revision: Revision;
  readonly startedMs: number;
  readonly endedMs: number;
}

/** Writers that each change a key of their own, without pause, every attempt with a value of its own. */
class Load {
  readonly attempts: Attempt[] = [];
  readonly #stop = new AbortController();
  readonly #store: Store;
  readonly #done: Promise<unknown>;

  constructor(store: Store) {
    this.#store = store;
    this.#done = Promise.all(Array.from({ length: WRITERS }, (_, i) => this.#write(i)));
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  /** Resolves when a write that began after now is acknowledged. */
  async progress(): Promise<void> {
    const fromMs = env.clock.monotonic();
    const untilMs = fromMs + GENEROUS_MS;
    while (!this.attempts.some((a) => a.outcome === 'committed' && a.startedMs > fromMs)) {
      assert.ok(untilMs > env.clock.monotonic(), 'no write succeeds any more');
      await sleep(env.clock, 10, never);
    }
  }

  /** The longest time between two acknowledgements after a moment. */
  gapMs(fromMs: number): number {
    const ended = this.attempts.filter((a) => a.outcome === 'committed' && a.endedMs > fromMs).map((a) => a.endedMs);
    ended.sort((a, b) => a - b);
    let last = fromMs;
    let gap = 0;
    for (const at of ended) {
      gap = Math.max(gap, at - last);
      last = at;
    }
    return Math.round(gap);
  }

  async #write(writer: number): Promise<void> {
    const key = `/faults/${writer}`;
    let expected: Revision | undefined = 0;
    for (let n = 0; !this.#stop.signal.aborted; n++) {
      const value = `${writer}.${n}`;
      const startedMs = env.clock.monotonic();
      const note = (outcome: Attempt['outcome'], revision = 0): void => {
        this.attempts.push({ value, outcome, revision, startedMs, endedMs: env.clock.monotonic() });
      };
      try {
        expected ??= (await this.#store.get(key, never)).stored?.revision ?? 0;
        const outcome = await this.#store.write({ key, value: Buffer.from(value), expected }, never);
        if (outcome.kind === 'committed') {
          note('committed', outcome.revision);
          expected = outcome.revision;
        } else {
          note(outcome.kind === 'unknown' ? 'unknown' : 'refused');
          // What became of it must be looked up. A late commit meets the revision that was read then.
          expected = undefined;
        }
      } catch (error) {
        if (!(error instanceof StoreUnavailableError)) throw error;
        note('refused');
        expected = undefined;
        await sleep(env.clock, 20, never);
      }
    }
  }
}

/** Every event since a revision, checked as it comes. */
class Witness {
  readonly values = new Map<string, Revision>();
  last: Revision;
  readonly #present = new Map<string, Revision>();
  readonly #controller = new AbortController();
  readonly #done: Promise<void>;
  failure: unknown;

  constructor(store: Store, after: Revision) {
    this.last = after;
    const watch = store.watch({ prefix: '', after, signal: this.#controller.signal });
    this.#done = this.#follow(watch).catch((error: unknown) => {
      this.failure = error;
    });
  }

  async reached(revision: Revision): Promise<void> {
    const untilMs = env.clock.monotonic() + GENEROUS_MS;
    while (revision > this.last) {
      if (this.failure) throw this.failure;
      assert.ok(untilMs > env.clock.monotonic(), `the watch stays at ${this.last}, wanted ${revision}`);
      await sleep(env.clock, 10, never);
    }
    if (this.failure) throw this.failure;
  }

  async end(): Promise<void> {
    this.#controller.abort();
    await this.#done;
    if (this.failure) throw this.failure;
  }

  async #follow(watch: AsyncIterable<readonly StoreEvent[]>): Promise<void> {
    for await (const batch of watch) {
      for (const event of batch) {
        assert.equal(event.type, 'put');
        if (event.type !== 'put') continue;
        const { key, value, revision } = event.stored;
        assert.equal(revision, this.last + 1, 'every revision once, in order');
        assert.equal(event.previous?.revision, this.#present.get(key), 'with what was there before');
        this.#present.set(key, revision);
        this.values.set(value.toString(), revision);
        this.last = revision;
      }
    }
  }
}

async function leaderIndex(rpc: EtcdRpc): Promise<number> {
  const untilMs = env.clock.monotonic() + GENEROUS_MS;
  for (;;) {
    for (const [index, { healthy, status }] of rpc.endpoints.entries()) {
      if (healthy && status && status.leader === status.header.memberId) return index;
    }
    assert.ok(untilMs > env.clock.monotonic(), 'there is no leader');
    await sleep(env.clock, 50, never);
  }
}

async function allHealthy(rpc: EtcdRpc): Promise<void> {
  const untilMs = env.clock.monotonic() + GENEROUS_MS;
  while (!rpc.endpoints.every((e) => e.healthy)) {
    assert.ok(
      untilMs > env.clock.monotonic(),
      `not all are well: ${JSON.stringify(rpc.endpoints.map((e) => e.reason))}`,
    );
    await sleep(env.clock, 50, never);
  }
}

const FAULTS: readonly (readonly [string, (m: Members, leader: number) => Promise<() => Promise<void>>])[] = [
  [
    'the leader is killed',
    async (m, leader) => {
      await m.kill(leader);
      return () => m.run(leader);
    },
  ],
  [
    'the leader is paused',
    async (m, leader) => {
      m.pause(leader);
      return async () => m.resume(leader);
    },
  ],
  [
    'the leader is cut off from the other members',
    async (m, leader) => {
      m.cut(leader, { fromClients: false });
      return async () => m.heal();
    },
  ],
  [
    'the leader is cut off from everybody',
    async (m, leader) => {
      m.cut(leader, { fromClients: true });
      return async () => m.heal();
    },
  ],
  [
    'a follower is cut off from everybody',
    async (m, leader) => {
      m.cut((leader + 1) % m.count, { fromClients: true });
      return async () => m.heal();
    },
  ],
];

test('acknowledged writes stay, refused ones never come, the watch is whole: across faults and compactions', async (t) => {
  const { store, rpc } = openEtcdStore({
    endpoints: members.endpoints,
    tls: members.tls,
    env,
    timings,
    compactionIntervalMs: 0,
  });
  const start = await store.revision(never);
  const witness = new Witness(store, start);
  const load = new Load(store);
  try {
    for (const [name, fault] of FAULTS) {
      await allHealthy(rpc);
      await load.progress();
      const leader = await leaderIndex(rpc);
      const fromMs = env.clock.monotonic();
      const undo = await fault(members, leader);
      try {
        await load.progress();
        await load.progress();
      } finally {
        await undo();
      }
      await allHealthy(rpc);
      await load.progress();
      const unknown = load.attempts.filter((a) => a.endedMs > fromMs && a.outcome === 'unknown').length;
      t.diagnostic(`${name}: no acknowledgement for ${load.gapMs(fromMs)} ms; ${unknown} outcomes unknown`);
      // What the watch has seen may be forgotten.
      await store.compact(witness.last, never);
    }
  } finally {
    await load.stop();
  }
  await witness.reached(await store.revision(never));
  await witness.end();
  await store.close();
  judge(load.attempts, witness);
});

function judge(attempts: readonly Attempt[], witness: Witness): void {
  const counts = { committed: 0, unknown: 0, refused: 0 };
  for (const { value, outcome, revision } of attempts) {
    counts[outcome]++;
    if (outcome === 'committed') assert.equal(witness.values.get(value), revision, `${value} was acknowledged`);
    if (outcome === 'refused') assert.equal(witness.values.get(value), undefined, `${value} was refused`);
  }
  assert.ok(counts.committed > 100, `writes went on: ${JSON.stringify(counts)}`);
}

test('without a quorum: writes are refused or unknown, consistent reads are refused; both go on when it is back', async () => {
  const { store, rpc } = openEtcdStore({
    endpoints: members.endpoints,
    tls: members.tls,
    env,
    timings,
    compactionIntervalMs: 0,
  });
  await allHealthy(rpc);
  const leader = await leaderIndex(rpc);
  const other = (leader + 1) % members.count;
  await members.kill(leader);
  await members.kill(other);
  try {
    await assert.rejects(store.revision(never), StoreUnavailableError);
    const key = '/quorum';
    const write = store.write({ key, value: Buffer.from('x'), expected: 0 }, never);
    await assert.rejects(write, StoreUnavailableError);
    // By now it is known that there is none: nobody waits for an election any more.
    const fromMs = env.clock.monotonic();
    for (let i = 0; 5 > i; i++) await assert.rejects(store.revision(never), StoreUnavailableError);
    const tookMs = env.clock.monotonic() - fromMs;
    assert.ok(tookMs < timings.unavailableAfterMs, `five refusals took ${tookMs} ms`);
  } finally {
    await members.run(leader);
    await members.run(other);
  }
  await allHealthy(rpc);
  assert.equal((await store.get('/quorum', never)).stored, undefined);
  assert.equal((await store.write({ key: '/quorum', value: Buffer.from('x'), expected: 0 }, never)).kind, 'committed');
  await store.close();
});

test('a member that is taken out is left, without a request that fails', async () => {
  const membersIntervalMs = 100;
  const { endpoints, tls } = members;
  const { store, rpc } = openEtcdStore({ endpoints, tls, env, timings, compactionIntervalMs: 0, membersIntervalMs });
  await allHealthy(rpc);
  const leader = await leaderIndex(rpc);
  const gone = rpc.endpoints[(leader + 1) % members.count]!;
  const load = new Load(store);
  let fromMs = 0;
  try {
    await load.progress();
    // The first writes of all meet what was there.
    fromMs = env.clock.monotonic();
    const untilMs = env.clock.monotonic() + GENEROUS_MS;
    // etcd refuses while its members are not all connected for some seconds.
    for (let failure: unknown = 'not asked'; failure; ) {
      failure = await rpc.memberRemove(gone.status!.header.memberId, { signal: never }).catch((error: Error) => error);
      if (failure === undefined) break;
      assert.ok(untilMs > env.clock.monotonic(), `etcd does not let its member go: ${failure}`);
      await sleep(env.clock, 200, never);
    }
    while (rpc.endpoints.length === members.count) {
      assert.ok(untilMs > env.clock.monotonic(), 'the member is still used');
      await sleep(env.clock, 20, never);
    }
    assert.deepEqual(
      rpc.endpoints.map(({ url }) => url),
      endpoints.filter((url) => url !== gone.url),
    );
    await load.progress();
  } finally {
    await load.stop();
    await store.close();
  }
  assert.deepEqual(
    load.attempts.filter(({ outcome, startedMs }) => outcome === 'refused' && startedMs > fromMs),
    [],
  );
});
