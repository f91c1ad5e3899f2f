// Faults of an embedded cluster, for authors of controllers: what a program that connects by `kubeconfig()` then goes through.
import type { Environment } from '../lib/environment.ts';
import type { ClusterFaults, ClusterNodes, ClusterUser, FaultInForce } from './embedded-contract.ts';
import { type Lateness, Link } from './link.ts';

export interface FaultsOptions {
  readonly env: Environment;
  /** Of the API server. */
  readonly url: string;
  readonly nodes: ClusterNodes;
  readonly kubeconfigFor: (user: ClusterUser | undefined, url: string) => string;
}

/** What a fault does, as long as it is in force. */
interface Effect {
  /** Of the way to the API server; absent: it is left as it is. */
  readonly state?: 'silent' | 'gone';
  readonly lateness?: Lateness;
  /** These fall silent. */
  readonly nodes?: readonly string[];
}

type Active = Effect & FaultInForce;

const IN_TIME: Lateness = { delayMs: 0, jitterMs: 0 };

export class EmbeddedFaults implements ClusterFaults {
  readonly #options: FaultsOptions;
  /** The newest last. */
  #active: Active[] = [];
  #link: Promise<{ readonly link: Link; readonly url: string }> | undefined;
  #current: Link | undefined;
  #closed = false;

  constructor(options: FaultsOptions) {
    this.#options = options;
  }

  async url(): Promise<string> {
    this.#link ??= this.#open();
    return (await this.#link).url;
  }

  async kubeconfig(user?: ClusterUser): Promise<string> {
    return this.#options.kubeconfigFor(user, await this.url());
  }

  partition({ nodes }: { readonly nodes?: readonly string[] } = {}): FaultInForce {
    if (!nodes) return this.#begin({ state: 'silent' });
    const fault = this.#begin({ nodes });
    try {
      for (const name of nodes) this.#options.nodes.fail(name);
    } catch (error) {
      fault.heal();
      throw error;
    }
    return fault;
  }

  kill(): FaultInForce {
    return this.#begin({ state: 'gone' });
  }

  pause(): FaultInForce {
    return this.#begin({ state: 'silent' });
  }

  /** Of several, the newest counts. */
  delay({ delayMs, jitterMs = 0 }: { readonly delayMs: number; readonly jitterMs?: number }): FaultInForce {
    return this.#begin({ lateness: { delayMs, jitterMs } });
  }

  heal(): void {
    for (const fault of [...this.#active]) fault.heal();
  }

  close(): void {
    this.#closed = true;
    this.#current?.close();
  }

  #begin(effect: Effect): FaultInForce {
    const heal = (): void => {
      if (!this.#active.includes(fault)) return;
      this.#active = this.#active.filter((one) => one !== fault);
      this.#recover(effect.nodes ?? []);
      this.#apply();
    };
    const fault: Active = { ...effect, heal, [Symbol.dispose]: heal };
    this.#active.push(fault);
    this.#apply();
    return fault;
  }

  /** Nodes of a fault that has ended, but for those that are gone and those that another fault keeps silent. */
  #recover(nodes: readonly string[]): void {
    const there = this.#options.nodes.list();
    const silent = this.#active.flatMap((fault) => fault.nodes ?? []);
    for (const name of nodes) {
      if (there.includes(name) && !silent.includes(name)) this.#options.nodes.recover(name);
    }
  }

  /** The worst of what is in force. */
  #apply(): void {
    if (!this.#current) return;
    this.#current.lateness = this.#active.findLast((fault) => fault.lateness)?.lateness ?? IN_TIME;
    const states = this.#active.map((fault) => fault.state);
    const state = states.includes('gone') ? 'gone' : states.includes('silent') ? 'silent' : 'whole';
    if (this.#current.state !== state) this.#current.state = state;
  }

  async #open(): Promise<{ readonly link: Link; readonly url: string }> {
    if (this.#closed) throw new Error('the cluster has been disposed of');
    const { env, url } = this.#options;
    const { hostname, port } = new URL(url);
    const target = { address: hostname, port: Number(port) };
    const link = new Link({ clock: env.clock, random: env.random, target, listenAddress: hostname });
    const bound = await link.listen(0);
    if (this.#closed) link.close();
    this.#current = link;
    this.#apply();
    return { link, url: `https://${hostname}:${bound}` };
  }
}
