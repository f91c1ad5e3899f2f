import { watch } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { hostPlace } from './ha/host-files.ts';
import type { Host } from './host.ts';
import type { Layout } from './layout.ts';

const CHUNK = 64 * 1024;

/** The components that have a log, by name (of several hosts: HOST/COMPONENT), with the file. */
export async function logFiles(layout: Layout): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>();
  const hosts = await readdir(join(layout.root, 'hosts')).catch(() => [] as string[]);
  const directories = [
    ['', layout.logs],
    ['', layout.agent.containerd],
    ...hosts.map((host) => [`${host}/`, hostPlace(layout, host).layout.logs]),
  ];
  for (const [prefix, directory] of directories) {
    for (const file of await readdir(directory!).catch(() => [] as string[])) {
      if (file.endsWith('.log')) files.set(`${prefix}${file.slice(0, -4)}`, join(directory!, file));
    }
  }
  return files;
}

/**
 * Prints the last `lines` of a log, and with `follow` what is added until the signal aborts. A file that was cut is read from its
 * beginning.
 */
export async function printLog(
  host: Pick<Host, 'out'>,
  file: string,
  options: { readonly lines: number; readonly follow: boolean },
  signal: AbortSignal,
): Promise<void> {
  const handle = await open(file, 'r');
  try {
    let position = await startOfLastLines(handle, options.lines);
    const buffer = Buffer.alloc(CHUNK);
    // A character may lie on both sides of a chunk's end.
    const decoder = new StringDecoder('utf8');
    const drain = async (): Promise<void> => {
      if ((await handle.stat()).size < position) position = 0;
      for (;;) {
        const { bytesRead } = await handle.read(buffer, 0, CHUNK, position);
        if (bytesRead === 0) return;
        position += bytesRead;
        host.out(decoder.write(buffer.subarray(0, bytesRead)));
      }
    };
    await drain();
    if (options.follow) await onEachChange(file, drain, signal);
  } finally {
    await handle.close();
  }
}

/** Does the work now and whenever the file has changed, one after the other, until the signal aborts. */
async function onEachChange(file: string, work: () => Promise<void>, signal: AbortSignal): Promise<void> {
  let working = Promise.resolve();
  const watcher = watch(file);
  try {
    await new Promise<void>((resolve, reject) => {
      const again = (): void => {
        working = working.then(work);
        working.catch(reject);
      };
      watcher.on('change', again);
      watcher.on('error', reject);
      again();
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
  } finally {
    watcher.close();
  }
  await working;
}

async function startOfLastLines(handle: Awaited<ReturnType<typeof open>>, lines: number): Promise<number> {
  const { size } = await handle.stat();
  if (lines === 0) return size;
  let position = size;
  let found = 0;
  const buffer = Buffer.alloc(CHUNK);
  while (position > 0) {
    const start = Math.max(0, position - CHUNK);
    const { bytesRead } = await handle.read(buffer, 0, position - start, start);
    for (let i = bytesRead - 1; i >= 0; i--) {
      if (buffer[i] === 10 && start + i < size - 1 && ++found === lines) return start + i + 1;
    }
    position = start;
  }
  return 0;
}
