// The hosts of a highly available cluster on this machine, and their network. Pure.
import { ipv4Number, ipv4Text, networkAddress } from '../../network/address.ts';

export type Role = 'control-plane' | 'worker';

export interface HostSpec {
  /** Also its node's name, and its etcd member's. */
  readonly name: string;
  readonly role: Role;
  readonly address: string;
  /** Gone for good; known until its etcd member has been removed. */
  readonly destroyed?: true;
}

export interface Topology {
  /** The range of the hosts' addresses, a /24. */
  readonly network: string;
  /** This machine's own leg on the hosts' network: their way out. */
  readonly gateway: string;
  /** The machine's end of the cable to the switch. */
  readonly machineLink: string;
  /** Held by keepalived on one of the control planes; absent: agents balance over all servers themselves. */
  readonly virtualAddress?: string;
  readonly hosts: readonly HostSpec[];
}

/** Port of every host's HAProxy, which clients use by the virtual address; the servers themselves are one further up. */
export const API_PORT = 6443;
export const SERVER_PORT = 6444;
export const ETCD_CLIENT_PORT = 2379;
export const ETCD_PEER_PORT = 2380;
/** HAProxy says here, on loopback, whether it reaches a server. */
export const HAPROXY_MONITOR_PORT = 6445;

/** What Linux allows an interface to be called: the host's port on the switch has its name. */
const MAX_HOST_NAME = 15;
const HOST_NAME = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
/** Names that the switch, the machine and localhost have. */
const TAKEN_NAMES = new Set(['switch', 'machine', 'localhost', 'lo']);
const GATEWAY_NUMBER = 1;
const VIRTUAL_NUMBER = 10;
const FIRST_HOST_NUMBER = 11;
const LAST_HOST_NUMBER = 254;

export interface TopologyRequest {
  readonly cluster: string;
  readonly network: string;
  readonly controlPlanes: number;
  readonly workers: number;
  readonly keepalived: boolean;
}

export function newTopology(request: TopologyRequest): Topology {
  let topology: Topology = placed(
    { network: '', gateway: '', machineLink: machineLink(request.cluster), hosts: [] },
    request.network,
    request.keepalived,
  );
  for (let i = 1; i <= request.controlPlanes; i++) topology = withHost(topology, `cp-${i}`, 'control-plane');
  for (let i = 1; i <= request.workers; i++) topology = withHost(topology, `worker-${i}`, 'worker');
  return topology;
}

/** The same hosts on another network: names stay, addresses change. */
export function movedTo(topology: Topology, network: string): Topology {
  return placed(topology, network, topology.virtualAddress !== undefined);
}

function placed(topology: Topology, network: string, hasVirtualAddress: boolean): Topology {
  const { virtualAddress: _, ...rest } = topology;
  const offset = (address: string): number => ipv4Number(address) - ipv4Number(networkAddress(topology.network));
  return {
    ...rest,
    network: `${networkAddress(network)}/24`,
    gateway: addressIn(network, GATEWAY_NUMBER),
    ...(hasVirtualAddress && { virtualAddress: addressIn(network, VIRTUAL_NUMBER) }),
    hosts: topology.hosts.map((host) => ({ ...host, address: addressIn(network, offset(host.address)) })),
  };
}

/** With one more host, at the lowest free address. Throws for a name that is taken or cannot be one. */
export function withHost(topology: Topology, name: string, role: Role): Topology {
  if (!HOST_NAME.test(name) || name.length > MAX_HOST_NAME || TAKEN_NAMES.has(name)) {
    throw new Error(
      `"${name}" cannot be a host's name: at most ${MAX_HOST_NAME} lower case letters, digits and dashes, beginning with a letter`,
    );
  }
  if (topology.hosts.some((host) => host.name === name)) throw new Error(`there is a host "${name}" already`);
  const taken = new Set(topology.hosts.map((host) => host.address));
  for (let number = FIRST_HOST_NUMBER; number <= LAST_HOST_NUMBER; number++) {
    const address = addressIn(topology.network, number);
    if (!taken.has(address)) return { ...topology, hosts: [...topology.hosts, { name, role, address }] };
  }
  throw new Error(`the network ${topology.network} has no address left`);
}

export function withoutHost(topology: Topology, name: string): Topology {
  return { ...topology, hosts: topology.hosts.filter((host) => host.name !== name) };
}

/**
 * With a control plane of this name, which may be there already: half joined. Hosts that were destroyed are forgotten, and leave
 * their names and addresses. Throws for a worker's name, and for one that no host can have.
 */
export function joinedBy(topology: Topology, name: string): Topology {
  const left = { ...topology, hosts: present(topology) };
  const known = left.hosts.find((host) => host.name === name);
  if (known?.role === 'worker') throw new Error(`"${name}" is a worker; a control plane needs a name of its own`);
  return known ? left : withHost(left, name, 'control-plane');
}

export function markedDestroyed(topology: Topology, name: string): Topology {
  const hosts = topology.hosts.map((host) => (host.name === name ? { ...host, destroyed: true as const } : host));
  return { ...topology, hosts };
}

/** The hosts that there are. */
export function present(topology: Topology): readonly HostSpec[] {
  return topology.hosts.filter((host) => !host.destroyed);
}

export function controlPlanes(topology: Topology): readonly HostSpec[] {
  return present(topology).filter((host) => host.role === 'control-plane');
}

export function hostNamed(topology: Topology, name: string): HostSpec {
  const found = present(topology).find((host) => host.name === name);
  if (found) return found;
  const names = present(topology).map((host) => host.name);
  throw new Error(`there is no host "${name}"; there are: ${names.join(', ')}`);
}

/** Where agents and people reach the API: the virtual address, or every server. */
export function apiServerUrls(topology: Topology): readonly string[] {
  if (topology.virtualAddress) return [`https://${topology.virtualAddress}:${API_PORT}`];
  return controlPlanes(topology).map(({ address }) => `https://${address}:${SERVER_PORT}`);
}

/** By name, so that a member whose address changes needs no change of the membership. */
export function etcdServerUrls(topology: Topology): readonly string[] {
  return controlPlanes(topology).map(({ name }) => `https://${name}:${ETCD_CLIENT_PORT}`);
}

/** A range that nothing on this machine uses, given its routes' destinations ("default", "10.0.0.0/8", "10.1.2.3"). */
export function freeNetwork(routes: readonly string[]): string {
  const used = routes.filter((route) => /^\d/.test(route)).map(rangeOf);
  for (let third = 0; third < 256; third++) {
    const candidate = rangeOf(`172.30.${third}.0/24`);
    if (used.every(({ first, last }) => last < candidate.first || first > candidate.last))
      return `172.30.${third}.0/24`;
  }
  throw new Error('every network of 172.30.0.0/16 is in use on this machine; choose one with --network');
}

function rangeOf(route: string): { first: number; last: number } {
  const [base, bits = '32'] = route.split('/');
  const size = 2 ** (32 - Number(bits));
  const first = Math.floor(ipv4Number(base!) / size) * size;
  return { first, last: first + size - 1 };
}

function addressIn(network: string, number: number): string {
  return ipv4Text(ipv4Number(networkAddress(network)) + number);
}

/** Two clusters whose long names begin alike need two. */
function machineLink(cluster: string): string {
  const name = `tsu-${cluster}`;
  if (name.length <= MAX_HOST_NAME) return name;
  let hash = 0;
  for (const letter of cluster) hash = (hash * 31 + letter.charCodeAt(0)) % 0xfffff;
  return `tsu-${cluster.slice(0, 5)}-${hash.toString(16).padStart(5, '0')}`;
}
