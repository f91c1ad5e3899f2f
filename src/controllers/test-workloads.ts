// Workload controllers over a control plane in memory, where the test plays nodes and kubelets.
import type { Pod } from '../api/generated/types.ts';
import { rfc3339 } from '../lib/clock.ts';
import type { Controller } from './runtime.ts';
import { type Running, runTestControllers } from './test-controllers.ts';

/** Runs `body` over a cluster in which pods can be made in the default namespace. */
export async function withWorkloads(
  controllers: Controller[],
  body: (cluster: Running) => Promise<void>,
): Promise<void> {
  const cluster = await runTestControllers(...controllers);
  try {
    const metadata = { namespace: 'default', name: 'default' };
    await cluster.client.resource('serviceaccounts').create({ metadata });
    await body(cluster);
  } finally {
    await cluster.close();
  }
}

/** A node that is ready: new ones carry the not-ready taint. */
export async function addNode(cluster: Running, name: string, labels = {}): Promise<void> {
  const nodes = cluster.client.resource('nodes');
  const made = await nodes.create({ metadata: { name, labels }, spec: {} });
  await nodes.update({ ...made, spec: { ...made.spec, taints: [] } });
}

/** The pods of the default namespace, by name. */
export async function podsOf(cluster: Running): Promise<readonly Pod[]> {
  const { items } = await cluster.client.resource('pods').list({ namespace: 'default' });
  return [...items].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
}

/** What a kubelet would report. */
export async function report(cluster: Running, pod: Pod, status: object): Promise<void> {
  const { namespace, name } = pod.metadata;
  const query = { subresource: 'status' };
  await cluster.client.resource('pods').patch({ namespace, name }, { type: 'merge', body: { status } }, query);
}

/** Every pod that is not ready becomes so; what follows settles. */
export async function makeReady(cluster: Running, which: (pod: Pod) => boolean = () => true): Promise<void> {
  const lastTransitionTime = rfc3339(cluster.clock.now());
  for (const pod of await podsOf(cluster)) {
    if (pod.status?.phase !== 'Pending' || !which(pod)) continue;
    const conditions = [{ type: 'Ready', status: 'True', lastTransitionTime }];
    await report(cluster, pod, { phase: 'Running', conditions });
  }
  await settled(cluster);
}

/** Every pod ends in this way; what follows settles. */
export async function finish(cluster: Running, phase: 'Succeeded' | 'Failed', which = (_: Pod): boolean => true) {
  for (const pod of await podsOf(cluster)) {
    if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed' || !which(pod)) continue;
    await report(cluster, pod, { phase });
  }
  await settled(cluster);
}

/** Reconciles that each wait for several requests in a row take some turns. */
export async function settled(cluster: Running): Promise<void> {
  for (let i = 0; i < 3; i++) await cluster.pass(0);
}
