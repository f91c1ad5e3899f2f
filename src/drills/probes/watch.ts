// A watcher during a drill: goes on from the last version that it saw whenever its connection breaks, and keeps what it saw.
import { type Clock, sleep } from '../../lib/clock.ts';
import type { Connection } from './connection.ts';

export interface SeenEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly name: string;
  readonly value: string;
  readonly resourceVersion: string;
  /** Monotonic milliseconds. */
  readonly atMs: number;
}

export interface WatchProbeOptions {
  readonly connection: Connection;
  readonly clock: Clock;
  /** Of a collection, with a query that selects. */
  readonly path: string;
  readonly resourceVersion: string;
}

interface WatchLine {
  readonly type: SeenEvent['type'] | 'BOOKMARK' | 'ERROR';
  /** Absent: a refusal, whose code is beside it. */
  readonly object?: {
    readonly code?: number;
    readonly message?: string;
    readonly metadata?: { readonly name: string; readonly resourceVersion: string };
    readonly data?: { readonly value: string };
  };
  readonly code?: number;
}

const RESUME_AFTER_MS = 20;

export class WatchProbe {
  readonly events: SeenEvent[] = [];
  /** How often it went on after a break. */
  resumed = 0;
  /** The server had forgotten what came after the last version: what is missing then cannot be told from what is lost. */
  tooOld = 0;
  readonly #options: WatchProbeOptions;
  #version: string;

  constructor(options: WatchProbeOptions) {
    this.#options = options;
    this.#version = options.resourceVersion;
  }

  get resourceVersion(): string {
    return this.#version;
  }

  /** Watches until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { connection, clock, path } = this.#options;
    while (!signal.aborted) {
      const query = `watch=1&allowWatchBookmarks=true&resourceVersion=${this.#version}`;
      try {
        for await (const line of connection.lines(`${path}${path.includes('?') ? '&' : '?'}${query}`, signal)) {
          if (!this.#take(JSON.parse(line) as WatchLine)) break;
        }
      } catch {
        // Whatever ended it: it goes on from where it was.
      }
      if (signal.aborted) return;
      this.resumed++;
      connection.renew();
      await sleep(clock, RESUME_AFTER_MS, signal).catch(() => undefined);
    }
  }

  /** Resolves when everything up to a version has come; rejects when it has not within the time. */
  async reached(resourceVersion: string, withinMs: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const overMs = clock.monotonic() + withinMs;
    while (Number(this.#version) < Number(resourceVersion)) {
      if (clock.monotonic() > overMs) throw new Error(`the watch stays at ${this.#version}, before ${resourceVersion}`);
      await sleep(clock, RESUME_AFTER_MS, signal);
    }
  }

  /** False: this watch is over. */
  #take({ type, object, code }: WatchLine): boolean {
    if (type === 'ERROR' || object?.metadata === undefined) {
      if ((object?.code ?? code) === 410) this.tooOld++;
      return false;
    }
    const { name, resourceVersion } = object.metadata;
    if (type !== undefined && type !== 'BOOKMARK') {
      const atMs = this.#options.clock.monotonic();
      this.events.push({ type, name, value: object.data?.value ?? '', resourceVersion, atMs });
    }
    this.#version = resourceVersion;
    return true;
  }
}
