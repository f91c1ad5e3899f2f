import { watch } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
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

/** Prints the last `lines` of a log, then what is added until the signal aborts when `follow` is set. */
export async function printLog(
  host: Host,
  file: string,
  options: { readonly lines: number; readonly follow: boolean },
  signal: AbortSignal,
): Promise<void> {
  const handle = await open(file, 'r');
  try {
    let position = await startOfLastLines(handle, options.lines);
    const buffer = Buffer.alloc(CHUNK);
    const drain = async (): Promise<void> => {
      for (;;) {
        const { bytesRead } = await handle.read(buffer, 0, CHUNK, position);
        if (bytesRead === 0) return;
        position += bytesRead;
        host.out(buffer.toString('utf8', 0, bytesRead));
      }
    };
    await drain();
    if (!options.follow) return;
    await new Promise<void>((resolve, reject) => {
      let reading = drain();
      const watcher = watch(file, () => {
        reading = reading.then(async () => {
          if ((await stat(file)).size < position) position = 0;
          await drain();
        });
        reading.catch(reject);
      });
      signal.addEventListener('abort', () => {
        watcher.close();
        reading.then(resolve, reject);
      });
    });
  } finally {
    await handle.close();
  }
}

async function startOfLastLines(handle: Awaited<ReturnType<typeof open>>, lines: number): Promise<number> {
  const { size } = await handle.stat();
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
