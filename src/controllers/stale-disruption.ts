// A pod that was marked for disruption and was not deleted after all is marked no longer (upstream's disruption controller).
import type { Pod } from '../api/generated/types.ts';
import { keyOf, splitKey } from '../api/object.ts';
import { isTerminating } from '../machinery/meta.ts';
import { isTerminal, podCondition } from '../machinery/pods.ts';
import { isReason } from '../machinery/status.ts';
import { formatTime } from '../machinery/time.ts';
import { type Controller, type ControllerContext, type Requeue, watch } from './runtime.ts';

const TARGET = 'DisruptionTarget';
/** As long as a deletion may take to follow the mark. */
const STALE_AFTER_MS = 2 * 60_000;

/** When the mark is out of date, in wall time; undefined for a pod that has none or that goes. */
export function staleAtMs(pod: Pod): number | undefined {
  const condition = podCondition(pod, TARGET);
  if (condition?.status !== 'True' || isTerminating(pod) || isTerminal(pod)) return undefined;
  return Date.parse(condition.lastTransitionTime ?? '') + STALE_AFTER_MS;
}

export function staleDisruptionController(): Controller {
  return {
    name: 'stale-pod-disruption',
    account: 'disruption-controller',
    watches: () => [watch('pods', { keys: (pod) => (staleAtMs(pod) === undefined ? [] : [keyOf(pod)]) })],
    reconcile,
  };
}

async function reconcile(ctx: ControllerContext, key: string, signal: AbortSignal): Promise<Requeue | undefined> {
  const pod = ctx.informers.for('pods').get(key);
  const atMs = pod && staleAtMs(pod);
  if (!pod || atMs === undefined) return undefined;
  const nowMs = ctx.env.clock.now();
  if (atMs > nowMs) return { requeueAfterMs: atMs - nowMs };
  const lastTransitionTime = formatTime(nowMs);
  const { uid, resourceVersion } = pod.metadata;
  const body = {
    metadata: { uid, resourceVersion },
    status: { conditions: [{ type: TARGET, status: 'False', reason: '', message: '', lastTransitionTime }] },
  };
  const { namespace, name } = splitKey(key);
  try {
    const query = { subresource: 'status', signal };
    await ctx.client.resource('pods').patch({ namespace, name }, { type: 'strategic', body }, query);
  } catch (error) {
    if (!isReason(error, 'NotFound')) throw error;
  }
  return undefined;
}
