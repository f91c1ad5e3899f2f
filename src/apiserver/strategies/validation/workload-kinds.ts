// Deployments, ReplicaSets, StatefulSets, DaemonSets, controller revisions, Jobs, CronJobs and autoscalers.
import type {
  DaemonSetSpec,
  DeploymentSpec,
  HorizontalPodAutoscalerSpec,
  JobSpec,
  MetricSpec,
  MetricTarget,
  PodFailurePolicy,
  PodFailurePolicyRule,
  PodTemplateSpec,
  StatefulSetSpec,
} from '../../../api/generated/types.ts';
import { NOT_NEGATIVE, POSITIVE, quantitySign } from './formats.ts';
import type { FieldRule, RuleTable } from './rules.ts';
import type { Run } from './run.ts';

const COUNT: FieldRule = { min: 0 };
const AT_LEAST_ONE: FieldRule = { min: 1, range: 'must be greater than 0' };
const PERCENT =
  "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";

type IntOrPercent = number | string | undefined;

/** A count that is not negative, or a percentage; of at most 100% where there cannot be more than all. */
export function checkIntOrPercent(value: IntOrPercent, at: string, run: Run, atMostAll = false): void {
  if (typeof value === 'number') {
    if (value < 0) run.invalid(at, value, NOT_NEGATIVE);
  } else if (typeof value === 'string') {
    if (!/^[0-9]+%$/.test(value)) run.invalid(at, value, PERCENT);
    else if (atMostAll && Number.parseInt(value, 10) > 100) run.invalid(at, value, 'must not be greater than 100%');
  }
}

const isNone = (value: IntOrPercent): boolean => value === 0 || value === '0%' || value === undefined;

function checkDeployment(spec: DeploymentSpec, run: Run): void {
  const { type, rollingUpdate } = spec.strategy ?? {};
  if (type === 'Recreate' && rollingUpdate) {
    run.forbidden('strategy.rollingUpdate', "may not be specified when strategy `type` is 'Recreate'");
  } else if (type === 'RollingUpdate') checkRolling(rollingUpdate, run);
  else if (type !== 'Recreate') run.unsupported('strategy', spec.strategy, ['Recreate', 'RollingUpdate']);
  const deadline = spec.progressDeadlineSeconds;
  if (deadline !== undefined && deadline <= (spec.minReadySeconds ?? 0)) {
    run.invalid('progressDeadlineSeconds', deadline, 'must be greater than minReadySeconds');
  }
  checkNoDeadline(spec.template, 'ReplicaSet', run);
}

function checkRolling(rolling: { maxUnavailable?: IntOrPercent; maxSurge?: IntOrPercent } | undefined, run: Run): void {
  const at = 'strategy.rollingUpdate';
  if (!rolling) {
    run.required(at, 'this should be defaulted and never be nil');
    return;
  }
  const { maxUnavailable, maxSurge } = rolling;
  checkIntOrPercent(maxUnavailable, `${at}.maxUnavailable`, run, true);
  checkIntOrPercent(maxSurge, `${at}.maxSurge`, run);
  if (isNone(maxUnavailable) && isNone(maxSurge)) {
    run.invalid(`${at}.maxUnavailable`, maxUnavailable, 'may not be 0 when `maxSurge` is 0');
  }
}

/** A pod that ends by itself has no place in what keeps pods running. */
function checkNoDeadline(template: PodTemplateSpec | undefined, owner: string, run: Run): void {
  if (template?.spec?.activeDeadlineSeconds === undefined) return;
  run.forbidden('template.spec.activeDeadlineSeconds', `activeDeadlineSeconds in ${owner} is not Supported`);
}

