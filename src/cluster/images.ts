import { access } from 'node:fs/promises';
import { resolve } from 'node:path';
import { containerdSocket } from '../kubelet/containerd.ts';
import { importImage } from '../kubelet/pause-image.ts';
import { Hosts, type HostsPlace } from './ha/hosts.ts';
import { readSettings } from './settings.ts';

/** Unpacking keeps a core and the disk busy. */
const IMPORTS_AT_ONCE = 2;

/** Puts an OCI or docker archive into the containerd of every node on this machine; the names of what was in it. */
export async function loadImage(
  { layout, env }: HostsPlace,
  file: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const path = resolve(file);
  await access(path).catch((cause: unknown) => {
    throw new Error(`${path} cannot be read`, { cause });
  });
  const settings = await readSettings(layout.settings);
  if (settings?.topology) return loadIntoHosts({ layout, env }, path, signal);
  const socket = containerdSocket({ stateDir: layout.agent.state });
  await access(socket).catch((cause: unknown) => {
    throw new Error(`cluster "${layout.name}" has no containerd running; start it with "tsukube up"`, { cause });
  });
  return importImage({ socket }, path, signal);
}

/** Into those that are on; one that is off lacks the image when it comes back. */
async function loadIntoHosts(place: HostsPlace, path: string, signal: AbortSignal): Promise<readonly string[]> {
  const sockets = await new Hosts(place).containerdSockets();
  if (sockets.length === 0)
    throw new Error(`no host of cluster "${place.layout.name}" runs; start it with "tsukube up"`);
  const names = new Set<string>();
  const waiting = [...sockets];
  const worker = async (): Promise<void> => {
    for (let socket = waiting.shift(); socket; socket = waiting.shift()) {
      for (const name of await importImage({ socket }, path, signal)) names.add(name);
    }
  };
  await Promise.all(Array.from({ length: IMPORTS_AT_ONCE }, worker));
  return [...names];
}
