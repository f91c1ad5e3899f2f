import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Lease } from '../api/generated/types.ts';
import { isReason } from '../machinery/status.ts';
import type { Client } from './contract.ts';
import { DEFAULT_ELECTION, decideElection, NOTHING_OBSERVED, observe, released } from './election.ts';
import { electLeader, LeaseLostError } from './leader-election.ts';
import { type TestCluster, testCluster } from './test-cluster.ts';

const ME = { identity: 'me', leaseDurationMs: 15_000 };
const WALL = Date.UTC(2026, 0, 1);

function lease(spec: Lease['spec']): Lease {
  return { metadata: { name: 'l' }, spec };
}

describe('election rules', () => {
  const held = lease({ holderIdentity: 'other', leaseDurationSeconds: 15, renewTime: 'r1', leaseTransitions: 3 });

  it('a lease that nobody has made is made', () => {
    const step = decideElection(NOTHING_OBSERVED, ME, { nowMs: 5, wallMs: WALL });
    assert.deepEqual(step, {
      kind: 'create',
      spec: {
        holderIdentity: 'me',
        leaseDurationSeconds: 15,
        acquireTime: '2026-01-01T00:00:00.000000Z',
        renewTime: '2026-01-01T00:00:00.000000Z',
        leaseTransitions: 0,
      },
    });
  });

  it('another’s lease is waited for its duration from when its last renewal was seen, and then taken', () => {
    const seen = observe(NOTHING_OBSERVED, held, 1_000);
    const same = observe(seen, structuredClone(held), 9_000);
    const at = (nowMs: number) => decideElection(same, ME, { nowMs, wallMs: WALL });
    assert.deepEqual(at(15_999), { kind: 'wait', holder: 'other' });
    const step = at(16_000);
    assert.ok(step.kind === 'update');
    assert.equal(step.spec.leaseTransitions, 4);
    assert.equal(step.spec.holderIdentity, 'me');
  });

  it('a renewal starts the time again', () => {
    const renewed = lease({ ...held.spec, renewTime: 'r2' });
    const seen = observe(observe(NOTHING_OBSERVED, held, 0), renewed, 10_000);
    assert.equal(decideElection(seen, ME, { nowMs: 24_000, wallMs: WALL }).kind, 'wait');
  });

  it('a released lease is taken at once; one’s own is renewed without a transition', () => {
    const free = observe(NOTHING_OBSERVED, lease(released(held.spec, WALL)), 0);
    const taken = decideElection(free, ME, { nowMs: 0, wallMs: WALL });
    assert.ok(taken.kind === 'update');
    const mine = observe(NOTHING_OBSERVED, lease(taken.spec), 0);
    const renewed = decideElection(mine, ME, { nowMs: 2_000, wallMs: WALL + 2_000 });
    assert.ok(renewed.kind === 'update');
    assert.equal(renewed.spec.leaseTransitions, taken.spec.leaseTransitions);
    assert.equal(renewed.spec.acquireTime, taken.spec.acquireTime);
    assert.notEqual(renewed.spec.renewTime, taken.spec.renewTime);
  });
});

/** One process: what it leads with, and whether it does. */
class Candidate {
  leading = false;
  terms = 0;
  client: Client | undefined;
  why: unknown;
  readonly stop = new AbortController();
  readonly done: Promise<void>;
  /** Set to make leading work go on after its signal. */
  stuck: Promise<void> | undefined;

  constructor(cluster: TestCluster, identity: string, client: Client = cluster.client) {
    const { env } = cluster;
    const lead = async (fenced: Client, signal: AbortSignal): Promise<void> => {
      this.leading = true;
      this.terms++;
      this.client = fenced;
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      this.why = signal.reason;
      await this.stuck;
      this.leading = false;
    };
    const options = { client, env, namespace: 'kube-system', name: 'boss', identity, fenced: true, lead };
    this.done = electLeader(options, this.stop.signal);
  }
}

async function* brokenWatch(): AsyncGenerator<never> {
  yield* [];
  throw new Error('cut off');
}

/** A client that can be cut off. */
function breakable(client: Client, cut: { now: boolean }): Client {
  return {
    ...client,
    resource: ((key: 'leases.coordination.k8s.io') => {
      const real = client.resource(key);
      return new Proxy(real, {
        get: (target, property) => {
          const value = Reflect.get(target, property);
          if (typeof value !== 'function') return value;
          const refuse = () => (property === 'watch' ? brokenWatch() : Promise.reject(new Error('cut off')));
          return (...args: unknown[]) => (cut.now ? refuse() : value.apply(target, args));
        },
      });
    }) as Client['resource'],
  };
}

