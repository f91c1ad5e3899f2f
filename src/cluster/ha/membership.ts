// Control planes that come and go. No host is special: the first one can be lost for good and replaced by another.
import { rm } from 'node:fs/promises';
import type { Client } from '../../client/contract.ts';
import { type Clock, sleep } from '../../lib/clock.ts';
import { isReason } from '../../machinery/status.ts';
import type { Host, Progress } from '../host.ts';
import type { Layout } from '../layout.ts';
import { readSettings, type Settings, writeSettings } from '../settings.ts';
import { ask } from './ask.ts';
import { EtcdAdmin, type EtcdMember } from './etcd-admin.ts';
import { peerUrl } from './etcd-config.ts';
import { type ClusterPlan, hostPlace, writeHost } from './host-files.ts';
import { Hosts } from './hosts.ts';
import { alone } from './lock.ts';
import { initOf, powerOff, powerOn } from './power.ts';
import { clientOf, serverTls } from './status.ts';
import {
  controlPlanes,
  type HostSpec,
  hostNamed,
  joinedBy,
  markedDestroyed,
  present,
  SERVER_PORT,
  type Topology,
  withoutHost,
} from './topology.ts';
import { withTopology } from './up.ts';

const CHANGE_WITHIN_MS = 20_000;
const PROMOTE_WITHIN_MS = 60_000;
const READY_WITHIN_MS = 60_000;
const RETRY_MS = 200;
/** Twice the time after which etcd gives up a write to another member that hangs (DefaultConnWriteTimeout). */
const GIVE_UP_WITHIN_MS = 10_000;
/** Heartbeats that cannot be sent, in so many looks one after the other. */
const GIVEN_UP_LOOKS = 3;

/** Everything below works on a cluster that was started with --ha, from the machine that it runs on. */
export interface Membership {
  readonly host: Host;
  readonly layout: Layout;
  readonly progress: Progress;
}

/**
 * A host is gone for good, its files with it. Nobody is told: its etcd member and its Node stay until `joinServer` or
 * `removeServer`, as when a machine burns.
 */
export function destroyHost(of: Membership, name: string, signal: AbortSignal): Promise<void> {
  return changing(of, signal, () => destroy(of, name, signal));
}

async function destroy(of: Membership, name: string, signal: AbortSignal): Promise<void> {
  const { settings, topology } = await readCluster(of.layout);
  const { role } = hostNamed(topology, name);
  if (role === 'control-plane' && controlPlanes(topology).length === 1) {
    throw new Error(`"${name}" is the last control plane; "tsukube down" removes the cluster`);
  }
  await powerOff({ layout: of.layout, env: of.host.env, cluster: settings.name }, name, signal);
  await rm(hostPlace(of.layout, name).directory, { recursive: true, force: true });
  const left = role === 'worker' ? withoutHost(topology, name) : markedDestroyed(topology, name);
  await writeSettings(of.layout.settings, withTopology(settings, left));
}

/**
 * A new control plane: first a member of etcd without a vote, which catches up, then with one, then a server. Members whose
 * host was destroyed are forgotten first, so that they do not count as lost. Goes on where an interrupted call stopped.
 */
export function joinServer(of: Membership, name: string, signal: AbortSignal): Promise<void> {
  return changing(of, signal, () => join(of, name, signal));
}

async function join(of: Membership, name: string, signal: AbortSignal): Promise<void> {
  const { layout, host, progress } = of;
  const { settings, topology } = await readCluster(layout);
  const next = joinedBy(topology, name);
  const joining = hostNamed(next, name);
  const isThere = present(topology).some((one) => one.name === name);
  if (isThere && (await isReadyServer(of, joining, signal))) throw new Error(`"${name}" is a control plane already`);
  const etcd = await EtcdAdmin.open(layout, host.env);
  const plan = planOf(of, withTopology(settings, next));
  const place = { layout, env: host.env, cluster: settings.name, topology: next };
  const lost = topology.hosts.filter((one) => one.destroyed);
  await writeSettings(layout.settings, withTopology(settings, { ...next, hosts: [...next.hosts, ...lost] }));
  if ((await initOf(layout, name)) === undefined) {
    // Where it takes over a lost one's address, connections that hang towards that break.
    await progress.step(`connecting ${name}`, async () => {
      await writeHost(plan, joining, undefined, []);
      await powerOn(place, joining, signal);
    });
  }
  for (const one of lost) {
    await progress.step(`forgetting ${one.name}`, () => forget(of, etcd, topology, one, signal));
  }
  await writeSettings(layout.settings, plan.settings);
  await progress.step(`adding ${name} to etcd`, async () => {
    const via = await healthyMember(etcd, next, name, signal);
    const members = await changed(of, signal, () => ensureLearner(etcd, via, name, signal));
    const names = members.map((member) => member.name || name);
    const start = { members: names, joins: true };
    // Others look it up by name before they let it in. A server has no use for a member without a vote.
    for (const one of present(next)) await writeHost(plan, one, start, one.name === name ? ['etcd'] : undefined);
    await promoteWhenCaughtUp(of, etcd, { via, name }, signal);
    await writeHost(plan, joining, start);
  });
  await progress.step(`waiting until ${name} serves`, () => untilServing(of, joining, signal));
  await tellOthers(of, next, name);
}

