// ReplicaSet and ReplicationController: keep this many pods of this template (kubernetes.io/docs, "ReplicaSet").
import { isDeepStrictEqual } from 'node:util';
import type { ObjectMeta, Pod, PodTemplateSpec, ReplicaSet, ReplicationController } from '../api/generated/types.ts';
import { draft, keyOf } from '../api/object.ts';
import { Expectations } from '../client/expectations.ts';
import { rfc3339 } from '../lib/clock.ts';
import { controllerOf } from '../machinery/meta.ts';
import { isPodActive, isPodReady, podCondition } from '../machinery/pods.ts';
import type { Selector } from '../machinery/selector.ts';
import { labelSelectorFromObject } from '../machinery/selector-parse.ts';
import { isReason } from '../machinery/status.ts';
import { createPods, deletePods, messageOf } from './pod-control.ts';
import { byController, claim, decideClaims, ORPHANS, ownerKeys, podFromTemplate } from './pod-ownership.ts';
import { type Controller, type ControllerContext, type Requeue, watch } from './runtime.ts';

/** At most this many pods are created or deleted in one reconcile, as upstream's BurstReplicas. */
export const BURST_REPLICAS = 500;

/** What differs between the two kinds that replicate a template. */
interface ReplicatingKind {
  readonly name: string;
  readonly resource: 'replicasets.apps' | 'replicationcontrollers';
  readonly apiVersion: string;
  readonly kind: string;
  selector(object: Replicating): Selector;
}

type Replicating = ReplicaSet | ReplicationController;
type Condition = NonNullable<NonNullable<ReplicaSet['status']>['conditions']>[number];

export interface ReplicaDecision {
  /** How many pods to make; never together with `remove`. */
  readonly create: number;
  readonly remove: readonly Pod[];
  /** A pod becomes available after this time, in milliseconds. */
  readonly availableInMs: number | undefined;
}

/** What to do about the number of pods. `pods` are the ones that the object controls; `nowMs` is wall time. */
export function decideReplicas(object: Replicating, pods: readonly Pod[], nowMs: number): ReplicaDecision {
  const active = pods.filter(isPodActive);
  const wanted = object.spec?.replicas ?? 1;
  const difference = Math.max(-BURST_REPLICAS, Math.min(BURST_REPLICAS, wanted - active.length));
  const deleting = object.metadata.deletionTimestamp !== undefined;
  return {
    create: deleting ? 0 : Math.max(0, difference),
    remove: deleting || difference >= 0 ? [] : rankForDeletion(active, nowMs).slice(0, -difference),
    availableInMs: nextAvailability(object, active, nowMs),
  };
}

const PHASE_ORDER: Record<string, number> = { Pending: 0, Unknown: 1, Running: 2 };

/**
 * Pods in the order in which they go: unscheduled, pending, not ready, of low deletion cost, crowded on one node, ready for
 * the shortest time, restarted most, youngest.
 */
export function rankForDeletion(pods: readonly Pod[], nowMs: number): readonly Pod[] {
  const onNode = new Map<string, number>();
  for (const pod of pods) {
    const node = pod.spec.nodeName ?? '';
    onNode.set(node, (onNode.get(node) ?? 0) + 1);
  }
  const rank = (pod: Pod): readonly number[] => {
    const ready = isPodReady(pod);
    const age = (text: string | undefined): number => logarithmicAge(nowMs - Date.parse(text ?? rfc3339(nowMs)));
    return [
      pod.spec.nodeName ? 1 : 0,
      PHASE_ORDER[pod.status?.phase ?? 'Pending'] ?? 0,
      ready ? 1 : 0,
      Number(pod.metadata.annotations?.['controller.kubernetes.io/pod-deletion-cost'] ?? 0) || 0,
      -(onNode.get(pod.spec.nodeName ?? '') ?? 0),
      ready ? age(podCondition(pod, 'Ready')?.lastTransitionTime) : 0,
      -restarts(pod),
      age(pod.metadata.creationTimestamp),
    ];
  };
  const ranked = pods.map((pod) => ({ pod, rank: rank(pod) }));
  ranked.sort(
    (a, b) => compareRanks(a.rank, b.rank) || ((a.pod.metadata.uid ?? '') < (b.pod.metadata.uid ?? '') ? -1 : 1),
  );
  return ranked.map((r) => r.pod);
}

/** Ages that differ little count as equal, so that which of them goes is as good as random (KEP-2185). */
function logarithmicAge(ms: number): number {
  return ms <= 0 ? 0 : Math.floor(Math.log2(ms / 1000 + 1));
}

function compareRanks(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return 0;
}

function restarts(pod: Pod): number {
  return Math.max(0, ...(pod.status?.containerStatuses ?? []).map((s) => s.restartCount));
}

function availableAtMs(object: Replicating, pod: Pod): number {
  const since = isPodReady(pod) ? podCondition(pod, 'Ready')?.lastTransitionTime : undefined;
  return since === undefined
    ? Number.POSITIVE_INFINITY
    : Date.parse(since) + (object.spec?.minReadySeconds ?? 0) * 1000;
}

function nextAvailability(object: Replicating, pods: readonly Pod[], nowMs: number): number | undefined {
  const waits = pods.map((pod) => availableAtMs(object, pod) - nowMs).filter((ms) => ms > 0 && Number.isFinite(ms));
  return waits.length === 0 ? undefined : Math.min(...waits);
}

