// What informers see, brought into the cache and the queue. Runs on every change, so it does little.
import type { Node, Pod } from '../api/generated/types.ts';
import { keyOf } from '../api/object.ts';
import type { InformerHandlers, Informers } from '../client/contract.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { ClusterCache } from './cache.ts';
import { nodeEvents, sameMap } from './cluster-events.ts';
import { Intake } from './intake.ts';
import { type PodInfo, podInfo } from './pod-info.ts';
import type { SchedulingQueue } from './queue.ts';

export interface Connected {
  readonly clock: Clock;
  readonly log: Log;
  readonly cache: ClusterCache;
  readonly queue: SchedulingQueue;
  /** Whether pods with this schedulerName are ours. */
  readonly serves: (schedulerName: string) => boolean;
}

/** Resolves when all that is known already has been taken in. */
export async function connectInformers(informers: Informers, connected: Connected, signal: AbortSignal): Promise<void> {
  const intake = new Intake(connected.clock, connected.log);
  informers.for('nodes').subscribe(inOrder(intake, nodeHandlers(connected)), signal);
  informers.for('pods').subscribe(inOrder(intake, podHandlers(connected)), signal);
  const { queue, cache } = connected;
  const publish = (kind: 'PersistentVolume' | 'PersistentVolumeClaim' | 'StorageClass') => () =>
    queue.publish({ kind });
  for (const [resource, kind] of [
    ['persistentvolumes', 'PersistentVolume'],
    ['persistentvolumeclaims', 'PersistentVolumeClaim'],
    ['storageclasses.storage.k8s.io', 'StorageClass'],
  ] as const) {
    informers.for(resource).subscribe({ add: publish(kind), update: publish(kind) }, signal);
  }
  const namespacesChanged = (): void => {
    cache.columns.groups.forgetCounters();
    queue.publish({ kind: 'Namespace' });
  };
  informers.for('namespaces').subscribe(
    {
      add: namespacesChanged,
      update: (namespace, previous) => {
        if (!sameMap(namespace.metadata.labels, previous.metadata.labels)) namespacesChanged();
      },
    },
    signal,
  );
  await intake.drained();
}

function inOrder<T>(intake: Intake, handlers: Required<InformerHandlers<T>>): InformerHandlers<T> {
  return {
    add: (object) => intake.take(() => handlers.add(object)),
    update: (object, previous) => intake.take(() => handlers.update(object, previous)),
    delete: (object) => intake.take(() => handlers.delete(object)),
  };
}

function nodeHandlers({ cache, queue }: Connected) {
  return {
    add: (node: Node): void => {
      cache.setNode(node);
      queue.publish({ kind: 'NodeAdd', node });
    },
    update: (node: Node, previous: Node): void => {
      cache.setNode(node);
      for (const event of nodeEvents(previous, node)) queue.publish(event);
    },
    delete: (node: Node): void => {
      cache.removeNode(node.metadata.name);
      queue.publish({ kind: 'NodeDelete' });
    },
  };
}

/** A pod that has ended holds nothing any more: for scheduling it is gone. */
function isTerminal(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

function podHandlers({ cache, queue, serves }: Connected) {
  const assigned = (pod: Pod, nodeName: string): void => {
    const info = podInfo(pod);
    const previous = cache.get(info.key);
    const seen = previous && !cache.isAssumed(info.key);
    cache.setPod(info, nodeName);
    if (!seen) {
      queue.delete(info.key);
      queue.publish({ kind: 'AssignedPodAdd', pod: info });
    } else if (!sameForOthers(previous, info)) {
      queue.publish({ kind: 'AssignedPodUpdate', pod: info, previous });
    }
  };
  const gone = (pod: Pod): void => {
    const key = keyOf(pod);
    queue.delete(key);
    cache.nominated.delete(key);
    const info = cache.get(key);
    if (!info) return;
    cache.removePod(key);
    queue.publish({ kind: 'AssignedPodDelete', pod: info });
  };
  const waiting = (pod: Pod, previous: Pod | undefined): void => {
    if (!serves(pod.spec.schedulerName ?? 'default-scheduler') || pod.metadata.deletionTimestamp) {
      queue.delete(keyOf(pod));
      return;
    }
    const info = podInfo(pod);
    if (cache.isAssumed(info.key)) {
      if (cache.get(info.key)!.uid === info.uid) return;
      cache.removePod(info.key);
    }
    renominate(cache, info);
    queue.update(info, previous && podInfo(previous));
  };
  const set = (pod: Pod, previous: Pod | undefined): void => {
    if (isTerminal(pod)) gone(pod);
    else if (pod.spec.nodeName) assigned(pod, pod.spec.nodeName);
    else waiting(pod, previous);
  };
  return {
    add: (pod: Pod): void => set(pod, undefined),
    update: (pod: Pod, previous: Pod): void => set(pod, previous),
    delete: gone,
  };
}

/** A promise survives a restart of the scheduler in the pod's status. */
function renominate(cache: ClusterCache, info: PodInfo): void {
  const nodeName = cache.nominated.nodeOf(info.key) ?? info.pod.status?.nominatedNodeName;
  if (nodeName) cache.nominated.set(info, nodeName);
}

function sameForOthers(previous: PodInfo, info: PodInfo): boolean {
  if (previous.groupKey !== info.groupKey || previous.amounts.size !== info.amounts.size) return false;
  for (const [name, amount] of info.amounts) if (previous.amounts.get(name) !== amount) return false;
  return true;
}
