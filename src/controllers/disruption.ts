// PodDisruptionBudget: how many of the selected pods may be disrupted now (policy/v1). Evictions spend what is allowed.
import type { Pod, PodDisruptionBudget } from '../api/generated/types.ts';
import { draft, keyOf } from '../api/object.ts';
import type { Informers } from '../client/contract.ts';
import { controllerOf, isTerminating, setCondition } from '../machinery/meta.ts';
import { scaledCount } from '../machinery/percent.ts';
import { isPodReady } from '../machinery/pods.ts';
import type { Selector } from '../machinery/selector.ts';
import { labelSelectorFromObject, NOTHING } from '../machinery/selector-parse.ts';
import { isReason } from '../machinery/status.ts';
import { messageOf } from './pod-control.ts';
import { sameStatus } from './replica-set.ts';
import { type Controller, type ControllerContext, type Requeue, watch } from './runtime.ts';

/** An evicted pod that is not deleted by then counts again, as upstream's DeletionTimeout. */
const DELETION_TIMEOUT_MS = 2 * 60_000;

type BudgetStatus = NonNullable<PodDisruptionBudget['status']>;

/** What manages pods, and how many it wants. */
export interface Scale {
  readonly uid: string;
  readonly replicas: number;
}

export interface BudgetSnapshot {
  readonly budget: PodDisruptionBudget;
  /** The pods that its selector matches. */
  readonly pods: readonly Pod[];
  /** What manages a pod; undefined when nothing does. Throws when that cannot be found out. */
  readonly scaleOf: (pod: Pod) => Scale | undefined;
  readonly nowMs: number;
}

export interface BudgetDecision {
  readonly status: BudgetStatus;
  /** Evicted pods that are still there after the time that they had. */
  readonly notDeleted: readonly Pod[];
  /** Managed by nothing, though the budget is relative to what manages its pods. */
  readonly unmanaged: readonly Pod[];
  readonly againMs: number | undefined;
}

const budgetSelector = ({ spec }: PodDisruptionBudget): Selector =>
  spec.selector ? labelSelectorFromObject(spec.selector) : NOTHING;

/** Throws when the budget is relative and the scale of a pod's owner is unknown. */
export function decideBudget(snapshot: BudgetSnapshot): BudgetDecision {
  const { budget, pods, nowMs } = snapshot;
  const { expectedPods, desiredHealthy, unmanaged } = expectationsOf(snapshot);
  const { disrupted, notDeleted, againMs } = disruptions(snapshot);
  const healthy = pods.filter((pod) => !isTerminating(pod) && !(pod.metadata.name in disrupted) && isPodReady(pod));
  const currentHealthy = healthy.length;
  const disruptionsAllowed = expectedPods > 0 ? Math.max(0, currentHealthy - desiredHealthy) : 0;
  const allowed = disruptionsAllowed > 0;
  const status = withAllowed(
    { ...budget.status, disruptedPods: disrupted, currentHealthy, desiredHealthy, expectedPods, disruptionsAllowed },
    budget,
    { allowed, reason: allowed ? 'SufficientPods' : 'InsufficientPods', message: '' },
    nowMs,
  );
  return { status, notDeleted, unmanaged, againMs };
}

function withAllowed(
  status: BudgetStatus,
  budget: PodDisruptionBudget,
  { allowed, reason, message }: { allowed: boolean; reason: string; message: string },
  nowMs: number,
): BudgetStatus {
  const observedGeneration = budget.metadata.generation ?? 0;
  const condition = {
    type: 'DisruptionAllowed',
    status: allowed ? ('True' as const) : ('False' as const),
    reason,
    message,
    observedGeneration,
  };
  return { ...status, observedGeneration, conditions: setCondition(status.conditions, condition, nowMs) };
}

/** Nothing may be disrupted while the budget cannot be worked out. */
export function failSafe(budget: PodDisruptionBudget, message: string, nowMs: number): BudgetStatus {
  const status = { ...budget.status, disruptionsAllowed: 0 };
  return withAllowed(status, budget, { allowed: false, reason: 'SyncFailed', message }, nowMs);
}

function expectationsOf({ budget, pods, scaleOf }: BudgetSnapshot): {
  expectedPods: number;
  desiredHealthy: number;
  unmanaged: readonly Pod[];
} {
  const { minAvailable, maxUnavailable } = budget.spec;
  if (maxUnavailable === undefined && typeof minAvailable === 'number') {
    return { expectedPods: pods.length, desiredHealthy: minAvailable, unmanaged: [] };
  }
  if (maxUnavailable === undefined && minAvailable === undefined) {
    return { expectedPods: 0, desiredHealthy: 0, unmanaged: [] };
  }
  const scales = new Map<string, number>();
  const unmanaged: Pod[] = [];
  for (const pod of pods) {
    const scale = scaleOf(pod);
    if (scale) scales.set(scale.uid, scale.replicas);
    else unmanaged.push(pod);
  }
  const expectedPods = [...scales.values()].reduce((sum, replicas) => sum + replicas, 0);
  const desiredHealthy =
    maxUnavailable === undefined
      ? scaledCount(minAvailable!, expectedPods, 'up')
      : Math.max(0, expectedPods - scaledCount(maxUnavailable, expectedPods, 'up'));
  return { expectedPods, desiredHealthy, unmanaged };
}

