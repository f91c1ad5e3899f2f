// What happens in the cluster, in the few kinds that can make a waiting pod schedulable (KEP-4247 queueing hints).
import type { Node } from '../api/generated/types.ts';
import type { PodInfo } from './pod-info.ts';
import { parse } from './resources.ts';

export type EventKind =
  | 'NodeAdd'
  | 'NodeAllocatable'
  | 'NodeLabel'
  | 'NodeTaint'
  | 'NodeCondition'
  | 'NodeDelete'
  | 'AssignedPodAdd'
  | 'AssignedPodUpdate'
  | 'AssignedPodDelete'
  | 'PersistentVolume'
  | 'PersistentVolumeClaim'
  | 'StorageClass'
  | 'Namespace'
  /** Anything may have changed: wakes every pod. */
  | 'Unknown';

export type ClusterEvent =
  | { readonly kind: 'NodeAdd' | 'NodeAllocatable' | 'NodeLabel' | 'NodeTaint' | 'NodeCondition'; readonly node: Node }
  | { readonly kind: 'AssignedPodAdd' | 'AssignedPodDelete'; readonly pod: PodInfo }
  | { readonly kind: 'AssignedPodUpdate'; readonly pod: PodInfo; readonly previous: PodInfo }
  | { readonly kind: 'PersistentVolume' | 'PersistentVolumeClaim' | 'StorageClass' | 'Namespace' | 'NodeDelete' }
  | { readonly kind: 'Unknown' };

/** A plugin's interest in kinds of events; `helps` may say that this one changes nothing for this pod. */
export interface EventInterest {
  readonly kinds: readonly EventKind[];
  readonly helps?: (waiting: PodInfo, event: ClusterEvent) => boolean;
}

export function nodeOf(event: ClusterEvent): Node | undefined {
  return 'node' in event ? event.node : undefined;
}

export function podOf(event: ClusterEvent): PodInfo | undefined {
  return 'pod' in event ? event.pod : undefined;
}

/** An update of a node as events; none when nothing changed that scheduling looks at. */
export function nodeEvents(previous: Node, node: Node): ClusterEvent[] {
  const events: ClusterEvent[] = [];
  if (!sameMap(previous.status?.allocatable, node.status?.allocatable)) events.push({ kind: 'NodeAllocatable', node });
  if (!sameMap(previous.metadata.labels, node.metadata.labels)) events.push({ kind: 'NodeLabel', node });
  if (taintsKey(previous) !== taintsKey(node)) events.push({ kind: 'NodeTaint', node });
  if (conditionsKey(previous) !== conditionsKey(node)) events.push({ kind: 'NodeCondition', node });
  return events;
}

function taintsKey(node: Node): string {
  const taints = (node.spec.taints ?? []).map((t) => `${t.key}=${t.value ?? ''}:${t.effect}`);
  return `${node.spec.unschedulable ?? false} ${taints.join()}`;
}

function conditionsKey(node: Node): string {
  return (node.status?.conditions ?? []).map((c) => `${c.type}=${c.status}`).join();
}

type TextMap = { readonly [key: string]: string } | undefined;

export function sameMap(a: TextMap, b: TextMap): boolean {
  if (a === b) return true;
  const keys = Object.keys(a ?? {});
  return keys.length === Object.keys(b ?? {}).length && keys.every((key) => a?.[key] === b?.[key]);
}

/** Whether an empty node of this size could hold the pod. */
export function couldHold(node: Node, waiting: PodInfo): boolean {
  const allocatable = parse(node.status?.allocatable);
  for (const [name, amount] of waiting.amounts) if (amount > 0 && amount > (allocatable.get(name) ?? 0)) return false;
  return true;
}
