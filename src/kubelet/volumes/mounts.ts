import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Mounts of this mount namespace: mount points, in the order in which they were made. */
export async function mountPoints(): Promise<readonly string[]> {
  const text = await readFile('/proc/self/mountinfo', 'utf8');
  return text
    .split('\n')
    .map((line) => line.split(' ')[4])
    .filter((point) => point !== undefined)
    .map((point) => point.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))));
}

export async function isMountPoint(path: string): Promise<boolean> {
  return (await mountPoints()).includes(path);
}

export async function mountTmpfs(path: string, sizeBytes: number | undefined): Promise<void> {
  const options = sizeBytes ? [`size=${sizeBytes}`] : [];
  await run('mount', ['-t', 'tmpfs', '-o', ['mode=0777', ...options].join(','), 'tmpfs', path]);
}

/** Binds without resolving `source` again: it may be a /proc/…/fd link that was opened safely. */
export async function bindMount(source: string, target: string): Promise<void> {
  await run('mount', ['--no-canonicalize', '--bind', source, target]);
}

/** Mounts for reading only: nothing is written, and nothing is run. */
export async function mountReadOnly(
  { type, source, options }: { readonly type: string; readonly source: string; readonly options: readonly string[] },
  target: string,
): Promise<void> {
  const bind = type === 'bind';
  const kept = bind ? ['bind'] : options.filter((option) => option !== 'rw' && option !== 'ro');
  await run('mount', ['-t', bind ? 'none' : type, '-o', [...kept, 'ro', 'noexec'].join(','), source, target]);
}

/** Makes a directory a mount of its own whose mounts propagate both ways, which Bidirectional mounts need. */
export async function makeShared(path: string): Promise<void> {
  if (!(await isMountPoint(path))) await run('mount', ['--bind', path, path]);
  await run('mount', ['--make-rshared', path]);
}

/** Unmounts all that is mounted below `path`, and `path` itself if `itself`; the deepest first. */
export async function unmountBelow(path: string, itself = false): Promise<void> {
  const below = (point: string): boolean => point.startsWith(`${path}/`) || (itself && point === path);
  for (const point of (await mountPoints()).filter(below).reverse()) {
    await run('umount', ['--no-canonicalize', point]).catch(() => run('umount', ['--no-canonicalize', '-l', point]));
  }
  const left = (await mountPoints()).filter(below);
  if (left.length > 0) throw new Error(`still mounted: ${left.join(', ')}`);
}
