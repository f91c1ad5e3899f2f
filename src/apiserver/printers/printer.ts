// Objects as table rows: which columns a resource has. A resource that is not here shows its name and when it was made.
import type { KubeObject } from '../../api/object.ts';
import { groupResource, type Resource } from '../../api/tables.ts';
import type { Clock } from '../../lib/clock.ts';
import type { CachedObject } from '../contract.ts';
import { customColumns } from '../custom/columns.ts';
import * as cluster from './cluster.ts';
import { type Column, createdColumn, nameColumn } from './column.ts';
import * as network from './network.ts';
import { podColumns } from './pods.ts';
import * as storage from './storage.ts';
import * as workloads from './workloads.ts';

const COLUMNS: { readonly [resource: string]: readonly Column[] } = {
  componentstatuses: cluster.componentStatusColumns,
  configmaps: cluster.configMapColumns,
  endpoints: network.endpointsColumns,
  events: cluster.eventColumns,
  'events.events.k8s.io': cluster.newEventColumns,
  namespaces: cluster.namespaceColumns,
  nodes: cluster.nodeColumns,
  persistentvolumeclaims: storage.persistentVolumeClaimColumns,
  persistentvolumes: storage.persistentVolumeColumns,
  pods: podColumns,
  podtemplates: workloads.podTemplateColumns,
  replicationcontrollers: workloads.replicationControllerColumns,
  resourcequotas: cluster.resourceQuotaColumns,
  secrets: cluster.secretColumns,
  serviceaccounts: cluster.serviceAccountColumns,
  services: network.serviceColumns,
  'mutatingwebhookconfigurations.admissionregistration.k8s.io': cluster.webhookColumns,
  'validatingwebhookconfigurations.admissionregistration.k8s.io': cluster.webhookColumns,
  'validatingadmissionpolicies.admissionregistration.k8s.io': cluster.admissionPolicyColumns,
  'validatingadmissionpolicybindings.admissionregistration.k8s.io': cluster.admissionBindingColumns,
  'apiservices.apiregistration.k8s.io': cluster.apiServiceColumns,
  'controllerrevisions.apps': workloads.controllerRevisionColumns,
  'daemonsets.apps': workloads.daemonSetColumns,
  'deployments.apps': workloads.deploymentColumns,
  'replicasets.apps': workloads.replicaSetColumns,
  'statefulsets.apps': workloads.statefulSetColumns,
  'horizontalpodautoscalers.autoscaling': workloads.autoscalerColumns,
  'cronjobs.batch': workloads.cronJobColumns,
  'jobs.batch': workloads.jobColumns,
  'certificatesigningrequests.certificates.k8s.io': cluster.certificateSigningRequestColumns,
  'leases.coordination.k8s.io': cluster.leaseColumns,
  'endpointslices.discovery.k8s.io': network.endpointSliceColumns,
  'flowschemas.flowcontrol.apiserver.k8s.io': cluster.flowSchemaColumns,
  'prioritylevelconfigurations.flowcontrol.apiserver.k8s.io': cluster.priorityLevelColumns,
  'ingressclasses.networking.k8s.io': network.ingressClassColumns,
  'ingresses.networking.k8s.io': network.ingressColumns,
  'ipaddresses.networking.k8s.io': network.ipAddressColumns,
  'networkpolicies.networking.k8s.io': network.networkPolicyColumns,
  'servicecidrs.networking.k8s.io': network.serviceCidrColumns,
  'runtimeclasses.node.k8s.io': cluster.runtimeClassColumns,
  'poddisruptionbudgets.policy': workloads.podDisruptionBudgetColumns,
  'clusterrolebindings.rbac.authorization.k8s.io': cluster.roleBindingColumns,
  'rolebindings.rbac.authorization.k8s.io': cluster.roleBindingColumns,
  'priorityclasses.scheduling.k8s.io': cluster.priorityClassColumns,
  'csidrivers.storage.k8s.io': storage.csiDriverColumns,
  'csinodes.storage.k8s.io': storage.csiNodeColumns,
  'storageclasses.storage.k8s.io': storage.storageClassColumns,
  'volumeattachments.storage.k8s.io': storage.volumeAttachmentColumns,
};

const PLAIN: readonly Column[] = [nameColumn, createdColumn];
/** Columns by custom resource's row: their paths are compiled once. */
const customByRow = new WeakMap<Resource, readonly Column[]>();

export function columnsOf(resource: Resource): readonly Column[] {
  if (!resource.custom) return COLUMNS[groupResource(resource)] ?? PLAIN;
  let own = customByRow.get(resource);
  if (!own) {
    own = customColumns(resource.custom);
    customByRow.set(resource, own);
  }
  return own;
}

/** meta/v1 TableColumnDefinition. */
export interface ColumnDefinition {
  readonly name: string;
  readonly type: string;
  readonly format: string;
  readonly description: string;
  readonly priority: number;
}

export function columnDefinitions(resource: Resource): readonly ColumnDefinition[] {
  return columnsOf(resource).map(({ name, type, format, description, wide, priority }) => ({
    name,
    type: type ?? 'string',
    format: format ?? '',
    description: description ?? '',
    priority: priority ?? (wide ? 1 : 0),
  }));
}

/** Rows are printed in the version in which their kind has its columns; the object given may be of another. */
export interface TablePrinter {
  columns(resource: Resource): readonly ColumnDefinition[];
  /** One value a column; ages as of now. */
  cells(resource: Resource, object: KubeObject): readonly unknown[];
}

/** A cell; an object that lacks what the column needs spoils that cell only, not the list. */
function printed(column: Column, object: KubeObject, nowMs: number): unknown {
  try {
    return column.cell(object, nowMs);
  } catch {
    return '<unknown>';
  }
}

export function createPrinter(clock: Clock): TablePrinter {
  return {
    columns: columnDefinitions,
    cells: (resource, object) => columnsOf(resource).map((column) => printed(column, object, clock.now())),
  };
}

export interface TableOptions {
  readonly nowMs: number;
  /** What each row carries of its object: default Metadata. */
  readonly includeObject?: 'None' | 'Metadata' | 'Object';
}

/** A meta/v1 Table of objects. */
export function tableFor(resource: Resource, objects: readonly CachedObject[], options: TableOptions): object {
  const list = columnsOf(resource);
  const shown = options.includeObject ?? 'Metadata';
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: {},
    columnDefinitions: columnDefinitions(resource),
    rows: objects.map(({ object }) => ({
      cells: list.map((column) => printed(column, object, options.nowMs)),
      ...(shown === 'Object' && { object }),
      ...(shown === 'Metadata' && { object: partial(object) }),
    })),
  };
}

function partial(object: KubeObject): object {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata };
}
