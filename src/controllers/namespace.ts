// The namespace controller: empties a namespace that is being deleted, pods first, and then lets it go.
import type { Namespace } from '../api/generated/types.ts';
import { draft, type KubeObject } from '../api/object.ts';
import type { Client, DiscoveredResource } from '../client/contract.ts';
import { isTerminating, setCondition } from '../machinery/meta.ts';
import { isReason } from '../machinery/status.ts';
import { timeMs } from '../machinery/time.ts';
import { type DeletionRound, namespaceConditions, type Remainder } from './namespace-conditions.ts';
import { type Controller, type ControllerContext, type Requeue, watch } from './runtime.ts';

/** The finalizer of every namespace that this controller removes, and no other. */
const KUBERNETES = 'kubernetes';

export interface NamespaceOptions {
  /**
   * How long after the deletion the content is first deleted: other API servers may not have heard of the deletion and admit
   * objects. Upstream waits 5 s.
   */
  readonly graceMs?: number;
}

const DEFAULT_GRACE_MS = 500;

/** Content that only finalizers or grace periods keep is looked at again this often. Pods that go are noticed at once. */
const CONTENT_RETRY_MS = 2_000;

/** Resources emptied at once for one namespace. */
const PARALLEL = 8;

export function namespaceController(options: NamespaceOptions = {}): Controller {
  const { graceMs = DEFAULT_GRACE_MS } = options;
  return {
    name: 'namespace-controller',
    workers: 10,
    watches: ({ informers }) => [
      watch('namespaces', { keys: (namespace) => (isTerminating(namespace) ? [namespace.metadata.name] : []) }),
      watch('pods', {
        keys: (pod, _previous, change) => {
          const name = pod.metadata.namespace ?? '';
          const namespace = change === 'deleted' ? informers.for('namespaces').get(name) : undefined;
          return namespace && isTerminating(namespace) ? [name] : [];
        },
      }),
    ],
    reconcile: (ctx, name, signal) => reconcile(ctx, name, { graceMs, signal }),
  };
}

async function reconcile(
  { client, env, informers }: ControllerContext,
  name: string,
  { graceMs, signal }: { graceMs: number; signal: AbortSignal },
): Promise<Requeue | undefined> {
  const cached = informers.for('namespaces').get(name);
  const nowMs = env.clock.now();
  const waitMs = cached ? graceLeftMs(cached, graceMs, nowMs) : 0;
  if (waitMs > 0) return { requeueAfterMs: waitMs };
  const namespaces = client.resource('namespaces');
  let namespace: Namespace;
  try {
    namespace = await namespaces.get({ name }, signal);
    if (!isTerminating(namespace)) return undefined;
    if (namespace.status?.phase !== 'Terminating') {
      const changed = draft(namespace);
      changed.status = { ...changed.status, phase: 'Terminating' };
      namespace = await namespaces.update(changed, { subresource: 'status', signal });
    }
    if (!namespace.spec.finalizers?.includes(KUBERNETES)) return undefined;
    const round = await emptyNamespace(client, name, signal);
    namespace = await report(client, namespace, { round, nowMs, signal });
    if (round.deletionErrors.length > 0) throw new Error(`content of ${name}: ${round.deletionErrors.join('; ')}`);
    const remaining = round.remaining.reduce((sum, one) => sum + one.count, 0);
    if (remaining > 0) return { requeueAfterMs: CONTENT_RETRY_MS };
    const finalized = draft(namespace);
    finalized.spec = { finalizers: (namespace.spec.finalizers ?? []).filter((one) => one !== KUBERNETES) };
    await namespaces.update(finalized, { subresource: 'finalize', signal });
  } catch (error) {
    // Another has finished it.
    if (isReason(error, 'NotFound')) return undefined;
    throw error;
  }
  return undefined;
}

/** How long the first deletion of content is still to wait; deletion times have whole seconds, so never more than graceMs. */
export function graceLeftMs(namespace: Namespace, graceMs: number, nowMs: number): number {
  const deletedMs = timeMs(namespace.metadata.deletionTimestamp);
  if (deletedMs === undefined || namespace.status?.conditions?.length) return 0;
  return Math.max(0, Math.min(graceMs, deletedMs + graceMs - nowMs));
}

