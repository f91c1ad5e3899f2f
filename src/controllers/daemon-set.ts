// DaemonSet: one pod on every suitable node (kubernetes.io/docs, "DaemonSet").
import { isDeepStrictEqual } from 'node:util';
import type { ControllerRevision, DaemonSet, Node, Pod } from '../api/generated/types.ts';
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
  surplusRevisions,
  syncHistory,
  watchRevisions,
} from './controller-history.ts';
import { daemonStatus, decideDaemonPods } from './daemon-decision.ts';
import { DAEMON_SET, daemonPod, placementOn, targetNode } from './daemon-placement.ts';
import { createPods, deletePods } from './pod-control.ts';
import { byController, claim, decideClaims, ORPHANS, ownerKeys } from './pod-ownership.ts';
import { sameStatus } from './replica-set.ts';
import { type Controller, type ControllerContext, type Requeue, watch } from './runtime.ts';

/** A pod that fails again and again on a node is replaced after 1 s, 2 s, 4 s ... up to this. */
const MAX_FAILED_DELAY_MS = 15 * 60_000;
const FIRST_FAILED_DELAY_MS = 1000;
/** Nodes whose failures are remembered; beyond it the longest quiet one is forgotten. */
const MAX_FAILED_NODES = 10_000;

/** When a failed daemon pod may be deleted: the kubelet that refuses it would refuse the next one as fast. */
export class FailedPodBackoff {
  readonly #entries = new Map<string, { readonly delayMs: number; readonly sinceMs: number }>();

  /** Milliseconds to wait yet; 0 when the pod may go. */
  waitMs(key: string, nowMs: number): number {
    const entry = this.#entries.get(key);
    return entry ? Math.max(0, entry.sinceMs + entry.delayMs - nowMs) : 0;
  }

  /** A failed pod was deleted just now. */
  deleted(key: string, nowMs: number): void {
    const entry = this.#entries.get(key);
    const quiet = !entry || nowMs - entry.sinceMs > 2 * MAX_FAILED_DELAY_MS;
    const delayMs = quiet ? FIRST_FAILED_DELAY_MS : Math.min(entry.delayMs * 2, MAX_FAILED_DELAY_MS);
    this.#entries.delete(key);
    this.#entries.set(key, { delayMs, sinceMs: nowMs });
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > MAX_FAILED_NODES && oldest !== undefined) this.#entries.delete(oldest);
  }
}

interface State {
  readonly expectations: Expectations<Pod>;
  readonly failures: FailedPodBackoff;
}

export function daemonSetController(): Controller {
  let state: State | undefined;
  return {
    name: 'daemon-set-controller',
    eventSource: 'daemonset-controller',
    watches: (ctx) => {
      const expectations = new Expectations(ctx.env.clock, ctx.informers.for('pods'));
      state = { expectations, failures: new FailedPodBackoff() };
      const daemonSets = ctx.informers.for('daemonsets.apps');
      return [
        watch('daemonsets.apps', { keys: (daemonSet) => [keyOf(daemonSet)] }),
        watch('nodes', {
          keys: (node, previous) =>
            previous && sameForPlacement(node, previous)
              ? []
              : daemonSets
                  .list()
                  .filter((one) => isAffected(one, node, previous))
                  .map(keyOf),
        }),
        watch('pods', {
          indexes: byController,
          keys: (pod, previous) => [
            ...ownerKeys('DaemonSet', pod, previous),
            ...(controllerOf(pod)
              ? []
              : daemonSets
                  .list(pod.metadata.namespace)
                  .filter((one) => labelSelectorFromObject(one.spec.selector).matches(pod.metadata.labels))
                  .map(keyOf)),
          ],
        }),
        watchRevisions((revision, previous) => [...ownerKeys('DaemonSet', revision, previous)]),
      ];
    },
    reconcile: (ctx, key, signal) => reconcile(ctx, key, state!, signal),
  };
}

function sameForPlacement(a: Node, b: Node): boolean {
  return isDeepStrictEqual(a.metadata.labels, b.metadata.labels) && isDeepStrictEqual(a.spec?.taints, b.spec?.taints);
}

function isAffected(daemonSet: DaemonSet, node: Node, previous: Node | undefined): boolean {
  const placement = placementOn(daemonSet);
  const now = placement(node);
  return previous ? !isDeepStrictEqual(now, placement(previous)) : now.shouldRun || now.mayStay;
}

