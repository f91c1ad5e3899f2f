// From what was seen of a cluster to what it means: what is missing, and how much more may fail. Pure.
import type { KnownApiServer } from '../../client/https.ts';
import type { EtcdEndpoint, EtcdMember } from './etcd-admin.ts';
import type { Component, HostState } from './hosts.ts';
import type { HostSpec } from './topology.ts';

export interface HostFacts extends HostState {
  readonly components: readonly Component[];
  /** The virtual address is on its interface. */
  readonly holdsAddress: boolean;
  /** Control planes only; undefined: its etcd member does not answer. */
  readonly etcd: EtcdEndpoint | undefined;
  /** Control planes only. */
  readonly server: { readonly isLive: boolean; readonly isReady: boolean } | undefined;
  /** As the host's agent knows them; undefined: it does not run, or has not said. */
  readonly apiServers: readonly KnownApiServer[] | undefined;
}

export interface LeaseFacts {
  readonly name: string;
  readonly holder: string;
  readonly isCurrent: boolean;
}

export interface NodeFacts {
  readonly name: string;
  readonly ready: boolean;
  readonly reason: string;
}

export interface HaFacts {
  readonly hosts: readonly HostFacts[];
  readonly destroyed: readonly HostSpec[];
  readonly virtualAddress: string | undefined;
  /** As a member that answers lists them; undefined: none does. */
  readonly members: readonly EtcdMember[] | undefined;
  readonly leases: readonly LeaseFacts[];
  /** Undefined: no API server answers. */
  readonly nodes: readonly NodeFacts[] | undefined;
}

/** How many more control planes may be lost, all of them at once, until the named thing is gone; -1: it is gone now. */
export interface Tolerance {
  readonly etcd: number;
  readonly servers: number;
  /** Absent without a virtual address. */
  readonly address?: number;
  /** The least of them. */
  readonly all: number;
}

export interface Judgement {
  readonly tolerates: Tolerance;
  /** Writes are taken. */
  readonly isAvailable: boolean;
  readonly leader: string | undefined;
  readonly holders: readonly string[];
  /** What is not as it was asked for. */
  readonly problems: readonly string[];
  /** What works, and may surprise later. */
  readonly warnings: readonly string[];
}

const SERVER_COMPONENTS: readonly Component[] = ['etcd', 'server'];
const BALANCER_COMPONENTS: readonly Component[] = ['haproxy', 'keepalived'];
const NODE_COMPONENTS: readonly Component[] = ['agent', 'containerd'];
export const LEASES = ['kube-controller-manager', 'kube-scheduler'];

export function judge(facts: HaFacts): Judgement {
  const controlPlanes = facts.hosts.filter((host) => host.role === 'control-plane');
  const holders = controlPlanes.filter((host) => host.holdsAddress).map((host) => host.name);
  const tolerates = tolerance(facts, controlPlanes, holders);
  return {
    tolerates,
    isAvailable: tolerates.all >= 0,
    leader: leaderOf(facts, controlPlanes),
    holders,
    problems: [
      ...facts.hosts.flatMap((host) => hostProblems(host, expectedComponents(host, facts.virtualAddress))),
      ...etcdProblems(facts, controlPlanes),
      ...addressProblems(facts, holders),
      ...apiProblems(facts),
    ],
    warnings: etcdWarnings(facts, controlPlanes),
  };
}

function tolerance(facts: HaFacts, controlPlanes: readonly HostFacts[], holders: readonly string[]): Tolerance {
  const voters = facts.members?.filter((member) => !member.isLearner) ?? [];
  const healthy = voters.filter((voter) => controlPlanes.some((host) => isHealthy(host, voter))).length;
  const etcd = voters.length === 0 ? -1 : Math.max(-1, healthy - quorum(voters.length));
  const servers = controlPlanes.filter((host) => host.server?.isReady).length - 1;
  if (facts.virtualAddress === undefined) return { etcd, servers, all: Math.min(etcd, servers) };
  const able = controlPlanes.filter(
    (host) => host.isOn && host.isPlugged && BALANCER_COMPONENTS.every((c) => host.components.includes(c)),
  );
  const address = holders.length === 0 ? -1 : Math.max(0, able.length - 1);
  return { etcd, servers, address, all: Math.min(etcd, servers, address) };
}

function quorum(members: number): number {
  return Math.floor(members / 2) + 1;
}

