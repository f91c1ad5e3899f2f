// Deployment: declarative updates of ReplicaSets (kubernetes.io/docs, "Deployments").
import type { Deployment, Pod, ReplicaSet } from '../api/generated/types.ts';
import { draft, keyOf } from '../api/object.ts';
import { templateHash } from '../machinery/hash.ts';
import { controllerOf, controllerReference, findCondition } from '../machinery/meta.ts';
import { isTerminal } from '../machinery/pods.ts';
import { labelSelectorFromObject } from '../machinery/selector-parse.ts';
import { isReason } from '../machinery/status.ts';
import {
  byAge,
  DESIRED_REPLICAS,
  isComplete,
  isScaling,
  MAX_REPLICAS,
  maxReplicas,
  newReplicas,
  proportionalScaling,
  REVISION,
  REVISION_HISTORY,
  replicasOf,
  rollingStep,
  type Scaling,
  TEMPLATE_HASH,
  wantedReplicas,
} from './deployment-rollout.ts';
import { deploymentStatus, hasDeadline, untilDeadlineMs, withCondition } from './deployment-status.ts';
import { byController, claim, decideClaims, ORPHANS, ownerKeys } from './pod-ownership.ts';
import { sameStatus } from './replica-set.ts';
import { type Controller, type ControllerContext, type Requeue, watch } from './runtime.ts';

const KIND = { apiVersion: 'apps/v1', kind: 'Deployment' } as const;

/** Annotations that belong to one object and are not handed to its ReplicaSets. */
const OWN_ANNOTATIONS = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  REVISION,
  REVISION_HISTORY,
  DESIRED_REPLICAS,
  MAX_REPLICAS,
  'deprecated.deployment.rollback.to',
]);

export type DeploymentAction =
  | { readonly type: 'create'; readonly replicas: number; readonly revision: string }
  | {
      readonly type: 'annotate';
      readonly replicaSet: ReplicaSet;
      readonly annotations: { readonly [key: string]: string };
    }
  | { readonly type: 'scale'; readonly replicaSet: ReplicaSet; readonly replicas: number }
  | { readonly type: 'revise'; readonly revision: string }
  | { readonly type: 'remove'; readonly replicaSet: ReplicaSet };

export interface DeploymentSnapshot {
  readonly deployment: Deployment;
  /** The ReplicaSets that it controls. */
  readonly replicaSets: readonly ReplicaSet[];
  /** Pods of those ReplicaSets. */
  readonly pods: readonly Pod[];
}

/** The ReplicaSet of the declared template, the oldest where several have it. */
export function newestOf({ deployment, replicaSets }: DeploymentSnapshot): ReplicaSet | undefined {
  const wanted = comparable(deployment.spec.template);
  return byAge(replicaSets).find((rs) => comparable(rs.spec.template) === wanted);
}

