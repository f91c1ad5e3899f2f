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
import { FIELD_IMMUTABLE, forbiddenField, invalidValue, notSupported, required } from './field-errors.ts';
import { dnsSubdomainName } from './name-rules.ts';
import { defineStrategy, type NameRule } from './strategy.ts';

const ALWAYS = ['Always'];

/** What upstream says of a selector that selects everything: the field's value, and the words. */
const EMPTY_SELECTOR: { readonly [kind: string]: string } = {
  deployment: 'empty selector is invalid for deployment',
  daemonset: 'empty selector is invalid for daemonset',
  statefulset: 'empty selector is invalid for statefulset',
};

interface TemplateHolder {
  readonly selector: LabelSelector | undefined;
  readonly template?: PodTemplateSpec;
}

/** A selector must select something particular, and must select what the template makes, which runs for ever. */
function validateTemplate({ selector, template }: TemplateHolder, kind: string): FieldError[] {
  const errors: FieldError[] = template ? validateRestart(template, 'spec.template', ALWAYS) : [];
  const labelsDiffer = (): FieldError => {
    const labels = template?.metadata?.labels;
    return invalidValue('spec.template.metadata.labels', labels, '`selector` does not match template `labels`');
  };
  // No selector selects nothing, so it does not select what the template makes either.
  if (!selector) return [required('spec.selector'), labelsDiffer(), ...errors];
  let compiled: ReturnType<typeof labelSelectorFromObject>;
  try {
    compiled = labelSelectorFromObject(selector);
  } catch {
    // What is wrong with it, the rules of selectors say.
    return [...errors, invalidValue('spec.selector', selector, 'invalid label selector')];
  }
  if (compiled.empty) errors.push(invalidValue('spec.selector', selector, EMPTY_SELECTOR[kind] ?? ''));
  else if (!compiled.matches(template?.metadata?.labels)) errors.push(labelsDiffer());
  return errors;
}

/** Whatever runs pods says which restart policies they may have. */
function validateRestart(template: PodTemplateSpec, path: string, allowed: readonly string[]): FieldError[] {
  const policy = template.spec?.restartPolicy;
  if (policy && allowed.includes(policy)) return [];
  // What is missing is defaulted to Always: for what ends by itself that says nothing yet.
  if (policy === 'Always') {
    return [
      required(`${path}.spec.restartPolicy`, `valid values: ${allowed.map((p) => JSON.stringify(p)).join(', ')}`),
    ];
  }
  return [notSupported(`${path}.spec.restartPolicy`, policy ?? '', allowed)];
}

function selectorImmutable(now: unknown, old: unknown): FieldError[] {
  return sameMeaning(now, old) ? [] : [invalidValue('spec.selector', now, FIELD_IMMUTABLE)];
}

export const deploymentStrategy = defineStrategy<Deployment>({
  countsGenerations: true,
  scale: { selector: 'labelSelector' },
  validate: (d) => validateTemplate(d.spec, 'deployment'),
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

export const replicaSetStrategy = defineStrategy<ReplicaSet>({
  countsGenerations: true,
  scale: { selector: 'labelSelector' },
  selectable: { 'status.replicas': (rs) => String(rs.status?.replicas ?? 0) },
  validate: (rs) => validateTemplate(rs.spec, 'deployment'),
});

function validateController(rc: ReplicationController): FieldError[] {
  const errors: FieldError[] = [];
  const selector = rc.spec.selector ?? {};
  if (Object.keys(selector).length === 0) errors.push(required('spec.selector'));
  const labels = rc.spec.template?.metadata?.labels ?? {};
  if (Object.entries(selector).some(([key, value]) => labels[key] !== value)) {
    const text = '`selector` does not match template `labels`';
    errors.push(invalidValue('spec.template.metadata.labels', labels, text));
  }
  if (rc.spec.template) errors.push(...validateRestart(rc.spec.template, 'spec.template', ALWAYS));
  else errors.push(required('spec.template'));
  if (rc.spec.template?.spec?.activeDeadlineSeconds !== undefined) {
    const text = 'activeDeadlineSeconds in ReplicationController is not Supported';
    errors.push(forbiddenField('spec.template.spec.activeDeadlineSeconds', text));
  }
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

function validateStatefulSetUpdate(set: StatefulSet, old: StatefulSet): FieldError[] {
  const errors = validateTemplate(set.spec, 'statefulset');
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
  validate: (set) => validateTemplate(set.spec, 'statefulset'),
  validateUpdate: validateStatefulSetUpdate,
});

export const daemonSetStrategy = defineStrategy<DaemonSet>({
  countsGenerations: true,
  validate: (ds) => validateTemplate(ds.spec, 'daemonset'),
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
  if (job.spec.selector && !labelSelectorFromObject(job.spec.selector).matches(job.spec.template?.metadata?.labels)) {
    const text = '`selector` does not match template `labels`';
    errors.push(invalidValue('spec.template.metadata.labels', job.spec.template?.metadata?.labels, text));
  }
  if (job.spec.template) errors.push(...validateRestart(job.spec.template, 'spec.template', ['OnFailure', 'Never']));
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
  const template = cron.spec.jobTemplate?.spec?.template;
  if (template) errors.push(...validateRestart(template, 'spec.jobTemplate.spec.template', ['OnFailure', 'Never']));
  return errors;
}

const CRON =
  /^(@(yearly|annually|monthly|weekly|daily|midnight|hourly|every\s+\S+)|(TZ=\S+\s+|CRON_TZ=\S+\s+)?\S+(\s+\S+){4})$/;

export const cronJobStrategy = defineStrategy<CronJob>({
  countsGenerations: true,
  nameRule: cronJobName,
  validate: validateCronJob,
});
