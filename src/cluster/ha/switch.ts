// The network of a cluster's hosts: a switch (a namespace with a bridge), a cable to each host, and one to this machine.

import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { sleep } from '../../lib/clock.ts';
import type { Environment } from '../../lib/environment.ts';
import { hostCommands, inNetworkNamespace, output, type RunCommand, succeeds } from '../../network/command.ts';
import { allowForwarding, removeForwarding } from '../../network/iptables.ts';
import { applySettings, restoreSettings } from '../../network/sysctl.ts';
import { removeTable } from '../../network/tables.ts';
import type { Layout } from '../layout.ts';
import { writeFileAtomically } from '../settings.ts';
import { signalIfThere } from '../signal-process.ts';
import { SWITCH_INIT } from './boot.ts';
import { allProcesses, hasEnded, initsAmong } from './processes.ts';
import type { HostSpec, Topology } from './topology.ts';

/** Routes of this machine into the cluster, told from others by this number. */
const ROUTE_PROTOCOL = '143';
const BRIDGE = 'switch';
const MACHINE_PORT = 'machine';
const START_WITHIN_MS = 10_000;
const LOOK_MS = 10;

export interface SwitchPlace {
  readonly layout: Layout;
  readonly env: Environment;
}

/** The switch's first process, if it runs. */
export async function switchProcess({ layout }: Pick<SwitchPlace, 'layout'>): Promise<number | undefined> {
  return initsAmong(await allProcesses(), switchScript(layout))[0]?.pid;
}

/** Commands in the switch's network namespace. Throws when the cluster's network is not there. */
export async function onSwitch(place: Pick<SwitchPlace, 'layout'>): Promise<RunCommand> {
  const pid = await switchProcess(place);
  if (pid === undefined)
    throw new Error(`the network of cluster "${place.layout.name}" is not there; run "tsukube up"`);
  return inNetworkNamespace(`/proc/${pid}/ns/net`);
}

