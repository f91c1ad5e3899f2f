// Jobs and CronJobs: their selectors and labels, and what of a Job may still change.
import type { Affinity, CronJob, Job, LabelSelector, PodTemplateSpec } from '../../api/generated/types.ts';
import type { Draft } from '../../api/object.ts';
import { dnsLabelProblems } from '../../machinery/names.ts';
import { labelSelectorFromObject } from '../../machinery/selector-parse.ts';
import type { FieldError } from '../../machinery/status.ts';
import { sameMeaning } from './equality.ts';
import { FIELD_IMMUTABLE, invalidValue, required } from './field-errors.ts';
import { validateJobStatusUpdate } from './job-status.ts';
import { dnsSubdomainName } from './name-rules.ts';
import { defineStrategy, type NameRule } from './strategy.ts';
import { validateRestart } from './workloads.ts';

type Labels = { readonly [label: string]: string };

const PREFIX = 'batch.kubernetes.io/';
const LEGACY_LABELS = ['controller-uid', 'job-name'] as const;
const ENDING = ['OnFailure', 'Never'];

/** The labels by which the pods of a Job are told from all others, with and without their prefix. */
function ownLabels(job: Job | Draft<Job>, prefix: string): Labels {
  return { [`${prefix}controller-uid`]: job.metadata.uid ?? '', [`${prefix}job-name`]: job.metadata.name };
}

/** The server chooses selector and labels of a Job by its uid, so that no two Jobs ever share pods. */
function prepareJob(job: Draft<Job>): void {
  delete job.status;
  if (job.spec.manualSelector) return;
  const template = job.spec.template ?? {};
  const labels = { ...ownLabels(job, ''), ...ownLabels(job, PREFIX), ...template.metadata?.labels };
  job.spec.template = { ...template, metadata: { ...template.metadata, labels } };
  const matchLabels = { [`${PREFIX}controller-uid`]: job.metadata.uid ?? '', ...job.spec.selector?.matchLabels };
  job.spec.selector = { ...job.spec.selector, matchLabels };
}

function validateHasLabel(labels: Labels, label: string, value: string): FieldError[] {
  const at = `spec.template.metadata.labels[${label}]`;
  if (labels[label] === undefined) return [required(at, `must be '${value}'`)];
  return labels[label] === value ? [] : [invalidValue(at, labels, `must be '${value}'`)];
}

/** Undefined for a selector that is none: what is wrong with it, the rules of selectors say. */
function matches(selector: LabelSelector, labels: Labels): boolean | undefined {
  try {
    return labelSelectorFromObject(selector).matches(labels);
  } catch {
    return undefined;
  }
}

/** Selector and labels are those that `prepareJob` makes, unless the Job has a selector of its own. */
function validateGeneratedSelector(job: Job, prefixedLabels: boolean): FieldError[] {
  if (job.spec.manualSelector || !job.spec.selector) return [];
  const labels = job.spec.template?.metadata?.labels ?? {};
  const expected = { ...(prefixedLabels && ownLabels(job, PREFIX)), ...ownLabels(job, '') };
  const errors = LEGACY_LABELS.flatMap((label) => validateHasLabel(labels, label, expected[label] ?? ''));
  if (prefixedLabels) {
    for (const label of LEGACY_LABELS.map((name) => PREFIX + name)) {
      errors.push(...validateHasLabel(labels, label, expected[label] ?? ''));
    }
  }
  if (matches(job.spec.selector, expected) === false) {
    errors.push(invalidValue('spec.selector', job.spec.selector, '`selector` not auto-generated'));
  }
  return errors;
}

