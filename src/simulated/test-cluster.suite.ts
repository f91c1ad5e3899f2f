// A registry, a client and informers in one process on a fake clock: what tests of the scheduler and of simulated nodes use.
import { Registry } from 'prom-client';
import type { Event, Node, Pod } from '../api/generated/types.ts';
import { ADMIN, type TestRegistry, testRegistry } from '../apiserver/registry/test-registry.ts';
import type { Client, Informers } from '../client/contract.ts';
import { recordEvents } from '../client/events.ts';
import { inProcessClient } from '../client/in-process.ts';
import { makeInformers } from '../client/informers.ts';
import type { Environment } from '../lib/environment.ts';
import type { FakeClock } from '../lib/fake-clock.ts';
import { silentLog } from '../lib/log.ts';
import { seededRandom } from '../lib/random.ts';
import { runScheduler } from '../scheduler/scheduler.ts';

export interface TestCluster {
  readonly registry: TestRegistry;
  readonly clock: FakeClock;
  readonly env: Environment;
  readonly client: Client;
  readonly informers: Informers;
  readonly signal: AbortSignal;
  startScheduler(): void;
  node(name: string, change?: Partial<Node['spec']> & { labels?: Record<string, string>; cpu?: string }): Promise<Node>;
  pod(name: string, spec?: Partial<Pod['spec']>, metadata?: Partial<Pod['metadata']>): Promise<Pod>;
  getPod(name: string): Promise<Pod>;
  events(name: string): Promise<Event[]>;
  close(): Promise<void>;
}

export async function testCluster(): Promise<TestCluster> {
  const registry = await testRegistry();
  const { clock } = registry;
  const stop = new AbortController();
  const { signal } = stop;
  const env: Environment = { clock, random: seededRandom(3), log: silentLog, metrics: new Registry() };
  const client = inProcessClient({ api: registry.api, tables: registry.tables, user: ADMIN });
  const informers = makeInformers({ client, tables: registry.tables, env });
  const events = recordEvents({ client, env, component: 'default-scheduler' }, signal);
  const running: Promise<unknown>[] = [];
  return {
    registry,
    clock,
    env,
    client,
    informers,
    signal,
    startScheduler: () => {
      running.push(runScheduler({ client, informers, env, events }, {}, signal).catch(() => undefined));
    },
    node: async (name, { labels = {}, cpu = '4', ...spec } = {}) => {
      await registry.create('nodes', {
        apiVersion: 'v1',
        kind: 'Node',
        metadata: { name, labels: { 'kubernetes.io/hostname': name, ...labels } },
        spec,
        status: { allocatable: { cpu, memory: '8Gi', pods: '10' }, capacity: { cpu, memory: '8Gi', pods: '10' } },
      });
      // Admission taints new nodes as not ready; nobody is here to take that away.
      const body = { spec: { taints: spec.taints ?? null } };
      return client.resource('nodes').patch({ name }, { type: 'merge', body });
    },
    pod: async (name, spec = {}, metadata = {}) =>
      (await registry.create('pods', {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, namespace: 'default', ...metadata },
        spec: { containers: [{ name: 'main', image: 'web' }], ...spec },
      })) as Pod,
    getPod: async (name) => (await registry.get('pods', name, 'default')) as Pod,
    events: async (name) => {
      const { items } = await client.resource('events').list({ namespace: 'default' });
      return items.filter((event) => event.involvedObject?.name === name);
    },
    close: async () => {
      stop.abort();
      await Promise.all(running);
      await registry.close();
    },
  };
}

/** A container that asks for this much cpu. */
export function asking(cpu: string): Partial<Pod['spec']> {
  return { containers: [{ name: 'main', image: 'web', resources: { requests: { cpu } } }] };
}
