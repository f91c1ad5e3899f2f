// The pod garbage collector: pods that nobody will ever finish (their node is gone, or was never chosen) and too many finished ones.
import type { Node, Pod } from '../api/generated/types.ts';
import { sleep } from '../lib/clock.ts';
import { isConditionTrue, isTerminating } from '../machinery/meta.ts';
import { isReason } from '../machinery/status.ts';
import { timeMs } from '../machinery/time.ts';
import { disruptionTarget, failedStatus } from './pod-disruption.ts';
import { type Controller, type ControllerContext, type Enqueue, watch } from './runtime.ts';

export interface PodGcOptions {
  /** Finished pods beyond this many are deleted, the oldest first; 0: never. Upstream's default: 12,500. */
  readonly terminatedPodThreshold?: number;
  /** Between sweeps. */
  readonly periodMs?: number;
  /** A node must be missing this long before its pods are deleted. */
  readonly quarantineMs?: number;
}

const DEFAULTS = { terminatedPodThreshold: 12_500, periodMs: 20_000, quarantineMs: 40_000 };

const OUT_OF_SERVICE = 'node.kubernetes.io/out-of-service';

/** Pods deleted at once. */
const PARALLEL = 10;

const SWEEP = 'sweep';

export function podGarbageCollector(options: PodGcOptions = {}): Controller {
  const settings = { ...DEFAULTS, ...options };
  /** Nodes that pods name and nobody has, with the time that was first seen. */
  const missing = new Map<string, number>();
  return {
    name: 'pod-garbage-collector',
    workers: 1,
    watches: () => [watch('pods'), watch('nodes')],
    async run({ env }: ControllerContext, enqueue: Enqueue, signal: AbortSignal) {
      for (;;) {
        enqueue(SWEEP);
        await sleep(env.clock, settings.periodMs, signal);
      }
    },
    async reconcile(ctx, _key, signal) {
      const { informers, env } = ctx;
      const nodes = informers.for('nodes');
      const pods = informers.for('pods').list();
      const nowMs = env.clock.monotonic();
      const gone = trackMissingNodes(
        missing,
        missingNodes(pods, (name) => nodes.get(name)),
        nowMs,
      );
      const quarantined = gone.filter(({ sinceMs }) => nowMs - sinceMs >= settings.quarantineMs);
      const verified = new Set<string>();
      for (const { name } of quarantined) if (await isGone(ctx, name, signal)) verified.add(name);
      const threshold = settings.terminatedPodThreshold;
      const left = decidePodGc(pods, { node: (name) => nodes.get(name), goneNodes: verified, threshold });
      const worker = async (): Promise<void> => {
        for (let one = left.shift(); one; one = left.shift()) await remove(ctx, one, signal);
      };
      await Promise.all(Array.from({ length: PARALLEL }, worker));
    },
  };
}

export interface Doomed {
  readonly pod: Pod;
  readonly why: 'terminated' | 'out-of-service' | 'orphaned' | 'terminating-unscheduled';
}

/** The pods to delete now. */
export function decidePodGc(
  pods: readonly Pod[],
  world: {
    readonly node: (name: string) => Node | undefined;
    /** Nodes known to be gone for good. */
    readonly goneNodes: ReadonlySet<string>;
    readonly threshold: number;
  },
): Doomed[] {
  const doomed = new Map<Pod, Doomed['why']>();
  const finished = pods.filter((pod) => !['Pending', 'Running', 'Unknown', undefined].includes(pod.status?.phase));
  const excess = world.threshold > 0 ? finished.length - world.threshold : 0;
  if (excess > 0)
    for (const pod of [...finished].sort(byEvictionAndAge).slice(0, excess)) doomed.set(pod, 'terminated');
  for (const pod of pods) {
    const nodeName = pod.spec.nodeName ?? '';
    if (isTerminating(pod) && nodeName === '') doomed.set(pod, 'terminating-unscheduled');
    else if (nodeName !== '' && world.goneNodes.has(nodeName)) doomed.set(pod, 'orphaned');
    else if (isTerminating(pod) && isOutOfService(world.node(nodeName))) doomed.set(pod, 'out-of-service');
  }
  return [...doomed].map(([pod, why]) => ({ pod, why }));
}

/** Not ready, and marked as shut down by somebody who knows. */
export function isOutOfService(node: Node | undefined): boolean {
  if (!node || isConditionTrue(node.status?.conditions, 'Ready')) return false;
  return node.spec.taints?.some((taint) => taint.key === OUT_OF_SERVICE) ?? false;
}

function byEvictionAndAge(a: Pod, b: Pod): number {
  const evicted = (pod: Pod): boolean => pod.status?.phase === 'Failed' && pod.status.reason === 'Evicted';
  if (evicted(a) !== evicted(b)) return evicted(a) ? -1 : 1;
  const age = (timeMs(a.metadata.creationTimestamp) ?? 0) - (timeMs(b.metadata.creationTimestamp) ?? 0);
  if (age !== 0) return age;
  return a.metadata.name < b.metadata.name ? -1 : 1;
}

function missingNodes(pods: readonly Pod[], node: (name: string) => Node | undefined): Set<string> {
  const names = new Set<string>();
  for (const { spec } of pods) if (spec.nodeName && !node(spec.nodeName)) names.add(spec.nodeName);
  return names;
}

/** Remembers since when each node is missing, and forgets those that are back or that no pod names any more. */
export function trackMissingNodes(
  since: Map<string, number>,
  missing: ReadonlySet<string>,
  nowMs: number,
): { readonly name: string; readonly sinceMs: number }[] {
  for (const name of since.keys()) if (!missing.has(name)) since.delete(name);
  for (const name of missing) if (!since.has(name)) since.set(name, nowMs);
  return [...since].map(([name, sinceMs]) => ({ name, sinceMs }));
}

async function isGone({ client, env }: ControllerContext, name: string, signal: AbortSignal): Promise<boolean> {
  try {
    await client.resource('nodes').get({ name }, signal);
    return false;
  } catch (error) {
    if (isReason(error, 'NotFound')) return true;
    signal.throwIfAborted();
    env.log.warn('cannot look whether a node exists', { node: name, error: String(error) });
    return false;
  }
}

/** Marks an unfinished pod as failed, since no kubelet will, and deletes it without grace. One pod's failure is left to the next sweep. */
async function remove({ client, env }: ControllerContext, { pod, why }: Doomed, signal: AbortSignal): Promise<void> {
  const { log, clock } = env;
  const pods = client.resource('pods');
  log.info('deleting pod', { namespace: pod.metadata.namespace, pod: pod.metadata.name, why });
  const { uid } = pod.metadata;
  try {
    if (pod.status?.phase !== 'Succeeded' && pod.status?.phase !== 'Failed') {
      const condition =
        why === 'orphaned' ? disruptionTarget('DeletionByPodGC', 'PodGC: node no longer exists', pod) : undefined;
      const body = failedStatus(pod, condition, clock.now());
      await pods.patch(pod.metadata, { type: 'strategic', body }, { subresource: 'status', signal });
    }
    await pods.delete(pod.metadata, { gracePeriodSeconds: 0, ...(uid && { preconditions: { uid } }), signal });
  } catch (error) {
    signal.throwIfAborted();
    if (isReason(error, 'NotFound')) return;
    log.warn('cannot delete pod, will try again', { pod: pod.metadata.name, error: String(error) });
  }
}
