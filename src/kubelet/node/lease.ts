import type { Lease } from '../../api/generated/types.ts';
import { draft } from '../../api/object.ts';
import type { Client } from '../../client/contract.ts';
import { sleep } from '../../lib/clock.ts';
import type { Environment } from '../../lib/environment.ts';
import { isReason } from '../../machinery/status.ts';
import { formatMicroTime } from '../../machinery/time.ts';

export interface LeaseTimings {
  readonly leaseDurationSeconds: number;
  /** A failed renewal is tried again after this. */
  readonly leaseRetryMs: number;
}

const NAMESPACE = 'kube-node-lease';

export interface NodeLeaseOptions {
  readonly client: Client;
  readonly env: Environment;
  readonly nodeName: string;
  /** The node's uid, once it is registered: the lease goes with the node. */
  readonly nodeUid: () => string | undefined;
  readonly timings: LeaseTimings;
}

/** Renews the node's lease four times within its duration, sooner again after a failure, until the signal aborts. */
export async function keepNodeLease(options: NodeLeaseOptions, signal: AbortSignal): Promise<void> {
  const { env, timings } = options;
  const periodMs = (timings.leaseDurationSeconds * 1000) / 4;
  let kept: Lease | undefined;
  let failing = false;
  while (!signal.aborted) {
    try {
      kept = await renew(options, kept, signal);
      failing = false;
    } catch (error) {
      if (signal.aborted) return;
      if (!failing) env.log.warn('renewing the node lease failed', { error: String(error) });
      failing = true;
      kept = undefined;
    }
    // A little earlier or later each time, so that the nodes of a cluster do not renew at once.
    const unowned = !kept?.metadata.ownerReferences?.length;
    const waitMs =
      failing || unowned ? Math.min(timings.leaseRetryMs, periodMs) : periodMs * (1 + 0.04 * env.random.next());
    await sleep(env.clock, waitMs, signal).catch(() => undefined);
  }
}

async function renew(options: NodeLeaseOptions, kept: Lease | undefined, signal: AbortSignal): Promise<Lease> {
  const { client, env, nodeName, nodeUid } = options;
  const { leaseDurationSeconds } = options.timings;
  const leases = client.resource('leases.coordination.k8s.io');
  const renewTime = formatMicroTime(env.clock.now());
  let current = kept;
  if (!current) {
    try {
      current = await leases.get({ namespace: NAMESPACE, name: nodeName }, signal);
    } catch (error) {
      if (!isReason(error, 'NotFound')) throw error;
      const spec = { holderIdentity: nodeName, leaseDurationSeconds, renewTime };
      return leases.create(
        { metadata: { name: nodeName, namespace: NAMESPACE, ...owner(nodeName, nodeUid()) }, spec },
        { signal },
      );
    }
  }
  const next = draft(current);
  next.spec = { ...next.spec, holderIdentity: nodeName, leaseDurationSeconds, renewTime };
  if (!next.metadata.ownerReferences?.length) Object.assign(next.metadata, owner(nodeName, nodeUid()));
  return leases.update(next, { signal });
}

function owner(name: string, uid: string | undefined): Pick<Lease['metadata'], 'ownerReferences'> {
  return uid === undefined ? {} : { ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name, uid }] };
}
