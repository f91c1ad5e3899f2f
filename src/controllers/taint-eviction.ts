// The taint eviction controller: pods leave nodes with NoExecute taints that they do not tolerate, or no longer.
import type { Node, Pod, Taint } from '../api/generated/types.ts';
import { keyOf } from '../api/object.ts';
import { isTerminating } from '../machinery/meta.ts';
import { isReason } from '../machinery/status.ts';
import { timeMs } from '../machinery/time.ts';
import { conditionPatch, disruptionTarget } from './pod-disruption.ts';
import { type Controller, type ControllerContext, type Requeue, watch } from './runtime.ts';
import { evictionTime, type TimedTaint } from './tolerations.ts';

const BY_NODE = 'node';

export function taintEvictionController(): Controller {
  const eviction = new TaintEviction();
  return {
    name: 'taint-eviction-controller',
    workers: 8,
    watches: ({ informers }) => {
      const onNode = (name: string): string[] => informers.for('pods').byIndex(BY_NODE, name).map(keyOf);
      return [
        watch('pods', {
          indexes: { [BY_NODE]: ({ spec }) => (spec.nodeName ? [spec.nodeName] : []) },
          keys: (pod) => (pod.spec.nodeName ? [keyOf(pod)] : []),
        }),
        watch('nodes', {
          keys: (node, previous, change) => {
            if (change === 'deleted') eviction.forget(node.metadata.name);
            else eviction.see(node);
            return previous && sameTaints(previous, node) ? [] : onNode(node.metadata.name);
          },
        }),
      ];
    },
    reconcile: (ctx, key, signal) => eviction.reconcile(ctx, key, signal),
  };
}

class TaintEviction {
  /** Node → taint → when it was first looked at, for taints that carry no time (those of users). */
  readonly #firstSeen = new Map<string, Map<string, number | undefined>>();
  /** Pods that are to leave later. */
  readonly #scheduled = new Set<string>();

  /** Forgets taints that the node no longer has, so that they count anew when they come back. */
  see(node: Node): void {
    const known = this.#firstSeen.get(node.metadata.name);
    const taints = noExecute(node);
    if (!known && taints.length === 0) return;
    const now = new Map(taints.map((taint) => [taintKey(taint), known?.get(taintKey(taint))]));
    if (now.size === 0) this.#firstSeen.delete(node.metadata.name);
    else this.#firstSeen.set(node.metadata.name, now);
  }

  forget(nodeName: string): void {
    this.#firstSeen.delete(nodeName);
  }

  async reconcile(ctx: ControllerContext, key: string, signal: AbortSignal): Promise<Requeue | undefined> {
    const { informers, env, events } = ctx;
    const pod = informers.for('pods').get(key);
    const node = pod?.spec.nodeName ? informers.for('nodes').get(pod.spec.nodeName) : undefined;
    const nowMs = env.clock.now();
    const atMs = pod && node && !isTerminating(pod) ? this.#evictionTime(pod, node, nowMs) : undefined;
    if (atMs === undefined || !pod) {
      if (this.#scheduled.delete(key) && pod && !isTerminating(pod)) {
        events.event(pod, 'Normal', 'TaintManagerEviction', `Cancelling deletion of Pod ${key}`);
      }
      return undefined;
    }
    if (atMs > nowMs) {
      this.#scheduled.add(key);
      return { requeueAfterMs: atMs - nowMs };
    }
    this.#scheduled.delete(key);
    events.event(pod, 'Normal', 'TaintManagerEviction', `Marking for deletion Pod ${key}`);
    await evict(ctx, pod, signal);
    return undefined;
  }

  #evictionTime(pod: Pod, node: Node, nowMs: number): number | undefined {
    const taints = noExecute(node);
    if (taints.length === 0) return undefined;
    const bornMs = timeMs(pod.status?.startTime) ?? timeMs(pod.metadata.creationTimestamp) ?? 0;
    const timed = taints.map(
      (taint): TimedTaint => ({ taint, sinceMs: Math.max(bornMs, this.#since(node, taint, nowMs)) }),
    );
    return evictionTime(timed, pod.spec.tolerations ?? []);
  }

  #since(node: Node, taint: Taint, nowMs: number): number {
    const added = timeMs(taint.timeAdded);
    if (added !== undefined) return added;
    const { name } = node.metadata;
    const seen = this.#firstSeen.get(name) ?? new Map<string, number | undefined>();
    this.#firstSeen.set(name, seen);
    const sinceMs = seen.get(taintKey(taint)) ?? nowMs;
    seen.set(taintKey(taint), sinceMs);
    return sinceMs;
  }
}

function noExecute(node: Node): readonly Taint[] {
  return (node.spec.taints ?? []).filter((taint) => taint.effect === 'NoExecute');
}

function taintKey({ key, value = '' }: Taint): string {
  return `${key}=${value}`;
}

function sameTaints(a: Node, b: Node): boolean {
  const text = (node: Node): string =>
    noExecute(node)
      .map((taint) => `${taintKey(taint)}@${taint.timeAdded ?? ''}`)
      .sort()
      .join('\n');
  return text(a) === text(b);
}

/** Says why on the pod, then deletes it with its own grace. */
async function evict({ client, env }: ControllerContext, pod: Pod, signal: AbortSignal): Promise<void> {
  const pods = client.resource('pods');
  const condition = disruptionTarget('DeletionByTaintManager', 'Taint manager: deleting due to NoExecute taint', pod);
  const { uid } = pod.metadata;
  try {
    const body = conditionPatch(pod, condition, env.clock.now());
    await pods.patch(pod.metadata, { type: 'strategic', body }, { subresource: 'status', signal });
    await pods.delete(pod.metadata, { ...(uid && { preconditions: { uid } }), signal });
  } catch (error) {
    // Gone, or another pod by now: its own event brings it here.
    if (!isReason(error, 'NotFound')) throw error;
  }
}
