// What a Job does next: pods to make and to delete, how it stands, whether it has ended (batch/v1 Job). Pure.
import type { Job, JobCondition, JobStatus, Pod } from '../api/generated/types.ts';
import { rfc3339 } from '../lib/clock.ts';
import { isTerminating } from '../machinery/meta.ts';
import { isPodActive, isPodReady, isTerminal } from '../machinery/pods.ts';
import { completionIndex, formatIndexes, parseIndexes } from './job-indexes.ts';
import {
  failuresBefore,
  finishedAtMs,
  isFailed,
  isIndexed,
  isSuspended,
  isTracked,
  type NewPod,
  replacesOnlyFailed,
} from './job-pods.ts';
import { judgeFailure, successPolicyMet } from './job-policy.ts';
import { rankForDeletion } from './replica-set.ts';

/** At most this many pods are created or deleted in one reconcile. */
const MAX_CHANGES = 500;
/** At most this many ended pods are named in a status at a time, so that it stays small. */
const MAX_UNCOUNTED = 500;
/** A failed pod is replaced after 10 s, 20 s, 40 s ... up to ten minutes. */
const FIRST_BACKOFF_MS = 10_000;
const MAX_BACKOFF_MS = 10 * 60_000;

/** Failures since the last success, and when the last one was. */
export interface Failures {
  readonly count: number;
  readonly lastMs: number;
}

export interface JobSnapshot {
  readonly job: Job;
  /** The pods that it controls. */
  readonly pods: readonly Pod[];
  readonly nowMs: number;
  /** Of pods that were counted already. */
  readonly failures: Failures | undefined;
}

export interface Outcome {
  readonly type: 'Complete' | 'Failed';
  readonly reason: string;
  readonly message: string;
}

export interface JobDecision {
  readonly create: readonly NewPod[];
  /** Active pods that are too many: they are deleted and never counted. */
  readonly remove: readonly Pod[];
  /** Active pods of a Job that has ended: they are deleted, and counted. */
  readonly stop: readonly Pod[];
  /** Pods whose finalizer goes as soon as the status is written. */
  readonly untrack: readonly Pod[];
  readonly status: JobStatus;
  /** How the Job ends, when every pod has ended and is counted. */
  readonly outcome: Outcome | undefined;
  readonly failures: Failures | undefined;
  readonly event: 'Suspended' | 'Resumed' | undefined;
  readonly againMs: number | undefined;
}

export function isFinished(job: Job): boolean {
  return (job.status?.conditions ?? []).some(
    (c) => (c.type === 'Complete' || c.type === 'Failed') && c.status === 'True',
  );
}

/** What is known about the pods, once for all that follows. */
interface View extends JobSnapshot {
  readonly active: readonly Pod[];
  readonly terminating: number;
  readonly newSucceeded: readonly Pod[];
  readonly newFailed: readonly Pod[];
  readonly succeededIndexes: ReadonlySet<number>;
  readonly failedIndexes: ReadonlySet<number>;
  readonly succeeded: number;
  readonly failed: number;
  readonly startTime: string | undefined;
}

export function decideJob(snapshot: JobSnapshot): JobDecision {
  const view = look(snapshot);
  const { job, active, nowMs } = view;
  const early = outcomeOf(view);
  const managed = early || isTerminating(job) ? NOT_MANAGED : manage(view);
  const stop = early ? active : [];
  const left = active.length + managed.create.length - managed.remove.length - stop.length;
  const outcome = early ?? (isTerminating(job) ? undefined : completed(view, left));
  const suspension = outcome ? undefined : suspensionOf(job, nowMs);
  const tracked = track(view, outcome);
  const conditions = [...(suspension?.conditions ?? job.status?.conditions ?? [])];
  const interim = outcome?.type === 'Failed' ? 'FailureTarget' : 'SuccessCriteriaMet';
  if (outcome && !conditions.some((c) => c.type === interim)) conditions.push(condition(interim, outcome, nowMs));
  const startTime = suspension?.event === 'Resumed' ? rfc3339(nowMs) : view.startTime;
  const gone = new Set([...stop, ...managed.remove]);
  return {
    create: managed.create,
    remove: managed.remove,
    stop,
    untrack: tracked.untrack,
    outcome,
    failures: failuresNow(view),
    event: suspension?.event,
    againMs: soonest([managed.againMs, deadlineMs(view, startTime, outcome)]),
    status: {
      ...job.status,
      ...(startTime !== undefined && { startTime }),
      ...(conditions.length > 0 && { conditions }),
      active: left,
      ready: active.filter((pod) => isPodReady(pod) && !gone.has(pod)).length,
      terminating: view.terminating + gone.size,
      ...tracked.counts,
    },
  };
}

