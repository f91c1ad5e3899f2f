// The taints that follow from a node's conditions. Pure.
import type { Node, Taint } from '../api/generated/types.ts';
import { formatTime } from '../machinery/time.ts';
import { readyStatus } from './node-health.ts';

export const NOT_READY = 'node.kubernetes.io/not-ready';
export const UNREACHABLE = 'node.kubernetes.io/unreachable';
const UNSCHEDULABLE = 'node.kubernetes.io/unschedulable';

/** Condition type → status → taint key. */
const CONDITION_TAINTS: { readonly [type: string]: { readonly [status: string]: string } } = {
  Ready: { False: NOT_READY, Unknown: UNREACHABLE },
  MemoryPressure: { True: 'node.kubernetes.io/memory-pressure' },
  DiskPressure: { True: 'node.kubernetes.io/disk-pressure' },
  NetworkUnavailable: { True: 'node.kubernetes.io/network-unavailable' },
  PIDPressure: { True: 'node.kubernetes.io/pid-pressure' },
};

const NO_SCHEDULE_KEYS = new Set([
  UNSCHEDULABLE,
  ...Object.values(CONDITION_TAINTS).flatMap((byStatus) => Object.values(byStatus)),
]);

/** The keys that a node is to have with NoSchedule. */
function noScheduleKeys(node: Node): Set<string> {
  const keys = new Set<string>();
  for (const { type, status } of node.status?.conditions ?? []) {
    const key = CONDITION_TAINTS[type]?.[status];
    if (key) keys.add(key);
  }
  if (node.spec.unschedulable) keys.add(UNSCHEDULABLE);
  return keys;
}

/** The key that a node is to have with NoExecute, by its Ready condition. */
export function noExecuteKey(node: Node): string | undefined {
  const status = readyStatus(node);
  return status === 'True' ? undefined : status === 'False' ? NOT_READY : UNREACHABLE;
}

const isOurs = ({ key, effect }: Taint): boolean =>
  (effect === 'NoSchedule' && NO_SCHEDULE_KEYS.has(key)) ||
  (effect === 'NoExecute' && (key === NOT_READY || key === UNREACHABLE));

/** Whether the node has a NoExecute taint of this controller: then its pods are going already. */
export function hasNoExecute(node: Node): boolean {
  return (node.spec.taints ?? []).some((taint) => taint.effect === 'NoExecute' && isOurs(taint));
}

/**
 * All taints of the node as they should be; undefined when they are. `evict`: whether its pods are to go. A taint that only
 * changes between not-ready and unreachable keeps its time, so that tolerationSeconds go on counting.
 */
export function decideTaints(node: Node, evict: boolean, nowMs: number): readonly Taint[] | undefined {
  const before = node.spec.taints ?? [];
  const wanted = new Map<string, Taint>();
  const at = formatTime(nowMs);
  for (const key of noScheduleKeys(node)) wanted.set(`${key}:NoSchedule`, { key, effect: 'NoSchedule', timeAdded: at });
  const execute = evict ? noExecuteKey(node) : undefined;
  if (execute) {
    const since = before.find((taint) => taint.effect === 'NoExecute' && isOurs(taint))?.timeAdded;
    wanted.set(`${execute}:NoExecute`, { key: execute, effect: 'NoExecute', timeAdded: since ?? at });
  }
  const kept = before.filter((taint) => {
    if (!isOurs(taint)) return true;
    const key = `${taint.key}:${taint.effect}`;
    const keep = wanted.has(key);
    wanted.delete(key);
    return keep;
  });
  return wanted.size === 0 && kept.length === before.length ? undefined : [...kept, ...wanted.values()];
}
