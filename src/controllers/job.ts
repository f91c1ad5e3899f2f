// Job: pods that run to their end (kubernetes.io/docs, "Jobs").
import type { Job, JobStatus, Pod } from '../api/generated/types.ts';
import { draft, keyOf } from '../api/object.ts';
import { Expectations } from '../client/expectations.ts';
import { compareResourceVersions } from '../client/resource-version.ts';
import { controllerOf } from '../machinery/meta.ts';
import { labelSelectorFromObject } from '../machinery/selector-parse.ts';
import { isReason } from '../machinery/status.ts';
import { decideJob, type Failures, isFinished, type JobDecision, settleStatus } from './job-decision.ts';
import { isTracked, JOB, jobPod, TRACKING } from './job-pods.ts';
import { createPods, deletePods, type PodControl } from './pod-control.ts';
import { byController, claim, decideClaims, ORPHANS, ownerKeys } from './pod-ownership.ts';
import { sameStatus } from './replica-set.ts';
import { type Controller, type ControllerContext, type Requeue, watch } from './runtime.ts';

/** The index of pods that wait to be counted, by the key of the Job that made them. */
const TRACKED = 'job-tracking';
const JOB_NAME = 'batch.kubernetes.io/job-name';

/** Jobs whose failures are remembered for their back-off; beyond it the longest known one is forgotten. */
const MAX_FAILING_JOBS = 50_000;

/** The Job that has to count the pod: its owner, or when it lost that the one that its label names, or none of any name. */
function trackedBy(pod: Pod): readonly string[] {
  if (!isTracked(pod)) return [];
  const owner = controllerOf(pod);
  if (owner && owner.kind !== JOB.kind) return [];
  return [`${pod.metadata.namespace}/${owner?.name ?? pod.metadata.labels?.[JOB_NAME] ?? ''}`];
}

interface State {
  readonly expectations: Expectations<Pod>;
  readonly failures: Map<string, Failures>;
  /** The resource version of the last status written, by the Job's key. */
  readonly written: Map<string, string>;
}

export function jobController(): Controller {
  let state: State | undefined;
  return {
    name: 'job-controller',
    watches: (ctx) => {
      const expectations = new Expectations(ctx.env.clock, ctx.informers.for('pods'));
      state = { expectations, failures: new Map(), written: new Map() };
      const jobs = ctx.informers.for('jobs.batch');
      return [
        watch('jobs.batch', { keys: (job) => [keyOf(job)] }),
        watch('pods', {
          indexes: { ...byController, [TRACKED]: trackedBy },
          keys: (pod, previous) => [
            ...ownerKeys('Job', pod, previous),
            ...trackedBy(pod),
            ...(controllerOf(pod)
              ? []
              : jobs
                  .list(pod.metadata.namespace)
                  .filter((job) => labelSelectorFromObject(job.spec.selector).matches(pod.metadata.labels))
                  .map(keyOf)),
          ],
        }),
      ];
    },
    reconcile: (ctx, key, signal) => reconcile(ctx, key, state!, signal),
  };
}

async function reconcile(
  ctx: ControllerContext,
  key: string,
  { expectations, failures, written }: State,
  signal: AbortSignal,
): Promise<Requeue | undefined> {
  const job = ctx.informers.for('jobs.batch').get(key);
  await releaseStrays(ctx, key, job, signal);
  if (!job) {
    expectations.forget(key);
    written.delete(key);
    return undefined;
  }
  const { uid = '', resourceVersion = '' } = job.metadata;
  // A Job that does not show what was counted would have pods made in place of those that were: its update brings it here again.
  if (compareResourceVersions(resourceVersion, written.get(key) ?? '') < 0) return undefined;
  written.delete(key);
  if (isFinished(job) || (job.spec.managedBy ?? CONTROLLER_NAME) !== CONTROLLER_NAME) {
    failures.delete(uid);
    return undefined;
  }
  const pods = await claimedPods(ctx, job, signal);
  // A cache that does not show what was counted would count it again.
  if (!expectations.satisfied(key)) return undefined;
  const nowMs = ctx.env.clock.now();
  const decision = decideJob({ job, pods, nowMs, failures: failures.get(uid) });
  const control = { ctx, owner: job, expectations, signal };
  const thrown = await changePods(control, job, decision);
  if (thrown !== undefined && decision.stop.length > 0) throw thrown;
  const active = (decision.status.active ?? 0) - (thrown === undefined ? 0 : decision.create.length);
  const counting = await writeStatus(ctx, job, { ...decision.status, active }, signal);
  written.set(key, counting.metadata.resourceVersion ?? '');
  if (decision.event) ctx.events.event(job, 'Normal', decision.event, `Job ${decision.event.toLowerCase()}`);
  remember(failures, uid, decision.failures);
  const removed = await untrack(control, decision.untrack);
  const tracked = pods.filter((pod) => isTracked(pod) && !removed.has(pod) && !decision.remove.includes(pod));
  const uids = new Set(tracked.map((pod) => pod.metadata.uid!));
  const settled = settleStatus(counting.status ?? decision.status, uids, decision.outcome, nowMs);
  const final = await writeStatus(ctx, counting, settled, signal);
  written.set(key, final.metadata.resourceVersion ?? '');
  if (isFinished(final)) recordEnd(ctx, final, decision);
  if (thrown !== undefined) throw thrown;
  return decision.againMs === undefined ? undefined : { requeueAfterMs: decision.againMs };
}

