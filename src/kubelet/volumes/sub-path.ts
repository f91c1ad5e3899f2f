import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, realpath, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { bindMount, isMountPoint } from './mounts.ts';
import { VolumeError } from './payload.ts';

/** Opens a path as such, without access to its content (Linux; not among Node's constants). */
const O_PATH = 0o10000000;

/**
 * Binds `subPath` of a volume to `target`, which the container then gets. Links within the volume are resolved first;
 * then every component is opened in turn without following links, and the bind is made from the opened file itself: a
 * container that swaps a component for a link meanwhile cannot reach outside its volume. Missing directories are made.
 */
export async function bindSubPath(volume: string, subPath: string, target: string): Promise<void> {
  if (await isMountPoint(target)) return;
  const parts = await resolveWithin(volume, subPath);
  let handle = await open(volume, O_PATH | constants.O_DIRECTORY);
  try {
    const { mode } = await handle.stat();
    for (const part of parts) {
      const next = await openBelow(handle, part, mode);
      await handle.close();
      handle = next;
    }
    const directory = (await handle.stat()).isDirectory();
    await mkdir(directory ? target : dirname(target), { recursive: true });
    if (!directory && !(await stat(target).catch(() => undefined))) await writeFile(target, '');
    await bindMount(`/proc/${process.pid}/fd/${handle.fd}`, target);
  } finally {
    await handle.close();
  }
}

/** The components below the volume that `subPath` leads to, links followed as far as it exists. */
async function resolveWithin(volume: string, subPath: string): Promise<readonly string[]> {
  const parts = subPath.split('/').filter((part) => part !== '' && part !== '.');
  const refused = new VolumeError(`subPath ${JSON.stringify(subPath)} leads out of its volume`);
  if (subPath.startsWith('/') || parts.includes('..')) throw refused;
  const root = await realpath(volume);
  for (let existing = parts.length; existing > 0; existing--) {
    const found = await realpath(join(root, ...parts.slice(0, existing))).catch(() => undefined);
    if (found === undefined) continue;
    if (found !== root && !found.startsWith(`${root}/`)) throw refused;
    const inside = found.slice(root.length + 1).split('/');
    return [...inside, ...parts.slice(existing)].filter((part) => part !== '');
  }
  return parts;
}

async function openBelow(parent: FileHandle, name: string, mode: number): Promise<FileHandle> {
  const path = `/proc/self/fd/${parent.fd}/${name}`;
  const flags = O_PATH | constants.O_NOFOLLOW;
  let handle: FileHandle;
  try {
    handle = await open(path, flags);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    await mkdir(path, { mode: mode & 0o7777 });
    handle = await open(path, flags);
  }
  if (!(await handle.stat()).isSymbolicLink()) return handle;
  await handle.close();
  throw new VolumeError(`subPath component ${JSON.stringify(name)} is a symbolic link`);
}
