// StatefulSet: pods with a name, an order and storage of their own (kubernetes.io/docs, "StatefulSet").
import type { PersistentVolumeClaim, Pod, StatefulSet } from '../api/generated/types.ts';
import { draft, keyOf } from '../api/object.ts';
import { Expectations } from '../client/expectations.ts';
import { controllerOf, isTerminating } from '../machinery/meta.ts';
import { labelSelectorFromObject } from '../machinery/selector-parse.ts';
import { isReason } from '../machinery/status.ts';
import {
  deleteRevisions,
  type History,
  ownedRevisions,
  REVISION_HASH,
  revisionTemplate,
  surplusRevisions,
  syncHistory,
  watchRevisions,
} from './controller-history.ts';
import { messageOf } from './pod-control.ts';
import { byController, claim, decideClaims, ORPHANS, ownerKeys } from './pod-ownership.ts';
import { sameStatus } from './replica-set.ts';
import { type Controller, type ControllerContext, type Requeue, watch } from './runtime.ts';
import { decideStatefulPods, type StatefulSnapshot, statefulStatus, untilAvailableMs } from './stateful-decision.ts';
import {
  claimOwners,
  claimsOf,
  identityLabels,
  isStale,
  ordinalOf,
  STATEFUL_SET,
  statefulPod,
} from './stateful-identity.ts';

/** The label of a revision that carries its hash. */
const HASH_LABEL = 'controller.kubernetes.io/hash';

export function statefulSetController(): Controller {
  let expectations: Expectations<Pod> | undefined;
  return {
    name: 'statefulset-controller',
    watches: (ctx) => {
      expectations = new Expectations(ctx.env.clock, ctx.informers.for('pods'));
      const sets = ctx.informers.for('statefulsets.apps');
      return [
        watch('statefulsets.apps', { keys: (set) => [keyOf(set)] }),
        watch('pods', {
          indexes: byController,
          keys: (pod, previous) => [
            ...ownerKeys('StatefulSet', pod, previous),
            ...(controllerOf(pod)
              ? []
              : sets
                  .list(pod.metadata.namespace)
                  .filter((set) => labelSelectorFromObject(set.spec.selector).matches(pod.metadata.labels))
                  .map(keyOf)),
          ],
        }),
        watch('persistentvolumeclaims'),
        watchRevisions((revision, previous) => [...ownerKeys('StatefulSet', revision, previous)]),
      ];
    },
    reconcile: (ctx, key, signal) => reconcile(ctx, key, expectations!, signal),
  };
}

interface Acting {
  readonly ctx: ControllerContext;
  readonly set: StatefulSet;
  readonly expectations: Expectations<Pod>;
  readonly signal: AbortSignal;
}

async function reconcile(
  ctx: ControllerContext,
  key: string,
  expectations: Expectations<Pod>,
  signal: AbortSignal,
): Promise<Requeue | undefined> {
  const set = ctx.informers.for('statefulsets.apps').get(key);
  if (!set) {
    expectations.forget(key);
    return undefined;
  }
  // The history may be gone already, so nothing can be said about it any more.
  if (isTerminating(set)) return undefined;
  const selector = labelSelectorFromObject(set.spec.selector);
  const owner = {
    object: set,
    kind: STATEFUL_SET,
    selector,
    template: set.spec.template,
    collisionCount: set.status?.collisionCount || undefined,
    hashLabel: HASH_LABEL,
  };
  const history = await syncHistory(ctx, owner, await ownedRevisions(ctx, owner, signal), signal);
  const pods = await claimedPods(ctx, set, signal);
  const current = [history.current, ...history.old].find((one) => one.metadata.name === set.status?.currentRevision);
  const snapshot: StatefulSnapshot = {
    set,
    pods,
    currentRevision: (current ?? history.current).metadata.name,
    updateRevision: history.current.metadata.name,
    nowMs: ctx.env.clock.now(),
  };
  let thrown: unknown;
  if (expectations.satisfied(key)) {
    try {
      await act({ ctx, set, expectations, signal }, snapshot, history);
    } catch (error) {
      thrown = error;
    }
  }
  await writeStatus(ctx, set, statefulStatus(snapshot, history.collisionCount), signal);
  if (thrown !== undefined) throw thrown;
  await truncateHistory(ctx, snapshot, history, signal);
  const requeueAfterMs = untilAvailableMs(snapshot);
  return requeueAfterMs === undefined ? undefined : { requeueAfterMs };
}

/** The pods that it controls. A pod of another name is never adopted, whatever its labels. */
async function claimedPods(ctx: ControllerContext, set: StatefulSet, signal: AbortSignal): Promise<readonly Pod[]> {
  const informer = ctx.informers.for('pods');
  const owned = informer.byIndex('controller', set.metadata.uid!);
  const orphans = informer
    .byIndex(ORPHANS, set.metadata.namespace ?? '')
    .filter((pod) => ordinalOf(set, pod) !== undefined);
  const claims = decideClaims(set, labelSelectorFromObject(set.spec.selector), owned, orphans);
  await claim(ctx.client, STATEFUL_SET, set, claims, signal);
  return [...claims.kept, ...claims.adopt];
}

async function act(acting: Acting, snapshot: StatefulSnapshot, history: History): Promise<void> {
  const { set } = acting;
  const { create, remove, repair, claims } = decideStatefulPods(snapshot);
  const templates = new Map([history.current, ...history.old].map((one) => [one.metadata.name, one]));
  for (const pod of claims) await syncClaims(acting, ordinalOf(set, pod)!, pod);
  for (const pod of repair) await repairIdentity(acting, pod);
  for (const { ordinal, revision } of create) {
    const template =
      revision === snapshot.updateRevision ? set.spec.template : revisionTemplate(templates.get(revision)!);
    await createPod(acting, ordinal, statefulPod(set, ordinal, { template, revision }));
  }
  for (const pod of remove) await deletePod(acting, pod);
}

