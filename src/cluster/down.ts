// `tsukube down`: everything that a cluster made on this machine goes, in the order in which it depends on each other.
import { access, readdir, readFile, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { containerdSocket, removeAllPods, runContainerd, stopContainerd } from '../kubelet/containerd.ts';
import { connectCri } from '../kubelet/cri/client.ts';
import { hostCommands } from '../network/command.ts';
import { cleanUpNodeNetwork } from '../network/node-network.ts';
import { removeCgroups } from './cgroups.ts';
import { removeHostFiles, stopHosts } from './ha/down.ts';
import type { Host, Progress } from './host.ts';
import { removeFromUserKubeconfig, userKubeconfigPath } from './kubeconfig-file.ts';
import type { Layout } from './layout.ts';
import { cgroupRoot, containerdOptions, networkNames } from './node-options.ts';
import { readSettings, type Settings } from './settings.ts';
import { stopSupervised } from './supervise.ts';
import { componentsOf } from './up.ts';

export interface DownResult {
  readonly name: string;
  readonly existed: boolean;
  readonly keptData: boolean;
}

const STOP_GRACE_MS = 30_000;

/** Also cleans up after a cluster that is half there, or whose processes died. Twice is harmless. */
export async function down(
  host: Host,
  layout: Layout,
  options: { readonly keepData: boolean },
  progress: Progress,
  signal: AbortSignal,
): Promise<DownResult> {
  const settings = await readSettings(layout.settings);
  if (!settings && !(await exists(layout.root))) return { name: layout.name, existed: false, keptData: false };
  if (settings?.topology) {
    // A drill that runs is healed before its hosts go.
    for (const { name } of componentsOf(settings)) {
      await stopSupervised(layout, name, host.env.clock, STOP_GRACE_MS, signal);
    }
    await stopHosts({ layout, env: host.env }, settings, settings.topology, progress, signal);
    await removeHostFiles(layout, options.keepData);
    return removeRest(host, layout, options.keepData);
  }
  await progress.step('stopping server and agent', async () => {
    for (const component of ['agent', 'server']) {
      await stopSupervised(layout, component, host.env.clock, STOP_GRACE_MS, signal);
    }
  });
  if (settings && settings.simulatedNodes === 0 && (await exists(layout.agent.root))) {
    await progress.step('removing containers', () => removeContainers(host, layout, signal));
    await progress.step('removing the network', () => removeNetwork(layout, settings));
    await removeMounts(layout);
    await removeCgroups(cgroupRoot(layout), host.env.clock, signal);
  }
  return removeRest(host, layout, options.keepData);
}

async function removeRest(host: Host, layout: Layout, keepData: boolean): Promise<DownResult> {
  const admin = await readFile(layout.adminKubeconfig, 'utf8').catch(() => undefined);
  if (admin) await removeFromUserKubeconfig(userKubeconfigPath(host.environment), admin);
  const kept = new Set(keepData ? [layout.pki, layout.store, layout.settings, join(layout.root, 'hosts')] : []);
  await removeFiles(layout, kept);
  return { name: layout.name, existed: true, keptData: keepData };
}

/** Pods go through CRI, which gives back their addresses and mounts; a containerd that died is started for that. */
async function removeContainers(host: Host, layout: Layout, signal: AbortSignal): Promise<void> {
  const options = containerdOptions(layout, host.env);
  const watching = new AbortController();
  try {
    await runContainerd(options, AbortSignal.any([signal, watching.signal]));
    const cri = connectCri(containerdSocket(options), host.env.clock);
    try {
      await removeAllPods(cri, signal);
    } finally {
      cri.close();
    }
  } finally {
    watching.abort();
  }
  await stopContainerd(options, signal);
}

async function removeNetwork(layout: Layout, settings: Settings): Promise<void> {
  await cleanUpNodeNetwork(networkNames(layout, settings));
}

/** Volumes and shims' mounts below our directories, the deepest first. */
async function removeMounts(layout: Layout): Promise<void> {
  const table = await readFile('/proc/self/mountinfo', 'utf8');
  const ours = table
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .map((path) => path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))))
    .filter(
      (path) => `${path}/`.startsWith(`${layout.agent.root}/`) || `${path}/`.startsWith(`${layout.agent.state}/`),
    );
  for (const path of ours.sort((a, b) => b.length - a.length)) {
    const { code, stderr } = await hostCommands(['umount', '--lazy', path]);
    if (code !== 0 && !/not mounted|no mount point/.test(stderr)) throw new Error(`umount ${path}: ${stderr.trim()}`);
  }
}

async function removeFiles(layout: Layout, kept: ReadonlySet<string>): Promise<void> {
  await rm(layout.agent.state, { recursive: true, force: true });
  await rmdir(join(layout.agent.state, '..')).catch(ignoreNotEmpty);
  for (const entry of await readdir(layout.root).catch(() => [] as string[])) {
    const path = join(layout.root, entry);
    if (!kept.has(path)) await rm(path, { recursive: true, force: true });
  }
  if (kept.size > 0) return;
  await rm(layout.root, { recursive: true, force: true });
  await rmdir(join(layout.root, '..')).catch(ignoreNotEmpty);
}

/** The folder that clusters share goes with the last of them, unless it is another user's. */
function ignoreNotEmpty(error: NodeJS.ErrnoException): void {
  if (!['ENOTEMPTY', 'EEXIST', 'ENOENT', 'EBUSY', 'EACCES', 'EPERM'].includes(error.code ?? '')) throw error;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
