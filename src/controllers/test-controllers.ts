// Controllers over a control plane in memory, on a fake clock, for tests.
import type { Pod } from '../api/generated/types.ts';
import { recordEvents } from '../client/events.ts';
import { type TestCluster, testCluster } from '../client/test-cluster.ts';
import { type Controller, runControllers } from './runtime.ts';

export interface Running extends TestCluster {
  /** "reason: message" of the events so far. */
  events(): Promise<string[]>;
}

/** Starts the controllers, and lets them settle. Ends with close(). */
export async function runTestControllers(...controllers: Controller[]): Promise<Running> {
  const cluster = await testCluster();
  const { client, env, informers } = cluster;
  const stop = new AbortController();
  const events = recordEvents({ client, env, component: 'test' }, stop.signal);
  const run = runControllers(controllers, { informers, env, events, clientFor: () => client }, stop.signal);
  await cluster.pass(0);
  return {
    ...cluster,
    async events() {
      const { items } = await client.resource('events').list();
      return items.map((event) => `${event.reason}: ${event.message}`);
    },
    async close() {
      stop.abort(new Error('the test is over'));
      await run;
      await cluster.close();
    },
  };
}

/** A pod to create; `spec` and `metadata` add to it. */
export function testPod(name: string, spec: Partial<Pod['spec']> = {}, metadata: Partial<Pod['metadata']> = {}): Pod {
  return {
    metadata: { namespace: 'default', name, ...metadata },
    spec: { containers: [{ name: 'c', image: 'image' }], serviceAccountName: 'default', ...spec },
  };
}
