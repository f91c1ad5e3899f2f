// Which daemon pods to make and which to delete, and the status that they show. Pure.
import type { DaemonSet, Node, Pod } from '../api/generated/types.ts';
import { isTerminating } from '../machinery/meta.ts';
import { scaledCount } from '../machinery/percent.ts';
import { isPodAvailable, isPodReady, isTerminal, podCondition } from '../machinery/pods.ts';
import { REVISION_HASH } from './controller-history.ts';
import { placementOn, targetNode } from './daemon-placement.ts';

/** At most this many pods are created, and as many deleted, in one reconcile, as upstream's BurstReplicas. */
const BURST_REPLICAS = 250;

export interface DaemonSnapshot {
  readonly daemonSet: DaemonSet;
  readonly nodes: readonly Node[];
  /** The pods that it controls. */
  readonly pods: readonly Pod[];
  /** The revision hash of the declared template. */
  readonly hash: string;
  readonly nowMs: number;
  /** How long a failed pod on the node is left alone; 0 when it may go. */
  readonly failedDelayMs: (nodeName: string) => number;
}

export interface DaemonDecision {
  /** The nodes that get a pod. */
  readonly create: readonly string[];
  readonly remove: readonly Pod[];
  /** Look again after this time. */
  readonly againMs: number | undefined;
}

interface OnNode {
  readonly name: string;
  readonly pods: readonly Pod[];
  readonly shouldRun: boolean;
  readonly mayStay: boolean;
  readonly exists: boolean;
}

/** Scheduled ones first, then the oldest. */
export function byAgeOnNode(pods: readonly Pod[]): readonly Pod[] {
  const rank = (pod: Pod): string =>
    `${pod.spec.nodeName ? 0 : 1} ${pod.metadata.creationTimestamp ?? ''} ${pod.metadata.name}`;
  return [...pods].sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
}

/** Pods by the node that they are on or meant for. A finished one that is going already is as good as gone. */
function podsByNode(pods: readonly Pod[]): Map<string, Pod[]> {
  const found = new Map<string, Pod[]>();
  for (const pod of pods) {
    const name = targetNode(pod);
    if (name === undefined || (isTerminal(pod) && isTerminating(pod))) continue;
    const list = found.get(name);
    if (list) list.push(pod);
    else found.set(name, [pod]);
  }
  return found;
}

/** What to do next: first every node gets what it lacks and loses what it has too much, then an update goes on. */
export function decideDaemonPods(snapshot: DaemonSnapshot): DaemonDecision {
  const { daemonSet, nodes, pods, nowMs } = snapshot;
  if (isTerminating(daemonSet)) return { create: [], remove: [], againMs: undefined };
  const placement = placementOn(daemonSet);
  const byNode = podsByNode(pods);
  const onNodes = nodes.map((node): OnNode => {
    const found = byNode.get(node.metadata.name);
    return { name: node.metadata.name, pods: found ?? [], exists: found !== undefined, ...placement(node) };
  });
  const waits: number[] = [];
  const create: string[] = [];
  const remove: Pod[] = [];
  for (const one of onNodes) manageNode(snapshot, one, { create, remove, waits });
  remove.push(...ofMissingNodes(nodes, byNode));
  const againMs = soonest([...waits, ...availabilityWaits(daemonSet, pods, nowMs)]);
  if (create.length === 0 && remove.length === 0 && daemonSet.spec.updateStrategy?.type !== 'OnDelete') {
    rollingUpdate(snapshot, onNodes, { create, remove });
  }
  return { create: create.slice(0, BURST_REPLICAS), remove: remove.slice(0, BURST_REPLICAS), againMs };
}

const soonest = (waits: readonly number[]): number | undefined => (waits.length > 0 ? Math.min(...waits) : undefined);

function availabilityWaits(daemonSet: DaemonSet, pods: readonly Pod[], nowMs: number): readonly number[] {
  const { minReadySeconds = 0 } = daemonSet.spec;
  if (minReadySeconds === 0) return [];
  return pods
    .filter((pod) => isPodReady(pod) && !isPodAvailable(pod, minReadySeconds, nowMs))
    .map((pod) => Date.parse(podCondition(pod, 'Ready')?.lastTransitionTime ?? '') + minReadySeconds * 1000 - nowMs)
    .filter((ms) => ms > 0);
}