const NOT_MANAGED = { create: [], remove: [], againMs: undefined };

function soonest(waits: readonly (number | undefined)[]): number | undefined {
  const known = waits.filter((ms) => ms !== undefined);
  return known.length > 0 ? Math.min(...known) : undefined;
}

function look(snapshot: JobSnapshot): View {
  const { job, pods, nowMs } = snapshot;
  const { status } = job;
  const uncounted = status?.uncountedTerminatedPods;
  const counted = new Set([...(uncounted?.succeeded ?? []), ...(uncounted?.failed ?? [])]);
  const isNew = (pod: Pod): boolean => isTracked(pod) && !counted.has(pod.metadata.uid!) && isValid(job, pod);
  const newSucceeded = pods.filter((pod) => pod.status?.phase === 'Succeeded' && isNew(pod));
  const newFailed = pods.filter(
    (pod) => isFailed(job, pod) && isNew(pod) && judgeFailure(job, pod).action !== 'Ignore',
  );
  const succeededIndexes = indexesWith(job, status?.completedIndexes, newSucceeded);
  const failing = pods.filter((pod) => isTracked(pod) && isFailed(job, pod) && hasFailedIndex(job, pod));
  return {
    ...snapshot,
    active: pods.filter(isPodActive),
    terminating: pods.filter((pod) => isTerminating(pod) && !isTerminal(pod)).length,
    newSucceeded,
    newFailed,
    succeededIndexes,
    // A second pod of an index may have succeeded: nobody may say of an index that it has done both.
    failedIndexes: indexesWith(job, status?.failedIndexes, failing).difference(succeededIndexes),
    succeeded: isIndexed(job)
      ? succeededIndexes.size
      : (status?.succeeded ?? 0) + (uncounted?.succeeded?.length ?? 0) + newSucceeded.length,
    failed: (status?.failed ?? 0) + (uncounted?.failed?.length ?? 0) + newFailed.length,
    startTime: status?.startTime ?? (isSuspended(job) ? undefined : rfc3339(nowMs)),
  };
}

/** Pods of an Indexed Job count only with an index that is wanted. */
function isValid(job: Job, pod: Pod): boolean {
  if (!isIndexed(job)) return true;
  const index = completionIndex(pod);
  return index !== undefined && (job.spec.completions ?? 0) > index;
}

function indexesWith(job: Job, text: string | undefined, pods: readonly Pod[]): Set<number> {
  if (!isIndexed(job)) return new Set();
  const indexes = parseIndexes(text, job.spec.completions ?? 0);
  for (const pod of pods) if (isValid(job, pod)) indexes.add(completionIndex(pod)!);
  return indexes;
}

function hasFailedIndex(job: Job, pod: Pod): boolean {
  const limit = job.spec.backoffLimitPerIndex;
  if (limit === undefined) return false;
  const { action } = judgeFailure(job, pod);
  return action === 'FailIndex' || (action !== 'Ignore' && failuresBefore(pod).counted >= limit);
}

const failure = (reason: string, message: string): Outcome => ({ type: 'Failed', reason, message });
const success = (reason: string, message: string): Outcome => ({ type: 'Complete', reason, message });

/** An end that needs no look at what is still to be made: one that was decided before, a failure, or a success policy. */
function outcomeOf(view: View): Outcome | undefined {
  const { job, pods, failed, nowMs } = view;
  const decided = (type: string): JobCondition | undefined =>
    job.status?.conditions?.find((c) => c.type === type && c.status === 'True');
  const met = decided('SuccessCriteriaMet');
  if (met) return success(met.reason ?? '', met.message ?? '');
  const target = decided('FailureTarget');
  if (target) return failure(target.reason ?? '', target.message ?? '');
  const failedPods = pods.filter((pod) => isFailed(job, pod));
  const message = failedPods.map((pod) => judgeFailure(job, pod).message).find((text) => text !== undefined);
  if (message !== undefined) return failure('PodFailurePolicy', message);
  const limit = job.spec.backoffLimit ?? 6;
  if (failed > limit || restartedTooOften(job, pods, limit)) {
    return failure('BackoffLimitExceeded', 'Job has reached the specified backoff limit');
  }
  const { activeDeadlineSeconds } = job.spec;
  const started = job.status?.startTime;
  if (activeDeadlineSeconds !== undefined && started !== undefined && !isSuspended(job)) {
    if (nowMs - Date.parse(started) >= activeDeadlineSeconds * 1000) {
      return failure('DeadlineExceeded', 'Job was active longer than specified deadline');
    }
  }
  return indexOutcome(view);
}

