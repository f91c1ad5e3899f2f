// One IP family's table in the kernel, kept equal to what the Services ask for.
import type { EndpointSlice, Service } from '../api/generated/types.ts';
import type { Environment } from '../lib/environment.ts';
import { output, type RunCommand } from '../network/command.ts';
import { compileService } from './compile.ts';
import { deleteFlows, listUdpFlows, type StaleFlow, staleAmong, staleFlows, udpTargets } from './conntrack.ts';
import type { ProxyNode } from './endpoints.ts';
import type { ProxyMetrics } from './metrics.ts';
import { renderInTurns } from './render.ts';
import type { Fragment } from './rules.ts';
import { baseTable, FAMILIES, type TableOptions } from './table.ts';
import { DesiredTable } from './transaction.ts';
import { inTurns } from './turns.ts';

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
    const difference = await inTurns(this.#desired.updateInTurns(fragments), signal);
    const kind = this.#inKernel ? 'partial' : 'full';
    if (kind === 'partial' && difference.length === 0) return;
    const startMs = env.clock.monotonic();
    const operations = kind === 'full' ? await inTurns(this.#desired.fullInTurns(), signal) : difference;
    const text = await inTurns(renderInTurns(operations, this.#options), signal);
    await this.#apply(kind === 'full' ? baseTable(this.#options) + text : text, signal);
    metrics.synced(family, kind, (env.clock.monotonic() - startMs) / 1000);
    await this.#forgetFlows(kind, signal);
  }

  /** True when the table is still there; another program's `flush ruleset` takes it away. */
  async present(signal: AbortSignal): Promise<boolean> {
    const { family, table, run } = this.#options;
    const kind = FAMILIES[family].table;
    // Only the tables' names: listing anything in one reads all of it.
    const listed = await output(run, ['nft', 'list', 'tables', kind], { signal });
    return listed.split('\n').includes(`table ${kind} ${table}`);
  }

  async #apply(text: string, signal: AbortSignal): Promise<void> {
    this.#inKernel = false;
    await output(this.#options.run, ['nft', '-f', '-'], { stdin: text, signal });
    this.#inKernel = true;
  }

  /** One after the other as they are asked for. One that cannot be compiled keeps its rules and harms no other. */
  *#compile(changes: ReadonlyMap<string, ServiceState>, node: ProxyNode): Generator<[string, Fragment | undefined]> {
    const { family, podRanges, env } = this.#options;
    for (const [key, { service, slices }] of changes) {
      let fragment: Fragment | undefined;
      try {
        fragment = service && compileService(service, slices, { family, node, podRanges });
      } catch (error) {
        env.log.error('cannot make the rules of a service', error, { service: key });
        continue;
      }
      this.#noteStale(key, fragment);
      yield [key, fragment];
    }
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
