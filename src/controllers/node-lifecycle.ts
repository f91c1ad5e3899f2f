// The node lifecycle controller: notices silent kubelets, says so in the node's conditions and taints, and takes their pods
// out of service.
import type { Lease, Node, Pod } from '../api/generated/types.ts';
import { draft } from '../api/object.ts';
import { findCondition } from '../machinery/meta.ts';
import { isReason } from '../machinery/status.ts';
import { formatTime } from '../machinery/time.ts';
import {
  DEFAULT_NODE_TIMINGS,
  graceLeftMs,
  type NodeHealth,
  type NodeTimings,
  observeHealth,
  readyStatus,
  unknownConditions,
} from './node-health.ts';
import { decideTaints, hasNoExecute } from './node-taints.ts';
import { DEFAULT_EVICTION_RATES, EvictionLimiter, type EvictionRates, zoneOf, zonesOf } from './node-zones.ts';
import { type Controller, type ControllerContext, type Requeue, watch } from './runtime.ts';

export interface NodeLifecycleOptions {
  readonly timings?: NodeTimings;
  readonly rates?: EvictionRates;
  /** A node that is not ready is looked at again this often: its zone's state may have changed. */
  readonly monitorPeriodMs?: number;
}

const LEASES = 'kube-node-lease';
const BY_NODE = 'node';

const DEFAULT_MONITOR_PERIOD_MS = 5_000;

/** Pods marked at once. */
const PARALLEL = 10;

export function nodeLifecycleController(options: NodeLifecycleOptions = {}): Controller {
  const lifecycle = new NodeLifecycle(options);
  return {
    name: 'node-lifecycle-controller',
    account: 'node-controller',
    eventSource: 'node-controller',
    workers: 8,
    watches: ({ informers }) => [
      watch('nodes', { keys: (node) => [node.metadata.name] }),
      watch('leases.coordination.k8s.io', {
        keys: ({ metadata }) => (metadata.namespace === LEASES ? [metadata.name] : []),
      }),
      watch('pods', {
        indexes: { [BY_NODE]: ({ spec }) => (spec.nodeName ? [spec.nodeName] : []) },
        // A pod that is ready on a node that is not heard of.
        keys: (pod) => {
          const node = pod.spec.nodeName ? informers.for('nodes').get(pod.spec.nodeName) : undefined;
          return node && isSilent(node) && podsToMark([pod]).length > 0 ? [node.metadata.name] : [];
        },
      }),
    ],
    reconcile: (ctx, name, signal) => lifecycle.reconcile(ctx, name, signal),
  };
}

class NodeLifecycle {
  readonly #timings: NodeTimings;
  readonly #rates: EvictionRates;
  readonly #monitorPeriodMs: number;
  readonly #health = new Map<string, NodeHealth>();
  readonly #limiters = new Map<string, EvictionLimiter>();
  #allDisrupted = false;
  /** Set while the API cannot be read; nodes may have been unable to speak as well. */
  #blind = false;

  constructor(options: NodeLifecycleOptions) {
    this.#timings = options.timings ?? DEFAULT_NODE_TIMINGS;
    this.#rates = options.rates ?? DEFAULT_EVICTION_RATES;
    this.#monitorPeriodMs = options.monitorPeriodMs ?? DEFAULT_MONITOR_PERIOD_MS;
  }

