import {
  chmod,
  chown,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { nameSuffix, type Random } from '../../lib/random.ts';

export interface VolumeFile {
  readonly data: Uint8Array;
  readonly mode: number;
  readonly uid?: number;
}

/** Relative path → file. */
export type Payload = ReadonlyMap<string, VolumeFile>;

const DATA_LINK = '..data';

/**
 * Writes a set of files so that a reader sees either all old or all new ones: they are written to a new directory, to
 * which a symbolic link is then moved by one rename. Returns false when nothing had changed.
 */
export async function writeAtomically(
  directory: string,
  payload: Payload,
  { random, gid }: { readonly random: Random; readonly gid?: number },
): Promise<boolean> {
  for (const path of payload.keys()) refuseEscape(path);
  const current = await readlink(join(directory, DATA_LINK)).catch(() => undefined);
  if (current !== undefined && (await holds(join(directory, current), payload))) return false;

  const name = `..${nameSuffix(random, 16)}`;
  const fresh = join(directory, name);
  await mkdir(fresh, { mode: 0o755 });
  await chmod(fresh, 0o755);
  for (const [path, file] of payload) await writeOne(fresh, path, file, gid);
  if (gid !== undefined) await chown(fresh, -1, gid);
  const temporary = join(directory, '..data_tmp');
  await rm(temporary, { force: true });
  await symlink(name, temporary);
  await rename(temporary, join(directory, DATA_LINK));
  await linkNames(directory, payload);
  if (current !== undefined) await rm(join(directory, current), { recursive: true, force: true });
  return true;
}

function refuseEscape(path: string): void {
  const parts = path.split('/');
  if (path === '' || path.startsWith('/') || parts.includes('..') || path.startsWith('..')) {
    throw new Error(`invalid path: must be relative and must not contain '..': ${JSON.stringify(path)}`);
  }
}

async function writeOne(root: string, path: string, file: VolumeFile, gid: number | undefined): Promise<void> {
  const full = join(root, path);
  await mkdir(dirname(full), { recursive: true, mode: 0o755 });
  await writeFile(full, file.data);
  if (file.uid !== undefined || gid !== undefined) await chown(full, file.uid ?? -1, gid ?? -1);
  // A group of its own may read what the owner may.
  const mode = gid === undefined ? file.mode : file.mode | 0o440;
  await chmod(full, mode);
}

/** What users see: one link for each first path component, and none for those that are gone. */
async function linkNames(directory: string, payload: Payload): Promise<void> {
  const wanted = new Set([...payload.keys()].map((path) => path.split('/')[0]!));
  for (const name of await readdir(directory)) {
    if (!name.startsWith('..') && !wanted.has(name)) await rm(join(directory, name), { recursive: true, force: true });
  }
  for (const name of wanted) {
    const link = join(directory, name);
    if (await lstat(link).catch(() => undefined)) continue;
    await symlink(join(DATA_LINK, name), link);
  }
}

async function holds(directory: string, payload: Payload): Promise<boolean> {
  const found = await listFiles(directory, '');
  if (found.length !== payload.size) return false;
  for (const path of found) {
    const file = payload.get(path);
    if (!file) return false;
    const data = await readFile(join(directory, path)).catch(() => undefined);
    if (!data || Buffer.compare(data, file.data) !== 0) return false;
  }
  return true;
}

async function listFiles(root: string, prefix: string): Promise<string[]> {
  const entries = await readdir(join(root, prefix), { withFileTypes: true }).catch(() => []);
  const lists = entries.map(async (entry) => {
    const path = prefix === '' ? entry.name : `${prefix}/${entry.name}`;
    return entry.isDirectory() ? listFiles(root, path) : [path];
  });
  return (await Promise.all(lists)).flat();
}
