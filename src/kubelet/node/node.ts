// Registers the node and keeps its status current.
import type { Node, NodeStatus, Taint } from '../../api/generated/types.ts';
import type { Client } from '../../client/contract.ts';
import { sleep } from '../../lib/clock.ts';
import type { Environment } from '../../lib/environment.ts';
import { isReason } from '../../machinery/status.ts';
import type { CriClient } from '../cri/client.ts';
import type { RuntimeHandler, RuntimeStatus } from '../cri/types.ts';
import { readMachine, readPressure } from './machine.ts';
import { nodeLabels, nodeStatus, nodeStatusChanged, OWN_CONDITIONS, type Resources } from './status.ts';

export interface StatusTimings {
  /** The node's state is looked at this often. */
  readonly statusCheckMs: number;
  /** An unchanged status is written this often all the same. */
  readonly statusReportMs: number;
  /** A failed report is tried again after this. */
  readonly leaseRetryMs: number;
}

export interface NodeOptions {
  readonly client: Client;
  readonly env: Environment;
  readonly cri: CriClient;
  readonly nodeName: string;
  readonly nodeIPs: readonly string[];
  readonly port: number;
  readonly version: string;
  readonly labels: Resources;
  readonly taints: readonly Taint[];
  readonly reserved: Resources;
  readonly maxPods: number;
  readonly timings: StatusTimings;
  /** The file system whose space pods share. */
  readonly directory: string;
  /** When the runtime was last heard from; monotonic. */
  readonly runtimeSeenMs: () => number | undefined;
  /** Told of every status before it is written. */
  readonly onStatus?: (status: NodeStatus) => void;
}

/** Until the node is ready it is looked at more often. */
const CHECK_NOT_READY_MS = 1_000;
/** A runtime that has not answered a listing for this long is down. */
const RUNTIME_SILENT_MS = 30_000;
const CALL_TIMEOUT_MS = 10_000;

export class NodeKeeper {
  readonly #o: NodeOptions;
  readonly #machine = readMachine();
  #node: Node | undefined;
  #status: NodeStatus | undefined;
  #runtime: RuntimeStatus | undefined;
  #runtimeVersion = '';
  #reportedMs = Number.NEGATIVE_INFINITY;

  constructor(options: NodeOptions) {
    this.#o = options;
  }

  get uid(): string | undefined {
    return this.#node?.metadata.uid;
  }

  /** The node as it is known here: the API's, with this kubelet's newest status. */
  get node(): Node | undefined {
    return this.#node && this.#status
      ? { ...this.#node, status: { ...this.#node.status, ...this.#status } }
      : this.#node;
  }

  get memoryBytes(): number {
    return this.#machine.memoryBytes;
  }

  get allocatable(): Resources {
    return this.#status?.allocatable ?? {};
  }

  get runtimeHandlers(): readonly RuntimeHandler[] {
    return this.#runtime?.runtimeHandlers ?? [];
  }

  get ready(): boolean {
    return this.#status?.conditions?.find((c) => c.type === 'Ready')?.status === 'True';
  }

  /** Reads the machine and the runtime for the first time, so that pods can be admitted before the API has heard of it. */
  async prepare(): Promise<void> {
    await this.#compute();
  }

  /** Registers, then reports, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { env } = this.#o;
    let failing = false;
    while (!signal.aborted) {
      try {
        if (!this.#node) await this.#register(signal);
        await this.#report(signal);
        failing = false;
      } catch (error) {
        if (signal.aborted) return;
        // Somebody deleted the node: it is registered anew.
        if (isReason(error, 'NotFound')) this.#node = undefined;
        if (!failing) env.log.warn('reporting the node status failed', { error: String(error) });
        failing = true;
      }
      const { leaseRetryMs, statusCheckMs } = this.#o.timings;
      const healthyMs = this.ready ? statusCheckMs : Math.min(statusCheckMs, CHECK_NOT_READY_MS);
      const waitMs = failing ? leaseRetryMs : healthyMs;
      await sleep(env.clock, waitMs, signal).catch(() => undefined);
    }
  }

  async #register(signal: AbortSignal): Promise<void> {
    const { client, nodeName, labels, taints } = this.#o;
    const nodes = client.resource('nodes');
    const own = nodeLabels(this.#machine, nodeName, labels);
    this.#status ??= await this.#compute();
    const node: Node = {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name: nodeName,
        labels: own,
        annotations: { 'volumes.kubernetes.io/controller-managed-attach-detach': 'true' },
      },
      spec: taints.length > 0 ? { taints } : {},
      status: this.#status,
    };
    try {
      this.#node = await nodes.create(node, { signal });
    } catch (error) {
      if (!isReason(error, 'AlreadyExists')) throw error;
      const found = await nodes.get({ name: nodeName }, signal);
      const missing = Object.entries(own).filter(([key, value]) => found.metadata.labels?.[key] !== value);
      const patch = { type: 'merge' as const, body: { metadata: { labels: Object.fromEntries(missing) } } };
      this.#node = missing.length > 0 ? await nodes.patch({ name: nodeName }, patch, { signal }) : found;
    }
    this.#reportedMs = Number.NEGATIVE_INFINITY;
  }

  async #report(signal: AbortSignal): Promise<void> {
    const { client, env, nodeName, onStatus } = this.#o;
    await this.#look(signal);
    const status = await this.#compute();
    onStatus?.(status);
    const due = env.clock.monotonic() - this.#reportedMs >= this.#o.timings.statusReportMs;
    if (!due && !nodeStatusChanged(this.#node?.status, status)) return;
    const own = (status.conditions ?? []).filter((c) => OWN_CONDITIONS.has(c.type));
    // Addresses merge by type, of which there may be several: the list is replaced whole.
    const addresses = [...(status.addresses ?? []), { $patch: 'replace' }];
    const body = { status: { ...status, conditions: own, addresses } };
    const query = { subresource: 'status', signal };
    this.#node = await client.resource('nodes').patch({ name: nodeName }, { type: 'strategic', body }, query);
    this.#reportedMs = env.clock.monotonic();
  }

  /**
   * What the API holds of the node by now: others say that it is not ready when nothing was heard of it for a while, and then
   * it must not wait for its next report. As upstream's, the question is answered from the server's cache.
   */
  async #look(signal: AbortSignal): Promise<void> {
    const { client, nodeName } = this.#o;
    const query = { fieldSelector: `metadata.name=${nodeName}`, resourceVersion: '0' };
    const [found] = (await client.resource('nodes').list(query, signal)).items;
    if (found) this.#learn(found);
  }