function checkDaemonSet(spec: DaemonSetSpec, run: Run): void {
  const { type, rollingUpdate } = spec.updateStrategy ?? {};
  const at = 'updateStrategy.rollingUpdate';
  checkNoDeadline(spec.template, 'DaemonSet', run);
  if (type === 'OnDelete') return;
  if (type !== 'RollingUpdate') {
    run.unsupported('updateStrategy', spec.updateStrategy, ['RollingUpdate', 'OnDelete']);
    return;
  }
  if (!rollingUpdate) {
    run.required(at);
    return;
  }
  const { maxUnavailable, maxSurge } = rollingUpdate;
  checkIntOrPercent(maxUnavailable, `${at}.maxUnavailable`, run, true);
  checkIntOrPercent(maxSurge, `${at}.maxSurge`, run, true);
  if (isNone(maxUnavailable) && isNone(maxSurge)) {
    run.required(`${at}.maxUnavailable`, 'cannot be 0 when maxSurge is 0');
  } else if (!isNone(maxUnavailable) && !isNone(maxSurge)) {
    run.invalid(`${at}.maxSurge`, maxSurge, 'may not be set when maxUnavailable is non-zero');
  }
}

function checkNoDeadlineOf(template: PodTemplateSpec | undefined, run: Run): void {
  const deadline = template?.spec?.activeDeadlineSeconds;
  if (deadline !== undefined) run.invalid('template.spec.activeDeadlineSeconds', deadline, 'must not be specified');
}

const UPDATES = "must be 'RollingUpdate' or 'OnDelete'";

function checkStatefulSet(spec: StatefulSetSpec, run: Run): void {
  run.claimVolumes = (spec.volumeClaimTemplates ?? []).map((claim) => claim.metadata?.name ?? '');
  const { type, rollingUpdate } = spec.updateStrategy ?? {};
  if (!type) run.required('updateStrategy');
  else if (type === 'OnDelete') {
    const text = "only allowed for updateStrategy 'RollingUpdate'";
    if (rollingUpdate) run.invalid('updateStrategy.rollingUpdate', rollingUpdate, text);
  } else if (type !== 'RollingUpdate') run.invalid('updateStrategy', spec.updateStrategy, UPDATES);
  else if (rollingUpdate) {
    const { partition, maxUnavailable } = rollingUpdate;
    if (partition !== undefined && partition < 0) {
      run.invalid('updateStrategy.rollingUpdate.partition', partition, NOT_NEGATIVE);
    }
    const at = 'updateStrategy.rollingUpdate.maxUnavailable';
    checkIntOrPercent(maxUnavailable, at, run, true);
    if (maxUnavailable !== undefined && isNone(maxUnavailable)) run.invalid(at, maxUnavailable, 'cannot be 0');
  }
  const retention = spec.persistentVolumeClaimRetentionPolicy;
  for (const when of ['whenDeleted', 'whenScaled'] as const) {
    const policy = retention?.[when];
    if (policy === undefined || policy === 'Retain' || policy === 'Delete') continue;
    run.unsupported(`persistentVolumeClaimRetentionPolicy.${when}`, policy, ['Retain', 'Delete']);
  }
  checkNoDeadlineOf(spec.template, run);
}

const MAX_INDEXED = 100_000;

function checkJob(spec: JobSpec, run: Run): void {
  const { parallelism, completions, completionMode, backoffLimitPerIndex: perIndex, maxFailedIndexes } = spec;
  if (completionMode === 'Indexed') {
    if (completions === undefined) run.required('completions', 'when completion mode is Indexed');
    if (parallelism !== undefined && parallelism > MAX_INDEXED) {
      run.invalid(
        'parallelism',
        parallelism,
        `must be less than or equal to ${MAX_INDEXED} when completion mode is Indexed`,
      );
    }
  } else if (perIndex !== undefined) run.invalid('backoffLimitPerIndex', perIndex, 'requires indexed completion mode');
  if (maxFailedIndexes !== undefined && perIndex === undefined) {
    run.required('backoffLimitPerIndex', 'when maxFailedIndexes is specified');
  }
  if (maxFailedIndexes !== undefined && completions !== undefined && maxFailedIndexes > completions) {
    run.invalid('maxFailedIndexes', maxFailedIndexes, 'must be less than or equal to completions');
  }
  if (spec.podFailurePolicy) checkFailurePolicy(spec, spec.podFailurePolicy, run);
  if (spec.successPolicy && completionMode !== 'Indexed') {
    run.invalid('successPolicy', spec.successPolicy, 'requires indexed completion mode');
  }
  for (const [i, rule] of (spec.successPolicy?.rules ?? []).entries()) {
    const at = `successPolicy.rules[${i}]`;
    if (rule.succeededCount === undefined && rule.succeededIndexes === undefined) {
      run.required(at, 'at least one of succeededCount or succeededIndexes must be specified');
    }
    const { succeededCount: count } = rule;
    if (count !== undefined && count < 1) run.invalid(`${at}.succeededCount`, count, 'must be greater than 0');
  }
}

