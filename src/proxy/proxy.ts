// The service proxy: watches Services and EndpointSlices and keeps this node's packet filter equal to them.
import type { EndpointSlice, Node, Service } from '../api/generated/types.ts';
import { keyOf } from '../api/object.ts';
import type { Informer, Informers } from '../client/contract.ts';
import { abortable, isAbort } from '../lib/abort.ts';
import { type BackoffPolicy, backoffMs } from '../lib/backoff.ts';
import { sleep, type Timer } from '../lib/clock.ts';
import type { Environment } from '../lib/environment.ts';
import { nextTurn } from '../lib/turns.ts';
import { familyOfRange, type IpFamily } from '../network/address.ts';
import type { RunCommand } from '../network/command.ts';
import { DEFAULT_PROXY_TABLE, removeTable } from '../network/tables.ts';
import { type ProxyNode, SERVICE_NAME_LABEL } from './endpoints.ts';
import { FamilyRules, type ServiceState } from './family-rules.ts';
import { isNodeEligible, type ProxyHealth } from './health.ts';
import { HealthCheckPorts } from './health-check-ports.ts';
import { type ProxyMetrics, proxyMetrics } from './metrics.ts';

export interface ProxyOptions {
  readonly informers: Informers;
  readonly env: Environment;
  readonly run: RunCommand;
  readonly nodeName: string;
  /** The ranges of the whole cluster's pods, of any family. */
  readonly podRanges: readonly string[];
  /** The ranges of the Services' cluster IPs, of any family. */
  readonly serviceRanges: readonly string[];
  /** Node ports only on the node's addresses in these ranges; empty or undefined: on all but loopback. */
  readonly nodePortRanges?: readonly string[] | undefined;
  /** Default: IPv4 alone. */
  readonly families?: readonly IpFamily[] | undefined;
  /** The nftables table that the proxy owns; DEFAULT_PROXY_TABLE unless said. */
  readonly table?: string | undefined;
  /** At least this long between two transactions; changes meanwhile go into the next one. Default 50. */
  readonly minSyncIntervalMs?: number | undefined;
  /** How often to look whether the table is still there. Default 30 000. */
  readonly verifyIntervalMs?: number | undefined;
}

const MASQUERADE_MARK = 0x4000;
const RETRY: BackoffPolicy = { initialMs: 100, maximumMs: 30_000, factor: 2, jitter: 0.2 };
/** A change that waits longer than this for the kernel makes the proxy unhealthy. */
const HEALTHY_WITHIN_MS = 60_000;
const LAST_CHANGE_ANNOTATION = 'endpoints.kubernetes.io/last-change-trigger-time';
/** Changes between two syncs whose time is measured. */
const MAX_TRIGGERS = 1000;
const INDEX_BY_SERVICE = 'proxy-service';

/** Runs until the signal aborts. The rules stay in the kernel: services go on working while an agent restarts. */
export function runProxy(options: ProxyOptions, signal: AbortSignal): Promise<void> {
  return new ServiceProxy(options).run(signal);
}

/** Takes all rules of the proxy out of the kernel. Also where there are none. */
export function cleanUpProxy(run: RunCommand, table = DEFAULT_PROXY_TABLE): Promise<void> {
  return removeTable(run, table);
}

