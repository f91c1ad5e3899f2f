// Which strategy a resource has. Keys are group/resource, so that all versions of a kind share one.
import type { KubeObject } from '../../api/object.ts';
import type { Resource } from '../../api/tables.ts';
import { apiServiceStrategy } from '../aggregation/strategy.ts';
import { customResourceDefinitionStrategy } from '../custom/definition-strategy.ts';
import { customStrategy } from '../custom/strategy.ts';
import { mutatingPolicyStrategy, validatingPolicyStrategy } from './admission-policies.ts';
import * as core from './core.ts';
import * as jobs from './jobs.ts';
import { pathSegment } from './name-rules.ts';
import { podStrategy } from './pod.ts';
import * as access from './policy-and-access.ts';
import { serviceStrategy } from './service.ts';
import type { Strategy } from './strategy.ts';
import { withRules } from './validation/strategy.ts';
import { webhookConfigurationStrategy } from './webhook-configurations.ts';
import * as workloads from './workloads.ts';

const NONE: Strategy = {};

const STRATEGIES: { readonly [key: string]: Strategy } = {
  configmaps: core.configMapStrategy,
  endpoints: core.endpointsStrategy,
  events: core.eventStrategy,
  'events.events.k8s.io': core.eventStrategy,
  limitranges: core.limitRangeStrategy,
  namespaces: core.namespaceStrategy,
  nodes: core.nodeStrategy,
  persistentvolumeclaims: core.persistentVolumeClaimStrategy,
  persistentvolumes: core.persistentVolumeStrategy,
  pods: podStrategy,
  podtemplates: core.podTemplateStrategy,
  replicationcontrollers: workloads.replicationControllerStrategy,
  resourcequotas: core.resourceQuotaStrategy,
  secrets: core.secretStrategy,
  serviceaccounts: core.serviceAccountStrategy,
  services: serviceStrategy,
  'apiservices.apiregistration.k8s.io': apiServiceStrategy,
  'controllerrevisions.apps': access.controllerRevisionStrategy,
  'daemonsets.apps': workloads.daemonSetStrategy,
  'deployments.apps': workloads.deploymentStrategy,
  'replicasets.apps': workloads.replicaSetStrategy,
  'statefulsets.apps': workloads.statefulSetStrategy,
  'cronjobs.batch': jobs.cronJobStrategy,
  'jobs.batch': jobs.jobStrategy,
  'certificatesigningrequests.certificates.k8s.io': access.certificateSigningRequestStrategy,
  'ingressclasses.networking.k8s.io': access.countingStrategy,
  'ingresses.networking.k8s.io': access.ingressStrategy,
  'networkpolicies.networking.k8s.io': access.networkPolicyStrategy,
  'ipaddresses.networking.k8s.io': { nameRule: pathSegment },
  'poddisruptionbudgets.policy': access.podDisruptionBudgetStrategy,
  'roles.rbac.authorization.k8s.io': access.roleStrategy,
  'clusterroles.rbac.authorization.k8s.io': access.clusterRoleStrategy,
  'rolebindings.rbac.authorization.k8s.io': access.roleBindingStrategy,
  'clusterrolebindings.rbac.authorization.k8s.io': access.clusterRoleBindingStrategy,
  'csidrivers.storage.k8s.io': access.countingConditionalStrategy,
  'csinodes.storage.k8s.io': access.conditionalStrategy,
  'storageclasses.storage.k8s.io': access.storageClassStrategy,
  'volumeattachments.storage.k8s.io': access.conditionalStrategy,
  'mutatingadmissionpolicies.admissionregistration.k8s.io': mutatingPolicyStrategy,
  'mutatingadmissionpolicybindings.admissionregistration.k8s.io': access.countingConditionalStrategy,
  'mutatingwebhookconfigurations.admissionregistration.k8s.io': webhookConfigurationStrategy,
  'validatingadmissionpolicies.admissionregistration.k8s.io': validatingPolicyStrategy,
  'validatingadmissionpolicybindings.admissionregistration.k8s.io': access.countingConditionalStrategy,
  'validatingwebhookconfigurations.admissionregistration.k8s.io': webhookConfigurationStrategy,
  'customresourcedefinitions.apiextensions.k8s.io': customResourceDefinitionStrategy,
  'priorityclasses.scheduling.k8s.io': access.priorityClassStrategy,
  'leases.coordination.k8s.io': access.leaseStrategy,
  'runtimeclasses.node.k8s.io': access.runtimeClassStrategy,
  'endpointslices.discovery.k8s.io': access.endpointSliceStrategy,
  'resourceslices.resource.k8s.io': access.countingStrategy,
  'flowschemas.flowcontrol.apiserver.k8s.io': access.countingConditionalStrategy,
  'prioritylevelconfigurations.flowcontrol.apiserver.k8s.io': access.countingConditionalStrategy,
};

const keyOf = (resource: Resource): string =>
  resource.group === '' ? resource.resource : `${resource.resource}.${resource.group}`;

/** Strategies by resource row: rows are looked up far more often than they change. */
const byRow = new WeakMap<Resource, Strategy>();

export function strategyOf(resource: Resource): Strategy {
  let strategy = byRow.get(resource);
  if (!strategy) {
    strategy = resource.custom
      ? customStrategy(resource, resource.custom)
      : withRules(resource, STRATEGIES[keyOf(resource)] ?? NONE);
    byRow.set(resource, strategy);
  }
  return strategy;
}

/** The names of the fields that a selector may ask for, beyond metadata.name and metadata.namespace. */
export function selectableFields(resource: Resource): readonly string[] {
  return Object.keys(strategyOf(resource).selectable ?? {});
}

/** An object's selectable fields, for matching field selectors. `resource` is the row of the stored version. */
export function fieldsOf(resource: Resource, object: KubeObject): { readonly [field: string]: string } {
  const fields: { [field: string]: string } = { 'metadata.name': object.metadata.name };
  if (object.metadata.namespace !== undefined) fields['metadata.namespace'] = object.metadata.namespace;
  for (const [field, read] of Object.entries(strategyOf(resource).selectable ?? {})) fields[field] = read(object);
  return fields;
}