function checkFailurePolicy(spec: JobSpec, policy: PodFailurePolicy, run: Run): void {
  const restart = spec.template.spec?.restartPolicy;
  if (restart !== 'Never') {
    run.invalid('template.spec.restartPolicy', restart, 'only "Never" is supported when podFailurePolicy is specified');
  }
  const template = spec.template.spec;
  const names = [...(template?.containers ?? []), ...(template?.initContainers ?? [])].map((c) => c.name);
  if (policy.rules.length > 20) run.tooMany('podFailurePolicy.rules', policy.rules.length, 20);
  for (const [i, rule] of policy.rules.entries()) {
    checkFailureRule(
      rule,
      `podFailurePolicy.rules[${i}]`,
      { names, perIndex: spec.backoffLimitPerIndex !== undefined },
      run,
    );
  }
}

function checkFailureRule(
  rule: PodFailurePolicyRule,
  at: string,
  { names, perIndex }: { readonly names: readonly string[]; readonly perIndex: boolean },
  run: Run,
): void {
  if (rule.action === 'FailIndex' && !perIndex) {
    run.invalid(`${at}.action`, rule.action, 'requires the backoffLimitPerIndex to be set');
  }
  const conditions = rule.onPodConditions ?? [];
  if (rule.onExitCodes && conditions.length > 0) {
    run.invalid(at, '', 'specifying one of OnExitCodes and OnPodConditions is required');
  } else if (!rule.onExitCodes && conditions.length === 0) {
    run.invalid(at, '', 'specifying one of OnExitCodes and OnPodConditions is required');
  }
  const codes = rule.onExitCodes;
  if (!codes) return;
  const path = `${at}.onExitCodes`;
  if (codes.containerName !== undefined && !names.includes(codes.containerName)) {
    run.invalid(
      `${path}.containerName`,
      codes.containerName,
      'must be one of the container or initContainer names in the pod template',
    );
  }
  if (codes.values.length === 0) run.invalid(`${path}.values`, codes.values, 'at least one value is required');
  if (codes.values.length > 255) run.tooMany(`${path}.values`, codes.values.length, 255);
  const ordered = codes.values.every((v, i) => i === 0 || codes.values[i - 1]! < v);
  if (!ordered && new Set(codes.values).size < codes.values.length) run.duplicate(`${path}.values`, codes.values);
  else if (!ordered) run.invalid(`${path}.values`, codes.values, 'must be ordered');
  if (codes.operator === 'In' && codes.values.includes(0)) {
    run.invalid(`${path}.values[${codes.values.indexOf(0)}]`, 0, 'must not be 0 for the In operator');
  }
}

function checkAutoscaler(spec: HorizontalPodAutoscalerSpec, run: Run): void {
  const { minReplicas: min, maxReplicas: max } = spec;
  if (min !== undefined && min < 1) run.invalid('minReplicas', min, 'must be greater than or equal to 1');
  if (max < 1) run.invalid('maxReplicas', max, 'must be greater than 0');
  if (min !== undefined && max < min) run.invalid('maxReplicas', max, 'must be greater than or equal to `minReplicas`');
}

