import { createReadStream, createWriteStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { Environment } from '../../lib/environment.ts';
import { type CriClient, isNotFound } from '../cri/client.ts';
import { rotatedFiles } from './read.ts';

export interface RotationPolicy {
  readonly maxBytes: number;
  /** Files kept, the current one included. */
  readonly maxFiles: number;
}

export const DEFAULT_ROTATION: RotationPolicy = { maxBytes: 10 * 1024 * 1024, maxFiles: 5 };

/** Rotates one running container's log if it has grown too long. */
export async function rotateLog(
  { id, path }: { readonly id: string; readonly path: string },
  policy: RotationPolicy,
  { cri, env, signal }: { readonly cri: CriClient; readonly env: Environment; readonly signal: AbortSignal },
): Promise<boolean> {
  const size = (await stat(path).catch(() => undefined))?.size ?? 0;
  if (size < policy.maxBytes) return false;
  await tidy(path, policy, signal);
  const stamp = new Date(env.clock.now())
    .toISOString()
    .slice(0, 19)
    .replaceAll('-', '')
    .replaceAll(':', '')
    .replace('T', '-');
  const rotated = `${path}.${stamp}`;
  await rename(path, rotated);
  try {
    await cri.reopenContainerLog(id, { signal });
  } catch (error) {
    // The runtime still writes to the old file: it must be found under its name.
    if (!isNotFound(error)) await rename(rotated, path);
    throw error;
  }
  return true;
}

/** Compresses all rotated files but the newest (the runtime may have been writing to that), and drops the oldest. */
async function tidy(path: string, policy: RotationPolicy, signal: AbortSignal): Promise<void> {
  const files = await rotatedFiles(path);
  const keep = Math.max(0, policy.maxFiles - 2);
  for (const file of files.slice(0, Math.max(0, files.length - keep))) await rm(file, { force: true });
  for (const file of files.slice(-keep)) {
    if (file.endsWith('.gz')) continue;
    const temporary = `${file}.tmp`;
    await pipeline(createReadStream(file), createGzip(), createWriteStream(temporary), { signal });
    await rename(temporary, `${file}.gz`);
    await rm(file, { force: true });
  }
}
