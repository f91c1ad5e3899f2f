// pods/eviction: a delete that a PodDisruptionBudget may refuse.
import type { Eviction, Pod, PodDisruptionBudget } from '../../api/generated/types.ts';
import { cloneJson } from '../../api/json.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import { rfc3339 } from '../../lib/clock.ts';
import { isPlanted } from '../../lib/planted.ts';
import { setCondition } from '../../machinery/meta.ts';
import { isPodReady, isTerminal } from '../../machinery/pods.ts';
import { labelSelectorFromObject } from '../../machinery/selector-parse.ts';
import { badRequest, forbidden, isReason, StatusError } from '../../machinery/status.ts';
import { admit, reviewAdmission } from '../admission/admit.ts';
import type { DeleteOptions, RequestContext, Target, WriteOptions } from '../contract.ts';
import { type Change, change } from './change.ts';
import { builtIn, type Core, cacheOf } from './context.ts';
import { checkPreconditions, remove } from './delete.ts';
import { get } from './get.ts';
import { success } from './plain-answers.ts';

/** Evictions that the disruption controller has not confirmed yet; more are refused. */
export const MAX_DISRUPTED_PODS = 2000;
const BUDGETS = { group: 'policy', resource: 'poddisruptionbudgets' };
const VIOLATES = "Cannot evict pod as it would violate the pod's disruption budget.";
/** Tries against other changes of a pending pod. */
const MAX_EVICTION_TRIES = 20;

export async function evictPod(
  core: Core,
  ctx: RequestContext,
  target: Target,
  body: KubeObject,
  options: WriteOptions,
): Promise<KubeObject> {
  const eviction = body as Eviction;
  const name = target.name ?? '';
  if (eviction.metadata?.name !== name) throw badRequest('name in URL does not match name in Eviction object');
  const wish = deleteWish(eviction, options);
  const dryRun = wish.dryRun === true;
  const admission = { operation: 'CREATE' as const, target, row: target.resource, old: undefined, dryRun };
  await admit(core, ctx, admission, eviction as Draft<KubeObject>);
  await reviewAdmission(core, ctx, admission, eviction);
  const pods: Target = { resource: target.resource, name, ...(target.namespace && { namespace: target.namespace }) };
  for (let tries = 1; ; tries++) {
    const pod = (await get(core, ctx, pods, {})).object as Pod;
    if (!ignoresBudgets(pod)) {
      await evictWithBudget(core, ctx, pods, pod, wish);
      return success();
    }
    try {
      // A pending pod might become ready meanwhile, and count: it is deleted only as it was seen.
      const exact = isTerminal(pod) || pod.metadata.deletionTimestamp ? wish : atRevision(wish, pod);
      await removeMarked(core, ctx, pods, exact);
      return success();
    } catch (error) {
      const final = wish.preconditions?.resourceVersion !== undefined || tries === MAX_EVICTION_TRIES;
      if (final || !isReason(error, 'Conflict')) throw error;
    }
  }
}

function deleteWish(eviction: Eviction, options: WriteOptions): DeleteOptions {
  const sent = eviction.deleteOptions;
  const dryRun = options.dryRun === true || (sent?.dryRun ?? []).includes('All');
  const policy = sent?.propagationPolicy as DeleteOptions['propagationPolicy'];
  return {
    dryRun,
    ...(sent?.gracePeriodSeconds !== undefined && { gracePeriodSeconds: Number(sent.gracePeriodSeconds) }),
    ...(sent?.preconditions && { preconditions: sent.preconditions }),
    ...(policy !== undefined && { propagationPolicy: policy }),
  };
}

const atRevision = (wish: DeleteOptions, pod: Pod): DeleteOptions => ({
  ...wish,
  preconditions: { resourceVersion: pod.metadata.resourceVersion!, ...wish.preconditions },
});

/** A pod that does not run, or is on its way out, disrupts nothing when it goes. */
function ignoresBudgets(pod: Pod): boolean {
  return isTerminal(pod) || pod.status?.phase === 'Pending' || pod.metadata.deletionTimestamp !== undefined;
}

async function evictWithBudget(
  core: Core,
  ctx: RequestContext,
  pods: Target,
  pod: Pod,
  wish: DeleteOptions,
): Promise<void> {
  const budgets = budgetsOf(core, pod);
  if (budgets.length > 1) {
    const text = 'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.';
    throw new StatusError('InternalError', text);
  }
  const budget = isPlanted('ignore-budget') ? undefined : budgets[0];
  let exact = wish;
  if (budget) {
    if (uncounted(pod, budget)) exact = atRevision(wish, pod);
    else await spendDisruption(core, ctx, budget, pod, wish.dryRun === true);
  }
  try {
    await removeMarked(core, ctx, pods, exact);
  } catch (error) {
    const ours = exact !== wish && wish.preconditions?.resourceVersion === undefined;
    if (budget && ours && isReason(error, 'Conflict')) throw beingProcessed(budget.metadata.name);
    throw error;
  }
}