/** Evictions that are on their way: the pods are there yet, and their time is not over. */
function disruptions({ budget, pods, nowMs }: BudgetSnapshot): {
  disrupted: { [podName: string]: string };
  notDeleted: readonly Pod[];
  againMs: number | undefined;
} {
  const disrupted: { [podName: string]: string } = {};
  const notDeleted: Pod[] = [];
  let againMs: number | undefined;
  for (const pod of pods) {
    const since = budget.status?.disruptedPods?.[pod.metadata.name];
    if (since === undefined || isTerminating(pod)) continue;
    const leftMs = Date.parse(since) + DELETION_TIMEOUT_MS - nowMs;
    if (leftMs <= 0) {
      notDeleted.push(pod);
      continue;
    }
    disrupted[pod.metadata.name] = since;
    againMs = Math.min(againMs ?? leftMs, leftMs);
  }
  return { disrupted, notDeleted, againMs };
}

const OWNERS = {
  ReplicaSet: ['apps', 'replicasets.apps'],
  StatefulSet: ['apps', 'statefulsets.apps'],
  ReplicationController: ['', 'replicationcontrollers'],
  Deployment: ['apps', 'deployments.apps'],
} as const;

/** The scale of what manages the pod: its controller, or the Deployment above its ReplicaSet. */
function scaleFrom(informers: Informers, pod: Pod): Scale | undefined {
  const owner = controllerOf(pod);
  if (!owner) return undefined;
  let reference = owner;
  for (;;) {
    const [group, resource] = OWNERS[reference.kind as keyof typeof OWNERS] ?? [];
    const ownGroup = reference.apiVersion.includes('/') ? reference.apiVersion.split('/')[0] : '';
    if (resource === undefined || group !== ownGroup) {
      throw new Error(`${reference.apiVersion} ${reference.kind} does not implement the scale subresource`);
    }
    const object = informers.for(resource).get(`${pod.metadata.namespace}/${reference.name}`);
    if (object?.metadata.uid !== reference.uid) throw new Error(`found no controllers for pod "${pod.metadata.name}"`);
    const above = reference.kind === 'ReplicaSet' ? controllerOf(object!) : undefined;
    if (above?.kind !== 'Deployment') {
      return { uid: reference.uid, replicas: (object!.spec as { replicas?: number }).replicas ?? 1 };
    }
    reference = above;
  }
}

export function disruptionController(): Controller {
  return {
    name: 'disruption-controller',
    eventSource: 'controllermanager',
    watches: (ctx) => {
      const budgets = ctx.informers.for('poddisruptionbudgets.policy');
      const matching = (pod: Pod): readonly string[] =>
        budgets
          .list(pod.metadata.namespace)
          .filter((budget) => budgetSelector(budget).matches(pod.metadata.labels))
          .map(keyOf);
      return [
        watch('poddisruptionbudgets.policy', { keys: (budget) => [keyOf(budget)] }),
        watch('pods', {
          keys: (pod, previous) => new Set([...matching(pod), ...(previous ? matching(previous) : [])]),
        }),
        watch('replicasets.apps'),
        watch('deployments.apps'),
        watch('statefulsets.apps'),
        watch('replicationcontrollers'),
      ];
    },
    reconcile,
  };
}

const UNMANAGED =
  'As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. ' +
  'To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.';

async function reconcile(ctx: ControllerContext, key: string, signal: AbortSignal): Promise<Requeue | undefined> {
  const budget = ctx.informers.for('poddisruptionbudgets.policy').get(key);
  if (!budget || isTerminating(budget)) return undefined;
  const selector = budgetSelector(budget);
  const inNamespace = ctx.informers.for('pods').list(budget.metadata.namespace);
  const pods = inNamespace.filter((pod) => selector.matches(pod.metadata.labels));
  const nowMs = ctx.env.clock.now();
  if (pods.length === 0) ctx.events.event(budget, 'Normal', 'NoPods', 'No matching pods found');
  const snapshot = { budget, pods, nowMs, scaleOf: (pod: Pod) => scaleFrom(ctx.informers, pod) };
  let decision: BudgetDecision;
  try {
    decision = decideBudget(snapshot);
  } catch (error) {
    const message = `Failed to calculate the number of expected pods: ${messageOf(error)}`;
    ctx.events.event(budget, 'Warning', 'CalculateExpectedPodCountFailed', message);
    await writeStatus(ctx, budget, failSafe(budget, messageOf(error), nowMs), signal);
    throw error;
  }
  for (const pod of decision.notDeleted) {
    const message = `Pod was expected by PDB ${key} to be deleted but it wasn't`;
    ctx.events.event(pod, 'Warning', 'NotDeleted', message);
  }
  if (decision.unmanaged.length > 0) {
    const found = `Pods selected by this PodDisruptionBudget (selector: ${selector}) were found to be unmanaged.`;
    ctx.events.event(budget, 'Warning', 'UnmanagedPods', `${found} ${UNMANAGED}`);
  }
  await writeStatus(ctx, budget, decision.status, signal);
  return decision.againMs === undefined ? undefined : { requeueAfterMs: decision.againMs };
}

async function writeStatus(
  ctx: ControllerContext,
  budget: PodDisruptionBudget,
  status: BudgetStatus,
  signal: AbortSignal,
): Promise<void> {
  const none = (found: BudgetStatus | undefined): object => ({ ...found, disruptedPods: found?.disruptedPods ?? {} });
  if (sameStatus(none(budget.status), none(status))) return;
  const changed = { ...draft(budget), status } as PodDisruptionBudget;
  try {
    await ctx.client.resource('poddisruptionbudgets.policy').update(changed, { subresource: 'status', signal });
  } catch (error) {
    if (!isReason(error, 'NotFound')) throw error;
  }
}
