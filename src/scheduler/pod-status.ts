// What the scheduler writes to a pod's status: why it has no node, and which node is promised to it.
import type { Pod, PodCondition } from '../api/generated/types.ts';
import type { Client } from '../client/contract.ts';
import { isReason } from '../machinery/status.ts';

export interface StatusChange {
  readonly condition?: Omit<PodCondition, 'lastTransitionTime' | 'lastProbeTime'>;
  /** '' clears it; undefined leaves it. */
  readonly nominatedNodeName?: string | undefined;
}

/** The body of a strategic merge patch of the status; undefined when the pod says all of it already. */
export function statusPatch(pod: Pod, change: StatusChange, now: string): object | undefined {
  const status: Record<string, unknown> = {};
  const { condition, nominatedNodeName } = change;
  if (condition) {
    const known = pod.status?.conditions?.find((c) => c.type === condition.type);
    const same =
      known?.status === condition.status && known.reason === condition.reason && known.message === condition.message;
    const lastTransitionTime = known?.status === condition.status ? known.lastTransitionTime : now;
    if (!same) status.conditions = [{ ...condition, lastProbeTime: null, lastTransitionTime }];
  }
  if (nominatedNodeName !== undefined && nominatedNodeName !== (pod.status?.nominatedNodeName ?? '')) {
    status.nominatedNodeName = nominatedNodeName || null;
  }
  if (Object.keys(status).length === 0) return undefined;
  return { metadata: { uid: pod.metadata.uid }, status };
}

interface WriteOptions {
  readonly now: string;
  readonly signal: AbortSignal;
}

/** Writes the change, wherever the pod is. A pod that is gone is no error. */
export async function patchPodStatus(
  client: Client,
  pod: Pod,
  change: StatusChange,
  { now, signal }: WriteOptions,
): Promise<void> {
  const body = statusPatch(pod, change, now);
  if (!body) return;
  const { namespace, name } = pod.metadata;
  const query = { subresource: 'status', signal };
  try {
    await client.resource('pods').patch({ namespace, name }, { type: 'strategic', body }, query);
  } catch (error) {
    if (!isReason(error, 'NotFound', 'Conflict')) throw error;
  }
}

/** Tries against other changes of the pod. */
const MAX_TRIES = 5;

/**
 * Writes what is to be said of a pod without a node. Of one that has a node it holds no more: a binding may have come to pass
 * whose answer was lost, or was made while this write was under way.
 */
export async function patchUnassigned(
  client: Client,
  pod: Pod,
  change: StatusChange,
  { now, signal }: WriteOptions,
): Promise<void> {
  const { namespace, name, uid } = pod.metadata;
  const pods = client.resource('pods');
  let current = pod;
  try {
    for (let tries = 1; ; tries++) {
      if (current.metadata.uid !== uid || current.spec.nodeName) return;
      const patch = statusPatch(current, change, now);
      if (!patch) return;
      const { resourceVersion } = current.metadata;
      const body = { ...patch, metadata: { uid, resourceVersion } };
      try {
        await pods.patch({ namespace, name }, { type: 'strategic', body }, { subresource: 'status', signal });
        return;
      } catch (error) {
        if (!isReason(error, 'Conflict') || tries === MAX_TRIES) throw error;
      }
      current = await pods.get({ namespace, name }, signal);
    }
  } catch (error) {
    if (!isReason(error, 'NotFound', 'Conflict')) throw error;
  }
}
