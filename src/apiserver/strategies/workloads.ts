// Deployments, ReplicaSets, StatefulSets, DaemonSets, ReplicationControllers, Jobs and CronJobs.
import type {
  CronJob,
  DaemonSet,
  Deployment,
  Job,
  LabelSelector,
  PodTemplateSpec,
  ReplicaSet,
  ReplicationController,
  StatefulSet,
} from '../../api/generated/types.ts';
import type { Draft } from '../../api/object.ts';
import { labelSelectorFromObject } from '../../machinery/selector-parse.ts';
import type { FieldError } from '../../machinery/status.ts';
import { sameMeaning } from './equality.ts';
import { FIELD_IMMUTABLE, forbiddenField, invalidValue, nonNegative, notSupported, required } from './field-errors.ts';
import { dnsSubdomainName } from './name-rules.ts';
import { validatePodTemplate } from './pod-spec.ts';
import { defineStrategy, type NameRule } from './strategy.ts';

const ALWAYS = ['Always'];

/** A selector must be there, must select something particular, and must select what the template makes. */
export function validateSelector(
  selector: LabelSelector | undefined,
  template: PodTemplateSpec | undefined,
): FieldError[] {
  if (!selector) return [required('spec.selector')];
  const errors: FieldError[] = [];
  for (const [i, e] of (selector.matchExpressions ?? []).entries()) {
    const at = `spec.selector.matchExpressions[${i}]`;
    const list = e.operator === 'In' || e.operator === 'NotIn';
    if (list && (e.values ?? []).length === 0) {
      errors.push(required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
    } else if (!list && !['Exists', 'DoesNotExist'].includes(e.operator)) {
      errors.push(invalidValue(`${at}.operator`, e.operator, 'not a valid selector operator'));
    } else if (!list && (e.values ?? []).length > 0) {
      errors.push(forbiddenField(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
    }
  }
  if (errors.length > 0) return errors;
  const compiled = labelSelectorFromObject(selector);
  if (compiled.empty) return [invalidValue('spec.selector', selector, 'empty selector is invalid for deployment')];
  if (!compiled.matches(template?.metadata?.labels)) {
    const at = 'spec.template.metadata.labels';
    return [invalidValue(at, template?.metadata?.labels, '`selector` does not match template `labels`')];
  }
  return [];
}

function selectorImmutable(now: unknown, old: unknown): FieldError[] {
  return sameMeaning(now, old) ? [] : [invalidValue('spec.selector', now, FIELD_IMMUTABLE)];
}

function validateDeployment(d: Deployment): FieldError[] {
  const errors = nonNegative('spec.replicas', d.spec.replicas);
  errors.push(...validateSelector(d.spec.selector, d.spec.template));
  errors.push(...validatePodTemplate(d.spec.template, 'spec.template', ALWAYS));
  errors.push(...validateRollingUpdate(d));
  errors.push(...nonNegative('spec.minReadySeconds', d.spec.minReadySeconds));
  errors.push(...nonNegative('spec.revisionHistoryLimit', d.spec.revisionHistoryLimit));
  errors.push(...nonNegative('spec.progressDeadlineSeconds', d.spec.progressDeadlineSeconds));
  const deadline = d.spec.progressDeadlineSeconds;
  if (deadline !== undefined && deadline <= (d.spec.minReadySeconds ?? 0)) {
    errors.push(invalidValue('spec.progressDeadlineSeconds', deadline, 'must be greater than minReadySeconds'));
  }
  return errors;
}

const PERCENT = /^[0-9]+%$/;

export function validateIntOrPercent(path: string, value: number | string | undefined): FieldError[] {
  if (value === undefined) return [];
  if (typeof value === 'number') return nonNegative(path, value);
  if (PERCENT.test(value)) return [];
  const text =
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
  return [invalidValue(path, value, text)];
}

function validateRollingUpdate(d: Deployment): FieldError[] {
  const strategy = d.spec.strategy;
  if (!strategy?.type) return [];
  if (strategy.type === 'Recreate') {
    if (!strategy.rollingUpdate) return [];
    const text = "may not be specified when strategy `type` is 'Recreate'";
    return [forbiddenField('spec.strategy.rollingUpdate', text)];
  }
  if (strategy.type !== 'RollingUpdate')
    return [notSupported('spec.strategy', strategy, ['Recreate', 'RollingUpdate'])];
  if (!strategy.rollingUpdate)
    return [required('spec.strategy.rollingUpdate', 'this should be defaulted and never be nil')];
  const { maxUnavailable, maxSurge } = strategy.rollingUpdate;
  const at = 'spec.strategy.rollingUpdate';
  const errors = validateIntOrPercent(`${at}.maxUnavailable`, maxUnavailable);
  errors.push(...validateIntOrPercent(`${at}.maxSurge`, maxSurge));
  if (Number.parseInt(String(maxUnavailable), 10) === 0 && Number.parseInt(String(maxSurge), 10) === 0) {
    errors.push(invalidValue(`${at}.maxUnavailable`, maxUnavailable, 'may not be 0 when `maxSurge` is 0'));
  }
  if (typeof maxUnavailable === 'string' && Number.parseInt(maxUnavailable, 10) > 100) {
    errors.push(invalidValue(`${at}.maxUnavailable`, maxUnavailable, 'must not be greater than 100%'));
  }
  return errors;
}

export const deploymentStrategy = defineStrategy<Deployment>({
  countsGenerations: true,
  scale: { selector: 'labelSelector' },
  validate: validateDeployment,
  validateUpdate: (d, old) => [...validateDeployment(d), ...selectorImmutable(d.spec.selector, old.spec.selector)],
  resetFields: { '': ['status'], status: ['spec', 'metadata.labels'] },
  endpoints: {
    status: {
      prepareForUpdate: (d, old) => {
        d.spec = structuredClone(old.spec) as Draft<Deployment>['spec'];
        d.metadata.labels = structuredClone(old.metadata.labels) as Draft<Deployment>['metadata']['labels'];
      },
    },
  },
});

function validateReplicaSet(rs: ReplicaSet): FieldError[] {
  return [
    ...nonNegative('spec.replicas', rs.spec.replicas),
    ...nonNegative('spec.minReadySeconds', rs.spec.minReadySeconds),
    ...validateSelector(rs.spec.selector, rs.spec.template),
    ...validatePodTemplate(rs.spec.template, 'spec.template', ALWAYS),
  ];
}

export const replicaSetStrategy = defineStrategy<ReplicaSet>({
  countsGenerations: true,
  scale: { selector: 'labelSelector' },
  selectable: { 'status.replicas': (rs) => String(rs.status?.replicas ?? 0) },
  validate: validateReplicaSet,
  validateUpdate: (rs, old) => [...validateReplicaSet(rs), ...selectorImmutable(rs.spec.selector, old.spec.selector)],
});

function validateController(rc: ReplicationController): FieldError[] {
  const errors = nonNegative('spec.replicas', rc.spec.replicas);
  const selector = rc.spec.selector ?? {};
  if (Object.keys(selector).length === 0) errors.push(required('spec.selector'));
  const labels = rc.spec.template?.metadata?.labels ?? {};
  if (Object.entries(selector).some(([key, value]) => labels[key] !== value)) {
    const text = '`selector` does not match template `labels`';
    errors.push(invalidValue('spec.template.metadata.labels', labels, text));
  }
  errors.push(...validatePodTemplate(rc.spec.template, 'spec.template', ALWAYS));
  return errors;
}

export const replicationControllerStrategy = defineStrategy<ReplicationController>({
  countsGenerations: true,
  defaultPropagation: 'orphan',
  scale: { selector: 'map' },
  selectable: { 'status.replicas': (rc) => String(rc.status?.replicas ?? 0) },
  validate: validateController,
});

const STATEFULSET_FIELDS = [
  'replicas',
  'ordinals',
  'template',
  'updateStrategy',
  'revisionHistoryLimit',
  'persistentVolumeClaimRetentionPolicy',
  'minReadySeconds',
] as const;

function validateStatefulSet(set: StatefulSet): FieldError[] {
  const errors = nonNegative('spec.replicas', set.spec.replicas);
  const policies = ['OrderedReady', 'Parallel'];
  if (set.spec.podManagementPolicy && !policies.includes(set.spec.podManagementPolicy)) {
    const text = `must be '${policies[0]}' or '${policies[1]}'`;
    errors.push(invalidValue('spec.podManagementPolicy', set.spec.podManagementPolicy, text));
  }
  errors.push(...nonNegative('spec.minReadySeconds', set.spec.minReadySeconds));
  errors.push(...validateSelector(set.spec.selector, set.spec.template));
  const claims = (set.spec.volumeClaimTemplates ?? []).map((claim) => claim.metadata.name);
  errors.push(...validatePodTemplate(set.spec.template, 'spec.template', ALWAYS, claims));
  return errors;
}

function validateStatefulSetUpdate(set: StatefulSet, old: StatefulSet): FieldError[] {
  const errors = validateStatefulSet(set);
  const allowed: Record<string, unknown> = { ...old.spec };
  for (const field of STATEFULSET_FIELDS) allowed[field] = set.spec[field];
  if (!sameMeaning(set.spec, allowed)) {
    const text =
      "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', " +
      "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
    errors.push(forbiddenField('spec', text));
  }
  return errors;
}

export const statefulSetStrategy = defineStrategy<StatefulSet>({
  countsGenerations: true,
  scale: { selector: 'labelSelector' },
  validate: validateStatefulSet,
  validateUpdate: validateStatefulSetUpdate,
});

function validateDaemonSet(ds: DaemonSet): FieldError[] {
  return [
    ...validateSelector(ds.spec.selector, ds.spec.template),
    ...validatePodTemplate(ds.spec.template, 'spec.template', ALWAYS),
    ...nonNegative('spec.minReadySeconds', ds.spec.minReadySeconds),
    ...nonNegative('spec.revisionHistoryLimit', ds.spec.revisionHistoryLimit),
  ];
}

export const daemonSetStrategy = defineStrategy<DaemonSet>({
  countsGenerations: true,
  validate: validateDaemonSet,
  validateUpdate: (ds, old) => [...validateDaemonSet(ds), ...selectorImmutable(ds.spec.selector, old.spec.selector)],
});

const JOB_LABEL_PREFIX = 'batch.kubernetes.io/';

/** The server chooses selector and labels of a Job by its uid, so that no two Jobs ever share pods. */
function prepareJob(job: Draft<Job>): void {
  delete job.status;
  if (job.spec.manualSelector) return;
  const uid = job.metadata.uid ?? '';
  const template = job.spec.template ?? {};
  const added: { [label: string]: string } = {};
  for (const [label, value] of [
    ['job-name', job.metadata.name],
    ['controller-uid', uid],
  ] as const) {
    added[label] = value;
    added[`${JOB_LABEL_PREFIX}${label}`] = value;
  }
  const labels = { ...added, ...template.metadata?.labels };
  job.spec.template = { ...template, metadata: { ...template.metadata, labels } };
  const matchLabels = { [`${JOB_LABEL_PREFIX}controller-uid`]: uid, ...job.spec.selector?.matchLabels };
  job.spec.selector = { ...job.spec.selector, matchLabels };
}

function validateJob(job: Job): FieldError[] {
  const errors: FieldError[] = [];
  if (job.spec.manualSelector && !job.spec.selector) errors.push(required('spec.selector'));
  errors.push(...nonNegative('spec.parallelism', job.spec.parallelism));
  errors.push(...nonNegative('spec.completions', job.spec.completions));
  errors.push(...nonNegative('spec.activeDeadlineSeconds', job.spec.activeDeadlineSeconds));
  errors.push(...nonNegative('spec.backoffLimit', job.spec.backoffLimit));
  errors.push(...nonNegative('spec.ttlSecondsAfterFinished', job.spec.ttlSecondsAfterFinished));
  if (job.spec.completionMode === 'Indexed' && job.spec.completions === undefined) {
    errors.push(required('spec.completions', 'when completion mode is Indexed'));
  }
  if (job.spec.selector && !labelSelectorFromObject(job.spec.selector).matches(job.spec.template?.metadata?.labels)) {
    const text = '`selector` does not match template `labels`';
    errors.push(invalidValue('spec.template.metadata.labels', job.spec.template?.metadata?.labels, text));
  }
  errors.push(...validatePodTemplate(job.spec.template, 'spec.template', ['OnFailure', 'Never']));
  return errors;
}

function validateJobUpdate(job: Job, old: Job): FieldError[] {
  const errors = validateJob(job);
  errors.push(...selectorImmutable(job.spec.selector, old.spec.selector));
  // While suspended and never started, scheduling directives of the template may change.
  const open = old.spec.suspend === true && !old.status?.startTime;
  if (!open && !sameMeaning(job.spec.template, old.spec.template)) {
    errors.push(invalidValue('spec.template', job.spec.template, FIELD_IMMUTABLE));
  }
  if (job.spec.completionMode !== old.spec.completionMode) {
    errors.push(invalidValue('spec.completionMode', job.spec.completionMode, FIELD_IMMUTABLE));
  }
  const elastic = job.spec.completionMode === 'Indexed' && job.spec.completions === job.spec.parallelism;
  if (job.spec.completions !== old.spec.completions && !elastic) {
    errors.push(invalidValue('spec.completions', job.spec.completions, FIELD_IMMUTABLE));
  }
  return errors;
}

export const jobStrategy = defineStrategy<Job>({
  countsGenerations: true,
  defaultPropagation: 'orphan',
  selectable: { 'status.successful': (job) => String(job.status?.succeeded ?? 0) },
  prepareForCreate: prepareJob,
  validate: validateJob,
  validateUpdate: validateJobUpdate,
});

/** Job names get an 11-character suffix, so a CronJob's name is shorter. */
const MAX_CRONJOB_NAME = 52;

const cronJobName: NameRule = (name, prefix) => {
  const messages = [...dnsSubdomainName(name, prefix)];
  if (!prefix && name.length > MAX_CRONJOB_NAME) messages.push(`must be no more than ${MAX_CRONJOB_NAME} characters`);
  return messages;
};

function validateCronJob(cron: CronJob): FieldError[] {
  const errors: FieldError[] = [];
  if (!cron.spec.schedule) errors.push(required('spec.schedule'));
  else if (!CRON.test(cron.spec.schedule.trim())) {
    const found = cron.spec.schedule.trim().split(/\s+/).length;
    const text = `expected exactly 5 fields, found ${found}: [${cron.spec.schedule}]`;
    errors.push(invalidValue('spec.schedule', cron.spec.schedule, text));
  }
  if (/TZ/.test(cron.spec.schedule ?? '')) {
    const text = 'cannot use TZ or CRON_TZ in schedule, use timeZone field instead';
    errors.push(invalidValue('spec.schedule', cron.spec.schedule, text));
  }
  const policies = ['Allow', 'Forbid', 'Replace'];
  if (cron.spec.concurrencyPolicy && !policies.includes(cron.spec.concurrencyPolicy)) {
    errors.push(notSupported('spec.concurrencyPolicy', cron.spec.concurrencyPolicy, policies));
  }
  errors.push(...nonNegative('spec.startingDeadlineSeconds', cron.spec.startingDeadlineSeconds));
  errors.push(...nonNegative('spec.successfulJobsHistoryLimit', cron.spec.successfulJobsHistoryLimit));
  errors.push(...nonNegative('spec.failedJobsHistoryLimit', cron.spec.failedJobsHistoryLimit));
  const template = cron.spec.jobTemplate?.spec?.template;
  errors.push(...validatePodTemplate(template, 'spec.jobTemplate.spec.template', ['OnFailure', 'Never']));
  return errors;
}

const CRON =
  /^(@(yearly|annually|monthly|weekly|daily|midnight|hourly|every\s+\S+)|(TZ=\S+\s+|CRON_TZ=\S+\s+)?\S+(\s+\S+){4})$/;

export const cronJobStrategy = defineStrategy<CronJob>({
  countsGenerations: true,
  nameRule: cronJobName,
  validate: validateCronJob,
});
