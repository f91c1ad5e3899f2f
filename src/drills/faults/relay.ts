// A relay of TCP connections that keeps what it passes on for a while: delay and jitter where the kernel has no netem. Order stays.
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '../../lib/clock.ts';
import type { Random } from '../../lib/random.ts';
import type { Route } from './operations.ts';

export interface RelayOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly delayMs: number;
  /** Each piece is late by delayMs ± this. */
  readonly jitterMs: number;
  readonly routes: readonly Route[];
}

/** Bytes on their way in one direction of one connection; beyond it the sender is made to wait. */
const MAX_HELD_BYTES = 4 << 20;

/** Resolves when all listen; ends with the signal. */
export async function startRelay(options: RelayOptions, signal: AbortSignal): Promise<readonly Server[]> {
  const servers = await Promise.all(options.routes.map((route) => listen(options, route)));
  const close = (): void => {
    for (const server of servers) server.close();
  };
  if (signal.aborted) close();
  else signal.addEventListener('abort', close, { once: true });
  return servers;
}

function listen(options: RelayOptions, { listen: port, address, port: target }: Route): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (from) => {
    const to = connect({ host: address, port: target, allowHalfOpen: true, noDelay: true });
    pass(options, from, to);
    pass(options, to, from);
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, () => resolve(server));
  });
}

function pass({ clock, random, delayMs, jitterMs }: RelayOptions, from: Socket, to: Socket): void {
  let lastMs = 0;
  let held = 0;
  const later = (bytes: number, act: () => void): void => {
    const lateMs = Math.max(0, delayMs + (2 * random.next() - 1) * jitterMs);
    // Nothing overtakes what came before it.
    lastMs = Math.max(lastMs, clock.monotonic() + lateMs);
    held += bytes;
    if (held > MAX_HELD_BYTES) from.pause();
    clock.timer(lastMs - clock.monotonic(), () => {
      held -= bytes;
      if (held <= MAX_HELD_BYTES) from.resume();
      act();
    });
  };
  from.on('data', (piece) => later(piece.length, () => to.writable && to.write(piece)));
  from.on('end', () => later(0, () => to.end()));
  from.on('error', () => to.destroy());
  from.on('close', () => later(0, () => to.end()));
}