/** A template as text, without the label that tells ReplicaSets apart. Members in the order of their names. */
function comparable(template: unknown): string {
  return JSON.stringify(template, (key, value: unknown) => {
    if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
    const entries = Object.entries(value).filter(
      ([k, v]) => !(key === 'labels' && k === TEMPLATE_HASH) && v !== undefined,
    );
    return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** What to do next. One step: the change that it makes brings the next look. */
export function decideDeployment(snapshot: DeploymentSnapshot): readonly DeploymentAction[] {
  const { deployment, replicaSets } = snapshot;
  if (deployment.metadata.deletionTimestamp !== undefined) return [];
  const newest = newestOf(snapshot);
  const old = replicaSets.filter((rs) => rs !== newest);
  const revisions = newest ? reviseNewest(deployment, newest, old) : [];
  if (deployment.spec.paused || isScaling(deployment, replicaSets)) {
    return [
      ...revisions,
      ...scaleActions(deployment, newest, replicaSets, proportionalScaling(deployment, newest, old)),
    ];
  }
  if (deployment.spec.strategy?.type === 'Recreate') return [...revisions, ...recreate(snapshot, newest, old)];
  if (!newest) return [create(deployment, replicaSets, old)];
  const scaling = rollingStep(deployment, newest, old);
  return [...revisions, ...scaleActions(deployment, newest, replicaSets, scaling), ...cleanUp(deployment, old)];
}

function create(deployment: Deployment, all: readonly ReplicaSet[], old: readonly ReplicaSet[]): DeploymentAction {
  return { type: 'create', replicas: newReplicas(deployment, all, 0), revision: String(highestRevision(old) + 1n) };
}

/** All old pods go before the first new one comes. */
function recreate(
  { deployment, replicaSets, pods }: DeploymentSnapshot,
  newest: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
): readonly DeploymentAction[] {
  const down = new Map(old.filter((rs) => replicasOf(rs) > 0).map((rs) => [rs, 0]));
  if (down.size > 0) return scaleActions(deployment, newest, replicaSets, down);
  const oldIds = new Set(old.map((rs) => rs.metadata.uid));
  if (pods.some((pod) => oldIds.has(controllerOf(pod)?.uid) && !isTerminal(pod))) return [];
  if (!newest) return [create(deployment, replicaSets, old)];
  const wanted = wantedReplicas(deployment);
  const up: Scaling = replicasOf(newest) === wanted ? new Map() : new Map([[newest, wanted]]);
  return [...scaleActions(deployment, newest, replicaSets, up), ...cleanUp(deployment, old)];
}

/** Scalings, and the annotations of size where they no longer say what is declared. */
function scaleActions(
  deployment: Deployment,
  newest: ReplicaSet | undefined,
  all: readonly ReplicaSet[],
  scaling: Scaling,
): readonly DeploymentAction[] {
  const actions: DeploymentAction[] = [];
  const sizes = sizeAnnotations(deployment);
  for (const rs of all) {
    const replicas = scaling.get(rs);
    const stale = Object.entries(sizes).some(([key, value]) => rs.metadata.annotations?.[key] !== value);
    if (replicas !== undefined && replicas !== replicasOf(rs))
      actions.push({ type: 'scale', replicaSet: rs, replicas });
    else if (stale && (rs === newest || replicasOf(rs) > 0))
      actions.push({ type: 'annotate', replicaSet: rs, annotations: sizes });
  }
  return actions;
}

function sizeAnnotations(deployment: Deployment): { [key: string]: string } {
  return {
    [DESIRED_REPLICAS]: String(wantedReplicas(deployment)),
    [MAX_REPLICAS]: String(maxReplicas(deployment)),
  };
}

/** Revisions are 64 bits wide, and users may set them. */
function revisionOf(rs: ReplicaSet): bigint {
  const text = rs.metadata.annotations?.[REVISION] ?? '';
  return /^\d{1,19}$/.test(text) ? BigInt(text) : 0n;
}

const byNumber = (a: bigint, b: bigint): number => Number(a > b) - Number(a < b);

function highestRevision(sets: readonly ReplicaSet[]): bigint {
  return sets.map(revisionOf).sort(byNumber).at(-1) ?? 0n;
}

/** The ReplicaSet in use has the highest revision (a rollback gives an old one a new number); the Deployment shows it. */
function reviseNewest(deployment: Deployment, newest: ReplicaSet, old: readonly ReplicaSet[]): DeploymentAction[] {
  const before = revisionOf(newest);
  const next = highestRevision(old) + 1n;
  const revision = String(before > next ? before : next);
  const actions: DeploymentAction[] = [];
  const annotations: { [key: string]: string } = inherited(deployment);
  if (String(before) !== revision) {
    annotations[REVISION] = revision;
    const history = newest.metadata.annotations?.[REVISION_HISTORY];
    if (before > 0n) annotations[REVISION_HISTORY] = history ? `${history},${before}` : String(before);
  }
  const changed = Object.entries(annotations).some(([key, value]) => newest.metadata.annotations?.[key] !== value);
  if (changed) actions.push({ type: 'annotate', replicaSet: newest, annotations });
  if (deployment.metadata.annotations?.[REVISION] !== revision) actions.push({ type: 'revise', revision });
  return actions;
}

function inherited(deployment: Deployment): { [key: string]: string } {
  const entries = Object.entries(deployment.metadata.annotations ?? {});
  return Object.fromEntries(entries.filter(([key]) => !OWN_ANNOTATIONS.has(key)));
}

/** Old ReplicaSets beyond revisionHistoryLimit go, the lowest revision first, when nothing of them is left. */
function cleanUp(deployment: Deployment, old: readonly ReplicaSet[]): readonly DeploymentAction[] {
  const limit = deployment.spec.revisionHistoryLimit;
  if (limit === undefined || limit === 2147483647 || !isComplete(deployment, deployment.status ?? {})) return [];
  const candidates = old.filter((rs) => rs.metadata.deletionTimestamp === undefined);
  const surplus = candidates.length - limit;
  if (surplus <= 0) return [];
  const byRevision = [...candidates].sort((a, b) => byNumber(revisionOf(a), revisionOf(b)));
  return byRevision
    .slice(0, surplus)
    .filter((rs) => (rs.status?.replicas ?? 0) === 0 && replicasOf(rs) === 0)
    .map((rs) => ({ type: 'remove', replicaSet: rs }));
}

export function deploymentController(): Controller {
  return {
    name: 'deployment-controller',
    watches: (ctx) => [
      watch('deployments.apps', { keys: (deployment) => [keyOf(deployment)] }),
      watch('replicasets.apps', {
        indexes: byController,
        keys: (rs, previous) => [
          ...ownerKeys('Deployment', rs, previous),
          ...(controllerOf(rs) ? [] : matchingDeployments(ctx, rs)),
        ],
      }),
      // A pod matters only when it goes: Recreate waits for the last one.
      watch('pods', {
        indexes: byController,
        keys: (pod, _previous, change) => (change === 'deleted' || isTerminal(pod) ? deploymentOf(ctx, pod) : []),
      }),
    ],
    reconcile,
  };
}

function matchingDeployments(ctx: ControllerContext, rs: ReplicaSet): readonly string[] {
  return ctx.informers
    .for('deployments.apps')
    .list(rs.metadata.namespace)
    .filter((d) => labelSelectorFromObject(d.spec.selector).matches(rs.metadata.labels))
    .map(keyOf);
}

function deploymentOf(ctx: ControllerContext, pod: Pod): readonly string[] {
  const owner = controllerOf(pod);
  if (owner?.kind !== 'ReplicaSet') return [];
  const rs = ctx.informers.for('replicasets.apps').get(`${pod.metadata.namespace}/${owner.name}`);
  return rs ? ownerKeys('Deployment', rs, undefined) : [];
}

async function reconcile(ctx: ControllerContext, key: string, signal: AbortSignal): Promise<Requeue | undefined> {
  const deployment = ctx.informers.for('deployments.apps').get(key);
  if (!deployment) return undefined;
  const selector = labelSelectorFromObject(deployment.spec.selector);
  if (selector.empty) {
    ctx.events.event(
      deployment,
      'Warning',
      'SelectingAll',
      'This deployment is selecting all pods. A non-empty selector is required.',
    );
    return undefined;
  }
  const sets = ctx.informers.for('replicasets.apps');
  const owned = sets.byIndex('controller', deployment.metadata.uid!);
  const orphans = sets.byIndex(ORPHANS, deployment.metadata.namespace ?? '');
  const claims = decideClaims(deployment, selector, owned, orphans);
  await claim(ctx.client, KIND, deployment, claims, signal, 'replicasets.apps');
  // What was just adopted is looked at when its own event comes.
  const replicaSets = claims.kept;
  const pods = replicaSets.flatMap((rs) => ctx.informers.for('pods').byIndex('controller', rs.metadata.uid!));
  const snapshot = { deployment, replicaSets, pods };
  let created: ReplicaSet | undefined;
  const actions = decideDeployment(snapshot);
  for (const action of actions) {
    created = (await apply(ctx, deployment, action, signal)) ?? created;
  }
  // The Deployment itself changed: its event brings the next look, with the version that a status is written against.
  if (actions.some((action) => action.type === 'revise')) return undefined;
  return writeStatus(ctx, snapshot, created, signal);
}

async function writeStatus(
  ctx: ControllerContext,
  snapshot: DeploymentSnapshot,
  created: ReplicaSet | undefined,
  signal: AbortSignal,
): Promise<Requeue | undefined> {
  const { deployment, replicaSets } = snapshot;
  const nowMs = ctx.env.clock.now();
  const newest = newestOf(snapshot);
  const old = replicaSets.filter((rs) => rs !== newest);
  let status = deploymentStatus(deployment, newest ?? created, old, nowMs);
  const found = created ?? (findCondition(status.conditions, 'Progressing') ? undefined : newest);
  if (found && hasDeadline(deployment) && !isComplete(deployment, status)) {
    const [reason, verb] = created ? ['NewReplicaSetCreated', 'Created new'] : ['FoundNewReplicaSet', 'Found new'];
    const message = `${verb} replica set "${found.metadata.name}"`;
    const condition = { type: 'Progressing', status: 'True', reason, message } as const;
    status = { ...status, conditions: withCondition(status.conditions ?? [], condition, nowMs) };
  }
  if (!sameStatus(deployment.status, status)) {
    const changed = { ...draft(deployment), status } as Deployment;
    try {
      await ctx.client.resource('deployments.apps').update(changed, { subresource: 'status', signal });
    } catch (error) {
      // Another look comes with the change that we did not know of.
      if (!isReason(error, 'NotFound', 'Conflict')) throw error;
    }
  }
  const requeueAfterMs = untilDeadlineMs(deployment, status, nowMs);
  return requeueAfterMs === undefined ? undefined : { requeueAfterMs };
}

async function apply(
  ctx: ControllerContext,
  deployment: Deployment,
  action: DeploymentAction,
  signal: AbortSignal,
): Promise<ReplicaSet | undefined> {
  const sets = ctx.client.resource('replicasets.apps');
  const { namespace } = deployment.metadata;
  switch (action.type) {
    case 'create':
      return createReplicaSet(ctx, deployment, action, signal);
    case 'annotate': {
      const { name, resourceVersion } = action.replicaSet.metadata;
      const body = { metadata: { resourceVersion, annotations: action.annotations } };
      await sets.patch({ namespace, name }, { type: 'merge', body }, { signal });
      return undefined;
    }
    case 'scale': {
      const { name, resourceVersion } = action.replicaSet.metadata;
      const before = replicasOf(action.replicaSet);
      const metadata = { resourceVersion, annotations: sizeAnnotations(deployment) };
      const body = { metadata, spec: { replicas: action.replicas } };
      await sets.patch({ namespace, name }, { type: 'merge', body }, { signal });
      recordScaling(ctx, deployment, name, before, action.replicas);
      return undefined;
    }
    case 'revise': {
      const annotations = { ...deployment.metadata.annotations, [REVISION]: action.revision };
      const changed = { ...deployment, metadata: { ...deployment.metadata, annotations } };
      await ctx.client.resource('deployments.apps').update(changed, { signal });
      return undefined;
    }
    case 'remove': {
      const { name, uid } = action.replicaSet.metadata;
      await sets.delete({ namespace, name }, { preconditions: { uid: uid! }, signal });
      return undefined;
    }
  }
}

function recordScaling(ctx: ControllerContext, deployment: Deployment, name: string, from: number, to: number): void {
  const message = `Scaled ${to > from ? 'up' : 'down'} replica set ${name} from ${from} to ${to}`;
  ctx.events.event(deployment, 'Normal', 'ScalingReplicaSet', message);
}

async function createReplicaSet(
  ctx: ControllerContext,
  deployment: Deployment,
  action: Extract<DeploymentAction, { type: 'create' }>,
  signal: AbortSignal,
): Promise<ReplicaSet | undefined> {
  const { name, namespace } = deployment.metadata;
  const { template, selector, minReadySeconds } = deployment.spec;
  const hash = templateHash(template, deployment.status?.collisionCount);
  const labels = { ...template.metadata?.labels, [TEMPLATE_HASH]: hash };
  const wanted: ReplicaSet = {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: `${name}-${hash}`,
      namespace: namespace!,
      labels,
      annotations: { ...inherited(deployment), ...sizeAnnotations(deployment), [REVISION]: action.revision },
      ownerReferences: [controllerReference(deployment, KIND)],
    },
    spec: {
      replicas: action.replicas,
      ...(minReadySeconds !== undefined && { minReadySeconds }),
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [TEMPLATE_HASH]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  };
  try {
    const created = await ctx.client.resource('replicasets.apps').create(wanted, { signal });
    if (action.replicas > 0) recordScaling(ctx, deployment, created.metadata.name, 0, action.replicas);
    return created;
  } catch (error) {
    if (!isReason(error, 'AlreadyExists')) throw error;
    return resolveCollision(ctx, deployment, wanted, error, signal);
  }
}

/** The name is taken: by our own earlier create that the cache does not show yet, or by another template of the same hash. */
async function resolveCollision(
  ctx: ControllerContext,
  deployment: Deployment,
  wanted: ReplicaSet,
  cause: Error,
  signal: AbortSignal,
): Promise<ReplicaSet | undefined> {
  const { namespace, name } = wanted.metadata;
  const existing = await ctx.client.resource('replicasets.apps').get({ namespace, name }, signal);
  const ours = controllerOf(existing)?.uid === deployment.metadata.uid;
  if (ours && comparable(existing.spec.template) === comparable(wanted.spec.template)) return existing;
  const status = { ...deployment.status, collisionCount: (deployment.status?.collisionCount ?? 0) + 1 };
  await ctx.client
    .resource('deployments.apps')
    .update({ ...draft(deployment), status } as Deployment, { subresource: 'status', signal });
  throw new Error(`replica set name ${name} is taken; the next try uses another hash`, { cause });
}