  /** Asks the API for the node as it is now: what a decision rests on may be newer than the last look. */
  async refresh(signal: AbortSignal): Promise<void> {
    const { client, nodeName } = this.#o;
    this.#learn(await client.resource('nodes').get({ name: nodeName }, signal));
  }

  #learn(found: Node): void {
    const isNewer = Number(found.metadata.resourceVersion) > Number(this.#node?.metadata.resourceVersion ?? 0);
    if (isNewer || found.metadata.uid !== this.#node?.metadata.uid) this.#node = found;
  }

  async #compute(): Promise<NodeStatus> {
    const { cri, env, nodeName, nodeIPs, port, version, reserved, maxPods, directory } = this.#o;
    const problems = await this.#askRuntime();
    const images = await cri.listImages({ timeoutMs: CALL_TIMEOUT_MS }).catch(() => []);
    this.#status = nodeStatus({
      machine: this.#machine,
      pressure: await readPressure(directory),
      maxPods,
      reserved,
      addresses: nodeIPs,
      nodeName,
      port,
      version,
      runtimeVersion: this.#runtimeVersion,
      images,
      handlers: this.runtimeHandlers,
      supplementalGroupsPolicy: this.#runtime?.features?.supplementalGroupsPolicy ?? false,
      runtimeProblems: problems,
      previous: this.#node,
      nowMs: env.clock.now(),
    });
    return this.#status;
  }

  async #askRuntime(): Promise<readonly string[]> {
    const { cri, env, runtimeSeenMs } = this.#o;
    const options = { timeoutMs: CALL_TIMEOUT_MS };
    try {
      this.#runtime = await cri.status(options);
      const { runtimeName, runtimeVersion } = await cri.version(options);
      this.#runtimeVersion = `${runtimeName}://${runtimeVersion}`;
    } catch {
      return ['container runtime is down'];
    }
    const problems: string[] = [];
    const seenMs = runtimeSeenMs();
    if (seenMs !== undefined && env.clock.monotonic() - seenMs > RUNTIME_SILENT_MS) {
      problems.push('PLEG is not healthy: pleg was last seen active too long ago');
    }
    for (const [type, text] of [
      ['RuntimeReady', 'container runtime status check may not have completed yet'],
      ['NetworkReady', 'container runtime network not ready'],
    ] as const) {
      const found = this.#runtime.status?.conditions.find((c) => c.type === type);
      if (found?.status) continue;
      problems.push(found ? `${text}: ${type}=false reason:${found.reason} message:${found.message}` : text);
    }
    return problems;
  }
}
