// Creating and deleting the pods of an owner, with the events and the expectations that belong to it.
import type { Pod } from '../api/generated/types.ts';
import { type KubeObject, keyOf } from '../api/object.ts';
import type { Expectations } from '../client/expectations.ts';
import { isReason } from '../machinery/status.ts';
import type { ControllerContext } from './runtime.ts';

export interface PodControl {
  readonly ctx: ControllerContext;
  readonly owner: KubeObject;
  readonly expectations: Expectations<Pod>;
  readonly signal: AbortSignal;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Creates in batches of 1, 2, 4 ... so that a template that is refused costs one request and not hundreds. */
export async function createPods(
  { ctx, owner, expectations, signal }: PodControl,
  pods: readonly Pod[],
): Promise<void> {
  let at = 0;
  for (let batch = 1; at < pods.length; batch *= 2) {
    const results = await Promise.allSettled(
      pods.slice(at, at + batch).map(async (pod) => {
        const created = await ctx.client.resource('pods').create(pod, { signal });
        expectations.wrote(keyOf(owner), created);
        ctx.events.event(owner, 'Normal', 'SuccessfulCreate', `Created pod: ${created.metadata.name}`);
      }),
    );
    at += batch;
    const failed = results.find((r) => r.status === 'rejected');
    if (!failed) continue;
    // A namespace that is going away refuses every pod: nothing to report, nothing to retry.
    if (isReason(failed.reason, 'Forbidden') && /being terminated/.test(failed.reason.message)) return;
    ctx.events.event(owner, 'Warning', 'FailedCreate', `Error creating: ${messageOf(failed.reason)}`);
    throw failed.reason;
  }
}

export async function deletePods(
  { ctx, owner, expectations, signal }: PodControl,
  pods: readonly Pod[],
): Promise<void> {
  const results = await Promise.allSettled(
    pods.map(async (pod) => {
      const { namespace, name, uid } = pod.metadata;
      await ctx.client.resource('pods').delete({ namespace, name }, { preconditions: { uid: uid! }, signal });
      expectations.deleting(keyOf(owner), pod);
      ctx.events.event(owner, 'Normal', 'SuccessfulDelete', `Deleted pod: ${name}`);
    }),
  );
  const failed = results.find((r) => r.status === 'rejected' && !isReason(r.reason, 'NotFound', 'Conflict'));
  if (failed?.status !== 'rejected') return;
  ctx.events.event(owner, 'Warning', 'FailedDelete', `Error deleting: ${messageOf(failed.reason)}`);
  throw failed.reason;
}
