// Which endpoints of a Service port carry its traffic on this node.
import type { Endpoint, EndpointSlice } from '../api/generated/types.ts';
import { canonicalAddress, familyOf, type IpFamily } from '../network/address.ts';
import type { ServicePort } from './service-port.ts';

export interface ProxyEndpoint {
  readonly address: string;
  readonly port: number;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly local: boolean;
  readonly zones: readonly string[];
  readonly nodes: readonly string[];
}

/** This node, as traffic policies and topology hints see it. */
export interface ProxyNode {
  readonly name: string;
  /** Label topology.kubernetes.io/zone; empty when the node has none. */
  readonly zone: string;
}

export interface EndpointChoice {
  /** For policy Cluster; empty when nothing uses it. */
  readonly cluster: readonly ProxyEndpoint[];
  /** For policy Local; empty when nothing uses it. */
  readonly local: readonly ProxyEndpoint[];
  /** Both, each endpoint once. */
  readonly reachable: readonly ProxyEndpoint[];
  /** Whether any node has an endpoint for this port: decides between refusing and dropping. */
  readonly hasAny: boolean;
}

export const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';

/** The endpoints behind a Service port, from the slices of its Service: each address and port once, in a fixed order. */
export function endpointsOf(
  port: ServicePort,
  slices: readonly EndpointSlice[],
  family: IpFamily,
  node: ProxyNode,
): readonly ProxyEndpoint[] {
  const found = new Map<string, ProxyEndpoint>();
  const inOrder = slices.toSorted((a, b) => (b.metadata.name > a.metadata.name ? -1 : 1));
  for (const slice of inOrder) {
    for (const slicePort of slice.ports ?? []) {
      const sameProtocol = (slicePort.protocol ?? 'TCP').toLowerCase() === port.protocol;
      if ((slicePort.name ?? '') !== port.portName || !sameProtocol || !slicePort.port) continue;
      for (const endpoint of slice.endpoints ?? []) {
        const address = endpoint.addresses[0];
        if (address === undefined || familyOf(address) !== family) continue;
        const entry = proxyEndpoint(endpoint, canonicalAddress(address), slicePort.port, node);
        const key = `${entry.address} ${entry.port}`;
        const known = found.get(key);
        // While a pod moves between slices it may be in two of them: the readier entry is the newer one.
        if (!known || (!known.ready && entry.ready)) found.set(key, entry);
      }
    }
  }
  return [...found.keys()].sort().map((key) => found.get(key)!);
}

function proxyEndpoint(endpoint: Endpoint, address: string, port: number, node: ProxyNode): ProxyEndpoint {
  const { conditions, hints } = endpoint;
  return {
    address,
    port,
    ready: conditions?.ready ?? true,
    serving: conditions?.serving ?? true,
    terminating: conditions?.terminating ?? false,
    local: endpoint.nodeName === node.name,
    zones: (hints?.forZones ?? []).map((zone) => zone.name),
    nodes: (hints?.forNodes ?? []).map((hinted) => hinted.name),
  };
}

/**
 * Ready endpoints carry the traffic; where there is none, those that terminate and still serve do (separately for the two
 * policies). Hints narrow policy Cluster to this node or zone only while every ready endpoint has one.
 */
export function chooseEndpoints(
  port: ServicePort,
  endpoints: readonly ProxyEndpoint[],
  node: ProxyNode,
): EndpointChoice {
  const external = port.nodePort !== 0 || port.externalIPs.length > 0 || port.loadBalancerIPs.length > 0;
  // External traffic of policy Local still needs the cluster's endpoints: what comes from pods is internal traffic.
  const usesCluster = !port.internalLocal || external;
  const usesLocal = port.internalLocal || (external && port.externalLocal);
  const usable = endpoints.filter(isUsable);
  const cluster = usesCluster ? readyOrTerminating(withinTopology(endpoints, node), endpoints) : [];
  const here = endpoints.filter((e) => e.local);
  const local = usesLocal
    ? readyOrTerminating(
        here.filter((e) => e.ready),
        here,
      )
    : [];
  const reachable = [...cluster, ...local.filter((e) => !cluster.includes(e))];
  return { cluster, local, reachable, hasAny: usable.length > 0 };
}

/** Addresses on this node that are ready: what a load balancer's health check counts. */
export function localReadyAddresses(endpoints: readonly ProxyEndpoint[]): ReadonlySet<string> {
  return new Set(endpoints.filter((e) => e.local && e.ready).map((e) => e.address));
}

function isUsable(endpoint: ProxyEndpoint): boolean {
  return endpoint.ready || (endpoint.serving && endpoint.terminating);
}

function readyOrTerminating(ready: readonly ProxyEndpoint[], all: readonly ProxyEndpoint[]): readonly ProxyEndpoint[] {
  return ready.length > 0 ? ready : all.filter((e) => !e.ready && isUsable(e));
}

function withinTopology(endpoints: readonly ProxyEndpoint[], node: ProxyNode): readonly ProxyEndpoint[] {
  const ready = endpoints.filter((e) => e.ready);
  const hinted = (hints: (e: ProxyEndpoint) => readonly string[], own: string): readonly ProxyEndpoint[] => {
    if (ready.some((e) => hints(e).length === 0)) return [];
    return ready.filter((e) => hints(e).includes(own));
  };
  const sameNode = hinted((e) => e.nodes, node.name);
  if (sameNode.length > 0) return sameNode;
  const sameZone = hinted((e) => e.zones, node.zone);
  return sameZone.length > 0 ? sameZone : ready;
}
