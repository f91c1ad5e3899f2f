// One command at a time changes which hosts a cluster has. Two at once would each write the settings that the other has read.
import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:net';
import { type Clock, sleep } from '../../lib/clock.ts';
import type { Layout } from '../layout.ts';

export interface LockPlace {
  readonly layout: Pick<Layout, 'root'>;
  readonly clock: Clock;
  /** Called once when another has it. */
  readonly waiting?: () => void;
}

const LOOK_MS = 100;

/**
 * Runs alone among the commands of this machine for this cluster; waits for its turn. The lock is a name in the kernel's
 * abstract namespace of sockets: it ends with its process however that ends, so that none is ever stale.
 */
export async function alone<T>(
  { layout, clock, waiting }: LockPlace,
  signal: AbortSignal,
  run: () => Promise<T>,
): Promise<T> {
  const name = `\0tsukube-${createHash('sha256').update(layout.root).digest('hex').slice(0, 32)}`;
  let lock = await taken(name);
  if (!lock) waiting?.();
  while (!lock) {
    await sleep(clock, LOOK_MS, signal);
    lock = await taken(name);
  }
  try {
    return await run();
  } finally {
    const ended = lock;
    await new Promise<void>((resolve) => ended.close(() => resolve()));
  }
}

/** Undefined: somebody has it. */
function taken(name: string): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else reject(error);
    });
    server.listen({ path: name, exclusive: true }, () => resolve(server));
  });
}
