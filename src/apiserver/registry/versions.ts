// Kinds that are served in more than one version: how an object of one is written as the other (upstream's conversions).
import type { KubeObject } from '../../api/object.ts';
import { apiVersionOf, type Resource, type Tables } from '../../api/tables.ts';

type Fields = { [key: string]: unknown };

/** Renames and moves fields in place; apiVersion and kind are set by the caller. */
type Conversion = (object: Fields) => void;

/** core/v1 Event field → events.k8s.io/v1 Event field. */
const EVENT_FIELDS: readonly (readonly [core: string, events: string])[] = [
  ['involvedObject', 'regarding'],
  ['message', 'note'],
  ['source', 'deprecatedSource'],
  ['firstTimestamp', 'deprecatedFirstTimestamp'],
  ['lastTimestamp', 'deprecatedLastTimestamp'],
  ['count', 'deprecatedCount'],
  ['reportingComponent', 'reportingController'],
];

function rename(object: Fields, from: string, to: string): void {
  if (!(from in object)) return;
  object[to] = object[from];
  delete object[from];
}

const eventToEvents: Conversion = (object) => {
  for (const [core, events] of EVENT_FIELDS) rename(object, core, events);
  object.eventTime ??= null;
};

const eventToCore: Conversion = (object) => {
  for (const [core, events] of EVENT_FIELDS) rename(object, events, core);
  object.involvedObject ??= {};
};

/** What autoscaling/v1 cannot say travels in these annotations, so that a v1 client's update loses nothing. */
const METRICS = 'autoscaling.alpha.kubernetes.io/metrics';
const BEHAVIOR = 'autoscaling.alpha.kubernetes.io/behavior';
const CONDITIONS = 'autoscaling.alpha.kubernetes.io/conditions';
const CURRENT_METRICS = 'autoscaling.alpha.kubernetes.io/current-metrics';

interface Metric {
  readonly type: string;
  readonly resource?: {
    readonly name: string;
    readonly target?: { readonly averageUtilization?: number };
    readonly current?: { readonly averageUtilization?: number };
  };
}

const isCpu = (metric: Metric, value: 'target' | 'current'): boolean =>
  metric.type === 'Resource' &&
  metric.resource?.name === 'cpu' &&
  metric.resource[value]?.averageUtilization !== undefined;

function annotationsOf(object: Fields): { [key: string]: string } {
  const metadata = object.metadata as { annotations?: { [key: string]: string } };
  metadata.annotations ??= {};
  return metadata.annotations;
}

function put(object: Fields, annotation: string, value: unknown): void {
  const empty = value === undefined || (Array.isArray(value) && value.length === 0);
  if (!empty) annotationsOf(object)[annotation] = JSON.stringify(value);
}

function take(object: Fields, annotation: string): unknown {
  const annotations = (object.metadata as { annotations?: { [key: string]: string } }).annotations;
  const text = annotations?.[annotation];
  if (annotations === undefined || text === undefined) return undefined;
  delete annotations[annotation];
  try {
    return JSON.parse(text);
  } catch {
    // A client wrote something else under our annotation: it says nothing to us.
    return undefined;
  }
}

const autoscalerToV1: Conversion = (object) => {
  const spec = (object.spec ?? {}) as Fields;
  const metrics = (spec.metrics ?? []) as Metric[];
  const cpu = metrics.find((m) => isCpu(m, 'target'));
  if (cpu) spec.targetCPUUtilizationPercentage = cpu.resource?.target?.averageUtilization;
  put(
    object,
    METRICS,
    metrics.filter((m) => m !== cpu),
  );
  put(object, BEHAVIOR, spec.behavior);
  delete spec.metrics;
  delete spec.behavior;
  const status = object.status as Fields | undefined;
  if (!status) return;
  const current = (status.currentMetrics ?? []) as Metric[];
  const cpuNow = current.find((m) => isCpu(m, 'current'));
  if (cpuNow) status.currentCPUUtilizationPercentage = cpuNow.resource?.current?.averageUtilization;
  put(
    object,
    CURRENT_METRICS,
    current.filter((m) => m !== cpuNow),
  );
  put(object, CONDITIONS, status.conditions);
  status.currentReplicas ??= 0;
  delete status.currentMetrics;
  delete status.conditions;
};

