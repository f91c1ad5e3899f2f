import type { Lease } from '../api/generated/types.ts';
import type { Client } from '../client/contract.ts';
import { rfc3339Micro, sleep } from '../lib/clock.ts';
import type { Environment } from '../lib/environment.ts';
import { isReason } from '../machinery/status.ts';

const NAMESPACE = 'kube-node-lease';
/** A kubelet's default; renewed four times within it. */
export const DEFAULT_LEASE_SECONDS = 40;
/** The nodes' renewals are spread over this many turns of one interval. */
const TURNS = 10;

export interface LeaseHolder {
  readonly name: string;
  readonly uid: string;
  readonly leaseDurationSeconds: number;
}

/** Renews the Lease of every node that `alive` lists, each four times within its duration, with one timer for all. */
export async function renewLeases(
  client: Client,
  env: Environment,
  alive: () => readonly LeaseHolder[],
  leaseDurationSeconds: number,
  signal: AbortSignal,
): Promise<void> {
  for (let turn = 0; !signal.aborted; turn = (turn + 1) % TURNS) {
    const due = alive().filter((_, i) => i % TURNS === turn);
    for (const holder of due) {
      try {
        await renewLease(client, env, holder, signal);
      } catch (error) {
        if (signal.aborted) return;
        env.log.warn('cannot renew the lease of a simulated node', { node: holder.name, error: String(error) });
      }
    }
    try {
      await sleep(env.clock, (leaseDurationSeconds * 1000) / 4 / TURNS, signal);
    } catch {
      return;
    }
  }
}

export async function renewLease(
  client: Client,
  env: Environment,
  holder: LeaseHolder,
  signal: AbortSignal,
): Promise<void> {
  const { name, uid, leaseDurationSeconds } = holder;
  const leases = client.resource('leases.coordination.k8s.io');
  const renewTime = rfc3339Micro(env.clock.now());
  const spec = { holderIdentity: name, leaseDurationSeconds, renewTime };
  try {
    await leases.patch({ namespace: NAMESPACE, name }, { type: 'merge', body: { spec } }, { signal });
  } catch (error) {
    if (!isReason(error, 'NotFound')) throw error;
    const lease: Lease = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { namespace: NAMESPACE, name, ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name, uid }] },
      spec,
    };
    await leases.create(lease, { signal });
  }
}