export class ServiceProxy {
  readonly #options: ProxyOptions;
  readonly #env: Environment;
  readonly #metrics: ProxyMetrics;
  readonly #services: Informer<Service>;
  readonly #slices: Informer<EndpointSlice>;
  readonly #nodes: Informer<Node>;
  readonly #families: readonly FamilyRules[];
  readonly #familyNames: readonly IpFamily[];
  readonly #healthChecks: HealthCheckPorts;
  readonly #firstSync = Promise.withResolvers<void>();
  /** Services whose rules may have to change; bounded by the number of Services. */
  #dirty = new Set<string>();
  #triggers: number[] = [];
  #node: ProxyNode;
  #wake: () => void = () => undefined;
  #lastSyncWallMs = 0;
  #waitingSinceMs: number | undefined;

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.#env = { ...options.env, log: options.env.log.child('proxy') };
    this.#metrics = proxyMetrics(options.env.metrics);
    this.#services = options.informers.for('services');
    this.#slices = options.informers.for('endpointslices.discovery.k8s.io');
    this.#nodes = options.informers.for('nodes');
    this.#slices.addIndex(INDEX_BY_SERVICE, (slice) => serviceKeysOf(slice));
    this.#node = { name: options.nodeName, zone: '' };
    this.#familyNames = options.families ?? ['IPv4'];
    this.#healthChecks = new HealthCheckPorts(options.nodeName, this.#env.log, () => this.health().healthy);
    this.#families = this.#familyNames.map((family) => this.#familyRules(family));
  }

  /** Settles when the kernel first has all Services' rules. */
  get firstSync(): Promise<void> {
    return this.#firstSync.promise;
  }

  health(): ProxyHealth {
    const now = this.#env.clock.monotonic();
    const late = this.#waitingSinceMs !== undefined && now - this.#waitingSinceMs > HEALTHY_WITHIN_MS;
    const nodeEligible = isNodeEligible(this.#nodes.get(this.#options.nodeName));
    return {
      healthy: this.#lastSyncWallMs > 0 && !late,
      nodeEligible,
      lastUpdatedMs: this.#lastSyncWallMs,
      currentTimeMs: this.#env.clock.now(),
    };
  }

  async run(signal: AbortSignal): Promise<void> {
    try {
      await abortable(this.#options.informers.start(signal, [this.#services, this.#slices, this.#nodes]), signal);
      this.#subscribe(signal);
      for (let failures = 0; ; ) {
        await this.#untilWork(signal);
        try {
          await this.#sync(signal);
          failures = 0;
          this.#firstSync.resolve();
          await sleep(this.#env.clock, this.#options.minSyncIntervalMs ?? 50, signal);
        } catch (error) {
          if (isAbort(error, signal)) throw error;
          this.#env.log.error('cannot apply the service rules', error);
          await sleep(this.#env.clock, backoffMs(RETRY, failures++, this.#env.random), signal);
          this.#mark(undefined);
        }
      }
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    } finally {
      this.#healthChecks.close();
      this.#firstSync.promise.catch(() => undefined);
      this.#firstSync.reject(new Error('the service proxy has ended'));
    }
  }

  #familyRules(family: IpFamily): FamilyRules {
    const { podRanges, serviceRanges, nodePortRanges, table, run } = this.#options;
    const mine = (ranges: readonly string[]): string[] => ranges.filter((range) => familyOfRange(range) === family);
    return new FamilyRules({
      family,
      table: table ?? DEFAULT_PROXY_TABLE,
      podRanges: mine(podRanges),
      serviceRanges: mine(serviceRanges),
      nodePortRanges: mine(nodePortRanges ?? []),
      masqueradeMark: MASQUERADE_MARK,
      env: this.#env,
      run,
      metrics: this.#metrics,
    });
  }

  #subscribe(signal: AbortSignal): void {
    const service = (object: Service): void => {
      this.#metrics.serviceChanged();
      this.#mark(keyOf(object));
    };
    this.#services.subscribe({ add: service, update: service, delete: service }, signal);
    const slice = (object: EndpointSlice): void => {
      this.#metrics.endpointsChanged();
      const trigger = object.metadata.annotations?.[LAST_CHANGE_ANNOTATION];
      const atMs = trigger === undefined ? Number.NaN : Date.parse(trigger);
      if (Number.isFinite(atMs) && this.#triggers.length < MAX_TRIGGERS) this.#triggers.push(atMs);
      for (const key of serviceKeysOf(object)) this.#mark(key);
    };
    const changed = (now: EndpointSlice, before: EndpointSlice): void => {
      slice(now);
      for (const key of serviceKeysOf(before)) this.#mark(key);
    };
    this.#slices.subscribe({ add: slice, update: changed, delete: slice }, signal);
    const node = (object: Node): void => {
      if (object.metadata.name === this.#options.nodeName) this.#takeNode(object);
    };
    this.#nodes.subscribe({ add: node, update: node }, signal);
    // The first sync replaces what an earlier run left: it must have every Service.
    for (const known of this.#services.list()) this.#mark(keyOf(known));
    this.#mark(undefined);
  }

  #takeNode(node: Node): void {
    const zone = node.metadata.labels?.['topology.kubernetes.io/zone'] ?? '';
    if (zone === this.#node.zone) return;
    this.#node = { name: this.#options.nodeName, zone };
    for (const service of this.#services.list()) this.#mark(keyOf(service));
  }

  /** Notes a Service for the next sync; undefined asks for a sync alone. */
  #mark(service: string | undefined): void {
    if (service !== undefined) this.#dirty.add(service);
    this.#waitingSinceMs ??= this.#env.clock.monotonic();
    const nowSeconds = this.#env.clock.now() / 1000;
    for (const family of this.#familyNames) this.#metrics.queued(family, nowSeconds);
    this.#wake();
  }

  /** Until something changed, or the table was found missing. Events of one turn of the loop go into one sync. */
  async #untilWork(signal: AbortSignal): Promise<void> {
    while (this.#waitingSinceMs === undefined) {
      await this.#untilWokenOr(this.#options.verifyIntervalMs ?? 30_000, signal);
      if (this.#waitingSinceMs === undefined) await this.#verify(signal);
    }
    await nextTurn();
    signal.throwIfAborted();
  }

  async #untilWokenOr(delayMs: number, signal: AbortSignal): Promise<void> {
    let timer: Timer | undefined;
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
      timer = this.#env.clock.timer(delayMs, resolve);
    });
    try {
      await abortable(woken, signal);
    } finally {
      timer?.cancel();
      this.#wake = () => undefined;
    }
  }

  async #verify(signal: AbortSignal): Promise<void> {
    for (const rules of this.#families) {
      if (await rules.present(signal)) continue;
      this.#env.log.warn('the service rules were taken out of the kernel by another program: putting them back');
      rules.distrust();
      this.#mark(undefined);
    }
  }

  async #sync(signal: AbortSignal): Promise<void> {
    const keys = this.#dirty;
    const triggers = this.#triggers;
    this.#dirty = new Set();
    this.#triggers = [];
    const waitedSinceMs = this.#waitingSinceMs;
    this.#waitingSinceMs = undefined;
    const changes = new Map([...keys].map((key) => [key, this.#stateOf(key)]));
    try {
      for (const rules of this.#families) await rules.sync(changes, this.#node, signal);
    } catch (error) {
      this.#waitingSinceMs = waitedSinceMs;
      // A family that was not come to has not seen these.
      for (const key of keys) this.#dirty.add(key);
      for (const rules of this.#families) rules.distrust();
      for (const family of this.#familyNames) this.#metrics.failed(family);
      throw error;
    }
    for (const [key, state] of changes) this.#updateHealthCheck(key, state);
    this.#lastSyncWallMs = this.#env.clock.now();
    for (const family of this.#familyNames) this.#metrics.finished(family, this.#lastSyncWallMs / 1000);
    for (const trigger of triggers) this.#metrics.programmed(Math.max(0, this.#lastSyncWallMs - trigger) / 1000);
  }

  #updateHealthCheck(key: string, state: ServiceState): void {
    try {
      this.#healthChecks.update(key, state);
    } catch (error) {
      this.#env.log.error('cannot serve the health check of a service', error, { service: key });
    }
  }

  #stateOf(key: string): ServiceState {
    return { service: this.#services.get(key), slices: this.#slices.byIndex(INDEX_BY_SERVICE, key) };
  }
}

function serviceKeysOf(slice: EndpointSlice): readonly string[] {
  const name = slice.metadata.labels?.[SERVICE_NAME_LABEL];
  return name === undefined ? [] : [`${slice.metadata.namespace}/${name}`];
}
