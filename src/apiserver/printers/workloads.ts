import type {
  ControllerRevision,
  CronJob,
  DaemonSet,
  Deployment,
  HorizontalPodAutoscaler,
  Job,
  LabelSelector,
  PodDisruptionBudget,
  PodTemplate,
  ReplicaSet,
  ReplicationController,
  StatefulSet,
} from '../../api/generated/types.ts';
import { controllerOf, isConditionTrue } from '../../machinery/meta.ts';
import { labelSelectorFromObject } from '../../machinery/selector-parse.ts';
import {
  ageColumn,
  ago,
  type Column,
  columns,
  containerColumns,
  formatLabels,
  humanDuration,
  nameColumn,
} from './column.ts';

function formatSelector(selector: LabelSelector | undefined): string {
  const text = selector ? labelSelectorFromObject(selector).toString() : '';
  return text === '' ? '<none>' : text;
}

const count = <T>(name: string, cell: (object: T) => number | undefined): Column<T> => ({
  name,
  type: 'integer',
  cell: (object) => cell(object) ?? 0,
});

export const deploymentColumns = columns<Deployment>([
  nameColumn,
  { name: 'Ready', cell: (d) => `${d.status?.readyReplicas ?? 0}/${d.spec.replicas ?? 0}` },
  { name: 'Up-to-date', cell: (d) => d.status?.updatedReplicas ?? 0 },
  { name: 'Available', cell: (d) => d.status?.availableReplicas ?? 0 },
  ageColumn,
  ...containerColumns<Deployment>((d) => d.spec.template),
  { name: 'Selector', wide: true, cell: (d) => formatSelector(d.spec.selector) },
]);

export const replicaSetColumns = columns<ReplicaSet>([
  nameColumn,
  count('Desired', (rs) => rs.spec.replicas),
  count('Current', (rs) => rs.status?.replicas),
  count('Ready', (rs) => rs.status?.readyReplicas),
  ageColumn,
  ...containerColumns<ReplicaSet>((rs) => rs.spec.template),
  { name: 'Selector', wide: true, cell: (rs) => formatSelector(rs.spec.selector) },
]);

export const replicationControllerColumns = columns<ReplicationController>([
  nameColumn,
  count('Desired', (rc) => rc.spec.replicas),
  count('Current', (rc) => rc.status?.replicas),
  count('Ready', (rc) => rc.status?.readyReplicas),
  ageColumn,
  ...containerColumns<ReplicationController>((rc) => rc.spec.template),
  { name: 'Selector', wide: true, cell: (rc) => formatLabels(rc.spec.selector) },
]);

export const statefulSetColumns = columns<StatefulSet>([
  nameColumn,
  { name: 'Ready', cell: (set) => `${set.status?.readyReplicas ?? 0}/${set.spec.replicas ?? 0}` },
  ageColumn,
  ...containerColumns<StatefulSet>((set) => set.spec.template),
]);

export const daemonSetColumns = columns<DaemonSet>([
  nameColumn,
  count('Desired', (ds) => ds.status?.desiredNumberScheduled),
  count('Current', (ds) => ds.status?.currentNumberScheduled),
  count('Ready', (ds) => ds.status?.numberReady),
  count('Up-to-date', (ds) => ds.status?.updatedNumberScheduled),
  count('Available', (ds) => ds.status?.numberAvailable),
  { name: 'Node Selector', cell: (ds) => formatLabels(ds.spec.template.spec?.nodeSelector) },
  ageColumn,
  ...containerColumns<DaemonSet>((ds) => ds.spec.template),
  { name: 'Selector', wide: true, cell: (ds) => formatSelector(ds.spec.selector) },
]);

function jobStatus(job: Job): string {
  const is = (type: string): boolean => isConditionTrue(job.status?.conditions, type);
  if (is('Complete')) return 'Complete';
  if (is('Failed')) return 'Failed';
  if (job.metadata.deletionTimestamp) return 'Terminating';
  if (is('Suspended')) return 'Suspended';
  if (is('FailureTarget')) return 'FailureTarget';
  if (is('SuccessCriteriaMet')) return 'SuccessCriteriaMet';
  return 'Running';
}

function completions(job: Job): string {
  const done = job.status?.succeeded ?? 0;
  if (job.spec.completions !== undefined) return `${done}/${job.spec.completions}`;
  const parallel = job.spec.parallelism ?? 0;
  return parallel > 1 ? `${done}/1 of ${parallel}` : `${done}/1`;
}

function jobDuration(job: Job, nowMs: number): string {
  const { startTime, completionTime } = job.status ?? {};
  if (!startTime) return '';
  return humanDuration((completionTime ? Date.parse(completionTime) : nowMs) - Date.parse(startTime));
}

