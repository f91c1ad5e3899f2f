// One IP family's table in the kernel, kept equal to what the Services ask for.
import type { EndpointSlice, Service } from '../api/generated/types.ts';
import type { Environment } from '../lib/environment.ts';
import { output, type RunCommand } from '../network/command.ts';
import { compileService } from './compile.ts';
import { deleteFlows, listUdpFlows, type StaleFlow, staleAmong, staleFlows, udpTargets } from './conntrack.ts';
import type { ProxyNode } from './endpoints.ts';
import type { ProxyMetrics } from './metrics.ts';
import { renderOperations } from './render.ts';
import type { Fragment } from './rules.ts';
import { baseTable, FAMILIES, type TableOptions } from './table.ts';
import { DesiredTable, type Operation } from './transaction.ts';

export interface FamilyOptions extends TableOptions {
  readonly podRanges: readonly string[];
  readonly env: Environment;
  readonly run: RunCommand;
  readonly metrics: ProxyMetrics;
}

/** Beyond this many between two syncs the oldest are left to die of their age. */
const MAX_STALE_FLOWS = 10_000;

/** A Service with its slices as they are now; `service: undefined` when it is gone. */
export interface ServiceState {
  readonly service: Service | undefined;
  readonly slices: readonly EndpointSlice[];
}

/**
 * Applies differences; nothing is read back. Whenever it is not certain that the kernel has what was last applied (at the
 * start, and after a failure) the next sync replaces the whole table.
 */
export class FamilyRules {
  readonly #options: FamilyOptions;
  readonly #desired: DesiredTable;
  #inKernel = false;
  #stale: readonly StaleFlow[] = [];

  constructor(options: FamilyOptions) {
    this.#options = options;
    this.#desired = new DesiredTable(options);
  }

  /** Next time the table is replaced. */
  distrust(): void {
    this.#inKernel = false;
  }

  /** Takes over the changed Services and brings the kernel's table to what they ask for. Throws what nft said. */
  async sync(changes: ReadonlyMap<string, ServiceState>, node: ProxyNode, signal: AbortSignal): Promise<void> {
    const { family, env, metrics } = this.#options;
    const fragments = this.#compile(changes, node);
    for (const [key, after] of fragments) this.#noteStale(key, after);
    const difference = this.#desired.update(fragments);
    const kind = this.#inKernel ? 'partial' : 'full';
    if (kind === 'partial' && difference.length === 0) return;
    const startMs = env.clock.monotonic();
    await (kind === 'full' ? this.#replace(signal) : this.#apply(renderOperations(difference, this.#options), signal));
    metrics.synced(family, kind, (env.clock.monotonic() - startMs) / 1000);
    await this.#forgetFlows(kind, signal);
  }

  /** True when the table is still there; another program's `flush ruleset` takes it away. */
  async present(signal: AbortSignal): Promise<boolean> {
    const { family, table, run } = this.#options;
    const argv = ['nft', 'list', 'chain', FAMILIES[family].table, table, 'services'];
    return (await run(argv, { signal })).code === 0;
  }

  #replace(signal: AbortSignal): Promise<void> {
    const operations: readonly Operation[] = this.#desired.full();
    return this.#apply(baseTable(this.#options) + renderOperations(operations, this.#options), signal);
  }

  async #apply(text: string, signal: AbortSignal): Promise<void> {
    this.#inKernel = false;
    await output(this.#options.run, ['nft', '-f', '-'], { stdin: text, signal });
    this.#inKernel = true;
  }

  /** A Service that cannot be compiled keeps the rules that it has and harms no other. */
  #compile(changes: ReadonlyMap<string, ServiceState>, node: ProxyNode): Map<string, Fragment | undefined> {
    const { family, podRanges, env } = this.#options;
    const fragments = new Map<string, Fragment | undefined>();
    for (const [key, { service, slices }] of changes) {
      try {
        fragments.set(key, service && compileService(service, slices, { family, node, podRanges }));
      } catch (error) {
        env.log.error('cannot make the rules of a service', error, { service: key });
      }
    }
    return fragments;
  }

  #noteStale(key: string, after: Fragment | undefined): void {
    const stale = staleFlows(this.#desired.fragment(key).udp, after?.udp ?? []);
    if (stale.length > 0) this.#stale = [...this.#stale, ...stale].slice(-MAX_STALE_FLOWS);
  }

  /**
   * After the rules, so that no new flow takes the place of one forgotten. Where it fails, stale flows die of their age
   * (at most two minutes after their last packet).
   */
  async #forgetFlows(kind: 'full' | 'partial', signal: AbortSignal): Promise<void> {
    const { family, run, metrics, env } = this.#options;
    const stale = this.#stale;
    this.#stale = [];
    try {
      const targets = kind === 'full' ? udpTargets(this.#desired.fragments()) : [];
      const flows = targets.length > 0 ? staleAmong(await listUdpFlows(family, run, signal), targets) : stale;
      metrics.flowsDeleted(family, await deleteFlows(flows, family, run, signal));
    } catch (error) {
      if (signal.aborted) throw error;
      env.log.error('cannot delete stale UDP flows', error, { family });
    }
  }
}
