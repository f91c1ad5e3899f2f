// The hosts of a cluster as a drill or a person sees them: switch off, unplug, cut apart, kill. Everything is asked of the
// kernel each time; only which hosts there are comes from the cluster's settings.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { containerdSocket } from '../../kubelet/containerd.ts';
import type { Environment } from '../../lib/environment.ts';
import { output } from '../../network/command.ts';
import type { Layout } from '../layout.ts';
import { readSettings, type Settings } from '../settings.ts';
import { signalIfThere } from '../signal-process.ts';
import { hostPlace } from './host-files.ts';
import { HEAL_RULES, type Partition, partitionRules } from './partition.ts';
import { initOf, powerOff, powerOn } from './power.ts';
import { allProcesses, initsAmong, type ProcessInfo, processesOf } from './processes.ts';
import { isPlugged, onSwitch, setPlugged } from './switch.ts';
import { type HostSpec, hostNamed, present, type Topology } from './topology.ts';

export type Component = 'etcd' | 'server' | 'agent' | 'containerd' | 'haproxy' | 'keepalived';

export interface HostState extends HostSpec {
  readonly isOn: boolean;
  readonly isPlugged: boolean;
}

export interface HostProcess {
  readonly component: Component;
  /** As this machine knows it. */
  readonly pid: number;
}

export interface HostsPlace {
  readonly layout: Layout;
  readonly env: Environment;
}

/** Throws for a cluster without hosts of its own, and for a host that there is not. */
export class Hosts {
  readonly #place: HostsPlace;

  constructor(place: HostsPlace) {
    this.#place = place;
  }

