// Switching hosts on and off, and their cables.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { sleep } from '../../lib/clock.ts';
import type { Environment } from '../../lib/environment.ts';
import { removeCgroups } from '../cgroups.ts';
import type { Layout } from '../layout.ts';
import { cgroupRoot } from '../node-options.ts';
import { signalIfThere } from '../signal-process.ts';
import { hostPlace, writeBootId } from './host-files.ts';
import { allProcesses, hasEnded, initsAmong, processesOf } from './processes.ts';
import { connectHost, isPlugged, onSwitch, setPlugged } from './switch.ts';
import type { HostSpec, Topology } from './topology.ts';

export interface PowerPlace {
  readonly layout: Layout;
  readonly env: Environment;
  /** The cluster's name. */
  readonly cluster: string;
  readonly topology: Topology;
}

const START_WITHIN_MS = 10_000;
const LOOK_MS = 10;

/** The host's first process, if it is on. */
export async function initOf(layout: Layout, name: string): Promise<number | undefined> {
  return initsAmong(await allProcesses(), hostPlace(layout, name).initScript)[0]?.pid;
}

/** Starts the host and plugs it in. One that is on and has its cable is left alone; one without gets a new cable. */
export async function powerOn(place: PowerPlace, host: HostSpec, signal: AbortSignal): Promise<void> {
  const { layout, env, topology } = place;
  const run = await onSwitch(place);
  const running = await initOf(layout, host.name);
  if (running !== undefined) {
    if ((await isPlugged(run, host.name)) === undefined) await connectHost(run, topology, host, running);
    return;
  }
  const own = hostPlace(layout, host.name);
  await removeCgroups(cgroupRoot(own.layout, place.cluster), env.clock, signal);
  await writeBootId(env, own);
  await mkdir('/var/lib/cni', { recursive: true });
  const { child, input } = startInit(own.initScript, [own.directory, host.name], join(own.layout.logs, 'init.log'));
  try {
    const init = await untilStarted(place, host, signal);
    await connectHost(run, topology, host, init);
    await new Promise<void>((resolve, reject) => {
      input.end('go\n', (error?: Error | null) => (error ? reject(error) : resolve()));
    });
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  } finally {
    child.unref();
  }
}

/**
 * Pulls the power: everything on the host ends at once, as it is, and nobody is told: the cable is out before the kernel could
 * close a connection. Resolves when nothing of it runs any more. */
export async function powerOff(place: Omit<PowerPlace, 'topology'>, name: string, signal: AbortSignal): Promise<void> {
  const { layout, env } = place;
  const own = hostPlace(layout, name);
  const processes = await allProcesses();
  for (const { pid } of initsAmong(processes, own.initScript)) {
    const doomed = await processesOf(pid, processes);
    const run = await onSwitch(place).catch(() => undefined);
    if (run && (await isPlugged(run, name))) await setPlugged(run, name, false);
    signalIfThere(pid, 'SIGKILL');
    for (const one of doomed) while (!(await hasEnded(one.pid))) await sleep(env.clock, LOOK_MS, signal);
  }
  await removeCgroups(cgroupRoot(own.layout, place.cluster), env.clock, signal);
}

/** The directory that hosts' CNI results are mounted on goes when it is empty, and nobody else uses it. */
export async function removeCniMountPoint(): Promise<void> {
  const left = await readdir('/var/lib/cni').catch(() => ['unknown']);
  if (left.length === 0) await rmdir('/var/lib/cni').catch(() => undefined);
}

/** Namespaces of its own for network, mounts, name and processes; it waits for a line on its input. */
function startInit(
  script: string,
  args: readonly string[],
  log: string,
): { readonly child: ChildProcess; readonly input: Writable } {
  const file = openSync(log, 'a');
  const kinds = ['--net', '--mount', '--propagation', 'private', '--uts', '--ipc', '--pid'];
  const child = spawn('unshare', [...kinds, '--fork', '--kill-child', '--mount-proc', '/bin/sh', script, ...args], {
    detached: true,
    stdio: ['pipe', file, file],
    cwd: '/',
  });
  closeSync(file);
  // A failure to start shows as a host that does not come up.
  child.on('error', () => undefined);
  const input = child.stdin!;
  input.on('error', () => undefined);
  return { child, input };
}

async function untilStarted({ layout, env }: PowerPlace, host: HostSpec, signal: AbortSignal): Promise<number> {
  const endMs = env.clock.monotonic() + START_WITHIN_MS;
  for (;;) {
    const pid = await initOf(layout, host.name);
    if (pid !== undefined) return pid;
    if (env.clock.monotonic() > endMs) {
      throw new Error(`host ${host.name} did not start; see ${hostPlace(layout, host.name).layout.logs}/init.log`);
    }
    await sleep(env.clock, LOOK_MS, signal);
  }
}