interface Wanted {
  readonly create: string[];
  readonly remove: Pod[];
}

function manageNode(snapshot: DaemonSnapshot, node: OnNode, wanted: Wanted & { readonly waits: number[] }): void {
  if (node.shouldRun && !node.exists) {
    wanted.create.push(node.name);
  } else if (!node.mayStay) {
    wanted.remove.push(...node.pods.filter((pod) => !isTerminating(pod)));
  } else {
    const running: Pod[] = [];
    for (const pod of node.pods) {
      if (isTerminating(pod)) continue;
      const delayMs = pod.status?.phase === 'Failed' ? snapshot.failedDelayMs(node.name) : 0;
      if (!isTerminal(pod)) running.push(pod);
      else if (delayMs > 0) wanted.waits.push(delayMs);
      else wanted.remove.push(pod);
    }
    pruneNode(snapshot, node, running, wanted);
  }
}

/** One running pod a node; with surge an old one and a new one while the new one is not available. */
function pruneNode(snapshot: DaemonSnapshot, node: OnNode, running: readonly Pod[], wanted: Wanted): void {
  const { daemonSet, hash, nowMs } = snapshot;
  const ordered = byAgeOnNode(running);
  if (surgeOf(daemonSet, 1) === 0) {
    wanted.remove.push(...ordered.slice(1));
    return;
  }
  if (ordered.length <= 1) {
    if (ordered.length === 0 && node.shouldRun) wanted.create.push(node.name);
    return;
  }
  const updated = ordered.find((pod) => isUpdated(pod, hash));
  const old = ordered.find((pod) => !isUpdated(pod, hash));
  wanted.remove.push(...ordered.filter((pod) => pod !== updated && pod !== old));
  if (!updated || !old) return;
  const replaced = isPodAvailable(updated, daemonSet.spec.minReadySeconds ?? 0, nowMs);
  if (!isPodReady(old) || replaced) wanted.remove.push(old);
}

/** Unscheduled pods of nodes that are gone: nothing else would ever take them away. */
function ofMissingNodes(nodes: readonly Node[], byNode: ReadonlyMap<string, readonly Pod[]>): readonly Pod[] {
  const known = new Set(nodes.map((node) => node.metadata.name));
  const lost = [...byNode].filter(([name]) => !known.has(name)).flatMap(([, pods]) => pods);
  return lost.filter((pod) => !pod.spec.nodeName && !isTerminating(pod));
}

const isUpdated = (pod: Pod, hash: string): boolean => pod.metadata.labels?.[REVISION_HASH] === hash;

function surgeOf(daemonSet: DaemonSet, desired: number): number {
  const { type, rollingUpdate } = daemonSet.spec.updateStrategy ?? {};
  return type === 'OnDelete' ? 0 : scaledCount(rollingUpdate?.maxSurge ?? 0, desired, 'up');
}

/** The old and the updated pod of a node; undefined while there are several of a sort. */
function pairOn(node: OnNode, hash: string): { updated: Pod | undefined; old: Pod | undefined } | undefined {
  const staying = node.pods.filter((pod) => !isTerminating(pod));
  const updated = staying.filter((pod) => isUpdated(pod, hash));
  const old = staying.filter((pod) => !isUpdated(pod, hash));
  return updated.length > 1 || old.length > 1 ? undefined : { updated: updated[0], old: old[0] };
}

function rollingUpdate(snapshot: DaemonSnapshot, onNodes: readonly OnNode[], wanted: Wanted): void {
  const { daemonSet } = snapshot;
  const desired = onNodes.filter((node) => node.shouldRun).length;
  const maxSurge = surgeOf(daemonSet, desired);
  const declared = daemonSet.spec.updateStrategy?.rollingUpdate?.maxUnavailable ?? 1;
  const maxUnavailable = scaledCount(declared, desired, 'up') || (maxSurge === 0 ? 1 : 0);
  const nodes = onNodes.filter((node) => node.exists || node.shouldRun);
  if (maxSurge === 0) replaceInPlace(snapshot, nodes, maxUnavailable, wanted);
  else replaceBySurge(snapshot, nodes, { maxSurge, desired }, wanted);
}

