import type { Stats } from 'node:fs';
import { chmod, mkdir, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { HostPathVolumeSource } from '../../api/generated/types.ts';
import { VolumeError } from './payload.ts';

const CHECKS: { readonly [type: string]: { test: (s: Stats) => boolean; what: string } | undefined } = {
  Directory: { test: (s) => s.isDirectory(), what: 'directory' },
  DirectoryOrCreate: { test: (s) => s.isDirectory(), what: 'directory' },
  File: { test: (s) => s.isFile(), what: 'file' },
  FileOrCreate: { test: (s) => s.isFile(), what: 'file' },
  Socket: { test: (s) => s.isSocket(), what: 'socket file' },
  CharDevice: { test: (s) => s.isCharacterDevice(), what: 'character device' },
  BlockDevice: { test: (s) => s.isBlockDevice(), what: 'block device' },
};

/** Checks a hostPath's type, making what `…OrCreate` asks for. */
export async function checkHostPath({ path, type = '' }: HostPathVolumeSource): Promise<void> {
  const check = CHECKS[type];
  if (!check) return;
  let found = await stat(path).catch(() => undefined);
  if (!found && type === 'DirectoryOrCreate') {
    await mkdir(path, { recursive: true });
    await chmod(path, 0o755);
    found = await stat(path);
  } else if (!found && type === 'FileOrCreate') {
    if (!(await stat(dirname(path)).catch(() => undefined))) {
      throw new VolumeError(`hostPath type check failed: ${path} is not a file`);
    }
    await (await open(path, 'a', 0o644)).close();
    found = await stat(path);
  }
  if (!found || !check.test(found)) throw new VolumeError(`hostPath type check failed: ${path} is not a ${check.what}`);
}
