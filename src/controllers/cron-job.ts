// CronJob: Jobs at the times of a schedule (kubernetes.io/docs, "CronJob").
import type { CronJob, CronJobStatus, Job, ObjectReference } from '../api/generated/types.ts';
import { draft, keyOf } from '../api/object.ts';
import { rfc3339 } from '../lib/clock.ts';
import { controllerReference, isTerminating } from '../machinery/meta.ts';
import { isReason } from '../machinery/status.ts';
import { checkTimeZone, latestDue, parseSchedule, type Schedule, timeIn } from './cron-schedule.ts';
import { isFinished } from './job-decision.ts';
import { messageOf } from './pod-control.ts';
import { byController, ownerKeys } from './pod-ownership.ts';
import { sameStatus } from './replica-set.ts';
import { type Controller, type ControllerContext, type Requeue, watch } from './runtime.ts';

const CRON_JOB = { apiVersion: 'batch/v1', kind: 'CronJob' } as const;
const SCHEDULED_AT = 'batch.kubernetes.io/cronjob-scheduled-timestamp';

/** A look a little after the time comes, never a little before it. */
const AFTER_DUE_MS = 100;

interface Report {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

const normal = (reason: string, message: string): Report => ({ type: 'Normal', reason, message });
const warning = (reason: string, message: string): Report => ({ type: 'Warning', reason, message });

export interface CronSnapshot {
  readonly cronJob: CronJob;
  /** The Jobs that it controls. */
  readonly jobs: readonly Job[];
  /** Active Jobs of the status that are gone for certain. */
  readonly missing: ReadonlySet<string>;
  readonly nowMs: number;
}

export interface CronDecision {
  /** The Job that starts now, and the time that it is for. */
  readonly start: { readonly job: Job; readonly atMs: number } | undefined;
  /** Jobs to delete: ended ones beyond the limits, and running ones that are replaced. */
  readonly remove: readonly Job[];
  /** The status without a Job that starts now. */
  readonly status: CronJobStatus;
  readonly reports: readonly Report[];
  readonly againMs: number | undefined;
}

export function decideCronJob(snapshot: CronSnapshot): CronDecision {
  const { cronJob, nowMs } = snapshot;
  const { status, reports } = observe(snapshot);
  const surplus = isTerminating(cronJob) ? [] : surplusJobs(snapshot);
  const idle = { start: undefined, remove: surplus, status, reports, againMs: undefined };
  if (isTerminating(cronJob)) return idle;
  const { timeZone, suspend, schedule: expression } = cronJob.spec;
  try {
    if (timeZone !== undefined) checkTimeZone(timeZone);
  } catch (error) {
    const message = `invalid timeZone: ${JSON.stringify(timeZone)}: ${messageOf(error)}`;
    return { ...idle, reports: [...reports, warning('UnknownTimeZone', message)] };
  }
  if (suspend) return idle;
  let schedule: Schedule;
  try {
    schedule = parseSchedule(expression, timeZone);
  } catch (error) {
    const message = `unparseable schedule: ${JSON.stringify(expression)} : ${messageOf(error)}`;
    return { ...idle, reports: [...reports, warning('UnparseableSchedule', message)] };
  }
  const next = schedule.next(nowMs);
  const waiting = { ...idle, againMs: next === undefined ? undefined : next - nowMs + AFTER_DUE_MS };
  const start = decideStart(snapshot, schedule, status);
  const all = [...reports, ...start.reports];
  if (start.atMs === undefined) return { ...waiting, reports: all };
  const replaced = cronJob.spec.concurrencyPolicy === 'Replace' ? runningJobs(snapshot, status) : [];
  const gone = new Set(replaced.map((job) => job.metadata.uid));
  return {
    ...waiting,
    start: { job: jobFor(cronJob, start.atMs), atMs: start.atMs },
    remove: [...surplus, ...replaced],
    status: withActive(
      status,
      (status.active ?? []).filter((one) => !gone.has(one.uid)),
    ),
    reports: all,
  };
}

function withActive({ active: _, ...status }: CronJobStatus, active: readonly ObjectReference[]): CronJobStatus {
  return { ...status, ...(active.length > 0 && { active }) };
}

/** What the Jobs show: which have ended, which nobody knew of, which are gone. */
function observe({ cronJob, jobs, missing }: CronSnapshot): { status: CronJobStatus; reports: Report[] } {
  const reports: Report[] = [];
  const ended = new Map(jobs.filter(isFinished).map((job) => [job.metadata.uid, job]));
  const known = new Set((cronJob.status?.active ?? []).map((one) => one.uid));
  for (const job of jobs) {
    if (known.has(job.metadata.uid!) || isFinished(job)) continue;
    const message = `Saw a job that the controller did not create or forgot: ${job.metadata.name}`;
    reports.push(warning('UnexpectedJob', message));
  }
  const active = (cronJob.status?.active ?? []).filter(({ uid = '', name }) => {
    const job = ended.get(uid);
    if (job) reports.push(normal('SawCompletedJob', `Saw completed job: ${name}, condition: ${endOf(job)}`));
    else if (missing.has(uid)) reports.push(normal('MissingJob', `Active job went missing: ${name}`));
    return !job && !missing.has(uid);
  });
  const times = jobs.filter((job) => endOf(job) === 'Complete').flatMap((job) => job.status?.completionTime ?? []);
  const successes = [...times, ...(cronJob.status?.lastSuccessfulTime ? [cronJob.status.lastSuccessfulTime] : [])];
  const lastSuccessfulTime = successes.sort().at(-1);
  return {
    status: withActive({ ...cronJob.status, ...(lastSuccessfulTime && { lastSuccessfulTime }) }, active),
    reports,
  };
}

function endOf(job: Job): string | undefined {
  const types = ['Complete', 'Failed'];
  return job.status?.conditions?.find((c) => types.includes(c.type) && c.status === 'True')?.type;
}

function decideStart(
  { cronJob, nowMs }: CronSnapshot,
  schedule: Schedule,
  status: CronJobStatus,
): { atMs: number | undefined; reports: readonly Report[] } {
  const { startingDeadlineSeconds, concurrencyPolicy } = cronJob.spec;
  const lastMs = Date.parse(status.lastScheduleTime ?? cronJob.metadata.creationTimestamp ?? rfc3339(nowMs));
  const windowMs =
    startingDeadlineSeconds === undefined ? Number.NEGATIVE_INFINITY : nowMs - startingDeadlineSeconds * 1000;
  const due = latestDue(schedule, Math.max(lastMs, windowMs), nowMs);
  if (!due) return { atMs: undefined, reports: [] };
  const advice = 'too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew';
  const reports = due.manyMissed ? [warning('TooManyMissedTimes', advice)] : [];
  const { atMs } = due;
  const processed = lastMs === atMs || (status.active ?? []).some((one) => one.name === jobName(cronJob, atMs));
  if (processed) return { atMs: undefined, reports };
  if (concurrencyPolicy === 'Forbid' && (status.active ?? []).length > 0) {
    const message = 'Not starting job because prior execution is running and concurrency policy is Forbid';
    return { atMs: undefined, reports: [...reports, normal('JobAlreadyActive', message)] };
  }
  return { atMs, reports };
}

/** The time is in the name: two controllers, or one that starts again, make the same Job and not two. */
const jobName = (cronJob: CronJob, atMs: number): string => `${cronJob.metadata.name}-${Math.floor(atMs / 60_000)}`;

function jobFor(cronJob: CronJob, atMs: number): Job {
  const { metadata, spec } = cronJob.spec.jobTemplate;
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: jobName(cronJob, atMs),
      namespace: cronJob.metadata.namespace!,
      ...(metadata?.labels && { labels: metadata.labels }),
      annotations: { ...metadata?.annotations, [SCHEDULED_AT]: timeIn(atMs, cronJob.spec.timeZone) },
      ownerReferences: [controllerReference(cronJob, CRON_JOB)],
    },
    spec: spec!,
  };
}