export const jobColumns = columns<Job>([
  nameColumn,
  { name: 'Status', cell: jobStatus },
  { name: 'Completions', cell: completions },
  { name: 'Duration', cell: jobDuration },
  ageColumn,
  ...containerColumns<Job>((job) => job.spec.template),
  { name: 'Selector', wide: true, cell: (job) => formatSelector(job.spec.selector) },
]);

export const cronJobColumns = columns<CronJob>([
  nameColumn,
  { name: 'Schedule', cell: (c) => c.spec.schedule },
  { name: 'Timezone', cell: (c) => c.spec.timeZone ?? '<none>' },
  { name: 'Suspend', cell: (c) => (c.spec.suspend ? 'True' : 'False') },
  count('Active', (c) => c.status?.active?.length),
  {
    name: 'Last Schedule',
    cell: (c, nowMs) => (c.status?.lastScheduleTime ? ago(c.status.lastScheduleTime, nowMs) : '<none>'),
  },
  ageColumn,
  ...containerColumns<CronJob>((c) => c.spec.jobTemplate.spec?.template),
  { name: 'Selector', wide: true, cell: (c) => formatSelector(c.spec.jobTemplate.spec?.selector) },
]);

export const podDisruptionBudgetColumns = columns<PodDisruptionBudget>([
  nameColumn,
  { name: 'Min Available', cell: (pdb) => String(pdb.spec.minAvailable ?? 'N/A') },
  { name: 'Max Unavailable', cell: (pdb) => String(pdb.spec.maxUnavailable ?? 'N/A') },
  count('Allowed Disruptions', (pdb) => pdb.status?.disruptionsAllowed),
  ageColumn,
]);

export const podTemplateColumns = columns<PodTemplate>([
  nameColumn,
  ...containerColumns<PodTemplate>((t) => t.template).map((column) => ({ ...column, wide: false })),
  { name: 'Pod Labels', cell: (t) => formatLabels(t.template?.metadata?.labels) },
]);

export const controllerRevisionColumns = columns<ControllerRevision>([
  nameColumn,
  {
    name: 'Controller',
    cell: (revision) => {
      const owner = controllerOf(revision);
      if (!owner) return '<none>';
      const group = owner.apiVersion.includes('/') ? `.${owner.apiVersion.split('/')[0]}` : '';
      return `${owner.kind.toLowerCase()}${group}/${owner.name}`;
    },
  },
  { name: 'Revision', cell: (revision) => revision.revision },
  ageColumn,
]);

/** Metrics shown; more are counted. */
const MAX_METRICS = 2;

type MetricSpec = NonNullable<HorizontalPodAutoscaler['spec']['metrics']>[number];

interface Amounts {
  readonly averageUtilization?: number;
  readonly averageValue?: string;
  readonly value?: string;
}

/** The part of a metric (or of its status) that is named as its type. */
function part(metric: unknown): { name?: string; target?: Amounts; current?: Amounts; metric?: { name?: string } } {
  const { type } = metric as MetricSpec;
  const key = type.charAt(0).toLowerCase() + type.slice(1);
  return ((metric as Record<string, unknown>)[key] ?? {}) as ReturnType<typeof part>;
}

function amount(amounts: Amounts | undefined, like: Amounts): string {
  if (like.averageUtilization !== undefined) {
    return amounts?.averageUtilization === undefined ? '<unknown>' : `${amounts.averageUtilization}%`;
  }
  if (like.averageValue !== undefined) return `${amounts?.averageValue ?? '<unknown>'}`;
  return `${amounts?.value ?? '<unknown>'}`;
}

function targets(hpa: HorizontalPodAutoscaler): string {
  const specs = hpa.spec.metrics ?? [];
  if (specs.length === 0) return '<none>';
  const shown = specs.slice(0, MAX_METRICS).map((spec, i) => {
    const { target = {}, name } = part(spec);
    const status = hpa.status?.currentMetrics?.[i];
    const now = amount(status ? part(status).current : undefined, target);
    const average = target.averageValue !== undefined && spec.type !== 'Resource' ? ' (avg)' : '';
    const text = `${now}/${amount(target, target)}${average}`;
    return name === undefined ? text : `${name}: ${text}`;
  });
  const more = specs.length - shown.length;
  return more > 0 ? `${shown.join(', ')} + ${more} more...` : shown.join(', ');
}

export const autoscalerColumns = columns<HorizontalPodAutoscaler>([
  nameColumn,
  { name: 'Reference', cell: (hpa) => `${hpa.spec.scaleTargetRef.kind}/${hpa.spec.scaleTargetRef.name}` },
  { name: 'Targets', cell: targets },
  { name: 'MinPods', cell: (hpa) => String(hpa.spec.minReplicas ?? '<unset>') },
  { name: 'MaxPods', cell: (hpa) => hpa.spec.maxReplicas },
  { name: 'Replicas', cell: (hpa) => hpa.status?.currentReplicas ?? 0 },
  ageColumn,
]);