/** Makes the switch and this machine's leg on it, or what is missing of them. */
export async function ensureSwitch(
  place: SwitchPlace,
  topology: Topology,
  ranges: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const pid = (await switchProcess(place)) ?? (await startSwitch(place, signal));
  const run = inNetworkNamespace(`/proc/${pid}/ns/net`);
  if (!(await succeeds(run, ['ip', 'link', 'show', 'dev', BRIDGE], { signal }))) {
    await batch(run, [
      `link add ${BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
      `link set ${BRIDGE} up`,
    ]);
    // Packets between hosts are for the hosts' own filters.
    await run(['sh', '-c', 'echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables']);
  }
  await connectMachine(place, topology, { run, pid, ranges }, signal);
}

interface Connection {
  readonly run: RunCommand;
  readonly pid: number;
  /** The cluster's pods and services. */
  readonly ranges: readonly string[];
}

async function connectMachine(
  { layout }: SwitchPlace,
  topology: Topology,
  { run, pid, ranges }: Connection,
  signal: AbortSignal,
): Promise<void> {
  const { machineLink: link, gateway, network } = topology;
  await applySettings(hostCommands, settingsFile(layout), signal);
  if (!(await succeeds(run, ['ip', 'link', 'show', 'dev', MACHINE_PORT], { signal }))) {
    await hostCommands(['ip', 'link', 'del', link]);
    await batch(hostCommands, [`link add ${link} type veth peer name ${MACHINE_PORT} netns ${pid}`]);
    await batch(run, [`link set ${MACHINE_PORT} master ${BRIDGE} up`]);
    await batch(hostCommands, [`addr add ${gateway}/24 dev ${link}`, `link set ${link} up`]);
  }
  const table = machineTable(layout);
  const text = `add table ip ${table}
delete table ip ${table}
table ip ${table} {
  chain postrouting {
    type nat hook postrouting priority srcnat ;
    ip saddr ${network} ip daddr != ${network} oifname != "${link}" masquerade
  }
}
`;
  await output(hostCommands, ['nft', '-f', '-'], { stdin: text, signal });
  await allowForwarding(hostCommands, [network], signal);
  await routeInto(topology, ranges);
}

/** Pods and services from this machine, by the host that holds the virtual address; else by the first control plane. */
async function routeInto(topology: Topology, ranges: readonly string[]): Promise<void> {
  const via = topology.virtualAddress ?? topology.hosts.find((host) => !host.destroyed)?.address;
  if (!via) return;
  for (const range of ranges) {
    // Another cluster's route to the same range stays; then this one's services are reached by node ports only.
    const route = `${range} via ${via} dev ${topology.machineLink} proto ${ROUTE_PROTOCOL}`.split(' ');
    await hostCommands(['ip', 'route', 'add', ...route]);
  }
}

/** Takes away everything outside the hosts. Their cables must be out. Twice is harmless. */
export async function removeSwitch(place: SwitchPlace, topology: Topology, signal: AbortSignal): Promise<void> {
  const { layout, env } = place;
  const found = initsAmong(await allProcesses(), switchScript(layout));
  for (const { pid } of found) {
    signalIfThere(pid, 'SIGKILL');
    while (!(await hasEnded(pid))) await sleep(env.clock, LOOK_MS, signal);
  }
  // It goes with the switch, but the kernel takes its time.
  if (await succeeds(hostCommands, ['ip', 'link', 'show', 'dev', topology.machineLink])) {
    await hostCommands(['ip', 'link', 'del', topology.machineLink]);
  }
  await removeTable(hostCommands, machineTable(layout));
  await removeForwarding(hostCommands, [topology.network]);
  await restoreSettings(hostCommands, settingsFile(layout));
}

/** Plugs a new cable from the host's eth0 into the switch. `init` is the host's first process. */
export async function connectHost(run: RunCommand, topology: Topology, host: HostSpec, init: number): Promise<void> {
  const inHost = inNetworkNamespace(`/proc/${init}/ns/net`);
  // A port that the last power-off has not taken away yet.
  await run(['ip', 'link', 'del', host.name]);
  const hardware = hardwareAddress(host.address);
  await batch(run, [
    `link add ${host.name} type veth peer name eth0 address ${hardware} netns ${init}`,
    `link set ${host.name} master ${BRIDGE} up`,
  ]);
  // A redirect to the neighbour that holds a service's pod would send clients past the service's translation.
  const quiet = 'for f in all default; do echo 0 >/proc/sys/net/ipv4/conf/$f/send_redirects; done';
  await output(inHost, ['sh', '-c', quiet]);
  await batch(inHost, [
    'link set lo up',
    `addr add ${host.address}/24 dev eth0`,
    'link set eth0 up',
    `route add default via ${topology.gateway}`,
  ]);
}

/** Whether the host's cable is in, by its port; undefined when it has none. */
export async function isPlugged(run: RunCommand, host: string): Promise<boolean | undefined> {
  const result = await run(['ip', '-o', 'link', 'show', 'dev', host]);
  if (result.code !== 0) return undefined;
  return /<[^>]*\bUP\b[^>]*>/.test(result.stdout);
}

export async function setPlugged(run: RunCommand, host: string, plugged: boolean): Promise<void> {
  await output(run, ['ip', 'link', 'set', host, plugged ? 'up' : 'down']);
}

/** The same address always has the same hardware: neighbours' tables stay right when a host comes back. */
function hardwareAddress(address: string): string {
  const bytes = address.split('.').map((part) => Number(part).toString(16).padStart(2, '0'));
  return ['02', '54', ...bytes].join(':');
}

async function startSwitch({ layout, env }: SwitchPlace, signal: AbortSignal): Promise<number> {
  await mkdir(layout.run, { recursive: true });
  await mkdir(layout.logs, { recursive: true });
  const script = switchScript(layout);
  const pipe = join(layout.run, 'switch.pipe');
  await writeFileAtomically(script, SWITCH_INIT, 0o755);
  await hostCommands(['mkfifo', pipe]);
  await spawnNamespace(['--net', '--pid'], [script, pipe], join(layout.logs, 'switch.log'));
  const endMs = env.clock.monotonic() + START_WITHIN_MS;
  for (;;) {
    const pid = await switchProcess({ layout });
    if (pid !== undefined) return pid;
    if (env.clock.monotonic() > endMs) throw new Error(`the switch did not start; see ${layout.logs}/switch.log`);
    await sleep(env.clock, LOOK_MS, signal);
  }
}

/** Starts a script as the first process of new namespaces, in the background. It ends with the `unshare` that holds it. */
async function spawnNamespace(kinds: readonly string[], script: readonly string[], log: string): Promise<void> {
  const file = openSync(log, 'a');
  const args = [...kinds, '--fork', '--kill-child', '/bin/sh', ...script];
  const child = spawn('unshare', args, { detached: true, stdio: ['ignore', file, file], cwd: '/' });
  closeSync(file);
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  child.unref();
}

/** Several lines of `ip` in one process; throws for the first that fails. */
async function batch(run: RunCommand, lines: readonly string[]): Promise<void> {
  await output(run, ['ip', '-batch', '-'], { stdin: `${lines.join('\n')}\n` });
}

function switchScript(layout: Layout): string {
  return join(layout.run, 'switch.sh');
}

function settingsFile(layout: Layout): string {
  return join(layout.root, 'machine-network.json');
}

function machineTable(layout: Layout): string {
  return `${layout.name}-hosts`;
}
