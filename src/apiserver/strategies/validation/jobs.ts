// The specs of Jobs, and the templates of CronJobs.
import type {
  JobSpec,
  PodFailurePolicy,
  PodFailurePolicyOnExitCodesRequirement,
  PodFailurePolicyRule,
  SuccessPolicyRule,
} from '../../../api/generated/types.ts';
import { NOT_NEGATIVE } from './formats.ts';
import type { FieldRule, RuleTable } from './rules.ts';
import type { Run } from './run.ts';

const COUNT: FieldRule = { min: 0 };

/** Most pods at a time, and most failed indexes, of an Indexed Job. */
const MAX_INDEXED = 100_000;
/** Above that many completions a backoff limit per index costs more status, and these hold. */
const MANY_COMPLETIONS = 100_000;
const MAX_WITH_MANY_COMPLETIONS = 10_000;
const MAX_MANAGED_BY_BYTES = 63;
const MAX_RULES = 20;
const MAX_EXIT_CODES = 255;
const MAX_CONDITIONS = 20;
const MAX_SUCCEEDED_INDEXES_BYTES = 64 * 1024;

function checkJob(spec: JobSpec, run: Run): void {
  const { backoffLimitPerIndex: perIndex, maxFailedIndexes, managedBy, podFailurePolicy } = spec;
  const indexed = spec.completionMode === 'Indexed';
  if (maxFailedIndexes !== undefined && perIndex === undefined) {
    run.required('backoffLimitPerIndex', 'when maxFailedIndexes is specified');
  }
  if (managedBy !== undefined && managedBy.length > MAX_MANAGED_BY_BYTES)
    run.tooLong('managedBy', MAX_MANAGED_BY_BYTES);
  if (indexed) checkIndexed(spec, run);
  else {
    const text = 'requires indexed completion mode';
    if (perIndex !== undefined) run.invalid('backoffLimitPerIndex', perIndex, text);
    if (maxFailedIndexes !== undefined) run.invalid('maxFailedIndexes', maxFailedIndexes, text);
    if (spec.successPolicy) run.invalid('successPolicy', spec.successPolicy, text);
  }
  if (podFailurePolicy) checkFailurePolicy(spec, podFailurePolicy, run);
  if (indexed) {
    for (const [i, rule] of (spec.successPolicy?.rules ?? []).entries()) {
      checkSuccessRule(rule, `successPolicy.rules[${i}]`, spec.completions, run);
    }
  }
  const replacement = spec.podReplacementPolicy;
  const allowed = podFailurePolicy ? ['Failed'] : ['Failed', 'TerminatingOrFailed'];
  if (replacement !== undefined && !allowed.includes(replacement)) {
    run.unsupported('podReplacementPolicy', replacement, allowed);
  }
}

function checkIndexed(spec: JobSpec, run: Run): void {
  const { parallelism, completions, maxFailedIndexes } = spec;
  if (completions === undefined) run.required('completions', 'when completion mode is Indexed');
  if (parallelism !== undefined && parallelism > MAX_INDEXED) {
    const text = `must be less than or equal to ${MAX_INDEXED} when completion mode is Indexed`;
    run.invalid('parallelism', parallelism, text);
  }
  if (completions !== undefined && maxFailedIndexes !== undefined && maxFailedIndexes > completions) {
    run.invalid('maxFailedIndexes', maxFailedIndexes, 'must be less than or equal to completions');
  }
  if (maxFailedIndexes !== undefined && maxFailedIndexes > MAX_INDEXED) {
    run.invalid('maxFailedIndexes', maxFailedIndexes, `must be less than or equal to ${MAX_INDEXED}`);
  }
  if (completions === undefined || completions <= MANY_COMPLETIONS || spec.backoffLimitPerIndex === undefined) return;
  if (maxFailedIndexes === undefined) {
    run.required('maxFailedIndexes', `must be specified when completions is above ${MANY_COMPLETIONS}`);
  }
  for (const field of ['parallelism', 'maxFailedIndexes'] as const) {
    const value = spec[field];
    if (value === undefined || value <= MAX_WITH_MANY_COMPLETIONS) continue;
    const text = `must be less than or equal to ${MAX_WITH_MANY_COMPLETIONS} when completions are above ${MANY_COMPLETIONS}`;
    run.invalid(field, value, `${text} and used with backoff limit per index`);
  }
}

