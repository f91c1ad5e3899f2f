import type { Environment } from '../lib/environment.ts';

/** What commands need of the process that they run in; made in main.ts. */
export interface Host {
  readonly env: Environment;
  readonly environment: NodeJS.ProcessEnv;
  readonly isRoot: boolean;
  readonly platform: NodeJS.Platform;
  /** The command that starts this program again: the runtime and the bundle. */
  readonly program: readonly string[];
  /** The package's own directory, where node_modules is. */
  readonly packageRoot: string;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

/** Where this user's clusters are kept. */
export function clustersDirectory(host: Host): string {
  if (host.isRoot) return '/var/lib/tsukube';
  const home = host.environment.XDG_DATA_HOME ?? `${host.environment.HOME ?? '.'}/.local/share`;
  return `${home}/tsukube`;
}

/** Lines that a person can follow: what happens now, and how long it took. */
export class Progress {
  readonly #host: Host;
  readonly #quiet: boolean;

  constructor(host: Host, quiet: boolean) {
    this.#host = host;
    this.#quiet = quiet;
  }

  say(text: string): void {
    if (!this.#quiet) this.#host.err(`${text}\n`);
  }

  async step<T>(text: string, work: () => Promise<T>): Promise<T> {
    const startMs = this.#host.env.clock.monotonic();
    if (!this.#quiet) this.#host.err(`  ${text} ...`);
    try {
      const result = await work();
      const seconds = (this.#host.env.clock.monotonic() - startMs) / 1000;
      if (!this.#quiet) this.#host.err(` ${seconds.toFixed(1)} s\n`);
      return result;
    } catch (error) {
      if (!this.#quiet) this.#host.err(' failed\n');
      throw error;
    }
  }
}
