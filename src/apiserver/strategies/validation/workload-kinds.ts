// Deployments, ReplicaSets, StatefulSets, DaemonSets, controller revisions and autoscalers.
import type {
  DaemonSetSpec,
  DeploymentSpec,
  HorizontalPodAutoscalerSpec,
  MetricSpec,
  MetricTarget,
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