function record({ ctx, set }: Acting, verb: 'Create' | 'Update' | 'Delete', pod: Pod, error?: unknown): void {
  const what = `${verb.toLowerCase()} Pod ${pod.metadata.name} in StatefulSet ${set.metadata.name}`;
  if (error === undefined) ctx.events.event(set, 'Normal', `Successful${verb}`, `${what} successful`);
  else ctx.events.event(set, 'Warning', `Failed${verb}`, `${what} failed error: ${messageOf(error)}`);
}

async function createPod(acting: Acting, ordinal: number, pod: Pod): Promise<void> {
  const { ctx, set, expectations, signal } = acting;
  const informer = ctx.informers.for('persistentvolumeclaims');
  for (const wanted of claimsOf(set, ordinal)) {
    const claim = informer.get(keyOf(wanted));
    // A claim that goes with an earlier pod of this name is waited for: the next pod gets a new one.
    if (claim && isStale(claim, pod.metadata.name)) throw new Error(`pvc ${claim.metadata.name} is being deleted`);
  }
  try {
    await syncClaims(acting, ordinal, undefined);
    const created = await ctx.client.resource('pods').create(pod, { signal });
    expectations.wrote(keyOf(set), created);
  } catch (error) {
    if (!isReason(error, 'AlreadyExists')) record(acting, 'Create', pod, error);
    throw error;
  }
  record(acting, 'Create', pod);
}

async function deletePod(acting: Acting, pod: Pod): Promise<void> {
  const { ctx, set, expectations, signal } = acting;
  const { namespace, name, uid } = pod.metadata;
  try {
    await ctx.client.resource('pods').delete({ namespace, name }, { preconditions: { uid: uid! }, signal });
    expectations.deleting(keyOf(set), pod);
    record(acting, 'Delete', pod);
  } catch (error) {
    // Gone, or made anew: the cache will show it.
    if (isReason(error, 'NotFound', 'Conflict')) return;
    record(acting, 'Delete', pod, error);
    throw error;
  }
}

async function repairIdentity(acting: Acting, pod: Pod): Promise<void> {
  const { ctx, set, signal } = acting;
  const { namespace, name, resourceVersion } = pod.metadata;
  const body = { metadata: { resourceVersion, labels: identityLabels(set, ordinalOf(set, pod)!) } };
  try {
    await ctx.client.resource('pods').patch({ namespace, name }, { type: 'merge', body }, { signal });
    record(acting, 'Update', pod);
  } catch (error) {
    record(acting, 'Update', pod, error);
    throw error;
  }
}

/** Makes the claims that an ordinal lacks, and gives those that there are the owners that the policy wants. */
async function syncClaims(acting: Acting, ordinal: number, pod: Pod | undefined): Promise<void> {
  const { ctx, set, signal } = acting;
  const claims = ctx.client.resource('persistentvolumeclaims');
  const informer = ctx.informers.for('persistentvolumeclaims');
  for (const wanted of claimsOf(set, ordinal)) {
    const present = informer.get(keyOf(wanted));
    if (!present) {
      await createClaim(acting, ordinal, wanted);
      continue;
    }
    if (isTerminating(present)) {
      if (pod) continue;
      throw new Error(`pvc ${present.metadata.name} is being deleted`);
    }
    const ownerReferences = claimOwners(set, ordinal, pod, present);
    if (!ownerReferences) continue;
    await claims.update({ ...present, metadata: { ...present.metadata, ownerReferences } }, { signal });
  }
}

async function createClaim(acting: Acting, ordinal: number, wanted: PersistentVolumeClaim): Promise<void> {
  const { ctx, set, signal } = acting;
  const ownerReferences = claimOwners(set, ordinal, undefined, wanted);
  const metadata = { ...wanted.metadata, ...(ownerReferences && { ownerReferences }) };
  const { name } = wanted.metadata;
  const where = `Pod ${set.metadata.name}-${ordinal} in StatefulSet ${set.metadata.name}`;
  try {
    await ctx.client.resource('persistentvolumeclaims').create({ ...wanted, metadata }, { signal });
    ctx.events.event(set, 'Normal', 'SuccessfulCreate', `create Claim ${name} ${where} success`);
  } catch (error) {
    // Made by an earlier reconcile, and not in the cache yet.
    if (isReason(error, 'AlreadyExists')) return;
    const message = `create Claim ${name} for ${where} failed error: ${messageOf(error)}`;
    ctx.events.event(set, 'Warning', 'FailedCreate', message);
    throw error;
  }
}

/** Revisions that neither a pod nor the set uses go beyond the limit, the oldest first. */
async function truncateHistory(
  ctx: ControllerContext,
  { set, pods, currentRevision }: StatefulSnapshot,
  { old, duplicates }: History,
  signal: AbortSignal,
): Promise<void> {
  const live = new Set([currentRevision, ...pods.map((pod) => pod.metadata.labels?.[REVISION_HASH])]);
  const unused = [...old, ...duplicates].filter((revision) => !live.has(revision.metadata.name));
  await deleteRevisions(ctx, surplusRevisions(unused, unused.length, set.spec.revisionHistoryLimit), signal);
}

async function writeStatus(
  ctx: ControllerContext,
  set: StatefulSet,
  status: NonNullable<StatefulSet['status']>,
  signal: AbortSignal,
): Promise<void> {
  if (sameStatus(set.status, status)) return;
  const changed = { ...draft(set), status } as StatefulSet;
  try {
    await ctx.client.resource('statefulsets.apps').update(changed, { subresource: 'status', signal });
  } catch (error) {
    if (!isReason(error, 'NotFound')) throw error;
  }
}
