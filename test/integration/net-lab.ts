// Hosts and pods as network namespaces, for tests with the real packet filter. Everything goes when the lab is closed.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { hostCommands, inNetworkNamespace, output, type RunCommand, succeeds } from '../../src/network/command.ts';

const PEER = join(import.meta.dirname, 'net-peer.ts');

/** Whether this machine can run such tests: root, with the commands that they need. */
export async function canRunNetLab(): Promise<string | false> {
  if (process.getuid?.() !== 0) return 'needs root';
  for (const command of ['ip', 'nft', 'conntrack', 'nsenter']) {
    const found = await succeeds(hostCommands, ['sh', '-c', `command -v ${command}`]);
    if (!found) return `needs ${command}`;
  }
  return false;
}

export interface Reply {
  /** The name of the peer that answered; empty when none did. */
  readonly from: string;
  /** The source address that it saw. */
  readonly source?: string;
  /** Why there was no answer: ECONNREFUSED, TIMEOUT ... */
  readonly error?: string;
}

export class NetLab {
  readonly folder: string;
  readonly #namespaces: string[] = [];
  readonly #children: ChildProcess[] = [];

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async open(): Promise<NetLab> {
    return new NetLab(await mkdtemp(join(tmpdir(), 'tsukube-lab-')));
  }

  async close(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL');
    await Promise.all(this.#children.map((child) => child.exitCode ?? child.signalCode ?? once(child, 'exit')));
    for (const name of this.#namespaces) await hostCommands(['ip', 'netns', 'del', name]);
    await rm(this.folder, { recursive: true, force: true });
  }

  /** A new namespace with loopback up; `path` is what inNetworkNamespace takes. */
  async namespace(label: string): Promise<{ readonly name: string; readonly path: string; readonly run: RunCommand }> {
    const name = `tsl${process.pid}-${label}`;
    this.#namespaces.push(name);
    await output(hostCommands, ['ip', 'netns', 'add', name]);
    const path = `/run/netns/${name}`;
    const run = inNetworkNamespace(path);
    await output(run, ['ip', 'link', 'set', 'lo', 'up']);
    return { name, path, run };
  }

  /** A cable between two namespaces; the ends are named and get addresses ("192.0.2.1/24"). */
  async cable(
    a: { readonly ns: string; readonly device: string; readonly address?: string },
    b: { readonly ns: string; readonly device: string; readonly address?: string },
  ): Promise<void> {
    await output(hostCommands, [
      ...['ip', 'link', 'add', a.device, 'netns', a.ns, 'type', 'veth'],
      ...['peer', 'name', b.device, 'netns', b.ns],
    ]);
    for (const end of [a, b]) {
      const run = inNetworkNamespace(`/run/netns/${end.ns}`);
      if (end.address) await output(run, ['ip', 'address', 'add', end.address, 'dev', end.device]);
      await output(run, ['ip', 'link', 'set', end.device, 'up']);
    }
  }

  /** A process in the namespace that answers TCP and UDP at the address with its name and the source that it sees. */
  async server(path: string, name: string, address: string, port: number): Promise<void> {
    const child = this.#spawn(path, ['serve', name, address, String(port)]);
    await once(createInterface({ input: child.stdout! }), 'line');
  }

  /** Asks `count` times, one after the other, each over a connection of its own (UDP: all from one port). */
  async ask(
    path: string,
    protocol: 'tcp' | 'udp',
    address: string,
    port: number,
    count = 1,
  ): Promise<readonly Reply[]> {
    const argv = [process.execPath, PEER, 'ask', protocol, address, String(port), String(count)];
    return JSON.parse(await output(inNetworkNamespace(path), argv)) as readonly Reply[];
  }

  /** A UDP client that keeps its port; each call of the function asks once. */
  udpClient(path: string, address: string, port: number): () => Promise<Reply> {
    const child = this.#spawn(path, ['udp-client', address, String(port)]);
    const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    return async () => {
      child.stdin!.write('\n');
      return JSON.parse((await lines.next()).value as string) as Reply;
    };
  }

  /** A script of ours in the namespace, until the lab is closed; resolves when it says its first line. */
  async process(path: string, args: readonly string[]): Promise<void> {
    const child = this.#spawn(path, args.slice(1), args[0]);
    await once(createInterface({ input: child.stdout! }), 'line');
  }

  #spawn(path: string, args: readonly string[], script = PEER): ChildProcess {
    const argv = [`--net=${path}`, '--', process.execPath, script, ...args];
    const child = spawn('nsenter', argv, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#children.push(child);
    return child;
  }
}