const SOURCES = ['ContainerResource', 'External', 'Object', 'Pods', 'Resource'];

function checkMetric(metric: MetricSpec, run: Run): void {
  if (!metric.type) run.required('type', 'must specify a metric source type');
  if (!SOURCES.includes(metric.type)) run.unsupported('type', metric.type, SOURCES);
  const wanted = metric.type.charAt(0).toLowerCase() + metric.type.slice(1);
  const present = ['object', 'external', 'pods', 'resource', 'containerResource'].filter(
    (s) => (metric as unknown as Record<string, unknown>)[s] !== undefined,
  );
  if (!present.includes(wanted)) run.required(wanted, 'must populate information for the given metric source');
  if (present.length === 1) return;
  for (const other of present) {
    if (other !== wanted) run.forbidden(other, 'must populate the given metric source only');
  }
}

const TARGETS = ['AverageValue', 'Utilization', 'Value'];

function checkTarget(target: MetricTarget, run: Run): void {
  if (!target.type) run.required('type', 'must specify a metric target type');
  if (!TARGETS.includes(target.type))
    run.invalid('type', target.type, 'must be either Utilization, Value, or AverageValue');
  for (const field of ['value', 'averageValue'] as const) {
    const sign = target[field] === undefined ? 1 : quantitySign(target[field]);
    if (sign !== 1) run.invalid(field, target[field], 'must be positive');
  }
  const percent = target.averageUtilization;
  if (percent !== undefined && percent < 1) run.invalid('averageUtilization', percent, 'must be greater than 0');
}

type Sourced = { readonly target: MetricTarget };

/** A resource is measured against a utilization or an average, not both. */
function checkResourceSource({ target }: Sourced, run: Run): void {
  if (target.averageUtilization === undefined && target.averageValue === undefined) {
    run.required('target.averageUtilization', 'must set either a target raw value or a target utilization');
  }
  if (target.averageUtilization !== undefined && target.averageValue !== undefined) {
    run.forbidden('target.averageValue', 'may not set both a target raw value and a target utilization');
  }
}

function checkObjectSource({ target }: Sourced, run: Run): void {
  if (target.value !== undefined || target.averageValue !== undefined) return;
  run.required('target.averageValue', 'must set either a target value or averageValue');
}

function checkExternalSource({ target }: Sourced, run: Run): void {
  if (target.value === undefined && target.averageValue === undefined) {
    run.required('target.averageValue', 'must set either a target value for metric or a per-pod target');
  }
  if (target.value !== undefined && target.averageValue !== undefined) {
    run.forbidden('target.value', 'may not set both a target value for metric and a per-pod target');
  }
}

const REFERENCE: RuleTable[string] = {
  fields: { kind: { format: 'pathSegment' }, name: { format: 'pathSegment' } },
};
const METRIC_NAME = { required: 'must specify a metric name', format: 'pathSegment' } as const;
const RESOURCE_NAME = { required: 'must specify a resource name' } as const;
const MAX_WINDOW = 3600;
const MAX_PERIOD = 1800;

function jobTemplate(template: { spec?: JobSpec }, run: Run): void {
  if (template.spec?.selector)
    run.invalid('spec.selector', template.spec.selector, '`selector` will be auto-generated');
  if (template.spec?.manualSelector) run.unsupported('spec.manualSelector', true, ['nil', 'false']);
}