function runningJobs({ jobs }: CronSnapshot, status: CronJobStatus): readonly Job[] {
  const active = new Set((status.active ?? []).map((one) => one.uid));
  return jobs.filter((job) => active.has(job.metadata.uid!));
}

/** Ended Jobs beyond the limits of history, the earliest started first. */
function surplusJobs({ cronJob, jobs }: CronSnapshot): readonly Job[] {
  const { successfulJobsHistoryLimit, failedJobsHistoryLimit } = cronJob.spec;
  const oldest = (end: string, limit: number | undefined): readonly Job[] => {
    const ended = jobs.filter((job) => endOf(job) === end && !isTerminating(job));
    const rank = (job: Job): string => `${job.status?.startTime ?? '~'} ${job.metadata.name}`;
    return ended
      .sort((a, b) => (rank(a) < rank(b) ? -1 : 1))
      .slice(0, Math.max(0, ended.length - (limit ?? ended.length)));
  };
  return [...oldest('Complete', successfulJobsHistoryLimit), ...oldest('Failed', failedJobsHistoryLimit)];
}

export function cronJobController(): Controller {
  return {
    name: 'cronjob-controller',
    watches: () => [
      watch('cronjobs.batch', { keys: (cronJob) => [keyOf(cronJob)] }),
      watch('jobs.batch', {
        indexes: byController,
        keys: (job, previous) => [...ownerKeys('CronJob', job, previous)],
      }),
    ],
    reconcile,
  };
}

