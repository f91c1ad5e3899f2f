import { chmod, lchown, lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

const SETGID = 0o2000;

/**
 * Gives a volume to the pod's group: everything in it belongs to `gid`, which may read and (unless `readOnly`) write, and
 * what is made in it inherits the group. With `onlyOnMismatch` nothing is done when the root already is so.
 */
export async function applyFsGroup(
  root: string,
  gid: number,
  { readOnly = false, onlyOnMismatch = false }: { readonly readOnly?: boolean; readonly onlyOnMismatch?: boolean } = {},
): Promise<void> {
  if (onlyOnMismatch) {
    const stat = await lstat(root);
    const wanted = SETGID | (readOnly ? 0o550 : 0o770);
    if (stat.gid === gid && (stat.mode & wanted) === wanted) return;
  }
  await own(root, gid, readOnly);
}

async function own(path: string, gid: number, readOnly: boolean): Promise<void> {
  const stat = await lstat(path);
  await lchown(path, stat.uid, gid);
  if (stat.isSymbolicLink()) return;
  let mask = readOnly ? 0o440 : 0o660;
  if (stat.isDirectory()) mask |= SETGID | 0o110;
  await chmod(path, (stat.mode & 0o7777) | mask);
  if (stat.isDirectory()) for (const name of await readdir(path)) await own(join(path, name), gid, readOnly);
}
