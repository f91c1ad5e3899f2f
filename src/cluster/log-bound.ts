// Keeps what the processes of a cluster write into their log files within a bound.
import { copyFile, stat, truncate } from 'node:fs/promises';
import { sleep } from '../lib/clock.ts';
import type { Environment } from '../lib/environment.ts';

/** A log file that is larger is begun anew; what it held is kept beside it, in one file that ends in ".1". */
export const MAX_LOG_BYTES = 32 << 20;
const LOOK_MS = 10_000;

/**
 * Looks at the files now and then until the signal aborts. Their writers append, so that a file may be cut under them:
 * what is written between the copy and the cut is lost. A file that is not there is no error.
 */
export async function keepLogsBounded(
  files: readonly string[],
  env: Pick<Environment, 'clock' | 'log'>,
  signal: AbortSignal,
  maximumBytes = MAX_LOG_BYTES,
): Promise<void> {
  while (!signal.aborted) {
    for (const file of files) {
      try {
        await cut(file, maximumBytes);
      } catch (error) {
        env.log.warn('cannot keep a log file within its bound', { file, error: String(error) });
      }
    }
    const waited = await Promise.allSettled([sleep(env.clock, LOOK_MS, signal)]);
    if (waited[0].status === 'rejected') return;
  }
}

async function cut(file: string, maximumBytes: number): Promise<void> {
  try {
    if ((await stat(file)).size <= maximumBytes) return;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  await copyFile(file, `${file}.1`);
  await truncate(file, 0);
}