function indexOutcome({ job, succeededIndexes, failedIndexes }: View): Outcome | undefined {
  if (!isIndexed(job)) return undefined;
  const { maxFailedIndexes, completions = 0 } = job.spec;
  if (maxFailedIndexes !== undefined && failedIndexes.size > maxFailedIndexes) {
    return failure('MaxFailedIndexesExceeded', 'Job has exceeded the specified maximal number of failed indexes');
  }
  if (failedIndexes.size > 0 && failedIndexes.size + succeededIndexes.size >= completions) {
    return failure('FailedIndexes', 'Job has failed indexes');
  }
  const message = successPolicyMet(job, succeededIndexes);
  return message === undefined ? undefined : success('SuccessPolicy', message);
}

function restartedTooOften(job: Job, pods: readonly Pod[], limit: number): boolean {
  if (job.spec.template.spec?.restartPolicy !== 'OnFailure') return false;
  const restarts = pods
    .filter((pod) => pod.status?.phase === 'Running' || pod.status?.phase === 'Pending')
    .flatMap((pod) => [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])])
    .reduce((sum, status) => sum + status.restartCount, 0);
  return limit === 0 ? restarts > 0 : restarts >= limit;
}

function completed({ job, succeeded }: View, active: number): Outcome | undefined {
  const wanted = job.spec.completions ?? 1;
  if (active > 0 || wanted > succeeded) return undefined;
  return success('CompletionsReached', 'Reached expected number of succeeded pods');
}

/** What has to be made or deleted so that as many pods run as should. */
function manage(view: View): Pick<JobDecision, 'create' | 'remove' | 'againMs'> {
  const { job, active, succeeded, terminating } = view;
  const { parallelism = 1, completions } = job.spec;
  if (isSuspended(job)) return { ...NOT_MANAGED, remove: active.slice(0, MAX_CHANGES) };
  const open = completions === undefined && succeeded > 0 ? active.length : parallelism;
  const wanted = Math.max(0, completions === undefined ? open : Math.min(completions - succeeded, parallelism));
  const remove = tooMany(view, Math.max(0, active.length - wanted));
  if (remove.length > 0) return { ...NOT_MANAGED, remove: remove.slice(0, MAX_CHANGES) };
  const missing = wanted - active.length - (replacesOnlyFailed(job) ? terminating : 0);
  if (missing <= 0) return NOT_MANAGED;
  if (job.spec.backoffLimitPerIndex !== undefined && isIndexed(job)) return newIndexPods(view, missing);
  const waitMs = backoffMs(failuresNow(view), view.nowMs);
  if (waitMs > 0) return { ...NOT_MANAGED, againMs: waitMs };
  const count = Math.min(missing, MAX_CHANGES);
  if (!isIndexed(job)) return { ...NOT_MANAGED, create: Array.from({ length: count }, () => ({})) };
  return {
    ...NOT_MANAGED,
    create: pendingIndexes(view)
      .slice(0, count)
      .map((index) => ({ index })),
  };
}

/** Indexes that neither have ended nor have a pod, the lowest first. */
function pendingIndexes({ job, pods, active, succeededIndexes, failedIndexes }: View): readonly number[] {
  const held = replacesOnlyFailed(job)
    ? [...active, ...pods.filter((p) => isTerminating(p) && !isTerminal(p))]
    : active;
  const taken = new Set([...succeededIndexes, ...failedIndexes, ...held.map(completionIndex)]);
  return Array.from({ length: job.spec.completions ?? 0 }, (_, index) => index).filter((index) => !taken.has(index));
}