function validateJob(job: Job, prefixedLabels = true): FieldError[] {
  const errors = validateGeneratedSelector(job, prefixedLabels);
  const { selector, template, completions } = job.spec;
  if (!selector) errors.push(required('spec.selector'));
  const labels = template?.metadata?.labels;
  if (!selector || matches(selector, labels ?? {}) === false) {
    const text = '`selector` does not match template `labels`';
    errors.push(invalidValue('spec.template.metadata.labels', labels, text));
  }
  if (template) errors.push(...validateRestart(template, 'spec.template', ENDING));
  if (job.spec.completionMode === 'Indexed' && completions !== undefined && completions > 0) {
    // A pod's host name is the Job's name and its index.
    const longest = `${job.metadata.name}-${completions - 1}`;
    if (dnsLabelProblems(longest).length > 0) {
      const text = `will not able to create pod with invalid DNS label: ${longest}`;
      errors.push(invalidValue('metadata.name', job.metadata.name, text));
    }
  }
  return errors;
}

/**
 * Suspended with no pod left, and never started or known to be suspended: where its pods will run and what they take
 * may still change. Upstream: MutableSchedulingDirectivesForSuspendedJobs, MutablePodResourcesForSuspendedJobs.
 */
function isOpen({ spec, status }: Job): boolean {
  if (spec.suspend !== true || (status?.active ?? 0) > 0) return false;
  const suspended = status?.conditions?.some((c) => c.type === 'Suspended' && c.status === 'True') ?? false;
  return suspended || !status?.startTime;
}

/** The old template with what an open Job may change taken from the new one: with it all the rest must agree. */
function withOpenFields(old: PodTemplateSpec, now: PodTemplateSpec): PodTemplateSpec {
  const resourcesOf = (list: readonly { name: string; resources?: object }[] | undefined, name: string) =>
    list?.find((c) => c.name === name)?.resources;
  const spec: Record<string, unknown> = { ...old.spec };
  for (const field of ['nodeSelector', 'tolerations', 'schedulingGates'] as const) spec[field] = now.spec?.[field];
  spec.affinity = openAffinity(old.spec?.affinity, now.spec?.affinity);
  for (const field of ['containers', 'initContainers'] as const) {
    const list = old.spec?.[field];
    spec[field] = list?.map((c) => ({ ...c, resources: resourcesOf(now.spec?.[field], c.name) }));
  }
  const { labels, annotations } = now.metadata ?? {};
  return { ...old, metadata: { ...old.metadata, labels, annotations }, spec } as unknown as PodTemplateSpec;
}

/** Affinity to nodes may change, and go with the whole affinity if there is nothing else in it. */
function openAffinity(old: Affinity | undefined, now: Affinity | undefined): Affinity | undefined {
  if (!old && !now) return undefined;
  return { ...old, nodeAffinity: now?.nodeAffinity } as Affinity;
}

const IMMUTABLE = ['completionMode', 'podFailurePolicy', 'backoffLimitPerIndex', 'managedBy', 'successPolicy'] as const;

function validateJobUpdate(job: Job, old: Job): FieldError[] {
  // Jobs that are older than the labels with a prefix go on without them.
  const oldLabels = old.spec.template?.metadata?.labels ?? {};
  const prefixed = Object.keys(ownLabels(old, PREFIX)).every((label) => oldLabels[label] !== undefined);
  const errors = validateJob(job, prefixed);
  errors.push(...validateCompletions(job, old));
  if (!sameMeaning(job.spec.selector, old.spec.selector)) {
    errors.push(invalidValue('spec.selector', job.spec.selector, FIELD_IMMUTABLE));
  }
  const template = isOpen(old) ? withOpenFields(old.spec.template, job.spec.template) : old.spec.template;
  if (!sameMeaning(job.spec.template, template)) {
    errors.push(invalidValue('spec.template', job.spec.template, FIELD_IMMUTABLE));
  }
  for (const field of IMMUTABLE) {
    if (!sameMeaning(job.spec[field], old.spec[field])) {
      errors.push(invalidValue(`spec.${field}`, job.spec[field], FIELD_IMMUTABLE));
    }
  }
  return errors;
}

