// Where other nodes' pods are: one route for each node, straight to its address, or through VXLAN. Pure.
import type { Node } from '../api/generated/types.ts';
import { familyOf, familyOfRange, ipv4Number, networkAddress } from './address.ts';

/** `host`: nodes are on one link. `vxlan`: they reach each other somehow, packets are wrapped. */
export type RouteMode = 'host' | 'vxlan';

export interface RouteOptions {
  readonly nodeName: string;
  readonly mode: RouteMode;
  /** Name of the VXLAN device; DEFAULT_VXLAN_DEVICE unless said. */
  readonly vxlanDevice: string;
}

/** Everything about how one other node's pods are reached. */
export interface PeerRoute {
  readonly podCidr: string;
  readonly nodeAddress: string;
}

/** What the kernel has, as this program made it: the texts are compared whole. */
export interface KernelState {
  readonly routes: readonly KernelRoute[];
  /** VXLAN only: "address mac". */
  readonly neighbours: readonly string[];
  /** VXLAN only: "mac address". */
  readonly forwarding: readonly string[];
}

export interface KernelRoute {
  readonly destination: string;
  readonly gateway: string;
  readonly device?: string | undefined;
}

export interface RoutePlan {
  /** Arguments of `ip`, one line each. */
  readonly ip: readonly string[];
  /** Arguments of `bridge`. */
  readonly bridge: readonly string[];
}

/** The number by which our routes are told from others (`ip route ... proto`). */
export const ROUTE_PROTOCOL = '142';
export const DEFAULT_VXLAN_DEVICE = 'tsu-vx0';

/** The other nodes whose pods can be reached, by name; a node without a range or an address has none yet. */
export function peerRoutes(nodes: readonly Node[], nodeName: string): readonly PeerRoute[] {
  const peers = nodes.filter((node) => node.metadata.name !== nodeName);
  const found = new Map<string, PeerRoute>();
  for (const node of peers.toSorted((a, b) => (b.metadata.name > a.metadata.name ? -1 : 1))) {
    const podCidr = podCidrOf(node);
    const nodeAddress = internalAddress(node);
    if (!podCidr || !nodeAddress || found.has(podCidr)) continue;
    found.set(podCidr, { podCidr, nodeAddress });
  }
  return [...found.values()];
}

/** A node's IPv4 range of pods. */
export function podCidrOf(node: Node): string | undefined {
  const all = node.spec.podCIDRs?.length ? node.spec.podCIDRs : [node.spec.podCIDR ?? ''];
  const range = all.find((candidate) => familyOfRange(candidate) === 'IPv4');
  return range && `${networkAddress(range)}/${range.split('/')[1]}`;
}

/** A node's IPv4 address towards other nodes. */
export function internalAddress(node: Node): string | undefined {
  const addresses = node.status?.addresses ?? [];
  return addresses.find(({ type, address }) => type === 'InternalIP' && familyOf(address) === 'IPv4')?.address;
}

/** The hardware address of a node's VXLAN device follows from the node's address, so that nobody needs to announce it. */
export function vxlanMac(nodeAddress: string): string {
  const bytes = [0x0e, 0x54, ...[24, 16, 8, 0].map((shift) => Math.floor(ipv4Number(nodeAddress) / 2 ** shift) % 256)];
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** What to do so that the kernel has the peers' routes and no others of ours. */
export function decideRoutes(peers: readonly PeerRoute[], kernel: KernelState, options: RouteOptions): RoutePlan {
  return options.mode === 'host' ? decideHostRoutes(peers, kernel) : decideVxlan(peers, kernel, options.vxlanDevice);
}

function decideHostRoutes(peers: readonly PeerRoute[], kernel: KernelState): RoutePlan {
  const known = new Map(kernel.routes.map((route) => [route.destination, route]));
  const replace = peers.filter(({ podCidr, nodeAddress }) => known.get(podCidr)?.gateway !== nodeAddress);
  return {
    ip: [
      ...withoutPeers(peers, kernel.routes),
      ...replace.map((p) => `route replace ${p.podCidr} via ${p.nodeAddress} proto ${ROUTE_PROTOCOL}`),
    ],
    bridge: [],
  };
}

/** As flannel does: each node's range has its first address as gateway, which is always on the link by static entries. */
function decideVxlan(peers: readonly PeerRoute[], kernel: KernelState, device: string): RoutePlan {
  const wanted = peers.map(({ podCidr, nodeAddress }) => {
    const [gateway, mac] = [networkAddress(podCidr), vxlanMac(nodeAddress)];
    return { podCidr, gateway, neighbour: `${gateway} ${mac}`, forwarding: `${mac} ${nodeAddress}` };
  });
  const routes = new Map(kernel.routes.map((route) => [route.destination, route]));
  const missing = wanted.filter(({ podCidr, gateway }) => {
    const known = routes.get(podCidr);
    return known?.gateway !== gateway || known.device !== device;
  });
  const neighbours = difference(
    kernel.neighbours,
    wanted.map((one) => one.neighbour),
  );
  const forwarding = difference(
    kernel.forwarding,
    wanted.map((one) => one.forwarding),
  );
  const [first, second] = [(text: string) => text.split(' ')[0]!, (text: string) => text.split(' ')[1]!];
  const gone = neighbours.gone.filter((old) => !wanted.some((one) => one.gateway === first(old)));
  const removed = forwarding.gone.map((old) => `fdb del ${first(old)} dev ${device} dst ${second(old)}`);
  const added = forwarding.missing.map(
    (one) => `fdb append ${first(one)} dev ${device} dst ${second(one)} self permanent`,
  );
  return {
    ip: [
      ...withoutPeers(peers, kernel.routes),
      ...gone.map((old) => `neigh del ${first(old)} dev ${device}`),
      ...neighbours.missing.map(
        (one) => `neigh replace ${first(one)} lladdr ${second(one)} dev ${device} nud permanent`,
      ),
      ...missing.map(
        (one) => `route replace ${one.podCidr} via ${one.gateway} dev ${device} onlink proto ${ROUTE_PROTOCOL}`,
      ),
    ],
    bridge: [...removed, ...added],
  };
}

function withoutPeers(peers: readonly PeerRoute[], routes: readonly KernelRoute[]): string[] {
  const kept = new Set(peers.map((peer) => peer.podCidr));
  const gone = routes.filter((route) => !kept.has(route.destination));
  return gone.map((route) => `route del ${route.destination} proto ${ROUTE_PROTOCOL}`);
}

function difference(has: readonly string[], wants: readonly string[]): { gone: string[]; missing: string[] } {
  return { gone: has.filter((one) => !wants.includes(one)), missing: wants.filter((one) => !has.includes(one)) };
}
