// `tsukube host` and `tsukube server join`: the hosts of a cluster that was started with --ha.
import { type HostState, Hosts } from '../cluster/ha/hosts.ts';
import { changing, destroyHost, joinServer, type Membership, removeServer } from '../cluster/ha/membership.ts';
import { type Host, Progress } from '../cluster/host.ts';
import type { Layout } from '../cluster/layout.ts';
import { type Invocation, UsageError } from './arguments.ts';

type Verb = (hosts: Hosts, name: string, signal: AbortSignal) => Promise<void>;

const VERBS: Readonly<Record<string, { readonly run: Verb; readonly done: string }>> = {
  stop: { run: (hosts, name, signal) => hosts.powerOff(name, signal), done: 'is off' },
  start: { run: (hosts, name, signal) => hosts.powerOn(name, signal), done: 'is on' },
  unplug: { run: (hosts, name) => hosts.unplug(name), done: 'has its cable pulled' },
  plug: { run: (hosts, name) => hosts.plug(name), done: 'is plugged in' },
};

/** Prints what is asked for; a host that is named must be there. */
export async function hostCommand(
  host: Host,
  layout: Layout,
  invocation: Invocation,
  signal: AbortSignal,
): Promise<{ readonly value: unknown; readonly text: string }> {
  const [verb = 'list', name, ...more] = invocation.words;
  const hosts = new Hosts({ layout, env: host.env });
  if (verb === 'list' && name === undefined) {
    const all = await hosts.hosts();
    return { value: all, text: hostTable(all) };
  }
  if (verb === 'destroy' && name !== undefined && more.length === 0) {
    await destroyHost(membershipOf(host, layout, invocation), name, signal);
    return { value: { host: name, done: verb }, text: `Host "${name}" is gone for good.` };
  }
  const action = VERBS[verb];
  if (!action || name === undefined || more.length > 0) {
    throw new UsageError(`usage: tsukube host list, or tsukube host ${Object.keys(VERBS).join('|')}|destroy NAME`);
  }
  // A host is not started twice at once; faults may strike at any time.
  const run = (): Promise<void> => action.run(hosts, name, signal);
  await (verb === 'start' ? changing(membershipOf(host, layout, invocation), signal, run) : run());
  return { value: { host: name, done: verb }, text: `Host "${name}" ${action.done}.` };
}

/** `tsukube server join|remove NAME`. */
export async function serverCommand(
  host: Host,
  layout: Layout,
  invocation: Invocation,
  signal: AbortSignal,
): Promise<{ readonly value: unknown; readonly text: string }> {
  const [verb, name, ...more] = invocation.words;
  if ((verb !== 'join' && verb !== 'remove') || name === undefined || more.length > 0) {
    throw new UsageError('usage: tsukube server join NAME, or tsukube server remove NAME');
  }
  const membership = membershipOf(host, layout, invocation);
  if (verb === 'join') await joinServer(membership, name, signal);
  else await removeServer(membership, name, signal);
  const text = verb === 'join' ? `"${name}" is a control plane.` : `"${name}" is no longer a control plane.`;
  return { value: { server: name, done: verb }, text };
}

function membershipOf(host: Host, layout: Layout, invocation: Invocation): Membership {
  return { host, layout, progress: new Progress(host, invocation.flags.get('json') === true) };
}

function hostTable(hosts: readonly HostState[]): string {
  return columns([
    ['HOST', 'ROLE', 'ADDRESS', 'POWER', 'CABLE'],
    ...hosts.map((one) => [
      one.name,
      one.role,
      one.address,
      one.isOn ? 'on' : 'off',
      one.isPlugged ? 'plugged' : one.isOn ? 'pulled' : '-',
    ]),
  ]);
}

/** Lines with each column as wide as its widest cell. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
