// Which objects a controller owns: adoption, release, and new pods from a template (upstream's controller ref manager).
import type { Pod, PodTemplateSpec } from '../api/generated/types.ts';
import type { KubeObject } from '../api/object.ts';
import type { Client } from '../client/contract.ts';
import { controllerOf, controllerReference } from '../machinery/meta.ts';
import { isPodActive } from '../machinery/pods.ts';
import type { Selector } from '../machinery/selector.ts';
import { isReason } from '../machinery/status.ts';

/** The index of objects that no controller owns, by namespace. */
export const ORPHANS = 'orphans';

/** Indexes every owned thing needs: `controller` by the controller's uid, `orphans` by namespace. */
export const byController = {
  controller: (object: KubeObject): readonly string[] => {
    const uid = controllerOf(object)?.uid;
    return uid === undefined ? [] : [uid];
  },
  [ORPHANS]: (object: KubeObject): readonly string[] => (controllerOf(object) ? [] : [object.metadata.namespace ?? '']),
};

/** The keys of the controllers of `kind` that own the object now or owned it before the change. */
export function ownerKeys(kind: string, object: KubeObject, previous: KubeObject | undefined): readonly string[] {
  const now = ownerKey(kind, object);
  const before = previous && ownerKey(kind, previous);
  if (now === undefined) return before === undefined ? NONE : [before];
  return before === undefined || before === now ? [now] : [now, before];
}

const NONE: readonly string[] = [];

function ownerKey(kind: string, object: KubeObject): string | undefined {
  const owner = controllerOf(object);
  return owner?.kind === kind ? `${object.metadata.namespace}/${owner.name}` : undefined;
}

export interface Claims<T> {
  readonly kept: readonly T[];
  readonly adopt: readonly T[];
  readonly release: readonly T[];
}

/** What an owner takes and lets go: orphans that match, and what it owns that no longer does. */
export function decideClaims<T extends KubeObject>(
  owner: KubeObject,
  selector: Selector,
  owned: readonly T[],
  orphans: readonly T[],
): Claims<T> {
  const deleting = owner.metadata.deletionTimestamp !== undefined;
  const matches = (object: T): boolean => selector.matches(object.metadata.labels);
  const adoptable = (object: T): boolean =>
    object.metadata.deletionTimestamp === undefined && matches(object) && isActive(object);
  return {
    kept: owned.filter(matches),
    adopt: deleting || selector.empty ? [] : orphans.filter(adoptable),
    release: deleting ? [] : owned.filter((object) => !matches(object)),
  };
}

/** Finished pods are not adopted; what has no phase is. */
function isActive(object: KubeObject): boolean {
  return !('spec' in object && 'status' in object && object.kind === 'Pod') || isPodActive(object as Pod);
}

export interface OwnerKind {
  readonly apiVersion: string;
  readonly kind: string;
}

/** Writes adoptions and releases of pods. What is gone or changed meanwhile shows up in the next reconcile. */
export async function claim(
  client: Client,
  kind: OwnerKind,
  owner: KubeObject,
  claims: Claims<KubeObject>,
  signal: AbortSignal,
  resource: 'pods' | 'replicasets.apps' | 'controllerrevisions.apps' = 'pods',
): Promise<void> {
  const objects = client.resource(resource);
  const write = async (object: KubeObject, metadata: object): Promise<void> => {
    const { namespace, name, uid } = object.metadata;
    const body = { metadata: { uid, ...metadata } };
    try {
      await objects.patch({ namespace, name }, { type: 'strategic', body }, { signal });
    } catch (error) {
      if (!isReason(error, 'NotFound', 'Invalid')) throw error;
    }
  };
  if (claims.adopt.length > 0 && (await isSuperseded(client, kind, owner, signal))) return;
  for (const object of claims.adopt) await write(object, { ownerReferences: [controllerReference(owner, kind)] });
  for (const object of claims.release) {
    await write(object, { ownerReferences: [{ $patch: 'delete', uid: owner.metadata.uid }] });
  }
}

/** Before anything is adopted the owner is read again: one that is gone, remade or going must adopt nothing. */
async function isSuperseded(client: Client, kind: OwnerKind, owner: KubeObject, signal: AbortSignal): Promise<boolean> {
  const resources = {
    ReplicaSet: 'replicasets.apps',
    ReplicationController: 'replicationcontrollers',
    Deployment: 'deployments.apps',
    DaemonSet: 'daemonsets.apps',
    StatefulSet: 'statefulsets.apps',
    Job: 'jobs.batch',
  } as const;
  const resource = resources[kind.kind as keyof typeof resources];
  try {
    const { namespace, name } = owner.metadata;
    const fresh: KubeObject = await client.resource(resource).get({ namespace, name }, signal);
    return fresh.metadata.uid !== owner.metadata.uid || fresh.metadata.deletionTimestamp !== undefined;
  } catch (error) {
    if (isReason(error, 'NotFound')) return true;
    throw error;
  }
}

/** A pod of the template, owned by `owner`, named after it. */
export function podFromTemplate(kind: OwnerKind, owner: KubeObject, template: PodTemplateSpec): Pod {
  const { labels, annotations, finalizers } = template.metadata ?? {};
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: '',
      // A prefix longer than 58 bytes is cut when the name is generated.
      generateName: `${owner.metadata.name}-`,
      namespace: owner.metadata.namespace!,
      ...(labels && { labels }),
      ...(annotations && { annotations }),
      ...(finalizers && { finalizers }),
      ownerReferences: [controllerReference(owner, kind)],
    },
    spec: template.spec!,
  };
}
