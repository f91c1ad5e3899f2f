/** Waits of a key that fails again and again: the first is `initialMs`, each following twice the last. */
export interface FailureBackoffOptions {
  readonly initialMs: number;
  readonly maximumMs: number;
}

/** Crashing containers and images that cannot be pulled: 10 s doubling to 5 min, forgotten after twice that in peace. */
export const KUBELET_BACKOFF: FailureBackoffOptions = { initialMs: 10_000, maximumMs: 300_000 };

interface Entry {
  waitMs: number;
  updatedMs: number;
}

/** How long keys that failed have to wait. Entries are dropped by `collect` once they have no effect. */
export class FailureBackoff {
  readonly #options: FailureBackoffOptions;
  readonly #entries = new Map<string, Entry>();

  constructor(options: FailureBackoffOptions = KUBELET_BACKOFF) {
    this.#options = options;
  }

  /** The current wait of a key, or 0. */
  waitMs(key: string): number {
    return this.#entries.get(key)?.waitMs ?? 0;
  }

  /** When a key whose last failure was at `eventMs` may be tried again; undefined: now. */
  waitsUntil(key: string, eventMs: number, nowMs: number): number | undefined {
    const entry = this.#entries.get(key);
    if (!entry || this.#expired(entry, eventMs)) return undefined;
    const untilMs = eventMs + entry.waitMs;
    return nowMs < untilMs ? untilMs : undefined;
  }

  /** Notes a try of a key whose last failure was at `eventMs`: the wait grows, or begins anew after long peace. */
  next(key: string, eventMs: number, nowMs: number): void {
    const entry = this.#entries.get(key);
    const { initialMs, maximumMs } = this.#options;
    const grown = entry && !this.#expired(entry, eventMs) ? Math.min(entry.waitMs * 2, maximumMs) : initialMs;
    this.#entries.set(key, { waitMs: grown, updatedMs: nowMs });
  }

  reset(key: string): void {
    this.#entries.delete(key);
  }

  /** Forgets what no longer has an effect. */
  collect(nowMs: number): void {
    for (const [key, entry] of this.#entries) if (this.#expired(entry, nowMs)) this.#entries.delete(key);
  }

  #expired(entry: Entry, eventMs: number): boolean {
    return eventMs - entry.updatedMs > this.#options.maximumMs * 2;
  }
}

/** A duration as Go prints it in back-off messages: 10s, 1m20s, 5m0s. */
export function goSeconds(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  return `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}
