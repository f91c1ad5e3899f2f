// What a cluster of several hosts looks like right now: asked of the kernel, of every member of etcd and of every server.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Tables } from '../../api/tables.ts';
import { type HttpsClient, httpsClient } from '../../client/https.ts';
import { accessFrom, readKubeconfig } from '../../client/kubeconfig.ts';
import type { Environment } from '../../lib/environment.ts';
import { inNetworkNamespace } from '../../network/command.ts';
import { shownServers } from '../agent-servers.ts';
import type { Layout } from '../layout.ts';
import { nodeStatus } from '../node-status.ts';
import { ask, type Question } from './ask.ts';
import { LIVE_PATH } from './balancer-config.ts';
import { EtcdAdmin, type EtcdMember } from './etcd-admin.ts';
import { hostPlace } from './host-files.ts';
import { type HostState, Hosts } from './hosts.ts';
import {
  type HaFacts,
  type HostFacts,
  type Judgement,
  judge,
  LEASES,
  type LeaseFacts,
  type NodeFacts,
} from './judge.ts';
import { initOf } from './power.ts';
import { type HostSpec, SERVER_PORT, type Topology } from './topology.ts';

/** What `status --json` says of the hosts. */
export interface HaStatus extends HaFacts, Judgement {
  readonly pods: number | undefined;
}

interface Place {
  readonly layout: Layout;
  readonly env: Environment;
}

const ASK_TIMEOUT_MS = 2_000;

export async function haStatus(place: Place, topology: Topology, signal: AbortSignal): Promise<HaStatus> {
  const { layout, env } = place;
  const hosts = new Hosts(place);
  const etcd = await EtcdAdmin.open(layout, env);
  const tls = await serverTls(layout);
  const states = await hosts.hosts();
  const seen = await Promise.all(
    states.map((state) => seeHost(state, { place, hosts, etcd, tls, virtualAddress: topology.virtualAddress }, signal)),
  );
  const members = await firstMembership(etcd, seen, signal);
  const ready = seen.find((host) => host.server?.isReady);
  const api = ready ? await askApi(place, ready, signal) : undefined;
  const facts: HaFacts = {
    hosts: seen,
    destroyed: topology.hosts.filter((host) => host.destroyed),
    virtualAddress: topology.virtualAddress,
    members,
    leases: api?.leases ?? [],
    nodes: api?.nodes,
  };
  return { ...facts, ...judge(facts), pods: api?.pods };
}

interface Eyes {
  readonly place: Place;
  readonly hosts: Hosts;
  readonly etcd: EtcdAdmin;
  readonly tls: Question['tls'];
  readonly virtualAddress: string | undefined;
}

async function seeHost(state: HostState, eyes: Eyes, signal: AbortSignal): Promise<HostFacts> {
  const { place, hosts, etcd, virtualAddress } = eyes;
  const components = (await hosts.processes(state.name)).map(({ component }) => component);
  const { layout } = hostPlace(place.layout, state.name);
  const apiServers = components.includes('agent') ? await shownServers(layout) : undefined;
  const facts = { ...state, components, holdsAddress: false, etcd: undefined, server: undefined, apiServers };
  if (state.role === 'worker' || !state.isOn) return facts;
  const [endpoint, server, holdsAddress] = await Promise.all([
    etcd.endpoint(state, signal).catch(() => undefined),
    seeServer(state, eyes, signal),
    virtualAddress !== undefined && hasAddress(place.layout, state.name, virtualAddress),
  ]);
  return { ...facts, holdsAddress, etcd: endpoint, server };
}

async function seeServer(host: HostSpec, { place, tls }: Eyes, signal: AbortSignal) {
  const answers = async (path: string): Promise<boolean> => {
    const url = `https://${host.address}:${SERVER_PORT}${path}`;
    const answer = await ask({ url, tls, timeoutMs: ASK_TIMEOUT_MS }, place.env.clock, signal).catch(() => undefined);
    return answer?.code === 200;
  };
  const [isLive, isReady] = await Promise.all([answers(LIVE_PATH), answers('/readyz')]);
  return { isLive, isReady };
}

/** Seen from inside the host, because two may have it. */
async function hasAddress(layout: Layout, name: string, address: string): Promise<boolean> {
  const init = await initOf(layout, name);
  if (init === undefined) return false;
  const run = inNetworkNamespace(`/proc/${init}/ns/net`);
  const { stdout } = await run(['ip', '-o', '-4', 'addr', 'show', 'dev', 'eth0']);
  return stdout.includes(` ${address}/`);
}

async function firstMembership(
  etcd: EtcdAdmin,
  hosts: readonly HostFacts[],
  signal: AbortSignal,
): Promise<readonly EtcdMember[] | undefined> {
  const answering = hosts.filter((host) => host.etcd !== undefined);
  // Those with a quorum know the newest membership.
  for (const host of answering.toSorted((a, b) => Number(b.etcd!.isHealthy) - Number(a.etcd!.isHealthy))) {
    const members = await etcd.members(host, signal).catch(() => undefined);
    if (members) return members;
  }
  signal.throwIfAborted();
  return undefined;
}

interface ApiFacts {
  readonly nodes: readonly NodeFacts[];
  readonly leases: readonly LeaseFacts[];
  readonly pods: number;
}

/** Asked of a server itself: the address in front of it may be the thing that is broken. */
async function askApi(place: Place, host: HostSpec, signal: AbortSignal): Promise<ApiFacts | undefined> {
  const client = await clientOf(place, [`https://${host.address}:${SERVER_PORT}`]);
  try {
    const [nodes, pods, leases] = await Promise.all([
      client.resource('nodes').list({}, signal),
      client.resource('pods').list({}, signal),
      client.resource('leases.coordination.k8s.io').list({ namespace: 'kube-system' }, signal),
    ]);
    const nowMs = place.env.clock.now();
    return {
      nodes: nodes.items.map(nodeStatus),
      pods: pods.items.length,
      leases: leases.items
        .filter((lease) => LEASES.includes(lease.metadata.name))
        .map(({ metadata, spec }) => ({
          name: metadata.name,
          holder: spec?.holderIdentity ?? '',
          isCurrent:
            Boolean(spec?.holderIdentity) &&
            Date.parse(spec?.renewTime ?? '') + (spec?.leaseDurationSeconds ?? 0) * 1000 > nowMs,
        })),
    };
  } catch {
    signal.throwIfAborted();
    return undefined;
  } finally {
    client.close();
  }
}

/** A client with the administrator's rights over these servers. */
export async function clientOf({ layout, env }: Place, servers: readonly string[]): Promise<HttpsClient> {
  const access = { ...(await accessFrom(await readKubeconfig(layout.adminKubeconfig))), servers };
  return httpsClient({ access, tables: new Tables(), clock: env.clock, requestTimeoutMs: ASK_TIMEOUT_MS });
}

export async function serverTls(layout: Layout): Promise<Question['tls']> {
  const read = (file: string): Promise<string> => readFile(join(layout.pki, file), 'utf8');
  const [ca, certificate, key] = await Promise.all(['ca.crt', 'admin.crt', 'admin.key'].map(read));
  return { ca: ca!, certificate: certificate!, key: key! };
}
