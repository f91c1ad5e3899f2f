// Endpoints (core/v1) of services with a selector: the older form of EndpointSlices, still read by some clients.
import { isDeepStrictEqual } from 'node:util';
import type { EndpointAddress, EndpointSubset, Endpoints, Service } from '../api/generated/types.ts';
import { keyOf } from '../api/object.ts';
import { isReason } from '../machinery/status.ts';
import { type Controller, type ControllerContext, watch } from './runtime.ts';
import { isHeadless, isSelecting, type Offer, offersOf, portsKey, servicesOf } from './service-endpoints.ts';

const MANAGED_BY = 'endpoints.kubernetes.io/managed-by';
const HEADLESS = 'service.kubernetes.io/headless';
const OVER_CAPACITY = 'endpoints.kubernetes.io/over-capacity';
/** Addresses in one object, as upstream: more are left out, and an annotation says so. */
export const MAX_ADDRESSES = 1000;

/** Addresses by the ports that they offer; pods that are going are left out unless the service wants what is not ready. */
export function decideSubsets(service: Service, offers: readonly Offer[]): readonly EndpointSubset[] {
  const groups = new Map<string, { ports: Offer['ports']; ready: EndpointAddress[]; notReady: EndpointAddress[] }>();
  let count = 0;
  for (const offer of offers) {
    const leaving = offer.terminating && service.spec.publishNotReadyAddresses !== true;
    if (leaving || (offer.ports.length === 0 && !isHeadless(service)) || count >= MAX_ADDRESSES) continue;
    count++;
    const key = portsKey(offer.ports);
    const group = groups.get(key) ?? { ports: offer.ports, ready: [], notReady: [] };
    (offer.ready ? group.ready : group.notReady).push(addressOf(offer));
    groups.set(key, group);
  }
  return [...groups.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { ports, ready, notReady }]) => ({
      ...(ready.length > 0 && { addresses: sorted(ready) }),
      ...(notReady.length > 0 && { notReadyAddresses: sorted(notReady) }),
      ...(ports.length > 0 && { ports: ports.map(({ name, ...rest }) => ({ ...(name && { name }), ...rest })) }),
    }));
}

function sorted(addresses: readonly EndpointAddress[]): readonly EndpointAddress[] {
  return [...addresses].sort((a, b) => (a.ip < b.ip ? -1 : 1));
}

function addressOf({ pod, hostname }: Offer): EndpointAddress {
  const { name, namespace, uid } = pod.metadata;
  return {
    ip: pod.status!.podIP!,
    ...(hostname && { hostname }),
    ...(pod.spec.nodeName && { nodeName: pod.spec.nodeName }),
    targetRef: { kind: 'Pod', ...(namespace && { namespace }), name, ...(uid && { uid }) },
  };
}

export function endpointsController(): Controller {
  return {
    name: 'endpoint-controller',
    watches: (ctx) => [
      watch('services', { keys: (service) => [keyOf(service)] }),
      watch('pods', { keys: (pod, previous) => servicesOf(ctx.informers, pod, previous) }),
      watch('endpoints', { keys: (endpoints) => [keyOf(endpoints)] }),
    ],
    reconcile,
  };
}

async function reconcile(ctx: ControllerContext, key: string, signal: AbortSignal): Promise<void> {
  const { informers } = ctx;
  const service = informers.for('services').get(key);
  const existing = informers.for('endpoints').get(key);
  const client = ctx.client.resource('endpoints');
  if (!service) return removeLeftOver(ctx, existing, signal);
  if (!isSelecting(service)) return;
  const offers = offersOf(service, informers.for('pods').list(service.metadata.namespace));
  const wanted = endpointsOf(service, existing, decideSubsets(service, offers), offers.length > MAX_ADDRESSES);
  if (!existing) {
    try {
      await client.create(wanted, { signal });
    } catch (error) {
      const ending = isReason(error, 'Forbidden') && /being terminated/.test(error.message);
      if (!ending && !isReason(error, 'AlreadyExists')) throw error;
    }
    return;
  }
  const same =
    isDeepStrictEqual(existing.subsets ?? [], wanted.subsets) &&
    isDeepStrictEqual(existing.metadata.labels ?? {}, wanted.metadata.labels) &&
    isDeepStrictEqual(existing.metadata.annotations ?? {}, wanted.metadata.annotations ?? {});
  if (!same) await client.update(wanted, { signal });
}

function endpointsOf(
  service: Service,
  existing: Endpoints | undefined,
  subsets: readonly EndpointSubset[],
  overCapacity: boolean,
): Endpoints {
  const { name, namespace } = service.metadata;
  const inherited = Object.entries(service.metadata.labels ?? {}).filter(([key]) => key !== HEADLESS);
  const labels = {
    ...Object.fromEntries(inherited),
    [MANAGED_BY]: 'endpoint-controller',
    ...(isHeadless(service) && { [HEADLESS]: '' }),
  };
  const annotations: { [key: string]: string } = { ...existing?.metadata.annotations };
  if (overCapacity) annotations[OVER_CAPACITY] = 'truncated';
  else delete annotations[OVER_CAPACITY];
  const base = existing?.metadata ?? { name, namespace: namespace! };
  return { apiVersion: 'v1', kind: 'Endpoints', metadata: { ...base, labels, annotations }, subsets };
}

/** Endpoints have no owner: this controller removes what it made when the service is gone. */
async function removeLeftOver(
  ctx: ControllerContext,
  existing: Endpoints | undefined,
  signal: AbortSignal,
): Promise<void> {
  if (existing?.metadata.labels?.[MANAGED_BY] !== 'endpoint-controller') return;
  const { namespace, name, uid } = existing.metadata;
  try {
    await ctx.client.resource('endpoints').delete({ namespace, name }, { preconditions: { uid: uid! }, signal });
  } catch (error) {
    if (!isReason(error, 'NotFound', 'Conflict')) throw error;
  }
}
