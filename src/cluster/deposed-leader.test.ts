// Two whole control planes over one store. The one that leads is stopped as SIGSTOP stops a process, followed by the other,
// and continued: nothing that it still had in hand may be written.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Registry } from 'prom-client';
import type { Lease, Pod } from '../api/generated/types.ts';
import type { Client } from '../client/contract.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import type { Environment } from '../lib/environment.ts';
import { FakeClock, settle } from '../lib/fake-clock.ts';
import { silentLog } from '../lib/log.ts';
import { seededRandom } from '../lib/random.ts';
import type { ListOptions, Store, WatchOptions, Write, WriteOutcome } from '../store/contract.ts';
import { openMemoryStore } from '../store/memory.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';

const ADMIN = { username: 'admin', groups: ['system:masters', 'system:authenticated'] };

/** A process that can be stopped: its timers do not fire, nothing that it sends leaves, nothing that is sent to it arrives. */
class Process {
  #running: Promise<void> = Promise.resolve();
  #go: () => void = () => undefined;
  /** Writes only are held: what a process has decided and not yet sent when it is stopped. */
  #writing: Promise<void> = Promise.resolve();
  #write: () => void = () => undefined;
  #stopped = false;
  /** Writes that were in hand when the process was stopped, and what became of them. */
  readonly late: { readonly write: Write; readonly outcome: Promise<WriteOutcome> }[] = [];
  readonly store: Store;
  readonly clock: Clock;

  constructor(store: Store, clock: FakeClock) {
    const process = this;
    this.clock = {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      timer(delayMs, fire): Timer {
        let cancelled = false;
        const timer = clock.timer(delayMs, () => void process.#running.then(() => !cancelled && fire()));
        return {
          cancel() {
            cancelled = true;
            timer.cancel();
          },
        };
      },
    };
    this.store = {
      get: (key, signal) => this.#running.then(() => store.get(key, signal)),
      list: (options: ListOptions) => this.#running.then(() => store.list(options)),
      revision: (signal) => this.#running.then(() => store.revision(signal)),
      compact: (revision, signal) => store.compact(revision, signal),
      snapshot: (signal) => store.snapshot(signal),
      close: () => Promise.resolve(),
      watch: (options: WatchOptions) => this.#arriving(store.watch(options)),
      write: (write, signal) => this.#send(store, write, signal),
    };
  }

  async #send(store: Store, write: Write, signal: AbortSignal): Promise<WriteOutcome> {
    if (!this.#stopped) return store.write(write, signal);
    await this.#writing;
    // It is on its way whatever its sender thinks of it now.
    const outcome = store.write(write, new AbortController().signal);
    this.late.push({ write, outcome });
    return outcome;
  }

  async *#arriving<T>(events: AsyncIterable<T>): AsyncGenerator<T> {
    for await (const batch of events) {
      await this.#running;
      yield batch;
    }
  }

  holdWrites(): void {
    this.#stopped = true;
    this.#writing = new Promise((resolve) => {
      this.#write = resolve;
    });
  }

  stop(): void {
    this.#running = new Promise((resolve) => {
      this.#go = resolve;
    });
  }

  /** What was in hand leaves first. */
  async continue(): Promise<void> {
    this.#write();
    await settle();
    this.#stopped = false;
    this.#go();
    await settle();
  }
}

