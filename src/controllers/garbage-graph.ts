// Who owns whom: the garbage collector's graph of uids, fed by informers. No clock, no I/O.
import type { OwnerReference } from '../api/generated/types.ts';
import type { KubeObject } from '../api/object.ts';
import type { ResourceCoordinates } from '../client/contract.ts';
import { hasFinalizer, isTerminating } from '../machinery/meta.ts';

/** On an owner that is to go after its dependents. */
export const FOREGROUND = 'foregroundDeletion';
/** On an owner whose dependents are to stay. */
export const ORPHAN = 'orphan';

/** An object as the graph knows it. */
export interface GraphNode {
  readonly uid: string;
  readonly resource: ResourceCoordinates;
  readonly object: KubeObject;
}

/** What a change asks to be looked at: uids whose deletion is to be attempted, or whose dependents are to be orphaned. */
export interface GraphWork {
  readonly attempt: readonly string[];
  readonly orphan: readonly string[];
  /** Owners named by the object that exist in another namespace than the object's. */
  readonly wrongNamespace: readonly OwnerReference[];
}

const NOTHING: GraphWork = { attempt: [], orphan: [], wrongNamespace: [] };

/** The deletion waits until the dependents that block it are gone. */
export function waitsForDependents(object: KubeObject): boolean {
  return isTerminating(object) && hasFinalizer(object, FOREGROUND);
}

/** The deletion waits until the dependents are orphaned. */
export function waitsForOrphaning(object: KubeObject): boolean {
  return isTerminating(object) && hasFinalizer(object, ORPHAN);
}

export class OwnerGraph {
  readonly #nodes = new Map<string, GraphNode>();
  /** Owner's uid → uids of objects that name it, whether or not the owner is known. */
  readonly #dependents = new Map<string, Set<string>>();

  get size(): number {
    return this.#nodes.size;
  }

  get(uid: string): GraphNode | undefined {
    return this.#nodes.get(uid);
  }

  dependents(uid: string): readonly GraphNode[] {
    const found: GraphNode[] = [];
    for (const one of this.#dependents.get(uid) ?? []) {
      const node = this.#nodes.get(one);
      if (node) found.push(node);
    }
    return found;
  }

  /** Every owner is known, and none waits for its dependents. */
  ownersAreSolid({ object }: GraphNode): boolean {
    return (object.metadata.ownerReferences ?? []).every((reference) => {
      const owner = this.#ownerOf(object, reference);
      return owner !== undefined && owner.object.metadata.name === reference.name && !waitsForDependents(owner.object);
    });
  }

  /** The object was added or changed. */
  observe(resource: ResourceCoordinates, object: KubeObject): GraphWork {
    const { uid } = object.metadata;
    if (!uid) return NOTHING;
    const before = this.#nodes.get(uid)?.object;
    this.#nodes.set(uid, { uid, resource, object });
    this.#link(uid, before, object);
    const owners = object.metadata.ownerReferences ?? [];
    const attempt = new Set<string>();
    // The owner may be gone, or never have been: only a look at the server can tell.
    if (!before && owners.some((owner) => !this.#ownerOf(object, owner))) attempt.add(uid);
    for (const owner of this.#changedOwners(before, object)) attempt.add(owner);
    if (before && ownersChanged(before, object)) attempt.add(uid);
    if (waitsForDependents(object) && !(before && waitsForDependents(before))) {
      for (const dependent of this.dependents(uid)) attempt.add(dependent.uid);
      attempt.add(uid);
    }
    const orphan = waitsForOrphaning(object) && !(before && waitsForOrphaning(before)) ? [uid] : [];
    return { attempt: [...attempt], orphan, wrongNamespace: before ? [] : this.#wrongNamespace(object) };
  }

  /** The object is gone. */
  forget(object: KubeObject): GraphWork {
    const { uid } = object.metadata;
    const node = uid === undefined ? undefined : this.#nodes.get(uid);
    if (!uid || !node) return NOTHING;
    this.#nodes.delete(uid);
    this.#link(uid, node.object, undefined);
    const attempt = new Set<string>(this.dependents(uid).map((dependent) => dependent.uid));
    for (const { uid: owner } of node.object.metadata.ownerReferences ?? []) {
      const known = this.#nodes.get(owner);
      if (known && waitsForDependents(known.object)) attempt.add(owner);
    }
    return { attempt: [...attempt], orphan: [], wrongNamespace: [] };
  }

  /** The known owner that a reference means: same uid, and in a place where the object may refer to it. */
  #ownerOf(object: KubeObject, { uid }: OwnerReference): GraphNode | undefined {
    const node = this.#nodes.get(uid);
    if (!node) return undefined;
    const { namespace } = node.object.metadata;
    return !namespace || namespace === object.metadata.namespace ? node : undefined;
  }

  #wrongNamespace(object: KubeObject): OwnerReference[] {
    const owners = object.metadata.ownerReferences ?? [];
    return owners.filter((owner) => this.#nodes.has(owner.uid) && !this.#ownerOf(object, owner));
  }

  /** Owners in foreground deletion that an object no longer blocks. */
  #changedOwners(before: KubeObject | undefined, object: KubeObject): string[] {
    if (!before) return [];
    const blocked = blockedBy(before);
    const stillBlocked = blockedBy(object);
    return [...blocked].filter((owner) => !stillBlocked.has(owner) && this.#nodes.has(owner));
  }

  #link(uid: string, before: KubeObject | undefined, after: KubeObject | undefined): void {
    const old = new Set(before?.metadata.ownerReferences?.map((owner) => owner.uid));
    const now = new Set(after?.metadata.ownerReferences?.map((owner) => owner.uid));
    for (const owner of old) {
      if (now.has(owner)) continue;
      const dependents = this.#dependents.get(owner);
      dependents?.delete(uid);
      if (dependents?.size === 0) this.#dependents.delete(owner);
    }
    for (const owner of now) {
      const dependents = this.#dependents.get(owner);
      if (dependents) dependents.add(uid);
      else this.#dependents.set(owner, new Set([uid]));
    }
  }
}

/** Uids of the owners whose foreground deletion the object holds up. */
export function blockedBy(object: KubeObject): Set<string> {
  const owners = object.metadata.ownerReferences ?? [];
  return new Set(owners.filter((owner) => owner.blockOwnerDeletion === true).map((owner) => owner.uid));
}

function ownersChanged(before: KubeObject, after: KubeObject): boolean {
  const uids = (object: KubeObject): string =>
    (object.metadata.ownerReferences ?? []).map((owner) => owner.uid).join('\0');
  return uids(before) !== uids(after);
}