  async reconcile(ctx: ControllerContext, name: string, signal: AbortSignal): Promise<Requeue | undefined> {
    const { informers, events, env } = ctx;
    let node = informers.for('nodes').get(name);
    if (!node) {
      if (this.#health.delete(name)) {
        const gone = { apiVersion: 'v1', kind: 'Node', name };
        events.event(gone, 'Normal', 'RemovingNode', `Removing Node ${name} from Controller`);
      }
      return undefined;
    }
    const before = this.#health.get(name);
    if (!before) events.event(node, 'Normal', 'RegisteredNode', `Registered Node ${name} in Controller`);
    const lease = informers.for('leases.coordination.k8s.io').get(`${LEASES}/${name}`);
    this.#health.set(name, observeHealth(before, node, lease, env.clock.monotonic()));
    if (this.#leftMs(node, env.clock.monotonic()) <= 0) node = await this.#presumeDead(ctx, node, signal);
    if (!node) return undefined;
    const waitMs = await this.#taint(ctx, node, signal);
    if (isSilent(node)) await this.#markPods(ctx, node, signal);
    if (readyStatus(node) !== 'True') return { requeueAfterMs: Math.min(this.#monitorPeriodMs, waitMs) };
    return { requeueAfterMs: Math.max(1, this.#leftMs(node, env.clock.monotonic())) };
  }

  #leftMs(node: Node, nowMs: number): number {
    const health = this.#health.get(node.metadata.name);
    return health ? graceLeftMs(health, node, this.#timings, nowMs) : this.#timings.graceMs;
  }

  /**
   * Looks at the server itself whether the node is silent: an informer that lags must not cost a node its pods. Writes the
   * conditions and returns the node as it then is; undefined when it is gone.
   */
  async #presumeDead(ctx: ControllerContext, cached: Node, signal: AbortSignal): Promise<Node | undefined> {
    const { client, env, events } = ctx;
    const { name } = cached.metadata;
    if (readyStatus(cached) === 'Unknown' && !unknownConditions(cached, 0)) return cached;
    const [node, lease] = await this.#look(ctx, name, signal);
    if (!node) return undefined;
    const nowMs = env.clock.monotonic();
    this.#health.set(name, observeHealth(this.#health.get(name), node, lease, nowMs));
    const conditions = this.#leftMs(node, nowMs) <= 0 ? unknownConditions(node, env.clock.now()) : undefined;
    if (!conditions) return node;
    const changed = draft(node);
    changed.status = { ...changed.status, conditions: draft(conditions) };
    const written = await client.resource('nodes').update(changed, { subresource: 'status', signal });
    if (readyStatus(node) === 'True') {
      events.event(node, 'Normal', 'NodeNotReady', `Node ${name} status is now: NodeNotReady`);
    }
    return written;
  }

  async #look({ client, env }: ControllerContext, name: string, signal: AbortSignal): Promise<[Node?, Lease?]> {
    try {
      const [node, lease] = await Promise.all([
        client.resource('nodes').get({ name }, signal).catch(undefinedIfGone),
        client.resource('leases.coordination.k8s.io').get({ namespace: LEASES, name }, signal).catch(undefinedIfGone),
      ]);
      if (this.#blind) {
        // The API was away: give every kubelet time to be heard again.
        this.#blind = false;
        this.#restart(env.clock.monotonic());
      }
      return [node, lease];
    } catch (error) {
      if (!signal.aborted) this.#blind = true;
      throw error;
    }
  }

  /** Counts every node's silence from now. */
  #restart(nowMs: number): void {
    for (const [name, health] of this.#health) this.#health.set(name, { ...health, probeMs: nowMs });
  }

  /** Sets the taints that follow from the conditions. Returns how long until a held back eviction may be tried again. */
  async #taint({ client, env, informers }: ControllerContext, node: Node, signal: AbortSignal): Promise<number> {
    let evict = false;
    let waitMs = this.#monitorPeriodMs;
    let taken: EvictionLimiter | undefined;
    if (readyStatus(node) !== 'True' || this.#allDisrupted) {
      const zones = zonesOf(informers.for('nodes').list(), this.#rates);
      if (this.#allDisrupted && !zones.allDisrupted) this.#restart(env.clock.monotonic());
      if (this.#allDisrupted !== zones.allDisrupted) {
        env.log.info(zones.allDisrupted ? 'all nodes are not ready: nothing is evicted' : 'some nodes are ready again');
      }
      this.#allDisrupted = zones.allDisrupted;
      if (readyStatus(node) !== 'True' && !zones.allDisrupted) {
        const zone = zoneOf(node);
        const limiter = this.#limiters.get(zone) ?? new EvictionLimiter();
        this.#limiters.set(zone, limiter);
        if (!hasNoExecute(node)) waitMs = limiter.take(zones.rate(zone), env.clock.monotonic());
        if (waitMs === 0) taken = limiter;
        evict = hasNoExecute(node) || waitMs === 0;
      }
    }
    const taints = decideTaints(node, evict, env.clock.now());
    if (taints) {
      const body = { metadata: { resourceVersion: node.metadata.resourceVersion }, spec: { taints } };
      try {
        await client.resource('nodes').patch(node.metadata, { type: 'merge', body }, { signal });
      } catch (error) {
        taken?.giveBack();
        throw error;
      }
    }
    return waitMs > 0 ? waitMs : this.#monitorPeriodMs;
  }

  /** Takes the pods of a node that is not heard of out of service: no kubelet will. */
  async #markPods(ctx: ControllerContext, node: Node, signal: AbortSignal): Promise<void> {
    const left = podsToMark(ctx.informers.for('pods').byIndex(BY_NODE, node.metadata.name));
    const worker = async (): Promise<void> => {
      for (let pod = left.shift(); pod; pod = left.shift()) await markNotReady(ctx, pod, signal);
    };
    await Promise.all(Array.from({ length: PARALLEL }, worker));
  }
}

/** This controller found the kubelet silent. (A kubelet that reports itself not ready keeps its pods' conditions itself.) */
function isSilent(node: Node): boolean {
  return findCondition(node.status?.conditions, 'Ready')?.status === 'Unknown';
}

/** The pods among these that still pass for ready. */
export function podsToMark(pods: readonly Pod[]): Pod[] {
  return pods.filter((pod) => findCondition(pod.status?.conditions, 'Ready')?.status === 'True');
}

async function markNotReady({ client, env, events }: ControllerContext, pod: Pod, signal: AbortSignal): Promise<void> {
  const lastTransitionTime = formatTime(env.clock.now());
  const body = {
    metadata: { uid: pod.metadata.uid },
    status: { conditions: [{ type: 'Ready', status: 'False', lastTransitionTime }] },
  };
  try {
    await client.resource('pods').patch(pod.metadata, { type: 'strategic', body }, { subresource: 'status', signal });
    events.event(pod, 'Warning', 'NodeNotReady', 'Node is not ready');
  } catch (error) {
    if (!isReason(error, 'NotFound', 'Conflict')) throw error;
  }
}

function undefinedIfGone(error: unknown): undefined {
  if (!isReason(error, 'NotFound')) throw error;
  return undefined;
}
