// What objects use of a ResourceQuota, and which objects a quota counts (core/v1 ResourceQuota).
import type { PersistentVolumeClaim, Pod, ResourceQuota, Service } from '../api/generated/types.ts';
import type { KubeObject } from '../api/object.ts';
import { groupResource, type Resource } from '../api/tables.ts';
import { heldLimits, heldRequests, qosClass } from './pods.ts';

/** Quantities as text, by the names that quotas limit. */
export type Amounts = { readonly [resource: string]: string };

/** Kinds that quotas count under their plain name too. */
const COUNTED = [
  'pods',
  'services',
  'replicationcontrollers',
  'resourcequotas',
  'secrets',
  'configmaps',
  'persistentvolumeclaims',
];

/** The kind of a counted object. */
type Counted = Pick<Resource, 'group' | 'resource'>;

/** What an object uses, under the names that quotas limit. */
export function usageOf(row: Counted, object: KubeObject): Amounts {
  const name = groupResource(row);
  const usage: { [resource: string]: string } = { [`count/${name}`]: '1' };
  if (COUNTED.includes(name)) usage[name] = '1';
  return { ...usage, ...MEASURES[name]?.(object) };
}

const MEASURES: { readonly [resource: string]: (object: KubeObject) => Amounts } = {
  pods: (object) => podUsage(object as Pod),
  services: (object) => serviceUsage(object as Service),
  persistentvolumeclaims: (object) => claimUsage(object as PersistentVolumeClaim),
};

function podUsage(pod: Pod): Amounts {
  const usage: { [resource: string]: string } = {};
  for (const [resource, amount] of Object.entries(heldRequests(pod))) {
    usage[`requests.${resource}`] = amount;
    if (resource === 'cpu' || resource === 'memory' || resource === 'ephemeral-storage') usage[resource] = amount;
  }
  for (const [resource, amount] of Object.entries(heldLimits(pod))) usage[`limits.${resource}`] = amount;
  return usage;
}

function serviceUsage(service: Service): Amounts {
  const { type, ports = [], allocateLoadBalancerNodePorts } = service.spec;
  const balancer = type === 'LoadBalancer';
  const opens = type === 'NodePort' || (balancer && allocateLoadBalancerNodePorts !== false);
  return {
    'services.nodeports': String(opens ? ports.length : 0),
    'services.loadbalancers': balancer ? '1' : '0',
  };
}

function claimUsage(claim: PersistentVolumeClaim): Amounts {
  const storage = claim.spec.resources?.requests?.storage ?? '0';
  const storageClass = claim.spec.storageClassName;
  const own = storageClass ? `${storageClass}.storageclass.storage.k8s.io` : undefined;
  return {
    'requests.storage': storage,
    ...(own && { [`${own}/requests.storage`]: storage, [`${own}/persistentvolumeclaims`]: '1' }),
  };
}

type Scope = (pod: Pod) => boolean;

const SCOPES: { readonly [scope: string]: Scope } = {
  BestEffort: (pod) => qosClass(pod) === 'BestEffort',
  NotBestEffort: (pod) => qosClass(pod) !== 'BestEffort',
  Terminating: (pod) => pod.spec.activeDeadlineSeconds !== undefined,
  NotTerminating: (pod) => pod.spec.activeDeadlineSeconds === undefined,
  PriorityClass: (pod) => Boolean(pod.spec.priorityClassName),
};

/** Quotas with scopes count only the pods that are in all of them. */
export function inScope(quota: ResourceQuota, row: Counted, object: KubeObject): boolean {
  const scopes = quota.spec?.scopes ?? [];
  const expressions = quota.spec?.scopeSelector?.matchExpressions ?? [];
  if (scopes.length === 0 && expressions.length === 0) return true;
  if (groupResource(row) !== 'pods') return false;
  const pod = object as Pod;
  if (!scopes.every((scope) => SCOPES[scope]?.(pod) ?? false)) return false;
  return expressions.every(({ scopeName, operator, values = [] }) => {
    const inside = SCOPES[scopeName]?.(pod) ?? false;
    if (operator === 'Exists') return inside;
    if (operator === 'DoesNotExist') return !inside;
    const listed = values.includes(pod.spec.priorityClassName ?? '');
    return operator === 'In' ? listed : !listed;
  });
}
