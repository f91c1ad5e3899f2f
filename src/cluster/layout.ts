import { join } from 'node:path';

/**
 * Where a cluster keeps its things on this machine. Everything is below one directory, so that `down` can remove it and
 * a leak checker can look for it.
 */
export interface Layout {
  readonly name: string;
  readonly root: string;
  /** The CA and the keys; mode 700. */
  readonly pki: string;
  /** The embedded store. */
  readonly store: string;
  /** What `up` was asked for, so that a second `up`, `status` and `down` know. */
  readonly settings: string;
  readonly adminKubeconfig: string;
  readonly logs: string;
  /** Process ids. */
  readonly run: string;
  readonly bin: string;
  readonly agent: {
    readonly root: string;
    readonly kubelet: string;
    /** containerd's images and snapshots. */
    readonly containerd: string;
    /** containerd's sockets and mounts; a short path, because a socket's may not exceed 107 bytes. */
    readonly state: string;
    readonly cniConf: string;
    readonly cniData: string;
    readonly podLogs: string;
    readonly kubeconfig: string;
    readonly networkState: string;
  };
}

/** The layout of the cluster `name` below `base` (/var/lib/tsukube for root). */
export function layoutOf(base: string, name: string): Layout {
  const root = join(base, name);
  const agent = join(root, 'agent');
  return {
    name,
    root,
    pki: join(root, 'pki'),
    store: join(root, 'store'),
    settings: join(root, 'settings.json'),
    adminKubeconfig: join(root, 'admin.kubeconfig'),
    logs: join(root, 'logs'),
    run: join(root, 'run'),
    bin: join(root, 'bin'),
    agent: {
      root: agent,
      kubelet: join(agent, 'kubelet'),
      containerd: join(agent, 'containerd'),
      state: join('/run/tsukube', name),
      cniConf: join(agent, 'cni', 'conf'),
      cniData: join(agent, 'cni', 'data'),
      podLogs: join(agent, 'pods'),
      kubeconfig: join(agent, 'kubeconfig'),
      networkState: join(agent, 'network.json'),
    },
  };
}
