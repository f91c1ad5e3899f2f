import type {
  APIService,
  CertificateSigningRequest,
  ComponentStatus,
  ConfigMap,
  Event,
  EventEventsV1,
  FlowSchema,
  Lease,
  MutatingWebhookConfiguration,
  Namespace,
  Node,
  PriorityClass,
  PriorityLevelConfiguration,
  ResourceQuota,
  RoleBinding,
  RuntimeClass,
  Secret,
  ServiceAccount,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
} from '../../api/generated/types.ts';
import { findCondition } from '../../machinery/meta.ts';
import { ageColumn, ago, type Column, columns, humanDuration, nameColumn } from './column.ts';

function nodeStatus(node: Node): string {
  const ready = findCondition(node.status?.conditions, 'Ready');
  const parts = [ready === undefined ? 'Unknown' : ready.status === 'True' ? 'Ready' : 'NotReady'];
  if (node.spec?.unschedulable) parts.push('SchedulingDisabled');
  return parts.join(',');
}

const ROLE_PREFIX = 'node-role.kubernetes.io/';

function nodeRoles(node: Node): string {
  const roles = new Set<string>();
  for (const [key, value] of Object.entries(node.metadata.labels ?? {})) {
    if (key.startsWith(ROLE_PREFIX) && key !== ROLE_PREFIX) roles.add(key.slice(ROLE_PREFIX.length));
    else if (key === 'kubernetes.io/role' && value !== '') roles.add(value);
  }
  return roles.size === 0 ? '<none>' : [...roles].sort().join(',');
}

const nodeAddress = (node: Node, type: string): string =>
  node.status?.addresses?.find((a) => a.type === type)?.address ?? '<none>';

export const nodeColumns = columns<Node>([
  nameColumn,
  { name: 'Status', cell: nodeStatus },
  { name: 'Roles', cell: nodeRoles },
  ageColumn,
  { name: 'Version', cell: (n) => n.status?.nodeInfo?.kubeletVersion ?? '' },
  { name: 'Internal-IP', wide: true, cell: (n) => nodeAddress(n, 'InternalIP') },
  { name: 'External-IP', wide: true, cell: (n) => nodeAddress(n, 'ExternalIP') },
  { name: 'OS-Image', wide: true, cell: (n) => n.status?.nodeInfo?.osImage || '<unknown>' },
  { name: 'Kernel-Version', wide: true, cell: (n) => n.status?.nodeInfo?.kernelVersion || '<unknown>' },
  { name: 'Container-Runtime', wide: true, cell: (n) => n.status?.nodeInfo?.containerRuntimeVersion || '<unknown>' },
]);

const healthOf = (status: ComponentStatus) => findCondition(status.conditions, 'Healthy');

export const componentStatusColumns = columns<ComponentStatus>([
  nameColumn,
  { name: 'Status', cell: (c) => (healthOf(c)?.status === 'True' ? 'Healthy' : 'Unhealthy') },
  { name: 'Message', cell: (c) => healthOf(c)?.message ?? '' },
  { name: 'Error', cell: (c) => healthOf(c)?.error ?? '' },
]);

export const namespaceColumns = columns<Namespace>([
  nameColumn,
  { name: 'Status', cell: (ns) => ns.status?.phase ?? '' },
  ageColumn,
]);

function firstSeen(event: Event, nowMs: number): string {
  return ago(event.firstTimestamp || event.eventTime, nowMs);
}

function lastSeen(event: Event, nowMs: number): string {
  return event.series ? ago(event.series.lastObservedTime, nowMs) : ago(event.lastTimestamp || event.eventTime, nowMs);
}

function eventSource({ source, reportingComponent, reportingInstance }: Event): string {
  const component = source?.component || reportingComponent || '';
  const host = source?.host || reportingInstance || '';
  return host === '' ? component : `${component}, ${host}`;
}

export const eventColumns = columns<Event>([
  { name: 'Last Seen', cell: lastSeen },
  { name: 'Type', cell: (e) => e.type ?? '' },
  { name: 'Reason', cell: (e) => e.reason ?? '' },
  {
    name: 'Object',
    cell: ({ involvedObject: { kind = '', name = '' } }) =>
      name === '' ? kind.toLowerCase() : `${kind.toLowerCase()}/${name}`,
  },
  { name: 'Subobject', wide: true, cell: (e) => e.involvedObject.fieldPath ?? '' },
  { name: 'Source', wide: true, cell: eventSource },
  { name: 'Message', cell: (e) => (e.message ?? '').trim() },
  { name: 'First Seen', wide: true, cell: firstSeen },
  { name: 'Count', wide: true, cell: (e) => String(e.series?.count ?? (e.count || 1)) },
  { ...nameColumn, wide: true },
]);

