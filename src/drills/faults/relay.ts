// Delay and jitter where the kernel has no netem: connections to ports of this host go on to others, late.
import { Link } from '../../cluster/link.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Random } from '../../lib/random.ts';
import type { Route } from './operations.ts';

export interface RelayOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly delayMs: number;
  readonly jitterMs: number;
  readonly routes: readonly Route[];
}

/** Resolves when all listen; ends with the signal. */
export async function startRelay(options: RelayOptions, signal: AbortSignal): Promise<void> {
  const { clock, random, delayMs, jitterMs, routes } = options;
  const links = routes.map(({ address, port }) => new Link({ clock, random, target: { address, port } }));
  const close = (): void => {
    for (const link of links) link.close();
  };
  signal.addEventListener('abort', close, { once: true });
  await Promise.all(
    links.map((link, i) => {
      link.lateness = { delayMs, jitterMs };
      return link.listen(routes[i]!.listen);
    }),
  );
}
