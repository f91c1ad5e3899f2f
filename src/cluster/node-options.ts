// One place that turns a cluster's layout and settings into what the node's parts are told; set-up and clean-up agree by it.

import type { ContainerdOptions } from '../kubelet/containerd.ts';
import type { Environment } from '../lib/environment.ts';
import { hostCommands } from '../network/command.ts';
import type { NodeNetworkNames } from '../network/node-network.ts';
import type { Layout } from './layout.ts';
import type { Settings } from './settings.ts';

const CNI_PLUGINS = '/usr/lib/cni';

export function containerdOptions(layout: Layout, env: Environment): ContainerdOptions {
  return {
    env,
    rootDir: layout.agent.containerd,
    stateDir: layout.agent.state,
    configDir: layout.logs,
    cniConfDir: layout.agent.cniConf,
    cniBinDir: CNI_PLUGINS,
  };
}

export function networkNames(
  layout: Layout,
  settings: Settings,
): NodeNetworkNames & { readonly clusterCidrs: readonly string[] } {
  return {
    run: hostCommands,
    confDir: layout.agent.cniConf,
    ipamDir: layout.agent.cniData,
    settingsFile: layout.agent.networkState,
    bridge: settings.bridge,
    networkName: layout.name,
    masqueradeTable: `${layout.name}-masquerade`,
    proxyTable: proxyTable(layout),
    dnsAddress: settings.dnsAddress,
    clusterCidrs: [settings.clusterCidr],
  };
}

/** The nftables table of the service proxy. */
export function proxyTable(layout: Layout): string {
  return layout.name;
}

/**
 * The cgroup that all pods of this cluster's node are in; of several hosts of one cluster, each has its own. No dash: systemd
 * would take it for a level.
 */
export function cgroupRoot(layout: Layout, cluster = layout.name): string {
  const names = cluster === layout.name ? [cluster] : [cluster, layout.name];
  return `/kubepods_${names.map((one) => one.replaceAll('-', '_')).join('__')}`;
}
