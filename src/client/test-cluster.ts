// A control plane's API in memory, on a fake clock, for the tests of clients and controllers.
import { Registry } from 'prom-client';
import { Tables } from '../api/tables.ts';
import { startCaches } from '../apiserver/cache/cache-set.ts';
import type { ResourceApi, UserInfo } from '../apiserver/contract.ts';
import { createRegistry } from '../apiserver/registry/registry.ts';
import { fieldsOf } from '../apiserver/strategies/strategies.ts';
import type { Environment } from '../lib/environment.ts';
import { FakeClock, settle } from '../lib/fake-clock.ts';
import { silentLog } from '../lib/log.ts';
import { seededRandom } from '../lib/random.ts';
import type { Store } from '../store/contract.ts';
import { openMemoryStore } from '../store/memory.ts';
import type { Client, Informers } from './contract.ts';
import { inProcessClient } from './in-process.ts';
import { makeInformers } from './informers.ts';

export const ADMIN: UserInfo = { username: 'admin', groups: ['system:masters', 'system:authenticated'] };

export interface TestCluster {
  readonly env: Environment;
  readonly clock: FakeClock;
  readonly tables: Tables;
  readonly store: Store;
  readonly api: ResourceApi;
  readonly client: Client;
  readonly informers: Informers;
  /** Aborts with close(). */
  readonly signal: AbortSignal;
  /** Lets time pass, and everything settle that follows from it. */
  pass(ms: number): Promise<void>;
  close(): Promise<void>;
}

export function testEnvironment(clock: FakeClock = new FakeClock()): Environment {
  return { clock, random: seededRandom(11), log: silentLog, metrics: new Registry() };
}

/** With the namespaces that every cluster has. Whoever closes it has nothing left. */
export async function testCluster(): Promise<TestCluster> {
  const clock = new FakeClock();
  const env = testEnvironment(clock);
  const tables = new Tables();
  const store = openMemoryStore({ clock });
  const stop = new AbortController();
  const caches = await startCaches(store, tables, fieldsOf, env, stop.signal);
  const api = createRegistry({ env, tables, store, caches });
  const client = inProcessClient({ api, tables, user: ADMIN, clock });
  for (const name of ['default', 'kube-system', 'kube-node-lease']) {
    await client.resource('namespaces').create({ metadata: { name }, spec: {} });
  }
  return {
    env,
    clock,
    tables,
    store,
    api,
    client,
    informers: makeInformers({ client, tables, env }),
    signal: stop.signal,
    async pass(ms) {
      // Caches, informers, queues and reconcilers each take a few turns of the event loop.
      for (let i = 0; i < 5; i++) await settle();
      await clock.advance(ms);
      for (let i = 0; i < 5; i++) await settle();
    },
    async close() {
      stop.abort(new Error('the test is over'));
      await settle();
      await store.close();
    },
  };
}