/** Takes a control plane out, whether its host is there, off, or destroyed. Refused when etcd would lose its quorum. */
export function removeServer(of: Membership, name: string, signal: AbortSignal): Promise<void> {
  return changing(of, signal, () => remove(of, name, signal));
}

async function remove(of: Membership, name: string, signal: AbortSignal): Promise<void> {
  const { layout, host, progress } = of;
  const { settings, topology } = await readCluster(layout);
  const leaving = topology.hosts.find((one) => one.name === name) ?? hostNamed(topology, name);
  if (leaving.role !== 'control-plane') throw new Error(`"${name}" is a worker, not a control plane`);
  const left = withoutHost(topology, name);
  if (controlPlanes(left).length === 0) throw new Error(`"${name}" is the last control plane`);
  const etcd = await EtcdAdmin.open(layout, host.env);
  await requireQuorumWithout(etcd, topology, name, signal);
  await progress.step(`removing ${name} from etcd`, () => forget(of, etcd, topology, leaving, signal));
  const plan = planOf(of, withTopology(settings, left));
  await writeSettings(layout.settings, plan.settings);
  await powerOff({ layout, env: host.env, cluster: settings.name }, name, signal);
  await rm(hostPlace(layout, name).directory, { recursive: true, force: true });
  for (const one of present(left)) await writeHost(plan, one, { members: [], joins: true });
  await tellOthers(of, left, name);
}

/** Alone among the commands that change which hosts there are. */
export function changing<T>(of: Membership, signal: AbortSignal, change: () => Promise<T>): Promise<T> {
  const { layout, host, progress } = of;
  const waiting = (): void => progress.say('  waiting for another command that changes this cluster');
  return alone({ layout, clock: host.env.clock, waiting }, signal, change);
}

/** Removes the member and the Node of a host. Either may be gone already. */
async function forget(of: Membership, etcd: EtcdAdmin, topology: Topology, lost: HostSpec, signal: AbortSignal) {
  const via = await healthyMember(etcd, topology, lost.name, signal);
  const member = (await etcd.members(via, signal)).find((one) => one.name === lost.name);
  if (member) {
    const own = await etcd.endpoint(lost, signal).catch(() => undefined);
    const successor = (await etcd.endpoint(via, signal)).memberId;
    if (own?.leaderId === member.id) await etcd.moveLeader(lost, successor, signal);
    if (!own) await untilGivenUp(of, etcd, { topology, via, lostId: member.id }, signal);
    await changed(of, signal, () => etcd.remove(via, member.id, signal));
  }
  const client = await clientOf({ layout: of.layout, env: of.host.env }, [serverUrl(via)]);
  try {
    // That the outcome of one attempt is not known does no harm.
    await changed(of, signal, () => deleteNode(client, lost.name, signal));
  } finally {
    client.close();
  }
}

/**
 * Until etcd's leader has given up its connections with a member that vanished: then it can send it no heartbeat any more. A
 * leader that forgets a member while a write to it hangs stands still until that write times out, and everybody with it. Where
 * little is written nothing ever hangs: then this takes its whole time, and no harm is done after it either.
 */
async function untilGivenUp(
  { host: { env } }: Membership,
  etcd: EtcdAdmin,
  lost: { readonly topology: Topology; readonly via: HostSpec; readonly lostId: string },
  signal: AbortSignal,
): Promise<void> {
  const leader = await leaderOf(etcd, lost.topology, lost.via, signal);
  const endMs = env.clock.monotonic() + GIVE_UP_WITHIN_MS;
  let failures = await etcd.sendFailures(leader, lost.lostId, signal);
  for (let risen = 0; risen < GIVEN_UP_LOOKS && env.clock.monotonic() < endMs; ) {
    await sleep(env.clock, RETRY_MS, signal);
    const now = await etcd.sendFailures(leader, lost.lostId, signal);
    risen = now > failures ? risen + 1 : 0;
    failures = now;
  }
}

async function leaderOf(etcd: EtcdAdmin, topology: Topology, via: HostSpec, signal: AbortSignal): Promise<HostSpec> {
  const { leaderId, memberId } = await etcd.endpoint(via, signal);
  if (leaderId === memberId) return via;
  const name = (await etcd.members(via, signal)).find((one) => one.id === leaderId)?.name;
  return controlPlanes(topology).find((one) => one.name === name) ?? via;
}