/** Writes the conditions when they changed. */
async function report(
  client: Client,
  namespace: Namespace,
  { round, nowMs, signal }: { round: DeletionRound; nowMs: number; signal: AbortSignal },
): Promise<Namespace> {
  const before = namespace.status?.conditions ?? [];
  // A namespace that was empty from the start goes without a word.
  if (before.length === 0 && round.deletionErrors.length === 0 && round.remaining.length === 0) return namespace;
  let conditions: readonly (typeof before)[number][] = before;
  for (const condition of namespaceConditions(round)) conditions = setCondition(conditions, condition, nowMs);
  if (conditions === before) return namespace;
  const changed = { ...namespace, status: { ...namespace.status, conditions } };
  return client.resource('namespaces').update(changed, { subresource: 'status', signal });
}

/** One round: pods first (what guards them, like network policies, stays until they are gone), then everything else. */
async function emptyNamespace(client: Client, namespace: string, signal: AbortSignal): Promise<DeletionRound> {
  const deletable = (await client.discover(signal)).filter((one) => one.namespaced && one.verbs.includes('delete'));
  const isPods = (one: DiscoveredResource): boolean => one.group === '' && one.resource === 'pods';
  const pods = await emptyAll(client, deletable.filter(isPods), { namespace, signal });
  if (pods.remaining.length > 0 || pods.deletionErrors.length > 0) return pods;
  return emptyAll(
    client,
    deletable.filter((one) => !isPods(one)),
    { namespace, signal },
  );
}

async function emptyAll(
  client: Client,
  resources: readonly DiscoveredResource[],
  where: { namespace: string; signal: AbortSignal },
): Promise<DeletionRound> {
  const remaining: Remainder[] = [];
  const deletionErrors: string[] = [];
  const left = [...resources];
  const worker = async (): Promise<void> => {
    for (let resource = left.shift(); resource; resource = left.shift()) {
      try {
        const items = await emptyResource(client, resource, where);
        if (items.length > 0) remaining.push(remainderOf(resource, items));
      } catch (error) {
        where.signal.throwIfAborted();
        deletionErrors.push(error instanceof Error ? error.message : String(error));
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
  return { discoveryErrors: [], deletionErrors, remaining };
}

/** Deletes what there is of one resource; returns what is still there. */
async function emptyResource(
  client: Client,
  resource: DiscoveredResource,
  { namespace, signal }: { namespace: string; signal: AbortSignal },
): Promise<readonly KubeObject[]> {
  const api = client.dynamic(resource);
  const list = async (): Promise<readonly KubeObject[]> =>
    resource.verbs.includes('list') ? (await api.list({ namespace }, signal)).items : [];
  try {
    const items = await list();
    if (items.length === 0) return items;
    // Everything goes anyhow: nothing is orphaned, and nobody waits for dependents.
    if (resource.verbs.includes('deletecollection')) {
      await api.deleteCollection({ namespace, propagationPolicy: 'Background', signal });
    } else {
      for (const { metadata } of items) {
        await api.delete(metadata, { propagationPolicy: 'Background', signal }).catch(ignoreNotFound);
      }
    }
    return await list();
  } catch (error) {
    // Discovered, but gone or without the verb.
    if (isReason(error, 'MethodNotAllowed', 'NotFound')) return [];
    throw error;
  }
}

function ignoreNotFound(error: unknown): void {
  if (!isReason(error, 'NotFound')) throw error;
}

function remainderOf({ group, resource }: DiscoveredResource, items: readonly KubeObject[]): Remainder {
  const finalizers = new Map<string, number>();
  for (const { metadata } of items) {
    for (const name of metadata.finalizers ?? []) finalizers.set(name, (finalizers.get(name) ?? 0) + 1);
  }
  return { resource: `${resource}.${group}`, count: items.length, finalizers };
}