/** Deletes old pods: unavailable ones at once, available ones within maxUnavailable. The next look makes new ones. */
function replaceInPlace(
  { daemonSet, hash, nowMs }: DaemonSnapshot,
  nodes: readonly OnNode[],
  maxUnavailable: number,
  wanted: Wanted,
): void {
  const candidates: Pod[] = [];
  let unavailable = 0;
  for (const node of nodes) {
    const pair = pairOn(node, hash);
    const pod = pair?.updated ?? pair?.old;
    const available = pod !== undefined && isPodAvailable(pod, daemonSet.spec.minReadySeconds ?? 0, nowMs);
    const both = pair?.updated !== undefined && pair.old !== undefined;
    if (!available || both) unavailable++;
    if (!pair?.old || both) continue;
    if (available) candidates.push(pair.old);
    else wanted.remove.push(pair.old);
  }
  wanted.remove.push(...candidates.slice(0, Math.max(0, maxUnavailable - unavailable)));
}

/** Makes new pods beside old ones, and deletes an old one when the new one is available. */
function replaceBySurge(
  { daemonSet, hash, nowMs }: DaemonSnapshot,
  nodes: readonly OnNode[],
  { maxSurge, desired }: { maxSurge: number; desired: number },
  wanted: Wanted,
): void {
  const isAvailable = (pod: Pod | undefined): boolean =>
    pod !== undefined && isPodAvailable(pod, daemonSet.spec.minReadySeconds ?? 0, nowMs);
  const candidates: string[] = [];
  const leaving: Pod[] = [];
  let surging = 0;
  let available = 0;
  for (const node of nodes) {
    const pair = pairOn(node, hash);
    if (!pair) {
      surging++;
      continue;
    }
    const { updated, old } = pair;
    if (isAvailable(old ?? updated)) available++;
    if (!old) continue;
    if (updated) {
      if (isAvailable(updated)) wanted.remove.push(old);
      else surging++;
    } else if (!isAvailable(old)) {
      if (node.shouldRun) wanted.create.push(node.name);
      else wanted.remove.push(old);
    } else if (node.shouldRun) candidates.push(node.name);
    else leaving.push(old);
  }
  // A pod on a node that it must leave goes only when enough others are available.
  wanted.remove.push(...leaving.slice(0, Math.max(0, available - desired)));
  wanted.create.push(...candidates.slice(0, Math.max(0, maxSurge - surging)));
}

/** The counts that nodes and pods show. Each node counts with its oldest pod. */
export function daemonStatus(snapshot: Omit<DaemonSnapshot, 'failedDelayMs'>): NonNullable<DaemonSet['status']> {
  const { daemonSet, nodes, hash, nowMs } = snapshot;
  const placement = placementOn(daemonSet);
  const byNode = podsByNode(snapshot.pods);
  const on = nodes.map((node) => ({
    pod: byAgeOnNode(byNode.get(node.metadata.name) ?? [])[0],
    wanted: placement(node).shouldRun,
  }));
  const wanted = on.filter((node) => node.wanted);
  const pods = wanted.flatMap(({ pod }) => (pod ? [pod] : []));
  const available = pods.filter((pod) => isPodAvailable(pod, daemonSet.spec.minReadySeconds ?? 0, nowMs)).length;
  return {
    currentNumberScheduled: pods.length,
    numberMisscheduled: on.filter((node) => node.pod && !node.wanted).length,
    desiredNumberScheduled: wanted.length,
    numberReady: pods.filter(isPodReady).length,
    updatedNumberScheduled: pods.filter((pod) => isUpdated(pod, hash)).length,
    numberAvailable: available,
    numberUnavailable: wanted.length - available,
  };
}
