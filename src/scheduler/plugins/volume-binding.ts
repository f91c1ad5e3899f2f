import type { Node, PersistentVolume, PersistentVolumeClaim } from '../../api/generated/types.ts';
import { matchesAnyTerm } from '../../machinery/node-selector.ts';
import { selectorOf } from '../affinity-term.ts';
import type { Columns } from '../columns.ts';
import {
  type Cycle,
  type FilterPlugin,
  type Listers,
  type NodeFilter,
  type PreFilterResult,
  type Rejection,
  SKIP,
} from '../framework.ts';
import type { PodInfo } from '../pod-info.ts';
import { amountOf } from '../resources.ts';

export const REASON_NODE_CONFLICT = "node(s) didn't match PersistentVolume's node affinity";
export const REASON_BIND_CONFLICT = "node(s) didn't find available persistent volumes to bind";
export const REASON_UNBOUND_IMMEDIATE = 'pod has unbound immediate PersistentVolumeClaims';
const NO_PROVISIONER = 'kubernetes.io/no-provisioner';
const BOUND_ANNOTATION = 'pv.kubernetes.io/bind-completed';

/** Claims of a pod: bound ones hold it to where their volumes are, waiting ones to where a volume can be had. */
export const volumeBinding: FilterPlugin = {
  name: 'VolumeBinding',
  interests: [{ kinds: ['PersistentVolumeClaim', 'PersistentVolume', 'StorageClass', 'NodeAdd', 'NodeLabel'] }],
  preFilter: ({ info, columns, listers }: Cycle): PreFilterResult => {
    const names = claimNames(info);
    if (names.length === 0) return SKIP;
    const reject = (reason: string): PreFilterResult => ({
      kind: 'reject',
      rejection: { reasons: [reason], resolvable: false },
    });
    const volumes: PersistentVolume[] = [];
    const waiting: PersistentVolumeClaim[] = [];
    for (const name of names) {
      const claim = listers.claim(info.namespace, name);
      if (!claim) return reject(`persistentvolumeclaim "${name}" not found`);
      if (claim.metadata.deletionTimestamp) return reject(`persistentvolumeclaim "${name}" is being deleted`);
      if (isBound(claim)) {
        const volume = listers.volume(claim.spec.volumeName!);
        if (!volume) {
          const message = `persistentvolumeclaim "${name}" bound to non-existent persistentvolume`;
          return reject(`${message} "${claim.spec.volumeName}"`);
        }
        volumes.push(volume);
      } else if (waitsForConsumer(claim, listers)) waiting.push(claim);
      else return reject(REASON_UNBOUND_IMMEDIATE);
    }
    return { kind: 'filter', filter: new VolumeFilter({ volumes, waiting, columns, listers }) };
  },
};

export function claimNames({ pod }: PodInfo): string[] {
  return (pod.spec.volumes ?? []).flatMap((volume) => {
    if (volume.persistentVolumeClaim) return [volume.persistentVolumeClaim.claimName];
    return volume.ephemeral ? [`${pod.metadata.name}-${volume.name}`] : [];
  });
}

export function isBound(claim: PersistentVolumeClaim): boolean {
  return Boolean(claim.spec.volumeName) && claim.metadata.annotations?.[BOUND_ANNOTATION] !== undefined;
}

function waitsForConsumer(claim: PersistentVolumeClaim, listers: Listers): boolean {
  const name = claim.spec.storageClassName;
  return name !== undefined && listers.storageClass(name)?.volumeBindingMode === 'WaitForFirstConsumer';
}

interface Volumes {
  readonly volumes: readonly PersistentVolume[];
  readonly waiting: readonly PersistentVolumeClaim[];
  readonly columns: Columns;
  readonly listers: Listers;
}

class VolumeFilter implements NodeFilter {
  readonly #volumes: Volumes;

  constructor(volumes: Volumes) {
    this.#volumes = volumes;
  }

  keep(nodes: Int32Array, count: number): number {
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const slot = nodes[i]!;
      if (this.#reasons(slot).length === 0) nodes[kept++] = slot;
    }
    return kept;
  }

  explain(slot: number): Rejection {
    return { reasons: this.#reasons(slot), resolvable: false };
  }

  #reasons(slot: number): string[] {
    const { volumes, waiting, columns, listers } = this.#volumes;
    const node = columns.nodes[slot]!;
    const reasons: string[] = [];
    if (!volumes.every((volume) => reachable(volume, node))) reasons.push(REASON_NODE_CONFLICT);
    if (waiting.length > 0 && !bindings(waiting, node, listers)) reasons.push(REASON_BIND_CONFLICT);
    return reasons;
  }
}

export function reachable(volume: PersistentVolume, node: Node): boolean {
  const terms = volume.spec.nodeAffinity?.required?.nodeSelectorTerms;
  return !terms || matchesAnyTerm(node, terms);
}

export interface ClaimBinding {
  readonly claim: PersistentVolumeClaim;
  /** The volume to bind; undefined: to be provisioned for the node. */
  readonly volume: PersistentVolume | undefined;
}

/** A volume of its own for each claim, the smallest that does, or a provisioner; undefined when one claim finds none. */
export function bindings(
  claims: readonly PersistentVolumeClaim[],
  node: Node,
  listers: Listers,
): ClaimBinding[] | undefined {
  const taken = new Set<string>();
  const found: ClaimBinding[] = [];
  for (const claim of claims) {
    const volume = listers
      .volumes()
      .filter((candidate) => !taken.has(candidate.metadata.name) && suits(candidate, claim, node))
      .sort((a, b) => storage(a.spec.capacity) - storage(b.spec.capacity))[0];
    if (volume) taken.add(volume.metadata.name);
    else if (!provisions(claim, listers)) return undefined;
    found.push({ claim, volume });
  }
  return found;
}

function suits(volume: PersistentVolume, claim: PersistentVolumeClaim, node: Node): boolean {
  const { claimRef } = volume.spec;
  const { namespace, name } = claim.metadata;
  if (claimRef ? claimRef.namespace !== namespace || claimRef.name !== name : volume.status?.phase !== 'Available') {
    return false;
  }
  return (
    !volume.metadata.deletionTimestamp &&
    (volume.spec.storageClassName ?? '') === (claim.spec.storageClassName ?? '') &&
    (volume.spec.volumeMode ?? 'Filesystem') === (claim.spec.volumeMode ?? 'Filesystem') &&
    (claim.spec.accessModes ?? []).every((mode) => volume.spec.accessModes?.includes(mode)) &&
    storage(volume.spec.capacity) >= storage(claim.spec.resources?.requests) &&
    (!claim.spec.selector || selectorOf(claim.spec.selector).matches(volume.metadata.labels)) &&
    reachable(volume, node)
  );
}

function provisions(claim: PersistentVolumeClaim, listers: Listers): boolean {
  const storageClass = listers.storageClass(claim.spec.storageClassName ?? '');
  return storageClass !== undefined && storageClass.provisioner !== NO_PROVISIONER;
}

function storage(amounts: { readonly [name: string]: string } | undefined): number {
  return amounts?.storage === undefined ? 0 : amountOf('storage', amounts.storage);
}
