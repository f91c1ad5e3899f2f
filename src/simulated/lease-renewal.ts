import type { Lease } from '../api/generated/types.ts';
import type { Client } from '../client/contract.ts';
import { rfc3339Micro, sleep } from '../lib/clock.ts';
import type { Environment } from '../lib/environment.ts';
import { isReason } from '../machinery/status.ts';

const NAMESPACE = 'kube-node-lease';
const LEASE_DURATION_SECONDS = 40;
const RENEW_EVERY_MS = 10_000;
/** The nodes' renewals are spread over this many turns of one interval. */
const TURNS = 10;

export interface LeaseHolder {
  readonly name: string;
  readonly uid: string;
}

/** Renews the Lease of every node that `alive` lists, each once an interval, with one timer for all. */
export async function renewLeases(
  client: Client,
  env: Environment,
  alive: () => readonly LeaseHolder[],
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
      await sleep(env.clock, RENEW_EVERY_MS / TURNS, signal);
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
  const { name, uid } = holder;
  const leases = client.resource('leases.coordination.k8s.io');
  const renewTime = rfc3339Micro(env.clock.now());
  const spec = { holderIdentity: name, leaseDurationSeconds: LEASE_DURATION_SECONDS, renewTime };
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