describe('a leader that was stopped and continued', () => {
  const clock = new FakeClock(Date.now());
  let end = new AbortController();
  const planes: ControlPlane[] = [];
  let store: Store;
  let old: Process;
  let client: Client;

  async function start(identity: string, over: Store, seen: Clock): Promise<ControlPlane> {
    const env: Environment = {
      clock: seen,
      random: seededRandom(planes.length + 3),
      log: silentLog,
      metrics: new Registry(),
    };
    const options = {
      env,
      store: over,
      identity,
      clusterCidr: '10.244.0.0/16',
      profile: 'default' as const,
      apiServer: {},
    };
    const plane = await startControlPlane(options, end.signal);
    planes.push(plane);
    return plane;
  }
  /** Lets time pass until the check holds. */
  async function until(what: string, check: () => Promise<boolean>): Promise<void> {
    for (let tries = 0; tries < 3_000; tries++) {
      if (await check()) return;
      await clock.advance(20);
    }
    assert.fail(`${what}: not within a minute of the test's time`);
  }
  const holder = async (name: string): Promise<string | undefined> => {
    const leases = client.resource('leases.coordination.k8s.io');
    const found = await leases.list({ namespace: 'kube-system', fieldSelector: `metadata.name=${name}` });
    return (found.items as Lease[])[0]?.spec.holderIdentity;
  };
  const leads = async (identity: string): Promise<boolean> =>
    (await holder('kube-controller-manager')) === identity && (await holder('kube-scheduler')) === identity;
  const pods = async (of: string): Promise<readonly Pod[]> =>
    (await client.resource('pods').list({ namespace: 'default', labelSelector: `app=${of}` })).items;
  const replicaSet = (name: string) => {
    const labels = { app: name };
    const template = { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'i' }] } };
    const spec = { replicas: 3, selector: { matchLabels: labels }, template };
    return client.resource('replicasets.apps').create({ metadata: { namespace: 'default', name }, spec });
  };

  beforeEach(async () => {
    end = new AbortController();
    planes.length = 0;
    store = openMemoryStore({ clock });
    old = new Process(store, clock);
    const first = await start('old', old.store, old.clock);
    client = first.clientAs(ADMIN);
    await until('the old one leads', () => leads('old'));
    const second = await start('new', store, clock);
    client = second.clientAs(ADMIN);
    const conditions = [{ type: 'Ready', status: 'True', reason: 'KubeletReady' }];
    const resources = { cpu: '8', memory: '16Gi', pods: '110' };
    const status = { conditions, capacity: resources, allocatable: resources };
    await client.resource('nodes').create({ metadata: { name: 'n' }, spec: {} });
    await client.resource('nodes').patch({ name: 'n' }, { type: 'merge', body: { status } }, { subresource: 'status' });
    await until(
      'pods may be made',
      async () => (await client.resource('serviceaccounts').list({ namespace: 'default' })).items.length > 0,
    );
    await until(
      'the node takes pods',
      async () => ((await client.resource('nodes').get({ name: 'n' })).spec.taints ?? []).length === 0,
    );
  });
  afterEach(async () => {
    await old.continue();
    end.abort(new Error('the test is over'));
    for (let i = 0; i < 100; i++) await clock.advance(100);
    await Promise.allSettled(planes.map((plane) => plane.ended));
    await store.close();
  });

  it('none of its late writes is accepted, and the world is as the new leader made it', async () => {
    old.holdWrites();
    await replicaSet('made');
    const body = { spec: { nodeName: undefined, containers: [{ name: 'c', image: 'i' }] } };
    await client.resource('pods').create({ metadata: { namespace: 'default', name: 'bare' }, spec: body.spec });
    // The old one has read of both, and decided what to do.
    for (let i = 0; i < 20; i++) await clock.advance(5);
    old.stop();
    await until('the new one leads', () => leads('new'));
    await until(
      'it has done the work',
      async () => (await pods('made')).filter((pod) => pod.spec.nodeName).length === 3,
    );
    await until(
      'and bound the pod',
      async () => !!(await client.resource('pods').get({ namespace: 'default', name: 'bare' })).spec.nodeName,
    );
    const before = (await store.revision(end.signal)) as number;
    await old.continue();
    await clock.advance(60_000);

    const late = await Promise.all(old.late.map(async ({ write, outcome }) => ({ write, outcome: await outcome })));
    const keys = late.map(({ write }) => write.key);
    assert.ok(
      keys.some((key) => key.startsWith('/registry/pods/default/made-')),
      `controllers had work in hand: ${keys}`,
    );
    assert.ok(
      keys.some((key) => key === '/registry/pods/default/bare'),
      `the scheduler had work in hand: ${keys}`,
    );
    const accepted = late.filter(({ outcome }) => outcome.kind === 'committed').map(({ write }) => write.key);
    assert.deepEqual(accepted, []);
    const terms = new Set(
      ['kube-controller-manager', 'kube-scheduler'].map((name) => `/registry/leases/kube-system/${name}.term`),
    );
    for (const { write, outcome } of late) {
      if (write.key.startsWith('/registry/leases/')) continue;
      assert.ok(
        write.guards?.some(({ key }) => terms.has(key)),
        `${write.key} carries a term`,
      );
      assert.equal(outcome.kind, 'conflict');
      // What the new one has changed too is refused for that; what is new is refused by the term alone.
      if (outcome.kind === 'conflict' && write.expected === 0) assert.ok(terms.has(outcome.guard ?? ''), write.key);
    }
    assert.equal((await pods('made')).length, 3);
    assert.ok((await store.revision(end.signal)) >= before);
    assert.ok(await leads('new'));
  });

  it('both Leases of a leader that ends in order are taken at once, by users who have no more rights than they need', async () => {
    const beganMs = clock.monotonic();
    const leaving = planes[0]!.leave({ delayMs: 0, graceMs: 0 });
    await until('the new one leads', () => leads('new'));
    // No retry period has passed, let alone a lease.
    assert.ok(clock.monotonic() - beganMs < 1_000, `${clock.monotonic() - beganMs} ms`);
    await leaving;
  });
});