function isHealthy(host: HostFacts, member: EtcdMember): boolean {
  return host.etcd?.memberId === member.id && host.etcd.isHealthy;
}

/** By the newest term that somebody knows of: a member that was cut off still believes in the last leader. */
function leaderOf(facts: HaFacts, controlPlanes: readonly HostFacts[]): string | undefined {
  const endpoints = controlPlanes.flatMap((host) => (host.etcd?.isHealthy ? [host.etcd] : []));
  const newest = endpoints.toSorted((a, b) => Number(b.term) - Number(a.term))[0];
  return facts.members?.find((member) => member.id === newest?.leaderId)?.name;
}

function hostProblems(host: HostFacts, expected: readonly Component[]): string[] {
  if (!host.isOn) return [`host ${host.name} is off`];
  const problems = host.isPlugged ? [] : [`host ${host.name} has its cable pulled`];
  for (const component of expected) {
    if (!host.components.includes(component)) problems.push(`${component} does not run on ${host.name}`);
  }
  if (host.apiServers && !host.apiServers.some((server) => server.isHealthy)) {
    problems.push(`the agent on ${host.name} reaches no API server`);
  }
  if (host.server && !host.server.isReady) {
    problems.push(
      `the API server on ${host.name} ${host.server.isLive ? 'lives and is not ready' : 'does not answer'}`,
    );
  }
  return problems;
}

function expectedComponents({ role }: HostFacts, virtualAddress: string | undefined): readonly Component[] {
  if (role === 'worker') return NODE_COMPONENTS;
  return [...SERVER_COMPONENTS, ...(virtualAddress === undefined ? [] : BALANCER_COMPONENTS), ...NODE_COMPONENTS];
}

function etcdProblems({ members }: HaFacts, controlPlanes: readonly HostFacts[]): string[] {
  if (!members) return ['no member of etcd answers'];
  const problems: string[] = [];
  for (const host of controlPlanes) {
    const member = members.find((one) => one.name === host.name);
    if (!member) problems.push(`${host.name} is no member of etcd`);
    else if (!isHealthy(host, member)) problems.push(`etcd member ${host.name} is not healthy`);
    else if (member.isLearner) problems.push(`etcd member ${host.name} has no vote yet`);
  }
  return problems;
}

function etcdWarnings({ members = [], destroyed }: HaFacts, controlPlanes: readonly HostFacts[]): string[] {
  const warnings: string[] = [];
  const voters = members.filter((member) => !member.isLearner).length;
  if (voters > 0 && voters % 2 === 0) {
    const tolerated = voters - quorum(voters);
    warnings.push(
      `etcd has ${voters} voting members, an even number: they tolerate ${tolerated} lost, as ${voters - 1} would`,
    );
  }
  if (voters === 1) warnings.push('etcd has one voting member: it tolerates no failure');
  for (const member of members) {
    if (controlPlanes.some((host) => host.name === member.name)) continue;
    const why = destroyed.some((host) => host.name === member.name) ? 'was destroyed' : 'is not known';
    warnings.push(
      `etcd counts on member ${member.name || member.id}, whose host ${why}: "tsukube server join" replaces it, "tsukube server remove" forgets it`,
    );
  }
  const leaders = new Set(controlPlanes.flatMap((host) => (host.etcd?.isHealthy ? [host.etcd.leaderId] : [])));
  if (leaders.size > 1) warnings.push('the members of etcd do not agree who leads');
  return warnings;
}

function addressProblems({ virtualAddress }: HaFacts, holders: readonly string[]): string[] {
  if (virtualAddress === undefined || holders.length === 1) return [];
  if (holders.length === 0) return [`nobody holds the address ${virtualAddress}`];
  return [`the address ${virtualAddress} is held by ${holders.length} hosts: ${holders.join(', ')}`];
}

function apiProblems({ nodes, hosts, leases }: HaFacts): string[] {
  if (!nodes) return ['no API server is ready'];
  const problems = hosts.flatMap((host) => {
    const node = nodes.find((one) => one.name === host.name);
    if (!node) return [`node ${host.name} has not registered`];
    return node.ready ? [] : [`node ${host.name} is not ready: ${node.reason}`];
  });
  for (const name of LEASES) {
    const lease = leases.find((one) => one.name === name);
    if (!lease?.isCurrent) problems.push(`nobody leads ${name}`);
  }
  return problems;
}