async function reconcile(ctx: ControllerContext, key: string, signal: AbortSignal): Promise<Requeue | undefined> {
  const cached = ctx.informers.for('cronjobs.batch').get(key);
  if (!cached) return undefined;
  const jobs = ctx.informers.for('jobs.batch').byIndex('controller', cached.metadata.uid!);
  const known = new Set((cached.status?.active ?? []).map((one) => one.uid));
  const isNews = jobs.some((job) => !known.has(job.metadata.uid) && !isFinished(job));
  // The Jobs may be newer in the cache than the status that names them.
  const cronJob = isNews ? await present(ctx, cached, signal) : cached;
  if (!cronJob) return undefined;
  const missing = await missingJobs(ctx, cronJob, jobs, signal);
  const decision = decideCronJob({ cronJob, jobs, missing, nowMs: ctx.env.clock.now() });
  for (const { type, reason, message } of decision.reports) ctx.events.event(cronJob, type, reason, message);
  for (const job of decision.remove) await removeJob(ctx, cronJob, job, signal);
  const started = decision.start && (await startJob(ctx, cronJob, decision.start.job, signal));
  const { status, start } = decision;
  const active = status.active ?? [];
  const listed = active.some((one) => one.uid === started?.uid);
  const wanted =
    start && started && !listed
      ? { ...status, active: [...active, started], lastScheduleTime: rfc3339(start.atMs) }
      : status;
  if (!sameStatus(cronJob.status, wanted)) {
    const changed = { ...draft(cronJob), status: wanted } as CronJob;
    await ctx.client.resource('cronjobs.batch').update(changed, { subresource: 'status', signal });
  }
  return decision.againMs === undefined ? undefined : { requeueAfterMs: decision.againMs };
}

async function present(ctx: ControllerContext, cached: CronJob, signal: AbortSignal): Promise<CronJob | undefined> {
  const { namespace, name, uid } = cached.metadata;
  try {
    const found = await ctx.client.resource('cronjobs.batch').get({ namespace, name }, signal);
    return found.metadata.uid === uid ? found : undefined;
  } catch (error) {
    if (isReason(error, 'NotFound')) return undefined;
    throw error;
  }
}

/** Jobs of the status that the cache lacks are asked for: a slow watch must not start a second one. */
async function missingJobs(
  ctx: ControllerContext,
  cronJob: CronJob,
  jobs: readonly Job[],
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const found = new Set(jobs.map((job) => job.metadata.uid));
  const missing = new Set<string>();
  for (const { uid = '', name = '', namespace } of cronJob.status?.active ?? []) {
    if (found.has(uid)) continue;
    try {
      await ctx.client.resource('jobs.batch').get({ namespace, name }, signal);
    } catch (error) {
      if (!isReason(error, 'NotFound')) throw error;
      missing.add(uid);
    }
  }
  return missing;
}

async function removeJob(ctx: ControllerContext, cronJob: CronJob, job: Job, signal: AbortSignal): Promise<void> {
  const { namespace, name, uid } = job.metadata;
  try {
    const query = { propagationPolicy: 'Background', preconditions: { uid: uid! }, signal } as const;
    await ctx.client.resource('jobs.batch').delete({ namespace, name }, query);
    ctx.events.event(cronJob, 'Normal', 'SuccessfulDelete', `Deleted job ${name}`);
  } catch (error) {
    if (isReason(error, 'NotFound')) return;
    ctx.events.event(cronJob, 'Warning', 'FailedDelete', `Deleted job: ${messageOf(error)}`);
    throw error;
  }
}

/** The reference for the status; undefined when the name is taken by a Job of somebody else. */
async function startJob(
  ctx: ControllerContext,
  cronJob: CronJob,
  wanted: Job,
  signal: AbortSignal,
): Promise<ObjectReference | undefined> {
  const jobs = ctx.client.resource('jobs.batch');
  let job: Job;
  try {
    job = await jobs.create(wanted, { signal });
    ctx.events.event(cronJob, 'Normal', 'SuccessfulCreate', `Created job ${job.metadata.name}`);
  } catch (error) {
    if (!isReason(error, 'AlreadyExists')) {
      ctx.events.event(cronJob, 'Warning', 'FailedCreate', `Error creating job: ${messageOf(error)}`);
      throw error;
    }
    // Made before, and lost before the status was written.
    const { namespace, name } = wanted.metadata;
    job = await jobs.get({ namespace, name }, signal);
    if (!job.metadata.ownerReferences?.some((one) => one.uid === cronJob.metadata.uid)) return undefined;
  }
  const { namespace, name, uid, resourceVersion } = job.metadata;
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    namespace: namespace!,
    name,
    uid: uid!,
    ...(resourceVersion !== undefined && { resourceVersion }),
  };
}
