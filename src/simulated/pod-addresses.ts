/** Gives pods of simulated nodes addresses: a /24 a node, out of 10.128.0.0/9. */
export class PodAddresses {
  readonly #used = new Map<string, Set<number>>();
  readonly #byPod = new Map<string, { readonly node: string; readonly host: number }>();

  /** How many nodes have pods with addresses. */
  get nodes(): number {
    return this.#used.size;
  }

  /** The same pod gets the same address. Undefined when a node has none left. */
  allocate(podUid: string, node: string, subnet: number, taken: string | undefined): string | undefined {
    const prefix = podPrefix(subnet);
    const known = this.#byPod.get(podUid);
    if (known) return `${prefix}${known.host}`;
    const used = this.#used.get(node) ?? new Set<number>();
    this.#used.set(node, used);
    const host = taken?.startsWith(prefix) ? Number(taken.slice(prefix.length)) : firstFree(used);
    if (host === undefined) return undefined;
    used.add(host);
    this.#byPod.set(podUid, { node, host });
    return `${prefix}${host}`;
  }

  release(podUid: string): void {
    const known = this.#byPod.get(podUid);
    if (!known) return;
    this.#byPod.delete(podUid);
    const used = this.#used.get(known.node);
    used?.delete(known.host);
    // Nodes come and go.
    if (used?.size === 0) this.#used.delete(known.node);
  }
}

const LAST_HOST = 254;

function firstFree(used: ReadonlySet<number>): number | undefined {
  for (let host = 2; host <= LAST_HOST; host++) if (!used.has(host)) return host;
  return undefined;
}

function podPrefix(subnet: number): string {
  return `10.${128 + ((subnet >> 8) & 127)}.${subnet & 255}.`;
}

/** The address of the node itself, out of 172.20.0.0/15. */
export function nodeAddress(index: number): string {
  return `172.${20 + ((index >> 16) & 1)}.${(index >> 8) & 255}.${index & 255}`;
}
