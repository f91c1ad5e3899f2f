// Keeps this node's routes to the other nodes' pods equal to the Node objects.
import type { Node } from '../api/generated/types.ts';
import type { Informer, Informers } from '../client/contract.ts';
import { abortable, isAbort } from '../lib/abort.ts';
import { type BackoffPolicy, backoffMs } from '../lib/backoff.ts';
import { sleep, type Timer } from '../lib/clock.ts';
import type { Environment } from '../lib/environment.ts';
import { networkAddress } from './address.ts';
import { VXLAN_MTU } from './cni.ts';
import { CommandError, output, type RunCommand } from './command.ts';
import {
  DEFAULT_VXLAN_DEVICE,
  decideRoutes,
  internalAddress,
  type KernelState,
  peerRoutes,
  podCidrOf,
  ROUTE_PROTOCOL,
  type RouteMode,
  vxlanMac,
} from './routes.ts';

export interface RouteControllerOptions {
  readonly informers: Informers;
  readonly env: Environment;
  readonly run: RunCommand;
  readonly nodeName: string;
  /** Default "host". */
  readonly mode?: RouteMode | undefined;
  readonly vxlanDevice?: string | undefined;
  /** The cluster's VXLAN network identifier; two clusters on one link need two. Default 142. */
  readonly vxlanId?: number | undefined;
  /** How often to look whether the kernel still has the routes; default 30 000. */
  readonly resyncIntervalMs?: number | undefined;
}

export const VXLAN_PORT = 8472;
const RETRY: BackoffPolicy = { initialMs: 200, maximumMs: 30_000, factor: 2, jitter: 0.2 };

/** Runs until the signal aborts; the routes stay. */
export async function runRoutes(options: RouteControllerOptions, signal: AbortSignal): Promise<void> {
  await new RouteController(options).run(signal).catch((error: unknown) => {
    if (!isAbort(error, signal)) throw error;
  });
}

/** This node's IPv4 range of pods, as soon as its Node object has one. */
export async function waitForPodCidr(informers: Informers, nodeName: string, signal: AbortSignal): Promise<string> {
  const nodes: Informer<Node> = informers.for('nodes');
  const stop = new AbortController();
  try {
    await abortable(informers.start(signal, [nodes]), signal);
    const found = new Promise<string>((resolve) => {
      const look = (node: Node): void => {
        const range = node.metadata.name === nodeName ? podCidrOf(node) : undefined;
        if (range) resolve(range);
      };
      nodes.subscribe({ add: look, update: look }, stop.signal);
    });
    return await abortable(found, signal);
  } finally {
    stop.abort();
  }
}

class RouteController {
  readonly #options: RouteControllerOptions;
  readonly #env: Environment;
  readonly #nodes: Informer<Node>;
  readonly #device: string;
  #changed = true;
  #wake: () => void = () => undefined;

  constructor(options: RouteControllerOptions) {
    this.#options = options;
    this.#env = { ...options.env, log: options.env.log.child('routes') };
    this.#nodes = options.informers.for('nodes');
    this.#device = options.vxlanDevice ?? DEFAULT_VXLAN_DEVICE;
  }

  async run(signal: AbortSignal): Promise<void> {
    await abortable(this.#options.informers.start(signal, [this.#nodes]), signal);
    const mark = (): void => {
      this.#changed = true;
      this.#wake();
    };
    const update = (now: Node, before: Node): void => {
      if (podCidrOf(now) !== podCidrOf(before) || internalAddress(now) !== internalAddress(before)) mark();
    };
    this.#nodes.subscribe({ add: mark, update, delete: mark }, signal);
    for (let failures = 0; ; ) {
      try {
        this.#changed = false;
        await this.#sync(signal);
        failures = 0;
        await this.#untilChanged(signal);
      } catch (error) {
        if (isAbort(error, signal)) throw error;
        this.#env.log.error('cannot set the routes to other nodes', error);
        await sleep(this.#env.clock, backoffMs(RETRY, failures++, this.#env.random), signal);
      }
    }
  }

  async #untilChanged(signal: AbortSignal): Promise<void> {
    let timer: Timer | undefined;
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
      timer = this.#env.clock.timer(this.#options.resyncIntervalMs ?? 30_000, resolve);
    });
    try {
      if (!this.#changed) await abortable(woken, signal);
    } finally {
      timer?.cancel();
    }
  }