/** Pods without a wanted index and second ones of an index go in any case, then those that are missed least. */
function tooMany({ job, active, nowMs }: View, atLeast: number): readonly Pod[] {
  const seen = new Set<number>();
  const remove: Pod[] = [];
  const left: Pod[] = [];
  for (const pod of isIndexed(job) ? rankForDeletion(active, nowMs).toReversed() : active) {
    const index = completionIndex(pod);
    const surplus = isIndexed(job) && (!isValid(job, pod) || seen.has(index!));
    (surplus ? remove : left).push(pod);
    if (index !== undefined) seen.add(index);
  }
  return [...remove, ...rankForDeletion(left, nowMs).slice(0, Math.max(0, atLeast - remove.length))];
}

/** With a limit for every index each index waits for itself, and the new pod is told how often the index failed. */
function newIndexPods(view: View, missing: number): Pick<JobDecision, 'create' | 'remove' | 'againMs'> {
  const delayed = lastFailedPods(view);
  const create: NewPod[] = [];
  const waits: number[] = [];
  for (const index of pendingIndexes(view)) {
    const before = delayed.get(index);
    const failures = before ? failuresWith(view.job, before) : { counted: 0, ignored: 0 };
    const count = failures.counted + failures.ignored;
    const waitMs = before ? backoffMs({ count, lastMs: finishedAtMs(before, view.nowMs) }, view.nowMs) : 0;
    if (waitMs > 0) waits.push(waitMs);
    else if (create.length < Math.min(missing, MAX_CHANGES)) create.push({ index, failures });
  }
  return { create, remove: [], againMs: soonest(waits) };
}

function failuresWith(job: Job, pod: Pod): { counted: number; ignored: number } {
  const { counted, ignored } = failuresBefore(pod);
  const ignore = judgeFailure(job, pod).action === 'Ignore';
  return ignore ? { counted, ignored: ignored + 1 } : { counted: counted + 1, ignored };
}

/** The failed pod that tells how often its index failed: it is kept until there is another pod of the index. */
function lastFailedPods({ job, pods, active, succeededIndexes, failedIndexes }: View): ReadonlyMap<number, Pod> {
  const found = new Map<number, Pod>();
  if (job.spec.backoffLimitPerIndex === undefined || !isIndexed(job)) return found;
  const done = new Set([...succeededIndexes, ...failedIndexes, ...active.map(completionIndex)]);
  const total = (pod: Pod): number => failuresBefore(pod).counted + failuresBefore(pod).ignored;
  for (const pod of pods) {
    const index = completionIndex(pod);
    if (index === undefined || done.has(index) || !isTracked(pod) || !isFailed(job, pod)) continue;
    const other = found.get(index);
    if (!other || total(pod) > total(other)) found.set(index, pod);
  }
  return found;
}

function backoffMs(failures: Failures | undefined, nowMs: number): number {
  if (!failures || failures.count === 0) return 0;
  const delayMs = Math.min(FIRST_BACKOFF_MS * 2 ** (failures.count - 1), MAX_BACKOFF_MS);
  return Math.max(0, failures.lastMs + delayMs - nowMs);
}

/** The failures since the last success, with those that are new. */
function failuresNow({ failures, newSucceeded, newFailed, nowMs }: View): Failures | undefined {
  const successMs = Math.max(...newSucceeded.map((pod) => finishedAtMs(pod, nowMs)), Number.NEGATIVE_INFINITY);
  const after = newFailed.map((pod) => finishedAtMs(pod, nowMs)).filter((ms) => ms >= successMs);
  const before = newSucceeded.length > 0 ? 0 : (failures?.count ?? 0);
  if (after.length + before === 0) return undefined;
  return { count: before + after.length, lastMs: Math.max(...after, failures?.lastMs ?? 0) };
}

function deadlineMs(
  { job, nowMs }: View,
  startTime: string | undefined,
  outcome: Outcome | undefined,
): number | undefined {
  const { activeDeadlineSeconds } = job.spec;
  if (outcome || activeDeadlineSeconds === undefined || startTime === undefined || isSuspended(job)) return undefined;
  return Math.max(0, Date.parse(startTime) + activeDeadlineSeconds * 1000 - nowMs);
}

