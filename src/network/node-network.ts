// A node's network from the outside: set up before the first pod, and gone without a trace when the cluster goes.
import { readdir, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CONF_FILE, DEFAULT_BRIDGE, DEFAULT_NETWORK_NAME, VXLAN_MTU, writeCniConfig } from './cni.ts';
import { output, type RunCommand, succeeds } from './command.ts';
import { allowForwarding, removeForwarding, removePortMapping } from './iptables.ts';
import { addLocalAddress, removeLocalAddress } from './local-address.ts';
import { applyMasquerade } from './masquerade.ts';
import { DEFAULT_VXLAN_DEVICE, ROUTE_PROTOCOL, type RouteMode } from './routes.ts';
import { applySettings, restoreSettings } from './sysctl.ts';
import { DEFAULT_MASQUERADE_TABLE, DEFAULT_PROXY_TABLE, removeTable } from './tables.ts';

/** Names of what a node's network leaves on its host; the same for set-up and clean-up. */
export interface NodeNetworkNames {
  readonly run: RunCommand;
  /** containerd's `conf_dir`. */
  readonly confDir: string;
  /** Where host-local notes addresses; of this node alone. */
  readonly ipamDir: string;
  /** Where the kernel settings' former values are noted. */
  readonly settingsFile: string;
  readonly bridge?: string | undefined;
  readonly networkName?: string | undefined;
  readonly vxlanDevice?: string | undefined;
  readonly masqueradeTable?: string | undefined;
  readonly proxyTable?: string | undefined;
  /** The address on which this node's cluster DNS listens. */
  readonly dnsAddress?: string | undefined;
}

export interface NodeNetworkOptions extends NodeNetworkNames {
  readonly podCidr: string;
  /** The whole cluster's pods. */
  readonly clusterCidrs: readonly string[];
  readonly mode?: RouteMode | undefined;
}

/** Everything but routes to other nodes (route-controller.ts) and Services (proxy/). Twice does no harm. */
export async function setUpNodeNetwork(options: NodeNetworkOptions, signal?: AbortSignal): Promise<void> {
  const { run, podCidr, clusterCidrs, masqueradeTable: table, dnsAddress } = options;
  await applySettings(run, options.settingsFile, signal);
  if (dnsAddress) await addLocalAddress(run, dnsAddress, signal);
  await applyMasquerade(run, { podCidr, clusterCidrs, table }, signal);
  await allowForwarding(run, clusterCidrs, signal);
  // Last: containerd says that the network is ready as soon as this is there.
  await writeCniConfig({ ...options, mtu: options.mode === 'vxlan' ? VXLAN_MTU : undefined });
}

export interface CleanUpOptions extends NodeNetworkNames {
  readonly clusterCidrs: readonly string[];
  /** Directories with pods' network namespaces ("cni-..."): containerd's, when all its pods are the cluster's. */
  readonly netnsDirs?: readonly string[] | undefined;
  /** Where CNI keeps the results of its plugins. Default /var/lib/cni. */
  readonly cniCacheDir?: string | undefined;
}

/**
 * Takes away everything that setUpNodeNetwork, the route controller, the proxy, the plugins and pods' sandboxes left, each
 * part even when others fail; throws an AggregateError of what could not be done. Pods must have ended before.
 */
export async function cleanUpNodeNetwork(options: CleanUpOptions): Promise<void> {
  const { run, dnsAddress } = options;
  const networkName = options.networkName ?? DEFAULT_NETWORK_NAME;
  const steps: readonly (() => Promise<unknown>)[] = [
    () => removeTable(run, options.proxyTable ?? DEFAULT_PROXY_TABLE),
    () => removeTable(run, options.masqueradeTable ?? DEFAULT_MASQUERADE_TABLE),
    () => removeForwarding(run, options.clusterCidrs),
    () => removePortMapping(run, networkName),
    () => output(run, ['ip', 'route', 'flush', 'proto', ROUTE_PROTOCOL]),
    () => removeNamespaces(run, options.netnsDirs ?? []),
    () => removeBridge(run, options.bridge ?? DEFAULT_BRIDGE),
    () => removeLink(run, options.vxlanDevice ?? DEFAULT_VXLAN_DEVICE),
    async () => dnsAddress && removeLocalAddress(run, dnsAddress),
    () => rm(join(options.confDir, CONF_FILE), { force: true }),
    () => rm(options.ipamDir, { recursive: true, force: true }),
    () => removeResults(join(options.cniCacheDir ?? '/var/lib/cni', 'results'), networkName),
    () => restoreSettings(run, options.settingsFile),
  ];
  const failures: unknown[] = [];
  for (const step of steps) await step().catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw new AggregateError(failures, 'the network could not be removed completely');
}

/** The bridge and what is plugged into it: its pods' ends of the veth pairs go with ours. */
async function removeBridge(run: RunCommand, bridge: string): Promise<void> {
  if (!(await succeeds(run, ['ip', 'link', 'show', 'dev', bridge]))) return;
  const text = await output(run, ['ip', '-j', 'link', 'show', 'master', bridge]);
  const links = text.trim() === '' ? [] : (JSON.parse(text) as readonly { readonly ifname?: string }[]);
  for (const { ifname } of links) if (ifname) await removeLink(run, ifname);
  await removeLink(run, bridge);
}

async function removeLink(run: RunCommand, name: string): Promise<void> {
  if (await succeeds(run, ['ip', 'link', 'show', 'dev', name])) await output(run, ['ip', 'link', 'del', name]);
}

/** Namespaces of pods are mounts on files; what a crash left is unmounted and removed. */
async function removeNamespaces(run: RunCommand, directories: readonly string[]): Promise<void> {
  for (const directory of directories) {
    for (const name of await entries(directory)) {
      if (!name.startsWith('cni-')) continue;
      const path = join(directory, name);
      // A file on which nothing is mounted any more is only removed.
      await run(['umount', '-l', path]);
      await rm(path, { force: true });
    }
  }
}

async function removeResults(directory: string, networkName: string): Promise<void> {
  for (const name of await entries(directory)) {
    if (name.startsWith(`${networkName}-`)) await rm(join(directory, name), { force: true });
  }
  // Other networks' results keep the directories.
  for (const path of [directory, dirname(directory)]) {
    await rmdir(path).catch((error: NodeJS.ErrnoException) => {
      if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(error.code ?? '')) throw error;
    });
  }
}

async function entries(directory: string): Promise<readonly string[]> {
  return readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
}