const CONTROLLER_NAME = 'kubernetes.io/job-controller';

function remember(failures: Map<string, Failures>, uid: string, now: Failures | undefined): void {
  failures.delete(uid);
  if (!now) return;
  failures.set(uid, now);
  const [oldest] = failures.keys();
  if (failures.size > MAX_FAILING_JOBS && oldest !== undefined) failures.delete(oldest);
}

async function claimedPods(ctx: ControllerContext, job: Job, signal: AbortSignal): Promise<readonly Pod[]> {
  const informer = ctx.informers.for('pods');
  const owned = informer.byIndex('controller', job.metadata.uid!);
  const orphans = informer.byIndex(ORPHANS, job.metadata.namespace ?? '');
  const claims = decideClaims(job, labelSelectorFromObject(job.spec.selector), owned, orphans);
  await claim(ctx.client, JOB, job, claims, signal);
  for (const { metadata } of claims.adopt.filter((pod) => !isTracked(pod))) {
    const { namespace, name, uid } = metadata;
    const body = { metadata: { uid, finalizers: [TRACKING] } };
    await ctx.client.resource('pods').patch({ namespace, name }, { type: 'strategic', body }, { signal });
  }
  return [...claims.kept, ...claims.adopt];
}

/** Pods that no Job counts any more, because it is gone or has ended, would keep their finalizer for ever. */
async function releaseStrays(
  ctx: ControllerContext,
  key: string,
  job: Job | undefined,
  signal: AbortSignal,
): Promise<void> {
  const selector = job && labelSelectorFromObject(job.spec.selector);
  for (const pod of ctx.informers.for('pods').byIndex(TRACKED, key)) {
    const owner = controllerOf(pod);
    const adoptable = !owner && job && selector?.matches(pod.metadata.labels);
    const counted = job && owner?.uid === job.metadata.uid && !isFinished(job);
    if (adoptable || counted) continue;
    await removeFinalizer(ctx, pod, signal);
  }
}

/** The pod as it is now; undefined when it is gone. */
async function removeFinalizer(ctx: ControllerContext, pod: Pod, signal: AbortSignal): Promise<Pod | undefined> {
  const { namespace, name, uid } = pod.metadata;
  const body = { metadata: { uid, '$deleteFromPrimitiveList/finalizers': [TRACKING] } };
  try {
    return await ctx.client.resource('pods').patch({ namespace, name }, { type: 'strategic', body }, { signal });
  } catch (error) {
    if (isReason(error, 'NotFound', 'Conflict')) return undefined;
    throw error;
  }
}

/** Gives back what went wrong, so that the status can be written first. */
async function changePods(control: PodControl, job: Job, decision: JobDecision): Promise<unknown> {
  try {
    await createPods(
      control,
      decision.create.map((one) => jobPod(job, one)),
    );
    // A pod that is too many is not counted: it goes without its finalizer.
    await untrack(control, decision.remove);
    await deletePods(control, [...decision.remove, ...decision.stop]);
    return undefined;
  } catch (error) {
    return error;
  }
}

async function untrack({ ctx, owner, expectations, signal }: PodControl, pods: readonly Pod[]): Promise<Set<Pod>> {
  const done = new Set<Pod>();
  await Promise.all(
    pods.filter(isTracked).map(async (pod) => {
      const changed = await removeFinalizer(ctx, pod, signal);
      if (changed) expectations.wrote(keyOf(owner), changed);
      done.add(pod);
    }),
  );
  return done;
}

async function writeStatus(ctx: ControllerContext, job: Job, status: JobStatus, signal: AbortSignal): Promise<Job> {
  if (sameStatus(job.status, status)) return job;
  const changed = { ...draft(job), status } as Job;
  return ctx.client.resource('jobs.batch').update(changed, { subresource: 'status', signal });
}

function recordEnd(ctx: ControllerContext, job: Job, { outcome }: JobDecision): void {
  if (!outcome) return;
  if (outcome.type === 'Failed') {
    ctx.events.event(job, 'Warning', outcome.reason, outcome.message);
    return;
  }
  const { completions } = job.spec;
  if (completions !== undefined && (job.status?.succeeded ?? 0) > completions) {
    const message = 'Too many succeeded pods running after completion count reached';
    ctx.events.event(job, 'Warning', 'TooManySucceededPods', message);
  }
  ctx.events.event(job, 'Normal', 'Completed', 'Job completed');
}