export const WORKLOAD_RULES: RuleTable = {
  'core.v1.ReplicationControllerSpec': { fields: { replicas: COUNT, minReadySeconds: COUNT } },
  'apps.v1.DeploymentSpec': {
    fields: {
      replicas: COUNT,
      minReadySeconds: COUNT,
      revisionHistoryLimit: COUNT,
      progressDeadlineSeconds: COUNT,
      selector: { immutable: true },
    },
    check: checkDeployment,
  },
  'apps.v1.DeploymentStrategy': { fields: { type: { closed: false } } },
  'apps.v1.ReplicaSetSpec': {
    fields: { replicas: COUNT, minReadySeconds: COUNT, selector: { immutable: true } },
    check: (spec: { template?: PodTemplateSpec }, run: Run) => checkNoDeadline(spec.template, 'ReplicaSet', run),
  },
  'apps.v1.DaemonSetSpec': {
    fields: { minReadySeconds: COUNT, revisionHistoryLimit: COUNT, selector: { immutable: true } },
    check: checkDaemonSet,
  },
  'apps.v1.DaemonSetUpdateStrategy': { fields: { type: { closed: false } } },
  'apps.v1.StatefulSetSpec': {
    fields: {
      replicas: COUNT,
      minReadySeconds: COUNT,
      revisionHistoryLimit: COUNT,
      podManagementPolicy: {
        required: true,
        oneOf: ['OrderedReady', 'Parallel'],
        notOneOf: "must be 'OrderedReady' or 'Parallel'",
      },
      volumeClaimTemplates: { opaque: true },
      serviceName: { format: 'dns1035Label' },
    },
    check: checkStatefulSet,
  },
  'apps.v1.StatefulSetUpdateStrategy': { fields: { type: { closed: false }, rollingUpdate: { opaque: true } } },
  'apps.v1.StatefulSetOrdinals': { fields: { start: COUNT } },
  'apps.v1.ControllerRevision': {
    fields: { data: { required: 'data is mandatory', immutable: true }, revision: COUNT },
  },
  'batch.v1.JobSpec': {
    fields: {
      parallelism: COUNT,
      completions: COUNT,
      activeDeadlineSeconds: COUNT,
      backoffLimit: COUNT,
      backoffLimitPerIndex: COUNT,
      maxFailedIndexes: COUNT,
      ttlSecondsAfterFinished: COUNT,
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
  'autoscaling.v2.HorizontalPodAutoscalerSpec': { check: checkAutoscaler },
  'autoscaling.v1.HorizontalPodAutoscalerSpec': {
    fields: { targetCPUUtilizationPercentage: AT_LEAST_ONE },
    check: checkAutoscaler,
  },
  'autoscaling.v2.CrossVersionObjectReference': REFERENCE,
  'autoscaling.v1.CrossVersionObjectReference': REFERENCE,
  'autoscaling.v2.MetricSpec': { fields: { type: { required: false } }, check: checkMetric },
  'autoscaling.v2.MetricTarget': { fields: { type: { required: false } }, check: checkTarget },
  'autoscaling.v2.MetricIdentifier': { fields: { name: METRIC_NAME } },
  'autoscaling.v2.ResourceMetricSource': { fields: { name: RESOURCE_NAME }, check: checkResourceSource },
  'autoscaling.v2.ContainerResourceMetricSource': {
    fields: { name: RESOURCE_NAME, container: { required: 'must specify a container' } },
    check: checkResourceSource,
  },
  'autoscaling.v2.ObjectMetricSource': { check: checkObjectSource },
  'autoscaling.v2.PodsMetricSource': {
    check({ target }: Sourced, run: Run) {
      if (target.averageValue === undefined)
        run.required('target.averageValue', 'must specify a positive target averageValue');
    },
  },
  'autoscaling.v2.ExternalMetricSource': { check: checkExternalSource },
  'autoscaling.v2.HPAScalingRules': {
    fields: {
      stabilizationWindowSeconds: { min: 0, max: MAX_WINDOW, range: `must be between 0 and ${MAX_WINDOW}, inclusive` },
      selectPolicy: { oneOf: ['Disabled', 'Max', 'Min'] },
      policies: { required: 'must specify at least one Policy' },
    },
  },
  'autoscaling.v2.HPAScalingPolicy': {
    fields: {
      type: { oneOf: ['Percent', 'Pods'] },
      value: { min: 1, range: POSITIVE },
      periodSeconds: { min: 1, max: MAX_PERIOD, range: `must be between 1 and ${MAX_PERIOD}, inclusive` },
    },
  },
};
