// Taking a cluster of several hosts away from this machine, whole or half made.
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Environment } from '../../lib/environment.ts';
import type { Progress } from '../host.ts';
import type { Layout } from '../layout.ts';
import type { Settings } from '../settings.ts';
import { hostPlace } from './host-files.ts';
import { powerOff, removeCniMountPoint } from './power.ts';
import { removeSwitch } from './switch.ts';
import type { Topology } from './topology.ts';

/** Switches all hosts off, and removes their network from this machine. Files stay. Twice is harmless. */
export async function stopHosts(
  { layout, env }: { readonly layout: Layout; readonly env: Environment },
  settings: Settings,
  topology: Topology,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  // Those that were being removed when somebody was interrupted are no longer in the topology.
  const names = new Set([...topology.hosts.map((host) => host.name), ...(await hostDirectories(layout))]);
  await progress.step(`switching off ${names.size} hosts`, async () => {
    await Promise.all([...names].map((name) => powerOff({ layout, env, cluster: settings.name }, name, signal)));
  });
  await progress.step('removing their network', async () => {
    await removeSwitch({ layout, env }, topology, signal);
    await removeCniMountPoint();
  });
}

/** Of each host, what the next `up` goes on with: keys, identity, and etcd's data. */
export async function removeHostFiles(layout: Layout, keepData: boolean): Promise<void> {
  for (const name of await hostDirectories(layout)) {
    const { directory, layout: own, etcdData, etcdStart } = hostPlace(layout, name);
    const kept = new Set(keepData ? [own.pki, own.settings, etcdData, join(directory, 'etc'), etcdStart] : []);
    for (const entry of await readdir(directory)) {
      const path = join(directory, entry);
      if (!kept.has(path)) await rm(path, { recursive: true, force: true });
    }
  }
}

async function hostDirectories(layout: Layout): Promise<readonly string[]> {
  return readdir(join(layout.root, 'hosts')).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
}