/** The completions of an Indexed Job may change with its parallelism. */
function validateCompletions({ spec }: Job, old: Job): FieldError[] {
  const { completions } = spec;
  if (completions === old.spec.completions) return [];
  if (spec.completionMode !== 'Indexed') return [invalidValue('spec.completions', completions, FIELD_IMMUTABLE)];
  if (completions === undefined || completions === spec.parallelism) return [];
  return [invalidValue('spec.completions', completions, 'can only be modified in tandem with spec.parallelism')];
}

export const jobStrategy = defineStrategy<Job>({
  countsGenerations: true,
  defaultPropagation: 'orphan',
  selectable: { 'status.successful': (job) => String(job.status?.succeeded ?? 0) },
  prepareForCreate: prepareJob,
  validate: (job) => validateJob(job),
  validateUpdate: validateJobUpdate,
  endpoints: { status: { validateUpdate: validateJobStatusUpdate } },
});

/** Job names get an 11-character suffix, so a CronJob's name is shorter. */
const MAX_CRONJOB_NAME = 52;

const cronJobName: NameRule = (name, prefix) => {
  const messages = [...dnsSubdomainName(name, prefix)];
  if (!prefix && name.length > MAX_CRONJOB_NAME) messages.push(`must be no more than ${MAX_CRONJOB_NAME} characters`);
  return messages;
};

const CRON =
  /^(@(yearly|annually|monthly|weekly|daily|midnight|hourly|every\s+\S+)|(TZ=\S+\s+|CRON_TZ=\S+\s+)?\S+(\s+\S+){4})$/;

function validateSchedule(cron: CronJob, old: CronJob | undefined): FieldError[] {
  const { schedule, timeZone } = cron.spec;
  if (!schedule) return [required('spec.schedule')];
  const errors: FieldError[] = [];
  if (!CRON.test(schedule.trim())) {
    const found = schedule.trim().split(/\s+/).length;
    const text = `expected exactly 5 fields, found ${found}: [${schedule}]`;
    errors.push(invalidValue('spec.schedule', schedule, text));
  }
  if (!schedule.includes('TZ')) return errors;
  // What was there before this was forbidden stays.
  if (!old?.spec.schedule?.includes('TZ')) {
    const text = 'cannot use TZ or CRON_TZ in schedule, use timeZone field instead';
    errors.push(invalidValue('spec.schedule', schedule, text));
  } else if (timeZone !== undefined) {
    const text = 'cannot use both timeZone field and TZ or CRON_TZ in schedule';
    errors.push(invalidValue('spec.schedule', schedule, text));
  }
  return errors;
}

function validateTimeZone(timeZone: string | undefined): FieldError[] {
  const found = (text: string): FieldError[] => [invalidValue('spec.timeZone', timeZone, text)];
  if (timeZone === undefined) return [];
  if (timeZone === '') return found('timeZone must be nil or non-empty string');
  const wellFormed = (part: string): boolean =>
    part !== '.' && part !== '..' && !part.startsWith('-') && /^[A-Za-z.\-_0-9+]{1,14}$/.test(part);
  if (timeZone.toLowerCase() === 'local') {
    return found('timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones');
  }
  if (!timeZone.split('/').every(wellFormed) || !isTimeZone(timeZone)) return found(`unknown time zone ${timeZone}`);
  return [];
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

function validateCronJob(cron: CronJob, old?: CronJob): FieldError[] {
  const errors = validateSchedule(cron, old);
  if (!old || cron.spec.timeZone !== old.spec.timeZone) errors.push(...validateTimeZone(cron.spec.timeZone));
  const template = cron.spec.jobTemplate?.spec?.template;
  if (template) errors.push(...validateRestart(template, 'spec.jobTemplate.spec.template', ENDING));
  return errors;
}

export const cronJobStrategy = defineStrategy<CronJob>({
  countsGenerations: true,
  nameRule: cronJobName,
  validate: (cron) => validateCronJob(cron),
  validateUpdate: validateCronJob,
});