describe('leader election', () => {
  let cluster: TestCluster;
  const candidates: Candidate[] = [];
  const candidate = (...of: [string, Client?]): Candidate => {
    const made = new Candidate(cluster, ...of);
    candidates.push(made);
    return made;
  };
  beforeEach(async () => {
    cluster = await testCluster();
  });
  afterEach(async () => {
    for (const one of candidates.splice(0)) {
      one.stop.abort();
      await one.done;
    }
    await cluster.close();
  });
  const current = () =>
    cluster.client.resource('leases.coordination.k8s.io').get({ namespace: 'kube-system', name: 'boss' });

  it('one leads, renews, and gives the lease back when it stops; the other follows at once', async () => {
    const a = candidate('a');
    await cluster.pass(0);
    const b = candidate('b');
    await cluster.pass(60_000);
    assert.deepEqual([a.leading, b.leading], [true, false]);
    assert.equal((await current()).spec.leaseTransitions, 0);
    a.stop.abort();
    await cluster.pass(0);
    await a.done;
    await cluster.pass(0);
    assert.deepEqual([a.leading, b.leading], [false, true]);
    assert.equal((await current()).spec.leaseTransitions, 1);
    b.stop.abort();
    await cluster.pass(0);
    await b.done;
    assert.equal((await current()).spec.holderIdentity, '');
  });

  it('a leader that is gone is followed when its last renewal has run out, and not a retry period later', async () => {
    const cut = { now: false };
    const a = candidate('a', breakable(cluster.client, cut));
    await cluster.pass(0);
    const b = candidate('b');
    await cluster.pass(60_000);
    // Gone without a word: nothing that it still does reaches the API.
    cut.now = true;
    const renewedMs = Date.parse((await current()).spec.renewTime!);
    await cluster.pass(renewedMs + DEFAULT_ELECTION.leaseDurationMs - cluster.clock.now() - 1);
    assert.equal(b.leading, false);
    await cluster.pass(DEFAULT_ELECTION.retryPeriodMs / 10);
    assert.equal(b.leading, true);
    assert.equal(a.leading, false);
  });

  it('a renewal that hangs does not keep a leader in office beyond the renew deadline', async () => {
    const held = { now: false };
    const never = new Promise<never>(() => undefined);
    const client: Client = {
      ...cluster.client,
      resource: ((key: 'leases.coordination.k8s.io') => {
        const real = cluster.client.resource(key);
        // Heeds no signal: what a stalled disk or a stopped peer does to a call.
        return {
          ...real,
          get: real.get.bind(real),
          watch: brokenWatch,
          update: (...of: Parameters<typeof real.update>) => (held.now ? never : real.update(...of)),
          create: real.create.bind(real),
        };
      }) as Client['resource'],
    };
    const a = candidate('a', client);
    await cluster.pass(4_000);
    assert.equal(a.leading, true);
    held.now = true;
    await cluster.pass(DEFAULT_ELECTION.renewDeadlineMs - DEFAULT_ELECTION.retryPeriodMs - 1);
    assert.equal(a.leading, true);
    await cluster.pass(DEFAULT_ELECTION.retryPeriodMs + 2);
    assert.equal(a.leading, false);
    assert.ok(a.why instanceof LeaseLostError);
    held.now = false;
  });

  it('the wall clock may jump: only the monotonic one decides', async () => {
    const a = candidate('a');
    await cluster.pass(0);
    const b = candidate('b');
    await cluster.pass(10_000);
    cluster.clock.setWall(cluster.clock.now() + 86_400_000);
    await cluster.pass(10_000);
    cluster.clock.setWall(cluster.clock.now() - 2 * 86_400_000);
    await cluster.pass(30_000);
    assert.deepEqual([a.leading, b.leading, a.terms], [true, false, 1]);
  });

  it('a leader that cannot renew stops after the renew deadline, before another can lead', async () => {
    const cut = { now: false };
    const a = candidate('a', breakable(cluster.client, cut));
    await cluster.pass(0);
    const b = candidate('b');
    await cluster.pass(4_000);
    cut.now = true;
    await cluster.pass(DEFAULT_ELECTION.renewDeadlineMs + 2_000);
    assert.deepEqual([a.leading, b.leading], [false, false]);
    assert.ok(a.why instanceof LeaseLostError);
    await cluster.pass(DEFAULT_ELECTION.leaseDurationMs);
    assert.equal(b.leading, true);
    cut.now = false;
    await cluster.pass(30_000);
    assert.deepEqual([a.leading, b.leading], [false, true]);
  });

  it('a deposed leader that goes on working is refused by the store, and is not elected again before it has ended', async () => {
    const cut = { now: false };
    const a = candidate('a', breakable(cluster.client, cut));
    await cluster.pass(0);
    const old = a.client!;
    const write = (client: Client, name: string) =>
      client.resource('configmaps').create({ metadata: { namespace: 'default', name } });
    await write(old, 'while-leading');
    const unstick = Promise.withResolvers<void>();
    a.stuck = unstick.promise;
    const b = candidate('b');
    cut.now = true;
    await cluster.pass(40_000);
    assert.equal(b.leading, true);
    await write(b.client!, 'by-the-new');
    await assert.rejects(write(old, 'too-late'), (error) => isReason(error, 'Conflict'));
    cut.now = false;
    b.stop.abort();
    await cluster.pass(30_000);
    assert.equal(a.terms, 1, 'its first work has not ended');
    unstick.resolve();
    await cluster.pass(30_000);
    assert.equal(a.terms, 2);
    await write(a.client!, 'again');
    await assert.rejects(write(old, 'still-too-late'), (error) => isReason(error, 'Conflict'));
  });

  it('a leader whose term somebody deleted stands again, with a new one', async () => {
    const a = candidate('a');
    await cluster.pass(0);
    const leases = cluster.client.resource('leases.coordination.k8s.io');
    await leases.delete({ namespace: 'kube-system', name: 'boss.term' });
    await cluster.pass(10_000);
    assert.equal(a.terms, 2);
    await a.client!.resource('configmaps').create({ metadata: { namespace: 'default', name: 'works' } });
  });
});
