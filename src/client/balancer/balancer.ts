// Several API servers behind one client: remembers how they are, asks them for /readyz, and says where the next connection goes.
import type { Clock } from '../../lib/clock.ts';
import { sleep } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import {
  type Balance,
  type BalancerPolicy,
  candidates,
  type Finding,
  found,
  newBalance,
  pick,
  type Thresholds,
  withMembers,
} from './picker.ts';

export interface BalancerTimings extends Thresholds {
  /** Every server is asked for /readyz this often. */
  readonly checkIntervalMs: number;
  readonly checkTimeoutMs: number;
}

/** For servers that are near each other; profiles say otherwise. */
export const DEFAULT_BALANCER: BalancerTimings = {
  checkIntervalMs: 5_000,
  checkTimeoutMs: 2_000,
  unhealthyThreshold: 2,
  healthyThreshold: 2,
};

export interface BalancerOptions {
  readonly clock: Clock;
  readonly log?: Log | undefined;
  readonly policy?: BalancerPolicy | undefined;
  /** Who asks, for source-hash; and where round-robin begins, so that not all clients begin with the first server. */
  readonly source?: string | undefined;
  readonly timings?: BalancerTimings | undefined;
  /** Asks one server for /readyz. Never rejects. */
  readonly check: (url: string, signal: AbortSignal) => Promise<Finding>;
  readonly connections: (url: string) => number;
}

export interface ServerView {
  readonly url: string;
  readonly isHealthy: boolean;
  readonly isLive: boolean;
  readonly isMember: boolean;
  readonly connections: number;
}

export class Balancer {
  readonly #options: BalancerOptions;
  readonly #timings: BalancerTimings;
  readonly #seeds: readonly string[];
  #balance: Balance;

  constructor(urls: readonly string[], options: BalancerOptions) {
    this.#options = options;
    this.#timings = options.timings ?? DEFAULT_BALANCER;
    this.#seeds = urls;
    const { source = '' } = options;
    this.#balance = newBalance(
      urls,
      [...source].reduce((sum, char) => sum + char.codePointAt(0)!, 0),
    );
  }

  /** Where the next connection goes; undefined when every server has been tried. */
  next(without: ReadonlySet<string>): string | undefined {
    const { policy = 'round-robin', source = '', connections } = this.#options;
    const picked = pick(this.#balance, { policy, source, connections, without });
    if (picked) this.#balance = picked.balance;
    return picked?.url;
  }

  /** Whether a connection to this server may take new requests: not while there are better ones. */
  serves(url: string): boolean {
    return candidates(this.#balance.servers).some((server) => server.url === url);
  }

  /** A connection could not be made, or broke. */
  failed(url: string): void {
    this.#found(url, 'dead', true);
  }

  /** The addresses in the endpoints of Service kubernetes. None: those that were. */
  setMembers(urls: readonly string[]): void {
    if (urls.length > 0) this.#balance = withMembers(this.#balance, urls, this.#seeds);
  }

  view(): readonly ServerView[] {
    return this.#balance.servers.map(({ url, isHealthy, isLive, isMember }) => ({
      ...{ url, isHealthy, isLive, isMember },
      connections: this.#options.connections(url),
    }));
  }

  /** Checks every server, at each interval, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      await Promise.all(this.#balance.servers.map(({ url }) => this.#check(url, signal)));
      await sleep(clock, this.#timings.checkIntervalMs, signal).catch(() => undefined);
    }
  }

  async #check(url: string, signal: AbortSignal): Promise<void> {
    const { clock, check } = this.#options;
    const late = new AbortController();
    const timer = clock.timer(this.#timings.checkTimeoutMs, () => late.abort(new Error('timed out')));
    const finding = await check(url, AbortSignal.any([signal, late.signal]));
    timer.cancel();
    if (!signal.aborted) this.#found(url, finding, false);
  }

  #found(url: string, finding: Finding, passive: boolean): void {
    const before = this.#balance.servers.find((server) => server.url === url);
    this.#balance = found(this.#balance, url, finding, this.#timings, passive);
    const now = this.#balance.servers.find((server) => server.url === url);
    if (!before || !now || before.isHealthy === now.isHealthy) return;
    const { log } = this.#options;
    if (now.isHealthy) log?.info('an API server is used again', { server: url });
    else log?.warn('an API server is left out', { server: url, finding });
  }
}
