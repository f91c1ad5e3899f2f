// EndpointSlices of services with a selector (discovery.k8s.io/v1; KEP-752).
import { isDeepStrictEqual } from 'node:util';
import type { Endpoint, EndpointSlice, Node, Pod, Service } from '../api/generated/types.ts';
import { keyOf } from '../api/object.ts';
import { Expectations } from '../client/expectations.ts';
import { isPlanted } from '../lib/planted.ts';
import { controllerReference } from '../machinery/meta.ts';
import { isReason } from '../machinery/status.ts';
import { type Controller, type ControllerContext, watch } from './runtime.ts';
import { isHeadless, isSelecting, type Offer, offersOf, portsKey, servicesOf } from './service-endpoints.ts';

export const SERVICE_NAME = 'kubernetes.io/service-name';
export const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';
export const MANAGER = 'endpointslice-controller.k8s.io';
const HEADLESS = 'service.kubernetes.io/headless';
/** Endpoints in one slice, as upstream's default. */
export const MAX_ENDPOINTS = 100;

type AddressType = EndpointSlice['addressType'];

export interface SliceSnapshot {
  readonly service: Service;
  readonly pods: readonly Pod[];
  /** By node name, for zones. */
  readonly nodeOf: (name: string) => Node | undefined;
  /** The slices that this controller made for the service. */
  readonly slices: readonly EndpointSlice[];
}

export interface SliceDecision {
  readonly create: readonly EndpointSlice[];
  readonly update: readonly EndpointSlice[];
  readonly remove: readonly EndpointSlice[];
}

/** The changes that make the slices say what the pods offer, touching as few slices as possible. */
export function decideSlices(snapshot: SliceSnapshot): SliceDecision {
  const { service, pods, slices } = snapshot;
  const families: readonly AddressType[] = (service.spec.ipFamilies ?? ['IPv4']) as readonly AddressType[];
  const create: EndpointSlice[] = [];
  const update: EndpointSlice[] = [];
  const remove = slices.filter((slice) => !families.includes(slice.addressType));
  for (const family of families) {
    const groups = wantedGroups(snapshot, family, offersOf(service, pods));
    const unused = new Set(slices.filter((slice) => slice.addressType === family));
    let empty = true;
    for (const { offer, endpoints } of groups.values()) {
      empty = false;
      const key = portsKey(offer.ports);
      const mine = [...unused].filter((slice) => portsKey(slice.ports ?? []) === key);
      for (const slice of mine) unused.delete(slice);
      const filled = fill(mine, endpoints);
      remove.push(...filled.emptied);
      for (const [slice, wanted] of filled.kept) {
        const after = sliceOf(service, family, offer.ports, wanted, slice);
        if (changed(slice, after)) update.push(after);
      }
      for (const wanted of filled.fresh) create.push(sliceOf(service, family, offer.ports, wanted, undefined));
    }
    // A service without endpoints keeps one empty slice, so that watchers see it.
    const spare = [...unused];
    if (empty) {
      const kept = spare.shift();
      const after = sliceOf(service, family, [], [], kept);
      if (!kept) create.push(after);
      else if (changed(kept, after)) update.push(after);
    }
    remove.push(...spare);
  }
  return { create, update, remove };
}

type Group = { offer: Offer; endpoints: Map<string, Endpoint> };

/** Endpoints by the ports that they offer; in each group by address and pod. */
function wantedGroups(snapshot: SliceSnapshot, family: AddressType, offers: readonly Offer[]): Map<string, Group> {
  const groups = new Map<string, Group>();
  for (const offer of offers) {
    const addresses = addressesOf(offer.pod, family);
    if (addresses.length === 0 || (offer.ports.length === 0 && !isHeadless(snapshot.service))) continue;
    const key = portsKey(offer.ports);
    const group: Group = groups.get(key) ?? { offer, endpoints: new Map<string, Endpoint>() };
    group.endpoints.set(offer.pod.metadata.uid ?? addresses[0]!, endpointOf(offer, addresses, snapshot.nodeOf));
    groups.set(key, group);
  }
  return groups;
}

function addressesOf(pod: Pod, family: AddressType): readonly string[] {
  const all = pod.status?.podIPs?.map((ip) => ip.ip) ?? (pod.status?.podIP ? [pod.status.podIP] : []);
  return all.filter((ip) => ip.includes(':') === (family === 'IPv6')).slice(0, 1);
}

function endpointOf(offer: Offer, addresses: readonly string[], nodeOf: SliceSnapshot['nodeOf']): Endpoint {
  const { pod, ready, serving, terminating, hostname } = offer;
  const { name, namespace, uid } = pod.metadata;
  const nodeName = pod.spec.nodeName;
  const zone = nodeName && nodeOf(nodeName)?.metadata.labels?.['topology.kubernetes.io/zone'];
  return {
    addresses,
    conditions: { ready, serving, terminating },
    ...(hostname && { hostname }),
    targetRef: { kind: 'Pod', ...(namespace && { namespace }), name, ...(uid && { uid }) },
    ...(nodeName && { nodeName }),
    ...(zone && { zone }),
  };
}