async function reconcile(
  ctx: ControllerContext,
  key: string,
  { expectations, failures }: State,
  signal: AbortSignal,
): Promise<Requeue | undefined> {
  const daemonSet = ctx.informers.for('daemonsets.apps').get(key);
  if (!daemonSet) {
    expectations.forget(key);
    return undefined;
  }
  const selector = labelSelectorFromObject(daemonSet.spec.selector);
  if (selector.empty) {
    const message = 'This daemon set is selecting all pods. A non-empty selector is required.';
    ctx.events.event(daemonSet, 'Warning', 'SelectingAll', message);
    return undefined;
  }
  // Its history may be gone already, so nothing can be said about it any more.
  if (isTerminating(daemonSet)) return undefined;
  const history = await historyOf(ctx, daemonSet, signal);
  const pods = await claimedPods(ctx, daemonSet, signal);
  const hash = hashOf(history.current);
  const nowMs = ctx.env.clock.now();
  const nodes = ctx.informers.for('nodes').list();
  const backoffKey = (node: string): string =>
    `${daemonSet.metadata.uid}/${daemonSet.status?.observedGeneration ?? 0}/${node}`;
  const failedDelayMs = (node: string): number => failures.waitMs(backoffKey(node), nowMs);
  const snapshot = { daemonSet, nodes, pods, hash, nowMs };
  const decision = decideDaemonPods({ ...snapshot, failedDelayMs });
  const settled = expectations.satisfied(key);
  let thrown: unknown;
  if (settled) {
    for (const pod of decision.remove) {
      if (pod.status?.phase === 'Failed') failures.deleted(backoffKey(targetNode(pod) ?? ''), nowMs);
      recordFinished(ctx, daemonSet, pod);
    }
    const control = { ctx, owner: daemonSet, expectations, signal };
    const made = decision.create.map((node) => daemonPod(daemonSet, hash, node));
    const results = await Promise.allSettled([createPods(control, made), deletePods(control, decision.remove)]);
    thrown = results.find((result) => result.status === 'rejected')?.reason;
    if (thrown === undefined) await cleanUp(ctx, daemonSet, history, pods, signal);
  }
  const status = { ...daemonStatus(snapshot), ...carried(daemonSet, history, settled) };
  await writeStatus(ctx, daemonSet, status, signal);
  if (thrown !== undefined) throw thrown;
  return decision.againMs === undefined ? undefined : { requeueAfterMs: decision.againMs };
}

/** A generation counts as observed only when it has been acted on. */
function carried(daemonSet: DaemonSet, { collisionCount }: History, settled: boolean): Partial<DaemonSet['status']> {
  const { generation } = daemonSet.metadata;
  const { observedGeneration, conditions } = daemonSet.status ?? {};
  const observed = settled ? generation : observedGeneration;
  return {
    ...(observed !== undefined && { observedGeneration: observed }),
    ...(collisionCount !== undefined && { collisionCount }),
    ...(conditions && { conditions }),
  };
}

function historyOwner(daemonSet: DaemonSet) {
  return {
    object: daemonSet,
    kind: DAEMON_SET,
    selector: labelSelectorFromObject(daemonSet.spec.selector),
    template: daemonSet.spec.template,
    collisionCount: daemonSet.status?.collisionCount,
    hashLabel: REVISION_HASH,
  };
}

async function historyOf(ctx: ControllerContext, daemonSet: DaemonSet, signal: AbortSignal): Promise<History> {
  const owner = historyOwner(daemonSet);
  return syncHistory(ctx, owner, await ownedRevisions(ctx, owner, signal), signal);
}

async function claimedPods(ctx: ControllerContext, daemonSet: DaemonSet, signal: AbortSignal): Promise<readonly Pod[]> {
  const informer = ctx.informers.for('pods');
  const owned = informer.byIndex('controller', daemonSet.metadata.uid!);
  const orphans = informer.byIndex(ORPHANS, daemonSet.metadata.namespace ?? '');
  const claims = decideClaims(daemonSet, labelSelectorFromObject(daemonSet.spec.selector), owned, orphans);
  await claim(ctx.client, DAEMON_SET, daemonSet, claims, signal);
  return [...claims.kept, ...claims.adopt];
}

function recordFinished(ctx: ControllerContext, daemonSet: DaemonSet, pod: Pod): void {
  const where = `daemon pod ${keyOf(pod)} on node ${targetNode(pod)}`;
  if (pod.status?.phase === 'Failed') {
    ctx.events.event(daemonSet, 'Warning', 'FailedDaemonPod', `Found failed ${where}, will try to kill it`);
  } else if (pod.status?.phase === 'Succeeded') {
    ctx.events.event(daemonSet, 'Normal', 'SucceededDaemonPod', `Found succeeded ${where}, will try to delete it`);
  }
}

/** One that was made without the label goes by its name. */
const hashOf = ({ metadata }: ControllerRevision): string => metadata.labels?.[REVISION_HASH] ?? metadata.name;

/** Duplicates go when their pods carry the kept hash; old revisions beyond the limit when no pod is of them. */
async function cleanUp(
  ctx: ControllerContext,
  daemonSet: DaemonSet,
  history: History,
  pods: readonly Pod[],
  signal: AbortSignal,
): Promise<void> {
  const duplicates = new Set(history.duplicates.map(hashOf));
  for (const pod of pods) {
    if (!duplicates.has(pod.metadata.labels?.[REVISION_HASH] ?? '')) continue;
    const { namespace, name } = pod.metadata;
    const body = { metadata: { labels: { [REVISION_HASH]: hashOf(history.current) } } };
    await ctx.client.resource('pods').patch({ namespace, name }, { type: 'merge', body }, { signal });
  }
  const live = new Set(pods.map((pod) => pod.metadata.labels?.[REVISION_HASH]));
  const unused = history.old.filter((revision) => !live.has(hashOf(revision)));
  const surplus = surplusRevisions(unused, history.old.length, daemonSet.spec.revisionHistoryLimit);
  await deleteRevisions(ctx, [...history.duplicates, ...surplus], signal);
}

async function writeStatus(
  ctx: ControllerContext,
  daemonSet: DaemonSet,
  status: NonNullable<DaemonSet['status']>,
  signal: AbortSignal,
): Promise<void> {
  if (sameStatus(daemonSet.status, status)) return;
  const changed = { ...draft(daemonSet), status } as DaemonSet;
  try {
    await ctx.client.resource('daemonsets.apps').update(changed, { subresource: 'status', signal });
  } catch (error) {
    if (!isReason(error, 'NotFound')) throw error;
  }
}
