import type { PersistentVolumeClaim } from '../../api/generated/types.ts';
import { keyOf } from '../../api/object.ts';
import type { Client, Informers } from '../../client/contract.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Listers, PreBindPlugin } from '../framework.ts';
import type { PodInfo } from '../pod-info.ts';
import { bindings, type ClaimBinding, claimNames, isBound } from './volume-binding.ts';

const BIND_TIMEOUT_MS = 600_000;
const SELECTED_NODE = 'volume.kubernetes.io/selected-node';

export interface VolumePreBindOptions {
  readonly client: Client;
  readonly informers: Informers;
  readonly listers: Listers;
  readonly clock: Clock;
}

/** Gives the claims that waited for a node their volumes, or has them provisioned there, and waits until they are bound. */
export function volumePreBind(options: VolumePreBindOptions): PreBindPlugin {
  return {
    name: 'VolumeBinding',
    preBind: async (info, nodeName, signal) => {
      const waiting = claimsOf(info, options.listers).filter((claim) => !isBound(claim));
      if (waiting.length === 0) return;
      const node = options.informers.for('nodes').get(nodeName);
      const found = node && bindings(waiting, node, options.listers);
      if (!found) throw new Error(`binding volumes: no volumes for pod ${info.key} on node ${nodeName}`);
      for (const binding of found) await settle(options.client, binding, nodeName, signal);
      await untilBound(options, waiting.map(keyOf), signal);
    },
  };
}

function claimsOf(info: PodInfo, listers: Listers): PersistentVolumeClaim[] {
  return claimNames(info).flatMap((name) => listers.claim(info.namespace, name) ?? []);
}

async function settle(client: Client, binding: ClaimBinding, nodeName: string, signal: AbortSignal): Promise<void> {
  const { claim, volume } = binding;
  const { namespace, name, uid } = claim.metadata;
  if (!volume) {
    const body = { metadata: { annotations: { [SELECTED_NODE]: nodeName } } };
    await client.resource('persistentvolumeclaims').patch({ namespace, name }, { type: 'merge', body }, { signal });
    return;
  }
  const claimRef = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace, name, uid };
  const body = {
    metadata: {
      resourceVersion: volume.metadata.resourceVersion,
      annotations: { 'pv.kubernetes.io/bound-by-controller': 'yes' },
    },
    spec: { claimRef },
  };
  const ref = { name: volume.metadata.name };
  await client.resource('persistentvolumes').patch(ref, { type: 'merge', body }, { signal });
}

function untilBound(
  { informers, clock }: VolumePreBindOptions,
  keys: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const claims = informers.for('persistentvolumeclaims');
  const ended = new AbortController();
  const stop = AbortSignal.any([signal, ended.signal]);
  stop.throwIfAborted();
  return new Promise<void>((resolve, reject) => {
    const timer = clock.timer(BIND_TIMEOUT_MS, () => reject(new Error('binding volumes: timed out')));
    // On `stop`, which ends with this wait: the scheduler's own signal would gather a listener for every pod. Whoever
    // resolved first has the say.
    const over = (): void => {
      timer.cancel();
      reject(stop.reason);
    };
    stop.addEventListener('abort', over, { once: true });
    const look = (): void => {
      const all = keys.map((key) => claims.get(key));
      if (all.some((claim) => !claim)) reject(new Error('binding volumes: a claim was deleted'));
      else if (all.every((claim) => isBound(claim!))) resolve();
    };
    claims.subscribe({ add: look, update: look, delete: look }, stop);
    look();
  }).finally(() => ended.abort());
}
