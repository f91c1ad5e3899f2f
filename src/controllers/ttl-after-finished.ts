// Jobs that ended are deleted ttlSecondsAfterFinished later (kubernetes.io/docs, "Automatic Cleanup for Finished Jobs").
import type { Job } from '../api/generated/types.ts';
import { keyOf, splitKey } from '../api/object.ts';
import { isTerminating } from '../machinery/meta.ts';
import { isReason } from '../machinery/status.ts';
import { type Controller, type ControllerContext, type Requeue, watch } from './runtime.ts';

/** When the Job is to be deleted, in wall time; undefined when it never is. */
export function expiresAtMs(job: Job): number | undefined {
  const { ttlSecondsAfterFinished } = job.spec;
  const ended = job.status?.conditions?.find(
    (c) => (c.type === 'Complete' || c.type === 'Failed') && c.status === 'True',
  );
  if (ttlSecondsAfterFinished === undefined || !ended?.lastTransitionTime || isTerminating(job)) return undefined;
  return Date.parse(ended.lastTransitionTime) + ttlSecondsAfterFinished * 1000;
}

export function ttlAfterFinishedController(): Controller {
  return {
    name: 'ttl-after-finished-controller',
    watches: () => [watch('jobs.batch', { keys: (job) => (expiresAtMs(job) === undefined ? [] : [keyOf(job)]) })],
    reconcile,
  };
}

async function reconcile(ctx: ControllerContext, key: string, signal: AbortSignal): Promise<Requeue | undefined> {
  const job = ctx.informers.for('jobs.batch').get(key);
  const atMs = job && expiresAtMs(job);
  if (!job || atMs === undefined) return undefined;
  const leftMs = atMs - ctx.env.clock.now();
  if (leftMs > 0) return { requeueAfterMs: leftMs };
  const { name, namespace } = splitKey(key);
  const { uid, resourceVersion } = job.metadata;
  try {
    // The version too: a ttl that was raised meanwhile holds.
    const preconditions = { uid: uid!, resourceVersion: resourceVersion! };
    const query = { propagationPolicy: 'Foreground', preconditions, signal } as const;
    await ctx.client.resource('jobs.batch').delete({ namespace, name }, query);
  } catch (error) {
    if (!isReason(error, 'NotFound')) throw error;
  }
  return undefined;
}
