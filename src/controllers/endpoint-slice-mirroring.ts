// Endpoints that somebody else keeps for a service without a selector, as EndpointSlices: what proxies and DNS read.
import type { Endpoint, EndpointAddress, EndpointSlice, EndpointSubset, Endpoints } from '../api/generated/types.ts';
import { keyOf } from '../api/object.ts';
import { Expectations } from '../client/expectations.ts';
import { controllerReference } from '../machinery/meta.ts';
import { isReason } from '../machinery/status.ts';
import { applySlices, changed, MANAGED_BY, SERVICE_NAME, type SliceDecision, serviceKeyOf } from './endpoint-slice.ts';
import { type Controller, type ControllerContext, watch } from './runtime.ts';
import { portsKey } from './service-endpoints.ts';

const MANAGER = 'endpointslicemirroring-controller.k8s.io';
const SKIP = 'endpointslice.kubernetes.io/skip-mirror';
const LEADER = 'control-plane.alpha.kubernetes.io/leader';
const NOT_COPIED = [
  LEADER,
  'endpoints.kubernetes.io/last-change-trigger-time',
  'kubectl.kubernetes.io/last-applied-configuration',
];
/** Endpoints of one subset that are mirrored, as upstream; more are left out. */
export const MAX_MIRRORED = 1000;

/** Whether these Endpoints are to be seen as slices: those that a leader election is kept in are not, nor what says so. */
export function isMirrored({ metadata }: Endpoints): boolean {
  return metadata.labels?.[SKIP] !== 'true' && metadata.annotations?.[LEADER] === undefined;
}

/** The changes that make the slices say what the Endpoints do: one slice for each family of each set of ports. */
export function decideMirror(endpoints: Endpoints | undefined, slices: readonly EndpointSlice[]): SliceDecision {
  const wanted = endpoints && isMirrored(endpoints) ? wantedSlices(endpoints) : [];
  const create: EndpointSlice[] = [];
  const update: EndpointSlice[] = [];
  const unused = new Set(slices);
  for (const slice of wanted) {
    const existing = [...unused].find((one) => sameKind(one, slice));
    if (!existing) {
      create.push(slice);
      continue;
    }
    unused.delete(existing);
    const after = { ...slice, metadata: { ...existing.metadata, ...labelled(slice) } };
    if (changed(existing, after)) update.push(after);
  }
  return { create, update, remove: [...unused] };
}

function sameKind(a: EndpointSlice, b: EndpointSlice): boolean {
  return a.addressType === b.addressType && portsKey(a.ports ?? []) === portsKey(b.ports ?? []);
}

const labelled = ({ metadata: { labels, annotations } }: EndpointSlice) => ({
  ...(labels && { labels }),
  ...(annotations && { annotations }),
});

function wantedSlices(endpoints: Endpoints): readonly EndpointSlice[] {
  const slices = new Map<string, EndpointSlice>();
  for (const subset of endpoints.subsets ?? []) {
    for (const addressType of ['IPv4', 'IPv6'] as const) {
      const found = endpointsOf(subset, addressType);
      if (found.length === 0) continue;
      const ports = (subset.ports ?? []).map((port) => ({
        ...port,
        name: port.name ?? '',
        protocol: port.protocol ?? 'TCP',
      }));
      const key = `${addressType} ${portsKey(ports)}`;
      const more = slices.get(key)?.endpoints ?? [];
      slices.set(key, sliceOf(endpoints, addressType, ports, [...more, ...found].slice(0, MAX_MIRRORED)));
    }
  }
  return [...slices.values()];
}

function endpointsOf(subset: EndpointSubset, addressType: string): readonly Endpoint[] {
  const of = (addresses: readonly EndpointAddress[] | undefined, ready: boolean): Endpoint[] =>
    (addresses ?? [])
      .filter(({ ip }) => ip.includes(':') === (addressType === 'IPv6'))
      .map(({ ip, hostname, nodeName, targetRef }) => ({
        addresses: [ip],
        conditions: { ready },
        ...(hostname && { hostname }),
        ...(nodeName && { nodeName }),
        ...(targetRef && { targetRef }),
      }));
  return [...of(subset.addresses, true), ...of(subset.notReadyAddresses, false)];
}

function sliceOf(
  endpoints: Endpoints,
  addressType: 'IPv4' | 'IPv6',
  ports: NonNullable<EndpointSlice['ports']>,
  found: readonly Endpoint[],
): EndpointSlice {
  const { name, namespace, labels, annotations } = endpoints.metadata;
  const kept = Object.entries(annotations ?? {}).filter(([key]) => !NOT_COPIED.includes(key));
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: '',
      generateName: `${name}-`,
      namespace: namespace!,
      labels: { ...labels, [SERVICE_NAME]: name, [MANAGED_BY]: MANAGER },
      ...(kept.length > 0 && { annotations: Object.fromEntries(kept) }),
      ownerReferences: [controllerReference(endpoints, { apiVersion: 'v1', kind: 'Endpoints' })],
    },
    addressType,
    endpoints: [...found],
    ports: [...ports],
  };
}

const ofService = serviceKeyOf(MANAGER);

export function endpointSliceMirroringController(): Controller {
  let expectations: Expectations<EndpointSlice> | undefined;
  return {
    name: 'endpointslicemirroring-controller',
    watches: (ctx) => {
      expectations = new Expectations(ctx.env.clock, ctx.informers.for('endpointslices.discovery.k8s.io'));
      return [
        watch('services', { keys: (service) => [keyOf(service)] }),
        watch('endpoints', { keys: (endpoints) => [keyOf(endpoints)] }),
        watch('endpointslices.discovery.k8s.io', { indexes: { mirrored: ofService }, keys: ofService }),
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
  const endpoints = informers.for('endpoints').get(key);
  if (!endpoints) expectations.forget(key);
  if (!expectations.satisfied(key)) return;
  // A service with a selector has slices of its own.
  const mirrored = service && service.spec.selector === undefined && !endpoints?.metadata.deletionTimestamp;
  const slices = informers.for('endpointslices.discovery.k8s.io').byIndex('mirrored', key);
  const present = slices.filter((slice) => slice.metadata.deletionTimestamp === undefined);
  const decision = decideMirror(mirrored ? endpoints : undefined, present);
  try {
    await applySlices(ctx, key, decision, expectations, signal);
  } catch (error) {
    if (isReason(error, 'Forbidden') && /being terminated/.test(error.message)) return;
    throw error;
  }
}