async function deleteNode(client: Client, name: string, signal: AbortSignal): Promise<void> {
  try {
    await client.resource('nodes').delete({ name }, { signal });
  } catch (error) {
    if (!isReason(error, 'NotFound')) throw error;
  }
}

/** A member that has a quorum behind it, other than the one that comes or goes. */
async function healthyMember(
  etcd: EtcdAdmin,
  topology: Topology,
  except: string,
  signal: AbortSignal,
): Promise<HostSpec> {
  for (const one of controlPlanes(topology)) {
    if (one.name === except) continue;
    const endpoint = await etcd.endpoint(one, signal).catch(() => undefined);
    if (endpoint?.isHealthy) return one;
  }
  signal.throwIfAborted();
  throw new Error('etcd has no quorum: no member can be added or removed until enough of them are back');
}

/** etcd refuses changes for some seconds after the last one, until all members are connected. */
function changed<T>({ host }: Membership, signal: AbortSignal, change: () => Promise<T>): Promise<T> {
  return until(host.env.clock, CHANGE_WITHIN_MS, signal, change);
}

async function ensureLearner(
  etcd: EtcdAdmin,
  via: HostSpec,
  name: string,
  signal: AbortSignal,
): Promise<readonly EtcdMember[]> {
  const url = peerUrl(name);
  const before = await etcd.members(via, signal);
  if (!before.some((member) => member.peerUrls.includes(url))) await etcd.addLearner(via, url, signal);
  return etcd.members(via, signal);
}

async function promoteWhenCaughtUp(
  { host: { env } }: Membership,
  etcd: EtcdAdmin,
  { via, name }: { readonly via: HostSpec; readonly name: string },
  signal: AbortSignal,
): Promise<void> {
  const url = peerUrl(name);
  await until(env.clock, PROMOTE_WITHIN_MS, signal, async () => {
    const member = (await etcd.members(via, signal)).find((one) => one.peerUrls.includes(url));
    if (!member) throw new Error(`${name} is no member of etcd`);
    if (member.isLearner) await etcd.promote(via, member.id, signal);
  });
}

async function requireQuorumWithout(
  etcd: EtcdAdmin,
  topology: Topology,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const endpoints = await Promise.all(
    controlPlanes(topology)
      .filter((one) => one.name !== name)
      .map((one) => etcd.endpoint(one, signal).catch(() => undefined)),
  );
  const healthy = endpoints.filter((endpoint) => endpoint?.isHealthy).length;
  const others = topology.hosts.filter((one) => one.role === 'control-plane' && one.name !== name).length;
  if (healthy >= Math.floor(others / 2) + 1) return;
  throw new Error(`without "${name}" etcd would have no quorum: ${healthy} of its ${others} other members are healthy`);
}

async function untilServing(of: Membership, joining: HostSpec, signal: AbortSignal): Promise<void> {
  await until(of.host.env.clock, READY_WITHIN_MS, signal, async () => {
    if (!(await isReadyServer(of, joining, signal))) throw new Error(`the API server on ${joining.name} is not ready`);
  });
}

async function isReadyServer({ layout, host }: Membership, server: HostSpec, signal: AbortSignal): Promise<boolean> {
  const question = { url: `${serverUrl(server)}/readyz`, tls: await serverTls(layout), timeoutMs: 2_000 };
  const answer = await ask(question, host.env.clock, signal).catch(() => undefined);
  return answer?.code === 200;
}

/**
 * The others take up the new membership, without dropping a connection. Servers see by themselves who etcd's members are, and
 * without an address in front agents follow the endpoints of Service kubernetes.
 */
async function tellOthers(of: Membership, topology: Topology, changed: string): Promise<void> {
  if (!topology.virtualAddress) return;
  const hosts = new Hosts({ layout: of.layout, env: of.host.env });
  for (const { name } of controlPlanes(topology)) if (name !== changed) await hosts.reload(name);
}

/** Tries until it does not throw; then, or after the time, with the last reason. */
async function until<T>(clock: Clock, withinMs: number, signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
  const endMs = clock.monotonic() + withinMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      signal.throwIfAborted();
      if (clock.monotonic() > endMs) throw error;
    }
    await sleep(clock, RETRY_MS, signal);
  }
}

function serverUrl({ address }: HostSpec): string {
  return `https://${address}:${SERVER_PORT}`;
}

function planOf({ host, layout }: Membership, settings: Settings): ClusterPlan {
  return { layout, settings, topology: settings.topology!, env: host.env, program: host.program };
}

async function readCluster(layout: Layout): Promise<{ settings: Settings; topology: Topology }> {
  const settings = await readSettings(layout.settings);
  if (!settings?.topology) throw new Error(`cluster "${layout.name}" was not started with "tsukube up --ha"`);
  return { settings, topology: settings.topology };
}