/** Ended pods go into the status by uid before they lose their finalizer, so that none is lost or counted twice. */
function track(view: View, outcome: Outcome | undefined): { untrack: readonly Pod[]; counts: Partial<JobStatus> } {
  const { job, pods, succeededIndexes, failedIndexes } = view;
  const before = job.status?.uncountedTerminatedPods;
  const uncounted = { succeeded: [...(before?.succeeded ?? [])], failed: [...(before?.failed ?? [])] };
  const kept = new Set(isTerminating(job) || outcome ? [] : lastFailedPods(view).values());
  const untrack: Pod[] = [];
  for (const pod of pods) {
    if (uncounted.succeeded.length + uncounted.failed.length >= MAX_UNCOUNTED) break;
    const ended = pod.status?.phase === 'Succeeded' || (isFailed(job, pod) && !kept.has(pod));
    if (!isTracked(pod) || (!ended && !outcome && !isTerminating(job))) continue;
    untrack.push(pod);
    const { uid = '' } = pod.metadata;
    if (uncounted.succeeded.includes(uid) || uncounted.failed.includes(uid) || !isValid(job, pod)) continue;
    if (pod.status?.phase === 'Succeeded') {
      if (!isIndexed(job)) uncounted.succeeded.push(uid);
    } else if (isFailed(job, pod) || outcome?.type === 'Failed') {
      if (judgeFailure(job, pod).action !== 'Ignore') uncounted.failed.push(uid);
    }
  }
  const perIndex = job.spec.backoffLimitPerIndex !== undefined && { failedIndexes: formatIndexes(failedIndexes) };
  const indexes = { succeeded: succeededIndexes.size, completedIndexes: formatIndexes(succeededIndexes), ...perIndex };
  const named = {
    ...(uncounted.succeeded.length > 0 && { succeeded: uncounted.succeeded }),
    ...(uncounted.failed.length > 0 && { failed: uncounted.failed }),
  };
  return { untrack, counts: { ...(isIndexed(job) && indexes), uncountedTerminatedPods: named } };
}

function condition(type: string, { reason, message }: Outcome, nowMs: number): JobCondition {
  const time = rfc3339(nowMs);
  return { type, status: 'True', lastProbeTime: time, lastTransitionTime: time, reason, message };
}

/** The Suspended condition is there once a Job has been suspended. */
function suspensionOf(
  job: Job,
  nowMs: number,
): { conditions: readonly JobCondition[]; event: 'Suspended' | 'Resumed' } | undefined {
  const conditions = job.status?.conditions ?? [];
  const before = conditions.find((c) => c.type === 'Suspended');
  const status = isSuspended(job) ? 'True' : 'False';
  if (isTerminating(job) || (before?.status ?? 'False') === status) return undefined;
  const event = isSuspended(job) ? 'Suspended' : 'Resumed';
  const time = rfc3339(nowMs);
  const reason = `Job${event}`;
  const message = `Job ${event.toLowerCase()}`;
  const now = { type: 'Suspended', status, lastProbeTime: time, lastTransitionTime: time, reason, message };
  return { conditions: before ? conditions.map((c) => (c === before ? now : c)) : [...conditions, now], event };
}

/** The status when the finalizers of all but `tracked` are gone: those pods are counted, and the Job may have ended. */
export function settleStatus(
  status: JobStatus,
  tracked: ReadonlySet<string>,
  outcome: Outcome | undefined,
  nowMs: number,
): JobStatus {
  const { succeeded = [], failed = [] } = status.uncountedTerminatedPods ?? {};
  const open = {
    succeeded: succeeded.filter((uid) => tracked.has(uid)),
    failed: failed.filter((uid) => tracked.has(uid)),
  };
  const counted: JobStatus = {
    ...status,
    succeeded: (status.succeeded ?? 0) + succeeded.length - open.succeeded.length,
    failed: (status.failed ?? 0) + failed.length - open.failed.length,
    uncountedTerminatedPods: {
      ...(open.succeeded.length > 0 && { succeeded: open.succeeded }),
      ...(open.failed.length > 0 && { failed: open.failed }),
    },
  };
  const waiting =
    tracked.size + open.succeeded.length + open.failed.length + (status.terminating ?? 0) + (status.active ?? 0);
  if (!outcome || waiting > 0) return counted;
  const last = condition(outcome.type, outcome, nowMs);
  return {
    ...counted,
    conditions: [...(status.conditions ?? []), last],
    ...(outcome.type === 'Complete' && { completionTime: last.lastTransitionTime! }),
  };
}
