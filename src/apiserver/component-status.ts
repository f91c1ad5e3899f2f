// ComponentStatuses (deprecated since 1.19): found out when they are asked for. Upstream asks three ports of its own host; here
// the store is asked as /livez does, and scheduler and controllers are well as long as one of them renews its Lease.
import type { ComponentStatus, Lease } from '../api/generated/types.ts';
import type { Clock } from '../lib/clock.ts';
import type { ResourceCache } from './contract.ts';
import type { HealthCheck } from './discovery/health.ts';

export const COMPONENT_STATUSES = 'componentstatuses';
const NAMESPACE = 'kube-system';
/** Upstream's names of the components, and the Leases of those that lead. */
const LED: ReadonlyMap<string, string> = new Map([
  ['controller-manager', 'kube-controller-manager'],
  ['scheduler', 'kube-scheduler'],
]);

export interface Components {
  readonly store: HealthCheck;
  readonly leases: ResourceCache;
  readonly clock: Clock;
}

/** All of them, by name. */
export async function componentStatuses(of: Components, signal: AbortSignal): Promise<readonly ComponentStatus[]> {
  const statuses = [...LED].map(([name, lease]) => {
    const found = of.leases.get(NAMESPACE, lease)?.object as Lease | undefined;
    return componentStatus(name, leaseTrouble(lease, found, of.clock.now()));
  });
  const trouble = await storeTrouble(of.store, signal);
  return [statuses[0]!, componentStatus('etcd-0', trouble), ...statuses.slice(1)];
}

async function storeTrouble(check: HealthCheck, signal: AbortSignal): Promise<string | undefined> {
  try {
    await check(signal);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function leaseTrouble(name: string, lease: Lease | undefined, nowMs: number): string | undefined {
  const { holderIdentity, renewTime, leaseDurationSeconds = 0 } = lease?.spec ?? {};
  if (!holderIdentity || renewTime === undefined) return `nobody holds lease ${NAMESPACE}/${name}`;
  const untilMs = Date.parse(renewTime) + leaseDurationSeconds * 1000;
  return nowMs <= untilMs ? undefined : `lease ${NAMESPACE}/${name} was last renewed at ${renewTime}`;
}

function componentStatus(name: string, trouble: string | undefined): ComponentStatus {
  const condition =
    trouble === undefined
      ? { type: 'Healthy', status: 'True', message: 'ok' }
      : { type: 'Healthy', status: 'False', error: trouble };
  return { apiVersion: 'v1', kind: 'ComponentStatus', metadata: { name }, conditions: [condition] };
}