/** The status that the pods show. `failure` is what went wrong while managing them just now. */
export function replicaStatus(
  object: Replicating,
  pods: readonly Pod[],
  failure: { reason: string; message: string } | undefined,
  nowMs: number,
): NonNullable<ReplicaSet['status']> {
  const active = pods.filter(isPodActive);
  const template = Object.entries(object.spec?.template?.metadata?.labels ?? {});
  const labelled = active.filter((pod) => template.every(([key, value]) => pod.metadata.labels?.[key] === value));
  return {
    replicas: active.length,
    fullyLabeledReplicas: labelled.length,
    readyReplicas: active.filter(isPodReady).length,
    availableReplicas: active.filter((pod) => availableAtMs(object, pod) <= nowMs).length,
    ...(object.metadata.generation !== undefined && { observedGeneration: object.metadata.generation }),
    ...conditionsAfter(object, failure, nowMs),
  };
}

function conditionsAfter(
  object: Replicating,
  failure: { reason: string; message: string } | undefined,
  nowMs: number,
): { conditions?: readonly Condition[] } {
  const existing = (object.status?.conditions ?? []) as readonly Condition[];
  const others = existing.filter((c) => c.type !== 'ReplicaFailure');
  if (!failure) return others.length > 0 ? { conditions: others } : {};
  const before = existing.find((c) => c.type === 'ReplicaFailure');
  // The message names the pod that was refused, another one each time: it alone is no news, or status and look would chase each other.
  if (before?.status === 'True' && before.reason === failure.reason) return { conditions: existing };
  const lastTransitionTime = before?.lastTransitionTime ?? rfc3339(nowMs);
  return { conditions: [...others, { type: 'ReplicaFailure', status: 'True', ...failure, lastTransitionTime }] };
}

/** True when the stored status says the same already. */
export function sameStatus(stored: unknown, wanted: object): boolean {
  const have = (stored ?? {}) as Record<string, unknown>;
  const keys = new Set([...Object.keys(have), ...Object.keys(wanted)]);
  const want = wanted as Record<string, unknown>;
  return [...keys].every((key) => isDeepStrictEqual(have[key] ?? 0, want[key] ?? 0));
}

export function replicaSetController(): Controller {
  return replicating({
    name: 'replicaset-controller',
    resource: 'replicasets.apps',
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    selector: (object) => labelSelectorFromObject((object as ReplicaSet).spec.selector),
  });
}

export function replicationController(): Controller {
  return replicating({
    name: 'replication-controller',
    resource: 'replicationcontrollers',
    apiVersion: 'v1',
    kind: 'ReplicationController',
    selector: (object) => {
      const labels = (object as ReplicationController).spec.selector;
      return labelSelectorFromObject(labels && { matchLabels: labels });
    },
  });
}

function replicating(kind: ReplicatingKind): Controller {
  let expectations: Expectations<Pod> | undefined;
  return {
    name: kind.name,
    watches: (ctx) => {
      expectations = new Expectations(ctx.env.clock, ctx.informers.for('pods'));
      const owners = ctx.informers.for(kind.resource);
      return [
        watch(kind.resource, { keys: (object) => [keyOf(object)] }),
        watch('pods', {
          indexes: byController,
          keys: (pod, previous) => [
            ...ownerKeys(kind.kind, pod, previous),
            ...(controllerOf(pod)
              ? []
              : (owners.list(pod.metadata.namespace) as readonly Replicating[])
                  .filter((owner) => kind.selector(owner).matches(pod.metadata.labels))
                  .map(keyOf)),
          ],
        }),
      ];
    },
    reconcile: (ctx, key, signal) => reconcile(kind, ctx, key, expectations!, signal),
  };
}

async function reconcile(
  kind: ReplicatingKind,
  ctx: ControllerContext,
  key: string,
  expectations: Expectations<Pod>,
  signal: AbortSignal,
): Promise<Requeue | undefined> {
  const object = ctx.informers.for(kind.resource).get(key) as Replicating | undefined;
  if (!object) {
    expectations.forget(key);
    return undefined;
  }
  const informer = ctx.informers.for('pods');
  const owned = informer.byIndex('controller', object.metadata.uid!);
  const orphans = informer.byIndex(ORPHANS, object.metadata.namespace ?? '');
  const claims = decideClaims(object, kind.selector(object), owned, orphans);
  await claim(ctx.client, kind, object, claims, signal);
  const pods = [...claims.kept, ...claims.adopt];
  const nowMs = ctx.env.clock.now();
  const decision = decideReplicas(object, pods, nowMs);
  const control = { ctx, owner: object, expectations, signal };
  let failure: { reason: string; message: string } | undefined;
  let thrown: unknown;
  if (expectations.satisfied(key)) {
    try {
      const pod = podFromTemplate(kind, object, object.spec?.template as PodTemplateSpec);
      await createPods(control, new Array<Pod>(decision.create).fill(pod));
    } catch (error) {
      thrown = error;
      failure = { reason: 'FailedCreate', message: messageOf(error) };
    }
    try {
      await deletePods(control, decision.remove);
    } catch (error) {
      thrown = error;
      failure = { reason: 'FailedDelete', message: messageOf(error) };
    }
  }
  await writeStatus(kind, ctx, object, replicaStatus(object, pods, failure, nowMs), signal);
  if (thrown !== undefined) throw thrown;
  return decision.availableInMs === undefined ? undefined : { requeueAfterMs: decision.availableInMs };
}

async function writeStatus(
  kind: ReplicatingKind,
  ctx: ControllerContext,
  object: Replicating,
  status: NonNullable<ReplicaSet['status']>,
  signal: AbortSignal,
): Promise<void> {
  if (sameStatus(object.status, status)) return;
  const changed = { ...draft<{ metadata: ObjectMeta }>(object), status } as ReplicaSet & ReplicationController;
  try {
    await ctx.client.resource(kind.resource).update(changed, { subresource: 'status', signal });
  } catch (error) {
    if (!isReason(error, 'NotFound')) throw error;
  }
}