/** The pod says why it goes before it goes (KEP-3329): two writes, of which the second may find it changed. */
async function removeMarked(core: Core, ctx: RequestContext, pods: Target, wish: DeleteOptions): Promise<void> {
  if (wish.dryRun) return void (await remove(core, ctx, pods, wish));
  const { resource: row, namespace, name = '' } = pods;
  const mark = async ({ object }: { object: KubeObject }): Promise<Change> => {
    checkPreconditions(object, row, wish);
    return { kind: 'put', object: marked(object as Pod, core.env.clock.now()) };
  };
  const { object } = await change(core, ctx, { row, namespace, name }, mark, { dryRun: false });
  const wasExact = wish.preconditions?.resourceVersion !== undefined;
  const resourceVersion = object.object.metadata.resourceVersion!;
  const exact = wasExact ? { ...wish, preconditions: { ...wish.preconditions, resourceVersion } } : wish;
  await remove(core, ctx, pods, exact);
}

function marked(pod: Pod, nowMs: number): Draft<KubeObject> {
  const { generation } = pod.metadata;
  const condition = {
    type: 'DisruptionTarget',
    status: 'True',
    reason: 'EvictionByEvictionAPI',
    message: 'Eviction API: evicting',
    ...(generation !== undefined && { observedGeneration: generation }),
  };
  const draft = cloneJson(pod) as Draft<Pod>;
  const conditions = setCondition(pod.status?.conditions, condition as never, nowMs);
  draft.status = {
    ...draft.status,
    conditions: cloneJson(conditions) as NonNullable<Draft<Pod>['status']>['conditions'],
  };
  return draft as Draft<KubeObject>;
}

/** Budgets whose selector is not empty and matches the pod. */
function budgetsOf(core: Core, pod: Pod): PodDisruptionBudget[] {
  const cache = cacheOf(core, builtIn(core, 'policy', 'poddisruptionbudgets'));
  const namespace = pod.metadata.namespace ?? '';
  return cache
    .list({ namespace })
    .items.map((item) => item.object as PodDisruptionBudget)
    .filter((budget) => {
      if (!budget.spec.selector) return false;
      const selector = labelSelectorFromObject(budget.spec.selector);
      return !selector.empty && selector.matches(pod.metadata.labels);
    });
}

/** An unready pod of a budget that is met (or that always allows it) costs the budget nothing. */
function uncounted(pod: Pod, budget: PodDisruptionBudget): boolean {
  if (isPodReady(pod)) return false;
  if (budget.spec.unhealthyPodEvictionPolicy === 'AlwaysAllow') return true;
  const { currentHealthy = 0, desiredHealthy = 0 } = budget.status ?? {};
  return currentHealthy >= desiredHealthy && desiredHealthy > 0;
}

/** Takes one disruption from the budget, or refuses with 429. */
async function spendDisruption(
  core: Core,
  ctx: RequestContext,
  budget: PodDisruptionBudget,
  pod: Pod,
  dryRun: boolean,
): Promise<void> {
  const row = builtIn(core, 'policy', 'poddisruptionbudgets');
  const { namespace, name } = budget.metadata;
  const decide = async ({ object }: { object: KubeObject }): Promise<Change> => {
    return { kind: 'put', object: spent(object as PodDisruptionBudget, pod.metadata.name, core.env.clock.now()) };
  };
  await change(core, ctx, { row, namespace, name }, decide, { dryRun });
}

/** The budget with one disruption less; throws when it has none to give. */
export function spent(budget: PodDisruptionBudget, podName: string, nowMs: number): Draft<KubeObject> {
  const { name, generation = 0 } = budget.metadata;
  const status = budget.status ?? {};
  const allowed = status.disruptionsAllowed ?? 0;
  if ((status.observedGeneration ?? 0) < generation) throw beingProcessed(name);
  if (allowed < 0) throw forbidden(BUDGETS, name, 'pdb disruptions allowed is negative');
  if (Object.keys(status.disruptedPods ?? {}).length > MAX_DISRUPTED_PODS) {
    const why = 'DisruptedPods map too big - too many evictions not confirmed by PDB controller';
    throw forbidden(BUDGETS, name, why);
  }
  if (allowed === 0) {
    const { desiredHealthy = 0, currentHealthy = 0 } = status;
    throw tooManyRequests(
      `The disruption budget ${name} needs ${desiredHealthy} healthy pods and has ${currentHealthy} currently`,
      undefined,
    );
  }
  const draft = cloneJson(budget) as Draft<PodDisruptionBudget>;
  draft.status = { ...draft.status, disruptionsAllowed: allowed - 1 };
  draft.status.disruptedPods = { ...draft.status.disruptedPods, [podName]: rfc3339(nowMs) };
  if (allowed === 1) {
    const condition = {
      type: 'DisruptionAllowed',
      status: 'False',
      reason: 'InsufficientPods',
      message: '',
      observedGeneration: generation,
    };
    const conditions = setCondition(status.conditions, condition as never, nowMs);
    draft.status.conditions = structuredClone(conditions) as NonNullable<
      Draft<PodDisruptionBudget>['status']
    >['conditions'];
  }
  return draft as Draft<KubeObject>;
}

function beingProcessed(name: string): StatusError {
  return tooManyRequests(`The disruption budget ${name} is still being processed by the server.`, 10);
}

function tooManyRequests(cause: string, retryAfterSeconds: number | undefined): StatusError {
  return new StatusError('TooManyRequests', VIOLATES, {
    causes: [{ reason: 'DisruptionBudget', message: cause }],
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
  });
}