  async hosts(): Promise<readonly HostState[]> {
    const { topology } = await this.#cluster();
    const processes = await allProcesses();
    const run = await onSwitch(this.#place).catch(() => undefined);
    return Promise.all(
      present(topology).map(async (host) => ({
        ...host,
        isOn: initsAmong(processes, hostPlace(this.#place.layout, host.name).initScript).length > 0,
        isPlugged: run !== undefined && (await isPlugged(run, host.name)) === true,
      })),
    );
  }

  /** Everything on the host ends at once, as when the power fails. */
  async powerOff(name: string, signal: AbortSignal): Promise<void> {
    const { topology, settings } = await this.#cluster();
    await powerOff({ ...this.#place, cluster: settings.name }, hostNamed(topology, name).name, signal);
  }

  /** Starts the host with an empty /run, new namespaces and its files as they were. */
  async powerOn(name: string, signal: AbortSignal): Promise<void> {
    const { topology, settings } = await this.#cluster();
    await powerOn({ ...this.#place, cluster: settings.name, topology }, hostNamed(topology, name), signal);
  }

  /** Pulls the cable at the switch: the host sees that it has no carrier. */
  async unplug(name: string): Promise<void> {
    await this.#setPlugged(name, false);
  }

  async plug(name: string): Promise<void> {
    await this.#setPlugged(name, true);
  }

  /** Cuts hosts apart, on top of what is cut already, until `heal`. The links stay up. */
  async partition(partition: Partition): Promise<void> {
    const { topology } = await this.#cluster();
    for (const name of [...partition.from, ...partition.to]) if (name !== 'machine') hostNamed(topology, name);
    await output(await onSwitch(this.#place), ['nft', '-f', '-'], { stdin: partitionRules(partition) });
  }

  /** Ends all partitions. Cables that were pulled stay pulled. */
  async heal(): Promise<void> {
    await output(await onSwitch(this.#place), ['nft', '-f', '-'], { stdin: HEAL_RULES });
  }

  /** What runs on a host, each component by its main process; empty when it is off. */
  async processes(name: string): Promise<readonly HostProcess[]> {
    const found = await this.#components(name);
    return [...found].map(([component, [main]]) => ({ component, pid: main!.pid }));
  }

  /** Kills all processes of a component; the host's supervisor starts it again. Returns how many there were. */
  kill(name: string, component: Component): Promise<number> {
    return this.#signal(name, component, 'SIGKILL');
  }

  /** Asks a component to end in good order; the host's supervisor starts it again. */
  terminate(name: string, component: Component): Promise<number> {
    return this.#signal(name, component, 'SIGTERM');
  }

  /** Has a host's HAProxy and keepalived read their configuration anew, without dropping a connection. */
  async reload(name: string): Promise<void> {
    const found = await this.#components(name);
    for (const [component, signal] of [
      ['haproxy', 'SIGUSR2'],
      ['keepalived', 'SIGHUP'],
    ] as const) {
      const main = found.get(component)?.[0];
      if (main) signalIfThere(main.pid, signal);
    }
  }

  /** Stops a component in its tracks, connections open. */
  pause(name: string, component: Component): Promise<number> {
    return this.#signal(name, component, 'SIGSTOP');
  }

  resume(name: string, component: Component): Promise<number> {
    return this.#signal(name, component, 'SIGCONT');
  }

  /** Of the hosts that are on, as this machine reaches them. */
  async containerdSockets(): Promise<readonly string[]> {
    const { topology } = await this.#cluster();
    const sockets = await Promise.all(
      present(topology).map(async ({ name }) => {
        const init = await initOf(this.#place.layout, name);
        const { state } = hostPlace(this.#place.layout, name).layout.agent;
        return init === undefined ? [] : [containerdSocket({ stateDir: join(rootOf(init), state) })];
      }),
    );
    return sockets.flat();
  }

  async #setPlugged(name: string, plugged: boolean): Promise<void> {
    const { topology } = await this.#cluster();
    await setPlugged(await onSwitch(this.#place), hostNamed(topology, name).name, plugged);
  }

  async #signal(name: string, component: Component, signal: NodeJS.Signals): Promise<number> {
    const found = (await this.#components(name)).get(component) ?? [];
    // The main process alone ends in good order, and the others with it.
    for (const { pid } of signal === 'SIGTERM' ? found.slice(0, 1) : found) signalIfThere(pid, signal);
    return found.length;
  }

  /** By component: its main process, and those that it has started of the same program. */
  async #components(name: string): Promise<ReadonlyMap<Component, readonly ProcessInfo[]>> {
    const { topology } = await this.#cluster();
    const place = hostPlace(this.#place.layout, hostNamed(topology, name).name);
    const init = await initOf(this.#place.layout, name);
    const found = new Map<Component, readonly ProcessInfo[]>();
    if (init === undefined) return found;
    const processes = await processesOf(init, await allProcesses());
    const run = place.layout.run;
    const files: readonly (readonly [Component, string])[] = [
      ...(['etcd', 'server', 'agent', 'haproxy', 'keepalived'] as const).map(
        (component) => [component, join(run, `${component}.pid`)] as const,
      ),
      ['containerd', join(rootOf(init), place.layout.agent.state, 'containerd.pid')],
    ];
    for (const [component, file] of files) {
      const inner = Number((await readFile(file, 'utf8').catch(() => '')).trim());
      const main = inner > 1 ? processes.find((process) => process.innerPid === inner) : undefined;
      if (main) found.set(component, [main, ...sameProgramBelow(main, processes)]);
    }
    return found;
  }

  async #cluster(): Promise<{ settings: Settings; topology: Topology }> {
    const { layout } = this.#place;
    const settings = await readSettings(layout.settings);
    if (!settings) throw new Error(`there is no cluster "${layout.name}"; start it with "tsukube up --ha"`);
    const { topology } = settings;
    if (!topology)
      throw new Error(`cluster "${layout.name}" has no hosts of its own; "tsukube up --ha" makes one that has`);
    return { settings, topology };
  }
}

function sameProgramBelow(main: ProcessInfo, all: readonly ProcessInfo[]): readonly ProcessInfo[] {
  const children = all.filter(({ parent, command }) => parent === main.pid && command[0] === main.command[0]);
  return children.flatMap((child) => [child, ...sameProgramBelow(child, all)]);
}

/** The file tree that a process sees: /run is each host's own. */
function rootOf(pid: number): string {
  return `/proc/${pid}/root`;
}
