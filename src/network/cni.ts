// The pod network on one node is made by the standard CNI plugins; this writes what they and containerd read.
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface CniOptions {
  /** Where containerd looks for its network configuration (its `conf_dir`); made when missing. */
  readonly confDir: string;
  /** This node's part of the pods' range. */
  readonly podCidr: string;
  /** Name of the pods' bridge; at most 15 characters. Default DEFAULT_BRIDGE. */
  readonly bridge?: string | undefined;
  /** Name of the network; CNI keeps its results under it. Default "tsukube". */
  readonly networkName?: string | undefined;
  /** Where host-local notes which addresses are taken: one directory for each node. */
  readonly ipamDir: string;
  /** Default 1500; VXLAN_MTU when nodes are joined by VXLAN. */
  readonly mtu?: number | undefined;
}

export const DEFAULT_BRIDGE = 'tsu0';
export const DEFAULT_NETWORK_NAME = 'tsukube';
/** What 1500 leaves when every packet carries another header of Ethernet, IP, UDP and VXLAN. */
export const VXLAN_MTU = 1450;
/** containerd reads the first file by name; it adds the loopback network itself, by the plugin "loopback". */
export const CONF_FILE = '10-tsukube.conflist';

/**
 * The network as data. Not masqueraded by the plugin: pods keep their address towards other pods and Services; what leaves
 * the cluster is masqueraded by masquerade.ts.
 */
export function cniConfig(options: CniOptions): object {
  const bridge = options.bridge ?? DEFAULT_BRIDGE;
  if (!/^[A-Za-z0-9][-\w.]{0,14}$/.test(bridge)) throw new RangeError(`not a name for a bridge: ${bridge}`);
  return {
    cniVersion: '1.0.0',
    name: options.networkName ?? DEFAULT_NETWORK_NAME,
    plugins: [
      {
        type: 'bridge',
        bridge,
        isGateway: true,
        isDefaultGateway: true,
        // A pod may reach itself through a Service.
        hairpinMode: true,
        ipMasq: false,
        mtu: options.mtu ?? 1500,
        ipam: { type: 'host-local', dataDir: options.ipamDir, ranges: [[{ subnet: options.podCidr }]] },
      },
      { type: 'portmap', capabilities: { portMappings: true }, snat: true },
    ],
  };
}

/** Writes the configuration as a whole or not at all: containerd may read at any moment. Resolves with the file's path. */
export async function writeCniConfig(options: CniOptions): Promise<string> {
  const text = `${JSON.stringify(cniConfig(options), undefined, 2)}\n`;
  await mkdir(options.confDir, { recursive: true });
  await mkdir(options.ipamDir, { recursive: true });
  const path = join(options.confDir, CONF_FILE);
  await writeFile(`${path}.new`, text, { mode: 0o644 });
  await rename(`${path}.new`, path);
  return path;
}
