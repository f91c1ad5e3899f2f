// Faults of an embedded cluster, for authors of controllers: what a program that connects by `kubeconfig()` then goes through.
import type { Environment } from '../lib/environment.ts';
import type { ClusterFaults, ClusterNodes, ClusterUser, FaultInForce } from './embedded-contract.ts';
import { Link } from './link.ts';

export interface FaultsOptions {
  readonly env: Environment;
  /** Of the API server. */
  readonly url: string;
  readonly nodes: ClusterNodes;
  readonly kubeconfigFor: (user: ClusterUser | undefined, url: string) => string;
}

interface Active extends FaultInForce {
  readonly kind: 'silent' | 'gone' | 'late' | 'nodes';
}

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
    if (!nodes) return this.#begin('silent', () => undefined);
    for (const name of nodes) this.#options.nodes.fail(name);
    return this.#begin('nodes', () => {
      const there = this.#options.nodes.list();
      for (const name of nodes) if (there.includes(name)) this.#options.nodes.recover(name);
    });
  }

  kill(): FaultInForce {
    return this.#begin('gone', () => undefined);
  }

  pause(): FaultInForce {
    return this.#begin('silent', () => undefined);
  }

  delay({ delayMs, jitterMs = 0 }: { readonly delayMs: number; readonly jitterMs?: number }): FaultInForce {
    const fault = this.#begin('late', () => {
      if (this.#current) this.#current.lateness = { delayMs: 0, jitterMs: 0 };
      this.#lateness = { delayMs: 0, jitterMs: 0 };
    });
    this.#lateness = { delayMs, jitterMs };
    if (this.#current) this.#current.lateness = this.#lateness;
    return fault;
  }

  heal(): void {
    for (const fault of [...this.#active]) fault.heal();
  }

  close(): void {
    this.#closed = true;
    this.#current?.close();
  }

  #lateness = { delayMs: 0, jitterMs: 0 };

  #begin(kind: Active['kind'], undo: () => void): FaultInForce {
    const heal = (): void => {
      if (!this.#active.includes(fault)) return;
      this.#active = this.#active.filter((one) => one !== fault);
      undo();
      this.#apply();
    };
    const fault: Active = { kind, heal, [Symbol.dispose]: heal };
    this.#active.push(fault);
    this.#apply();
    return fault;
  }

  /** The worst of what is in force. */
  #apply(): void {
    if (!this.#current) return;
    const kinds = this.#active.map(({ kind }) => kind);
    const state = kinds.includes('gone') ? 'gone' : kinds.includes('silent') ? 'silent' : 'whole';
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
    link.lateness = this.#lateness;
    this.#apply();
    return { link, url: `https://${hostname}:${bound}` };
  }
}
