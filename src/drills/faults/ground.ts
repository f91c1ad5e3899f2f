// What operations are performed on: a real cluster's hosts, or a test's record of them.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expireCertificates } from '../../cluster/ha/expired.ts';
import { hostPlace } from '../../cluster/ha/host-files.ts';
import { Hosts } from '../../cluster/ha/hosts.ts';
import { podProcesses } from '../../cluster/ha/pod-processes.ts';
import { initOf } from '../../cluster/ha/power.ts';
import { onSwitch } from '../../cluster/ha/switch.ts';
import { type HostSpec, hostNamed } from '../../cluster/ha/topology.ts';
import type { Layout } from '../../cluster/layout.ts';
import { readSettings } from '../../cluster/settings.ts';
import { signalIfThere } from '../../cluster/signal-process.ts';
import type { Environment } from '../../lib/environment.ts';
import { hostCommands, output } from '../../network/command.ts';
import type { Operation, Signal } from './operations.ts';

export interface Ground {
  /** Rejects when it could not be done. */
  perform(operation: Operation, signal: AbortSignal): Promise<void>;
}

export interface RealGroundOptions {
  readonly layout: Layout;
  readonly env: Environment;
  /** The command that starts this program. */
  readonly program: readonly string[];
  /** What is done through the API. */
  readonly api: {
    /** The uid of one pod with the label; undefined: there is none. */
    readonly podWith: (namespace: string, selector: string, signal: AbortSignal) => Promise<string | undefined>;
    readonly drain: (node: string, signal: AbortSignal) => Promise<void>;
    readonly uncordon: (node: string, signal: AbortSignal) => Promise<void>;
  };
}

/** The hosts of `up --ha`. */
export class RealGround implements Ground {
  readonly #options: RealGroundOptions;
  readonly #hosts: Hosts;

  constructor(options: RealGroundOptions) {
    this.#options = options;
    this.#hosts = new Hosts(options);
  }

  async perform(operation: Operation, signal: AbortSignal): Promise<void> {
    const hosts = this.#hosts;
    switch (operation.op) {
      case 'signal':
        return this.#send(operation.host, operation.component, operation.signal);
      case 'power':
        return operation.on ? hosts.powerOn(operation.host, signal) : hosts.powerOff(operation.host, signal);
      case 'cable':
        return operation.plugged ? hosts.plug(operation.host) : hosts.unplug(operation.host);
      case 'partition':
        return hosts.partition(operation);
      case 'heal':
        return hosts.heal();
      case 'switch':
        await output(await onSwitch(this.#options), ['sh', '-c', operation.script]);
        return;
      case 'host':
        return this.#onHost(operation.host, operation.script);
      case 'relay':
        return this.#startRelay(operation);
      case 'expire':
        return this.#expire(operation.host, operation.component);
      case 'drain':
        return this.#options.api.drain(operation.host, signal);
      case 'uncordon':
        return this.#options.api.uncordon(operation.host, signal);
      case 'kill-pod':
        return this.#killPod(operation.namespace, operation.selector, signal);
    }
  }

  async #send(host: string, component: Parameters<Hosts['kill']>[1], signal: Signal): Promise<void> {
    const verbs = { SIGKILL: 'kill', SIGTERM: 'terminate', SIGSTOP: 'pause', SIGCONT: 'resume' } as const;
    await this.#hosts[verbs[signal]](host, component);
  }

  /** One at a time on each host: whoever undoes waits for a script whose drill has died. Nothing happens on a host that is off. */
  async #onHost(name: string, script: string): Promise<void> {
    const { layout } = this.#options;
    const init = await initOf(layout, name);
    if (init === undefined) return;
    const { directory } = hostPlace(layout, name);
    const scratch = this.#scratch(name);
    await mkdir(scratch, { recursive: true, mode: 0o700 });
    const namespaces = ['--mount', '--net', '--uts', '--ipc', '--pid'];
    const prelude = `export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
dir='${directory}' scratch='${scratch}'
exec 9>"$scratch/lock" && flock 9
`;
    const command = ['nsenter', `--target=${init}`, ...namespaces, '--', '/bin/sh', '-c', prelude + script];
    await output(hostCommands, command);
  }

  async #startRelay({ host, delayMs, jitterMs, routes }: Extract<Operation, { op: 'relay' }>): Promise<void> {
    const words = [
      ...this.#options.program,
      'drill',
      'relay',
      '--delay',
      `${delayMs}ms`,
      '--jitter',
      `${jitterMs}ms`,
      ...routes.map(({ listen, address, port }) => `${listen}=${address}:${port}`),
    ];
    const command = words.map((word) => `'${word}'`).join(' ');
    const script = `rm -f "$scratch/relay.listening"
(exec ${command} >"$scratch/relay.listening" 2>"$dir/logs/relay.log") </dev/null 9>&- &
echo $! >>"$scratch/relay.pid"
for i in $(seq 200); do [ -s "$scratch/relay.listening" ] && exit 0; sleep 0.05; done
echo "the relay does not start; see $dir/logs/relay.log" >&2
exit 1`;
    await this.#onHost(host, script);
  }

  async #expire(host: string, component: 'etcd' | 'server'): Promise<void> {
    const spec = await this.#spec(host);
    await expireCertificates(this.#options, spec, component, join(this.#scratch(host), `certificates-${component}`));
  }

  async #killPod(namespace: string, selector: string, signal: AbortSignal): Promise<void> {
    const uid = await this.#options.api.podWith(namespace, selector, signal);
    if (uid === undefined) throw new Error(`no pod with ${selector} runs in ${namespace}`);
    for (const pid of await podProcesses(uid)) signalIfThere(pid, 'SIGKILL');
  }

  /** On the host's own disk, so that it is there after a power failure too. */
  #scratch(host: string): string {
    return join(hostPlace(this.#options.layout, host).directory, 'drill');
  }

  async #spec(host: string): Promise<HostSpec> {
    const settings = await readSettings(this.#options.layout.settings);
    return hostNamed(settings!.topology!, host);
  }
}
