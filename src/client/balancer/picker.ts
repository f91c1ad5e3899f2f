// Which of several API servers a new connection goes to, decided from what is known of them. No clock, no I/O, no state.

export type BalancerPolicy = 'round-robin' | 'least-connections' | 'source-hash';

export interface Thresholds {
  /** Failed checks in a row until a server is left out. */
  readonly unhealthyThreshold: number;
  /** Good ones in a row until it is used again. */
  readonly healthyThreshold: number;
}

/** What a check, or the failure of a connection, said of a server. "live": it answers, and says that it is not ready. */
export type Finding = 'ready' | 'live' | 'dead';

export interface KnownServer {
  readonly url: string;
  /** Named by the endpoints of Service kubernetes (or by nobody yet); else a first address, kept as the last resort. */
  readonly isMember: boolean;
  readonly isHealthy: boolean;
  /** It answered the last time, whatever it said. */
  readonly isLive: boolean;
  /** Findings in a row that speak against isHealthy. */
  readonly doubts: number;
}

export interface Balance {
  readonly servers: readonly KnownServer[];
  /** Where round-robin goes on. */
  readonly turn: number;
}

/** A server is used until something speaks against it. */
const fresh = (url: string, isMember: boolean): KnownServer => ({
  url,
  isMember,
  isHealthy: true,
  isLive: true,
  doubts: 0,
});

export function newBalance(urls: readonly string[], turn = 0): Balance {
  return { servers: [...new Set(urls)].map((url) => fresh(url, true)), turn };
}

/** The servers are now these; what is known of those that stay is kept. First addresses that are not among them stay in reserve. */
export function withMembers(balance: Balance, urls: readonly string[], seeds: readonly string[]): Balance {
  const known = new Map(balance.servers.map((server) => [server.url, server]));
  const members = [...new Set(urls)].map((url) => ({ ...(known.get(url) ?? fresh(url, true)), isMember: true }));
  const reserve = [...new Set(seeds)]
    .filter((url) => !urls.includes(url))
    .map((url) => ({ ...(known.get(url) ?? fresh(url, false)), isMember: false }));
  return { ...balance, servers: [...members, ...reserve] };
}

/** Takes in one finding. A dead connection ends a server's health at once: nobody is sent to where nobody listens. */
export function found(
  balance: Balance,
  url: string,
  finding: Finding,
  thresholds: Thresholds,
  passive = false,
): Balance {
  const servers = balance.servers.map((server) =>
    server.url === url ? judged(server, finding, thresholds, passive) : server,
  );
  return { ...balance, servers };
}

function judged(server: KnownServer, finding: Finding, thresholds: Thresholds, passive: boolean): KnownServer {
  const isLive = finding !== 'dead';
  const isGood = finding === 'ready';
  if (isGood === server.isHealthy) return { ...server, isLive, doubts: 0 };
  const doubts = server.doubts + 1;
  const needed = server.isHealthy ? (passive ? 1 : thresholds.unhealthyThreshold) : thresholds.healthyThreshold;
  return doubts >= needed ? { ...server, isLive, isHealthy: isGood, doubts: 0 } : { ...server, isLive, doubts };
}

export interface PickOptions {
  readonly policy: BalancerPolicy;
  /** Who asks: source-hash sends the same source to the same server while it is healthy. */
  readonly source: string;
  readonly connections: (url: string) => number;
  /** Servers that this request has tried in vain. */
  readonly without?: ReadonlySet<string>;
}

/** The server for a new connection: a healthy member; else one that lives; else any, since knowledge may be old. */
export function pick(
  balance: Balance,
  options: PickOptions,
): { readonly url: string; readonly balance: Balance } | undefined {
  const left = balance.servers.filter(({ url }) => !options.without?.has(url));
  const chosen = best(candidates(left), balance.turn, options);
  return chosen && { url: chosen.url, balance: { ...balance, turn: balance.turn + 1 } };
}

/** The servers of the best kind that there is. */
export function candidates(servers: readonly KnownServer[]): readonly KnownServer[] {
  const kinds: readonly ((server: KnownServer) => boolean)[] = [
    (server) => server.isMember && server.isHealthy,
    (server) => server.isMember && server.isLive,
    (server) => server.isHealthy,
    (server) => server.isLive,
  ];
  for (const kind of kinds) {
    const of = servers.filter(kind);
    if (of.length > 0) return of;
  }
  return servers;
}

function best(of: readonly KnownServer[], turn: number, options: PickOptions): KnownServer | undefined {
  if (of.length === 0) return undefined;
  switch (options.policy) {
    case 'round-robin':
      return of[turn % of.length];
    case 'least-connections': {
      const least = Math.min(...of.map(({ url }) => options.connections(url)));
      const equal = of.filter(({ url }) => options.connections(url) === least);
      return equal[turn % equal.length];
    }
    case 'source-hash':
      // Rendezvous hashing: a server that goes moves only its own sources, and gets them back.
      return of.reduce((a, b) => (weight(options.source, b.url) > weight(options.source, a.url) ? b : a));
  }
}

/** FNV-1a, then mixed, so that names that differ in one digit differ in every bit. */
function weight(source: string, url: string): number {
  let hash = 0x811c9dc5;
  for (const char of `${source}\n${url}`) hash = Math.imul(hash ^ char.codePointAt(0)!, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
