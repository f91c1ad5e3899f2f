// Which resolvers the host uses for names that are not the cluster's.
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import type { Clock } from '../lib/clock.ts';

export interface Upstream {
  readonly address: string;
  readonly port: number;
}

/** More name servers than this in a resolv.conf are not asked. */
export const MAX_UPSTREAMS = 15;
const READ_AGAIN_MS = 5000;
const MAX_RESOLV_CONF_CHARACTERS = 64 * 1024;

/** The name servers of a resolv.conf in its order, without this server's own addresses: it must not ask itself. */
export function parseResolvConf(text: string, own: readonly string[]): readonly Upstream[] {
  const found: Upstream[] = [];
  for (const line of text.slice(0, MAX_RESOLV_CONF_CHARACTERS).split('\n')) {
    const [keyword, address] = line.trim().split(/\s+/);
    if (keyword !== 'nameserver' || !address || !isIP(address.replace(/%.*$/, '')) || own.includes(address)) continue;
    if (!found.some((known) => known.address === address)) found.push({ address, port: 53 });
  }
  return found.slice(0, MAX_UPSTREAMS);
}

/** A resolv.conf that is read again when it was last read some seconds ago; one that is not there names no one. */
export class ResolvConf {
  readonly #path: string;
  readonly #own: readonly string[];
  readonly #clock: Clock;
  #read: Promise<readonly Upstream[]> | undefined;
  #readMs = 0;

  constructor(path: string, own: readonly string[], clock: Clock) {
    this.#path = path;
    this.#own = own;
    this.#clock = clock;
  }

  upstreams(): Promise<readonly Upstream[]> {
    const nowMs = this.#clock.monotonic();
    if (!this.#read || nowMs - this.#readMs >= READ_AGAIN_MS) {
      this.#readMs = nowMs;
      this.#read = this.#readFile();
    }
    return this.#read;
  }

  async #readFile(): Promise<readonly Upstream[]> {
    const text = await readFile(this.#path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '';
      throw error;
    });
    return parseResolvConf(text, this.#own);
  }
}