/** events.k8s.io/v1 says the same under other names. */
export const newEventColumns: readonly Column[] = eventColumns.map((column) => ({
  ...column,
  cell: (object, nowMs) => column.cell(asCoreEvent(object as EventEventsV1), nowMs),
}));

function asCoreEvent(event: EventEventsV1): Event {
  return {
    metadata: event.metadata,
    involvedObject: event.regarding ?? {},
    eventTime: event.eventTime,
    ...(event.series && { series: event.series }),
    ...(event.type !== undefined && { type: event.type }),
    ...(event.reason !== undefined && { reason: event.reason }),
    ...(event.note !== undefined && { message: event.note }),
    ...(event.reportingController !== undefined && { reportingComponent: event.reportingController }),
    ...(event.reportingInstance !== undefined && { reportingInstance: event.reportingInstance }),
    ...(event.deprecatedSource && { source: event.deprecatedSource }),
    ...(event.deprecatedCount !== undefined && { count: event.deprecatedCount }),
    ...(event.deprecatedFirstTimestamp && { firstTimestamp: event.deprecatedFirstTimestamp }),
    ...(event.deprecatedLastTimestamp && { lastTimestamp: event.deprecatedLastTimestamp }),
  };
}

export const secretColumns = columns<Secret>([
  nameColumn,
  { name: 'Type', cell: (s) => s.type ?? '' },
  { name: 'Data', type: 'integer', cell: (s) => Object.keys(s.data ?? {}).length },
  ageColumn,
]);

export const configMapColumns = columns<ConfigMap>([
  nameColumn,
  {
    name: 'Data',
    type: 'integer',
    cell: (m) => Object.keys(m.data ?? {}).length + Object.keys(m.binaryData ?? {}).length,
  },
  ageColumn,
]);

export const serviceAccountColumns = columns<ServiceAccount>([
  nameColumn,
  { name: 'Secrets', type: 'integer', cell: (sa) => sa.secrets?.length ?? 0 },
  ageColumn,
]);

const subjects = (binding: RoleBinding, kind: string): string =>
  (binding.subjects ?? [])
    .filter((s) => s.kind === kind)
    .map((s) => (kind === 'ServiceAccount' ? `${s.namespace ?? ''}/${s.name}` : s.name))
    .join(', ');

/** Both RoleBindings and ClusterRoleBindings. */
export const roleBindingColumns = columns<RoleBinding>([
  nameColumn,
  { name: 'Role', cell: (b) => `${b.roleRef.kind}/${b.roleRef.name}` },
  ageColumn,
  { name: 'Users', wide: true, cell: (b) => subjects(b, 'User') },
  { name: 'Groups', wide: true, cell: (b) => subjects(b, 'Group') },
  { name: 'ServiceAccounts', wide: true, cell: (b) => subjects(b, 'ServiceAccount') },
]);

export const leaseColumns = columns<Lease>([
  nameColumn,
  { name: 'Holder', cell: (lease) => lease.spec?.holderIdentity ?? '' },
  ageColumn,
]);

export const priorityClassColumns = columns<PriorityClass>([
  nameColumn,
  { name: 'Value', type: 'integer', cell: (pc) => pc.value ?? 0 },
  { name: 'Global-Default', type: 'boolean', cell: (pc) => pc.globalDefault ?? false },
  ageColumn,
  { name: 'PreemptionPolicy', cell: (pc) => pc.preemptionPolicy ?? '' },
]);

export const runtimeClassColumns = columns<RuntimeClass>([
  nameColumn,
  { name: 'Handler', cell: (rc) => rc.handler },
  ageColumn,
]);

function requestStatus({ status }: CertificateSigningRequest): string {
  const has = (type: string): boolean => (status?.conditions ?? []).some((c) => c.type === type);
  const parts = [has('Denied') ? 'Denied' : has('Approved') ? 'Approved' : 'Pending'];
  if (has('Failed')) parts.push('Failed');
  if (status?.certificate) parts.push('Issued');
  return parts.join(',');
}