function checkFailurePolicy(spec: JobSpec, policy: PodFailurePolicy, run: Run): void {
  const template = spec.template.spec;
  if (template?.restartPolicy === 'OnFailure') {
    const text = 'only "Never" is supported when podFailurePolicy is specified';
    run.invalid('template.spec.restartPolicy', template.restartPolicy, text);
  }
  const names = [...(template?.containers ?? []), ...(template?.initContainers ?? [])].map((c) => c.name);
  if (policy.rules.length > MAX_RULES) run.tooMany('podFailurePolicy.rules', policy.rules.length, MAX_RULES);
  for (const [i, rule] of policy.rules.entries()) {
    const at = `podFailurePolicy.rules[${i}]`;
    if (rule.action === 'FailIndex' && spec.backoffLimitPerIndex === undefined) {
      run.invalid(`${at}.action`, rule.action, 'requires the backoffLimitPerIndex to be set');
    }
    checkFailureRule(rule, at, run);
    if (rule.onExitCodes) checkExitCodes(rule.onExitCodes, `${at}.onExitCodes`, names, run);
  }
}

function checkFailureRule(rule: PodFailurePolicyRule, at: string, run: Run): void {
  const conditions = rule.onPodConditions ?? [];
  if (conditions.length > MAX_CONDITIONS) run.tooMany(`${at}.onPodConditions`, conditions.length, MAX_CONDITIONS);
  if (rule.onExitCodes && conditions.length > 0) {
    run.invalid(at, '', 'specifying both OnExitCodes and OnPodConditions is not supported');
  } else if (!rule.onExitCodes && conditions.length === 0) {
    run.invalid(at, '', 'specifying one of OnExitCodes and OnPodConditions is required');
  }
}

function checkExitCodes(
  codes: PodFailurePolicyOnExitCodesRequirement,
  at: string,
  names: readonly string[],
  run: Run,
): void {
  if (codes.containerName !== undefined && !names.includes(codes.containerName)) {
    const text = 'must be one of the container or initContainer names in the pod template';
    run.invalid(`${at}.containerName`, codes.containerName, text);
  }
  const { values } = codes;
  if (values.length === 0) run.invalid(`${at}.values`, values, 'at least one value is required');
  if (values.length > MAX_EXIT_CODES) run.tooMany(`${at}.values`, values.length, MAX_EXIT_CODES);
  const seen = new Set<number>();
  for (const [i, value] of values.entries()) {
    if (codes.operator === 'In' && value === 0) {
      run.invalid(`${at}.values[${i}]`, value, 'must not be 0 for the In operator');
    }
    if (seen.has(value)) run.duplicate(`${at}.values[${i}]`, value);
    seen.add(value);
  }
  const ordered = values.every((value, i) => i === 0 || values[i - 1]! <= value);
  if (!ordered) run.invalid(`${at}.values`, values, 'must be ordered');
}