const autoscalerToV2: Conversion = (object) => {
  const spec = (object.spec ?? {}) as Fields;
  const metrics = (take(object, METRICS) ?? []) as Metric[];
  const percent = spec.targetCPUUtilizationPercentage;
  if (percent !== undefined) {
    const target = { type: 'Utilization', averageUtilization: percent as number };
    metrics.unshift({ type: 'Resource', resource: { name: 'cpu', target } });
  }
  if (metrics.length > 0) spec.metrics = metrics;
  const behavior = take(object, BEHAVIOR);
  if (behavior !== undefined) spec.behavior = behavior;
  delete spec.targetCPUUtilizationPercentage;
  const status = object.status as Fields | undefined;
  const current = (take(object, CURRENT_METRICS) ?? []) as Metric[];
  const conditions = take(object, CONDITIONS);
  if (!status) return;
  const now = status.currentCPUUtilizationPercentage;
  if (now !== undefined) {
    current.unshift({ type: 'Resource', resource: { name: 'cpu', current: { averageUtilization: now as number } } });
  }
  if (current.length > 0) status.currentMetrics = current;
  if (conditions !== undefined) status.conditions = conditions;
  delete status.currentCPUUtilizationPercentage;
};

/** "from→to" by group/version/resource. A pair that is not here differs in nothing but its apiVersion. */
const CONVERSIONS: { readonly [pair: string]: Conversion } = {
  'v1/events→events.k8s.io/v1/events': eventToEvents,
  'events.k8s.io/v1/events→v1/events': eventToCore,
  'autoscaling/v2/horizontalpodautoscalers→autoscaling/v1/horizontalpodautoscalers': autoscalerToV1,
  'autoscaling/v1/horizontalpodautoscalers→autoscaling/v2/horizontalpodautoscalers': autoscalerToV2,
};

/** A field selector's name in a served version → in the stored one, where they differ. */
const FIELD_NAMES: { readonly [resource: string]: { readonly [field: string]: string } } = {
  'events.k8s.io/v1/events': {
    'regarding.kind': 'involvedObject.kind',
    'regarding.namespace': 'involvedObject.namespace',
    'regarding.name': 'involvedObject.name',
    'regarding.uid': 'involvedObject.uid',
    'regarding.apiVersion': 'involvedObject.apiVersion',
    'regarding.resourceVersion': 'involvedObject.resourceVersion',
    'regarding.fieldPath': 'involvedObject.fieldPath',
    reportingController: 'reportingComponent',
  },
};

const nameOf = (resource: Resource): string => `${apiVersionOf(resource)}/${resource.resource}`;

/** The row of the version in which a resource is stored: itself unless another served version is. */
export function storageRow(tables: Tables, resource: Resource): Resource {
  const stored = resource.storageVersion;
  if (stored === undefined || stored === apiVersionOf(resource)) return resource;
  const slash = stored.indexOf('/');
  const [group, version] = slash < 0 ? ['', stored] : [stored.slice(0, slash), stored.slice(slash + 1)];
  // A stored version that is not served (upstream keeps some for downgrades) is of no use to us.
  return tables.resource(group, version, resource.resource) ?? resource;
}

/** Writes `object` (owned by the caller) as another version of its kind. */
export function convert<T extends KubeObject>(object: T, from: Resource, to: Resource): T {
  if (from === to) return object;
  CONVERSIONS[`${nameOf(from)}→${nameOf(to)}`]?.(object as unknown as Fields);
  Object.assign(object, { apiVersion: apiVersionOf(to), kind: to.kind });
  return object;
}

/** The stored version's name of a field that a selector of `resource` names. */
export function storedFieldName(resource: Resource, field: string): string {
  const names = FIELD_NAMES[nameOf(resource)];
  return names && Object.hasOwn(names, field) ? names[field]! : field;
}