export const certificateSigningRequestColumns = columns<CertificateSigningRequest>([
  nameColumn,
  ageColumn,
  { name: 'SignerName', cell: (csr) => csr.spec.signerName || '<none>' },
  { name: 'Requestor', cell: (csr) => csr.spec.username ?? '' },
  {
    name: 'RequestedDuration',
    cell: ({ spec: { expirationSeconds } }) =>
      expirationSeconds === undefined ? '<none>' : humanDuration(expirationSeconds * 1000),
  },
  { name: 'Condition', cell: requestStatus },
]);

const quotaAmounts = (quota: ResourceQuota, wanted: (name: string) => boolean): string =>
  Object.keys(quota.status?.hard ?? quota.spec?.hard ?? {})
    .filter(wanted)
    .sort()
    .map((name) => `${name}: ${quota.status?.used?.[name] ?? 0}/${(quota.status?.hard ?? quota.spec?.hard)?.[name]}`)
    .join(', ');

export const resourceQuotaColumns = columns<ResourceQuota>([
  nameColumn,
  { name: 'Request', cell: (q) => quotaAmounts(q, (name) => !name.startsWith('limits.')) },
  { name: 'Limit', cell: (q) => quotaAmounts(q, (name) => name.startsWith('limits.')) },
  ageColumn,
]);

/** Both webhook configurations. */
export const webhookColumns = columns<MutatingWebhookConfiguration>([
  nameColumn,
  { name: 'Webhooks', type: 'integer', cell: (c) => c.webhooks?.length ?? 0 },
  ageColumn,
]);

export const admissionPolicyColumns = columns<ValidatingAdmissionPolicy>([
  nameColumn,
  { name: 'Validations', type: 'integer', cell: (p) => p.spec?.validations?.length ?? 0 },
  {
    name: 'ParamKind',
    cell: (p) => (p.spec?.paramKind ? `${p.spec.paramKind.apiVersion}/${p.spec.paramKind.kind}` : '<unset>'),
  },
  ageColumn,
]);

export const admissionBindingColumns = columns<ValidatingAdmissionPolicyBinding>([
  nameColumn,
  { name: 'PolicyName', cell: (b) => b.spec?.policyName ?? '' },
  {
    name: 'ParamRef',
    cell: ({ spec }) => {
      const ref = spec?.paramRef;
      if (!ref) return '<unset>';
      const name = ref.name ?? '*';
      return ref.namespace ? `${ref.namespace}/${name}` : name;
    },
  },
  ageColumn,
]);

export const flowSchemaColumns = columns<FlowSchema>([
  nameColumn,
  { name: 'PriorityLevel', cell: (f) => f.spec?.priorityLevelConfiguration.name ?? '' },
  { name: 'MatchingPrecedence', type: 'integer', cell: (f) => f.spec?.matchingPrecedence ?? 0 },
  { name: 'DistinguisherMethod', cell: (f) => f.spec?.distinguisherMethod?.type ?? '<none>' },
  ageColumn,
  { name: 'MissingPL', cell: (f) => (f.status?.conditions ?? []).find((c) => c.type === 'Dangling')?.status ?? '?' },
]);

export const priorityLevelColumns = columns<PriorityLevelConfiguration>([
  nameColumn,
  { name: 'Type', cell: (p) => p.spec?.type ?? '' },
  {
    name: 'NominalConcurrencyShares',
    cell: ({ spec }) => spec?.limited?.nominalConcurrencyShares ?? spec?.exempt?.nominalConcurrencyShares ?? '<none>',
  },
  { name: 'Queues', cell: (p) => p.spec?.limited?.limitResponse?.queuing?.queues ?? '<none>' },
  { name: 'HandSize', cell: (p) => p.spec?.limited?.limitResponse?.queuing?.handSize ?? '<none>' },
  { name: 'QueueLengthLimit', cell: (p) => p.spec?.limited?.limitResponse?.queuing?.queueLengthLimit ?? '<none>' },
  ageColumn,
]);

export const apiServiceColumns = columns<APIService>([
  nameColumn,
  {
    name: 'Service',
    cell: ({ spec }) => (spec?.service ? `${spec.service.namespace}/${spec.service.name}` : 'Local'),
  },
  {
    name: 'Available',
    cell: ({ status }) => {
      const available = findCondition(status?.conditions, 'Available');
      if (!available) return 'Unknown';
      return available.status === 'True' ? 'True' : `${available.status} (${available.reason ?? ''})`;
    },
  },
  ageColumn,
]);
