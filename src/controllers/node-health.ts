// Whether a node is alive, from what its kubelet last said: its Ready condition's heartbeat and its Lease. Pure.
import type { Lease, Node, NodeCondition } from '../api/generated/types.ts';
import { findCondition } from '../machinery/meta.ts';
import { formatTime } from '../machinery/time.ts';

export interface NodeTimings {
  /** A kubelet silent for this long is presumed dead. */
  readonly graceMs: number;
  /** The same for a node whose kubelet has never posted a status. */
  readonly startupGraceMs: number;
}

/** Kubernetes' own: --node-monitor-grace-period and --node-startup-grace-period. */
export const DEFAULT_NODE_TIMINGS: NodeTimings = { graceMs: 50_000, startupGraceMs: 60_000 };

/** What was heard of a node, timed by the controller's own monotonic clock: the nodes' clocks are never compared with it. */
export interface NodeHealth {
  readonly heartbeat: string | undefined;
  readonly renewTime: string | undefined;
  /** When the last sign of life was seen. */
  readonly probeMs: number;
}

export function observeHealth(
  before: NodeHealth | undefined,
  node: Node,
  lease: Lease | undefined,
  nowMs: number,
): NodeHealth {
  const heartbeat = findCondition(node.status?.conditions, 'Ready')?.lastHeartbeatTime;
  const renewTime = lease?.spec.renewTime;
  if (!before) return { heartbeat, renewTime, probeMs: nowMs };
  // Times of MicroTime's fixed form compare as text. A lease that went back was restored, and is no sign of life.
  const renewed = renewTime !== undefined && renewTime > (before.renewTime ?? '');
  const alive = heartbeat !== before.heartbeat || renewed;
  return alive ? { heartbeat, renewTime: renewTime ?? before.renewTime, probeMs: nowMs } : before;
}

/** How long until the node is presumed dead; zero or less: it is. */
export function graceLeftMs(health: NodeHealth, node: Node, timings: NodeTimings, nowMs: number): number {
  const posted = findCondition(node.status?.conditions, 'Ready') !== undefined;
  return health.probeMs + (posted ? timings.graceMs : timings.startupGraceMs) - nowMs;
}

/** Conditions that the kubelet keeps. NetworkUnavailable is another's. */
const KUBELET_CONDITIONS = ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure'];

/** The conditions of a node whose kubelet is silent; undefined when they say so already. */
export function unknownConditions(node: Node, nowMs: number): readonly NodeCondition[] | undefined {
  const at = formatTime(nowMs);
  const before = node.status?.conditions ?? [];
  const conditions = before.map((condition) =>
    KUBELET_CONDITIONS.includes(condition.type) && condition.status !== 'Unknown'
      ? {
          ...condition,
          status: 'Unknown',
          reason: 'NodeStatusUnknown',
          message: 'Kubelet stopped posting node status.',
          lastTransitionTime: at,
        }
      : condition,
  );
  for (const type of KUBELET_CONDITIONS) {
    if (findCondition(before, type)) continue;
    conditions.push({
      type,
      status: 'Unknown',
      reason: 'NodeStatusNeverUpdated',
      message: 'Kubelet never posted node status.',
      ...(node.metadata.creationTimestamp && { lastHeartbeatTime: node.metadata.creationTimestamp }),
      lastTransitionTime: at,
    });
  }
  const changed = conditions.length !== before.length || conditions.some((one, i) => one !== before[i]);
  return changed ? conditions : undefined;
}

/** "True", "False" or "Unknown"; a node that has not said is Unknown. */
export function readyStatus(node: Node): string {
  return findCondition(node.status?.conditions, 'Ready')?.status ?? 'Unknown';
}