/** Endpoints stay in the slice that has them; new ones go where there is room, fullest first, then to new slices. */
function fill(
  slices: readonly EndpointSlice[],
  wanted: ReadonlyMap<string, Endpoint>,
): { kept: Map<EndpointSlice, Endpoint[]>; fresh: Endpoint[][]; emptied: EndpointSlice[] } {
  const left = new Map(wanted);
  const kept = new Map<EndpointSlice, Endpoint[]>();
  for (const slice of slices) {
    const staying: Endpoint[] = [];
    for (const endpoint of slice.endpoints ?? []) {
      const key = endpoint.targetRef?.uid ?? endpoint.addresses[0] ?? '';
      const now = left.get(key) ?? (isPlanted('dead-endpoints') ? endpoint : undefined);
      if (!now) continue;
      left.delete(key);
      staying.push(now);
    }
    kept.set(slice, staying);
  }
  const fresh: Endpoint[][] = [];
  const byRoom = [...kept.values()].sort((a, b) => b.length - a.length);
  for (const endpoint of left.values()) {
    let place = [...byRoom, ...fresh].find((list) => list.length < MAX_ENDPOINTS);
    if (!place) {
      place = [];
      fresh.push(place);
    }
    place.push(endpoint);
  }
  const emptied = [...kept].filter(([, list]) => list.length === 0).map(([slice]) => slice);
  for (const slice of emptied) kept.delete(slice);
  return { kept, fresh, emptied };
}

function sliceOf(
  service: Service,
  addressType: AddressType,
  ports: Offer['ports'],
  endpoints: readonly Endpoint[],
  existing: EndpointSlice | undefined,
): EndpointSlice {
  const { name, namespace } = service.metadata;
  const inherited = Object.entries(service.metadata.labels ?? {}).filter(([key]) => key !== HEADLESS);
  const labels = {
    ...Object.fromEntries(inherited),
    [SERVICE_NAME]: name,
    [MANAGED_BY]: MANAGER,
    ...(isHeadless(service) && { [HEADLESS]: '' }),
  };
  const metadata = existing?.metadata ?? {
    name: '',
    generateName: `${name}-`,
    namespace: namespace!,
    ownerReferences: [controllerReference(service, { apiVersion: 'v1', kind: 'Service' })],
  };
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { ...metadata, labels },
    addressType,
    endpoints: [...endpoints],
    ports: ports.map((port) => ({ ...port })),
  };
}

/** Whether a slice says anything else than it did. */
export function changed(before: EndpointSlice, after: EndpointSlice): boolean {
  return (
    !isDeepStrictEqual(before.endpoints ?? [], after.endpoints ?? []) ||
    !isDeepStrictEqual(before.metadata.labels ?? {}, after.metadata.labels ?? {}) ||
    portsKey(before.ports ?? []) !== portsKey(after.ports ?? [])
  );
}

/** The key of a slice's service, for the slices of one manager. */
export function serviceKeyOf(manager: string): (slice: EndpointSlice) => string[] {
  return ({ metadata: { labels, namespace } }) => {
    const service = labels?.[SERVICE_NAME];
    return service !== undefined && labels?.[MANAGED_BY] === manager ? [`${namespace}/${service}`] : [];
  };
}

const serviceKey = serviceKeyOf(MANAGER);

export function endpointSliceController(): Controller {
  let expectations: Expectations<EndpointSlice> | undefined;
  return {
    name: 'endpointslice-controller',
    watches: (ctx) => {
      expectations = new Expectations(ctx.env.clock, ctx.informers.for('endpointslices.discovery.k8s.io'));
      return [
        watch('services', { keys: (service) => [keyOf(service)] }),
        watch('pods', { keys: (pod, previous) => servicesOf(ctx.informers, pod, previous) }),
        watch('nodes'),
        watch('endpointslices.discovery.k8s.io', { indexes: { service: serviceKey }, keys: serviceKey }),
      ];
    },
    reconcile: (ctx, key, signal) => reconcile(ctx, key, expectations!, signal),
  };
}

async function reconcile(
  ctx: ControllerContext,
  key: string,
  expectations: Expectations<EndpointSlice>,
  signal: AbortSignal,
): Promise<void> {
  const { informers } = ctx;
  const service = informers.for('services').get(key);
  if (!service) expectations.forget(key);
  // The garbage collector removes the slices of a service that is gone.
  if (!service || !isSelecting(service) || service.metadata.deletionTimestamp !== undefined) return;
  if (!expectations.satisfied(key)) return;
  const slices = informers.for('endpointslices.discovery.k8s.io').byIndex('service', key);
  const decision = decideSlices({
    service,
    pods: informers.for('pods').list(service.metadata.namespace),
    nodeOf: (name) => informers.for('nodes').get(name),
    slices: slices.filter((slice) => slice.metadata.deletionTimestamp === undefined),
  });
  try {
    await applySlices(ctx, key, decision, expectations, signal);
  } catch (error) {
    if (isReason(error, 'Forbidden') && /being terminated/.test(error.message)) return;
    if (isReason(error, 'Conflict', 'NotFound')) throw error;
    const message = error instanceof Error ? error.message : String(error);
    ctx.events.event(
      service,
      'Warning',
      'FailedToUpdateEndpointSlices',
      `Error updating Endpoint Slices for Service ${key}: ${message}`,
    );
    throw error;
  }
}

/** Makes the changes; `expectations` come to know of them under the service's key. */
export async function applySlices(
  ctx: ControllerContext,
  key: string,
  decision: SliceDecision,
  expectations: Expectations<EndpointSlice>,
  signal: AbortSignal,
): Promise<void> {
  const client = ctx.client.resource('endpointslices.discovery.k8s.io');
  for (const slice of decision.create) expectations.wrote(key, await client.create(slice, { signal }));
  for (const slice of decision.update) expectations.wrote(key, await client.update(slice, { signal }));
  for (const slice of decision.remove) {
    const { namespace, name, uid } = slice.metadata;
    try {
      await client.delete({ namespace, name }, { preconditions: { uid: uid! }, signal });
      expectations.deleting(key, slice);
    } catch (error) {
      if (!isReason(error, 'NotFound')) throw error;
    }
  }
}
