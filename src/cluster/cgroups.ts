// The cgroups that a cluster's pods were in, when the pods are gone.
import { access, readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, sleep } from '../lib/clock.ts';

const BASE = '/sys/fs/cgroup';
const TRIES = 100;
const RETRY_MS = 50;

/** Removes `root` ("/name") in every hierarchy; one whose last process is just ending is tried again for some seconds. */
export async function removeCgroups(root: string, clock: Clock, signal: AbortSignal): Promise<void> {
  const name = root.slice(1);
  const hierarchies = (await exists(join(BASE, 'cgroup.controllers')))
    ? [BASE]
    : (await readdir(BASE)).map((hierarchy) => join(BASE, hierarchy));
  for (const hierarchy of hierarchies) {
    for (const path of [join(hierarchy, name), join(hierarchy, `${name}.slice`)]) {
      for (let attempt = 0; (await exists(path)) && attempt < TRIES; attempt++) {
        if (await removeCgroup(path)) break;
        await sleep(clock, RETRY_MS, signal);
      }
    }
  }
}

/** Removes a cgroup and what is below it; false when it is busy. */
async function removeCgroup(path: string): Promise<boolean> {
  for (const entry of await readdir(path, { withFileTypes: true })) {
    if (entry.isDirectory() && !(await removeCgroup(join(path, entry.name)))) return false;
  }
  try {
    await rmdir(path);
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return true;
    if (code === 'EBUSY') return false;
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