  async #sync(signal: AbortSignal): Promise<void> {
    const { nodeName, mode = 'host', run } = this.#options;
    if (mode === 'vxlan' && !(await this.#setUpVxlan(signal))) return;
    const peers = peerRoutes(this.#nodes.list(), nodeName);
    const kernel = await readKernel(run, mode, this.#device, signal);
    const plan = decideRoutes(peers, kernel, { nodeName, mode, vxlanDevice: this.#device });
    // The link layer first, so that no packet is routed to where it cannot go.
    await batch(run, 'bridge', plan.bridge, signal);
    await batch(run, 'ip', plan.ip, signal);
    const changes = plan.ip.length + plan.bridge.length;
    if (changes > 0) this.#env.log.info('routes to other nodes changed', { changes, nodes: peers.length });
  }

  /** Makes the device, or makes it anew when the node's address changed; false while the node has none. */
  async #setUpVxlan(signal: AbortSignal): Promise<boolean> {
    const { nodeName, run, vxlanId = 142 } = this.#options;
    const node = this.#nodes.get(nodeName);
    const local = node && internalAddress(node);
    const podCidr = node && podCidrOf(node);
    if (!local || !podCidr) return false;
    const device = this.#device;
    const mac = vxlanMac(local);
    const shown = await run(['ip', '-o', 'link', 'show', 'dev', device], { signal });
    const sound = shown.code === 0 && shown.stdout.includes(mac) && shown.stdout.includes('UP');
    if (!sound) {
      if (shown.code === 0) await output(run, ['ip', 'link', 'del', device], { signal });
      await output(
        run,
        [
          ...'ip link add'.split(' '),
          device,
          'address',
          mac,
          'mtu',
          String(VXLAN_MTU),
          'type',
          'vxlan',
          'id',
          String(vxlanId),
          'local',
          local,
          'dstport',
          String(VXLAN_PORT),
          'nolearning',
        ],
        { signal },
      );
      await output(run, ['ip', 'link', 'set', device, 'up'], { signal });
    }
    await output(run, ['ip', 'address', 'replace', `${networkAddress(podCidr)}/32`, 'dev', device], { signal });
    return true;
  }
}

/** All lines, also behind one that fails: a node that cannot be reached must not keep us from the others. */
async function batch(
  run: RunCommand,
  command: 'ip' | 'bridge',
  lines: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  if (lines.length === 0) return;
  const argv = [command, '-force', '-batch', '-'];
  const result = await run(argv, { stdin: `${lines.join('\n')}\n`, signal });
  if (result.code !== 0) throw new CommandError(argv, result);
}

/** What is read of `ip -j` and `bridge -j`. */
interface IpEntry {
  readonly dst?: string;
  readonly gateway?: string;
  readonly dev?: string;
  readonly lladdr?: string;
  readonly mac?: string;
}

async function readKernel(run: RunCommand, mode: RouteMode, device: string, signal: AbortSignal): Promise<KernelState> {
  const json = async (argv: readonly string[]): Promise<readonly IpEntry[]> => {
    const text = await output(run, argv, { signal });
    return text.trim() === '' ? [] : (JSON.parse(text) as readonly IpEntry[]);
  };
  const routes = (await json(['ip', '-j', 'route', 'show', 'proto', ROUTE_PROTOCOL])).map(
    ({ dst = '', gateway = '', dev }) => ({
      destination: dst.includes('/') ? dst : `${dst}/32`,
      gateway,
      device: dev,
    }),
  );
  if (mode === 'host') return { routes, neighbours: [], forwarding: [] };
  const neighbours = await json(['ip', '-j', 'neigh', 'show', 'dev', device, 'nud', 'permanent']);
  const forwarding = await json(['bridge', '-j', 'fdb', 'show', 'dev', device]);
  return {
    routes,
    neighbours: neighbours.map(({ dst, lladdr }) => `${dst} ${lladdr}`),
    forwarding: forwarding.flatMap(({ mac, dst }) => (dst ? [`${mac} ${dst}`] : [])),
  };
}