function checkSuccessRule(rule: SuccessPolicyRule, at: string, completions = 0, run: Run): void {
  const { succeededCount: count, succeededIndexes: indexes } = rule;
  if (count === undefined && indexes === undefined) {
    run.required(at, 'at least one of succeededCount or succeededIndexes must be specified');
  }
  let total: number | undefined;
  if (indexes !== undefined) {
    if (indexes.length > MAX_SUCCEEDED_INDEXES_BYTES)
      run.tooLong(`${at}.succeededIndexes`, MAX_SUCCEEDED_INDEXES_BYTES);
    const parsed = countIndexes(indexes, completions);
    total = typeof parsed === 'number' ? parsed : 0;
    if (typeof parsed === 'string') {
      run.invalid(`${at}.succeededIndexes`, indexes, `error parsing succeededIndexes: ${parsed}`);
    }
  }
  if (count === undefined) return;
  const path = `${at}.succeededCount`;
  if (count < 0) run.invalid(path, count, NOT_NEGATIVE);
  if (count > completions) {
    run.invalid(path, count, `must be less than or equal to ${completions} (the number of specified completions)`);
  }
  if (total !== undefined && count > total) {
    const text = `must be less than or equal to ${total} (the number of indexes in the specified succeededIndexes field)`;
    run.invalid(path, count, text);
  }
}

/** The ends of "3-5" or "3"; what is wrong with it, where it is no rising interval below `completions`. */
export function indexInterval(text: string, completions: number): readonly [first: number, last: number] | string {
  const limits = text.split('-');
  if (limits.length > 2) {
    return `the fragment ${JSON.stringify(text)} violates the requirement that an index interval can have at most two parts separated by '-'`;
  }
  for (const limit of limits) {
    if (!/^[0-9]+$/.test(limit)) return `cannot convert string to integer for index: ${JSON.stringify(limit)}`;
    if (Number(limit) >= completions) return `too large index: ${JSON.stringify(limit)}`;
  }
  const [first = 0, last = first] = limits.map(Number);
  if (limits.length === 2 && first >= last) return `non-increasing order, previous: ${first}, current: ${last}`;
  return [first, last];
}

/** How many indexes "1,3-5,7" names; what is wrong with it, where it is no list of rising intervals below `completions`. */
export function countIndexes(text: string, completions: number): number | string {
  let before = -1;
  let total = 0;
  if (text === '') return 0;
  for (const fragment of text.split(',')) {
    const interval = indexInterval(fragment, completions);
    if (typeof interval === 'string') return interval;
    const [first, last] = interval;
    if (before >= first) return `non-increasing order, previous: ${before}, current: ${first}`;
    total += last - first + 1;
    before = last;
  }
  return total;
}

function jobTemplate(template: { spec?: JobSpec }, run: Run): void {
  if (template.spec?.selector) {
    run.invalid('spec.selector', template.spec.selector, '`selector` will be auto-generated');
  }
  if (template.spec?.manualSelector) run.unsupported('spec.manualSelector', true, ['nil', 'false']);
}

export const JOB_RULES: RuleTable = {
  'batch.v1.JobSpec': {
    fields: {
      parallelism: COUNT,
      completions: COUNT,
      activeDeadlineSeconds: COUNT,
      backoffLimit: COUNT,
      backoffLimitPerIndex: COUNT,
      maxFailedIndexes: COUNT,
      ttlSecondsAfterFinished: COUNT,
      managedBy: { format: 'domainPrefixedPath' },
      podReplacementPolicy: { closed: false },
    },
    check: checkJob,
  },
  'batch.v1.PodFailurePolicyRule': { fields: { action: { oneOf: ['Count', 'FailIndex', 'FailJob', 'Ignore'] } } },
  'batch.v1.PodFailurePolicyOnPodConditionsPattern': {
    fields: {
      type: { required: false, format: 'qualifiedName' },
      status: { required: true, oneOf: ['False', 'True', 'Unknown'] },
    },
  },
  'batch.v1.SuccessPolicy': {
    fields: {
      rules: { required: 'at least one rules must be specified when the successPolicy is specified', maxItems: 20 },
    },
  },
  'batch.v1.CronJobSpec': {
    fields: {
      startingDeadlineSeconds: COUNT,
      successfulJobsHistoryLimit: COUNT,
      failedJobsHistoryLimit: COUNT,
      concurrencyPolicy: { required: true, oneOf: ['Allow', 'Forbid', 'Replace'] },
    },
  },
  'batch.v1.JobTemplateSpec': { check: jobTemplate },
};
