// The FlowSchemas and PriorityLevelConfigurations that every cluster begins with: upstream's.
import type {
  FlowSchema,
  PolicyRulesWithSubjects,
  PriorityLevelConfiguration,
  ResourcePolicyRule,
  Subject,
} from '../../api/generated/types.ts';

/** "true": the server keeps the object as it would make it. */
export const AUTOUPDATE_SPEC = 'apf.kubernetes.io/autoupdate-spec';

const ALL_USERS = ['system:unauthenticated', 'system:authenticated'];
const users = (...names: string[]): Subject[] => names.map((name) => ({ kind: 'User', user: { name } }));
const groups = (...names: string[]): Subject[] => names.map((name) => ({ kind: 'Group', group: { name } }));
const ofKubeSystem = (...names: string[]): Subject[] =>
  names.map((name) => ({ kind: 'ServiceAccount', serviceAccount: { namespace: 'kube-system', name } }));

const EVERYTHING = {
  resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'], clusterScope: true, namespaces: ['*'] }],
  nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
};
const elections = (apiGroup: string, ...resources: string[]): ResourcePolicyRule => ({
  verbs: ['get', 'create', 'update'],
  apiGroups: [apiGroup],
  resources,
  namespaces: ['*'],
});
const LEASES = elections('coordination.k8s.io', 'leases');

function schema(
  name: string,
  level: string,
  matchingPrecedence: number,
  by: 'ByUser' | 'ByNamespace' | '',
  rule: PolicyRulesWithSubjects,
): FlowSchema {
  return {
    metadata: { name, annotations: { [AUTOUPDATE_SPEC]: 'true' } },
    spec: {
      priorityLevelConfiguration: { name: level },
      matchingPrecedence,
      ...(by !== '' && { distinguisherMethod: { type: by } }),
      rules: [rule],
    },
  };
}

function level(
  name: string,
  nominalConcurrencyShares: number,
  lendablePercent: number,
  queues: number,
  handSize = 6,
): PriorityLevelConfiguration {
  const limitResponse =
    queues === 0 ? { type: 'Reject' } : { type: 'Queue', queuing: { queues, handSize, queueLengthLimit: 50 } };
  return {
    metadata: { name, annotations: { [AUTOUPDATE_SPEC]: 'true' } },
    spec: { type: 'Limited', limited: { nominalConcurrencyShares, lendablePercent, limitResponse } },
  };
}

const EXEMPT_LEVEL: PriorityLevelConfiguration = {
  metadata: { name: 'exempt', annotations: { [AUTOUPDATE_SPEC]: 'true' } },
  spec: { type: 'Exempt', exempt: { nominalConcurrencyShares: 0, lendablePercent: 0 } },
};

/** Without these a request could fall under nothing: they are in force also while they are not there. */
export const MANDATORY_LEVELS: readonly PriorityLevelConfiguration[] = [EXEMPT_LEVEL, level('catch-all', 5, 0, 0)];
export const MANDATORY_SCHEMAS: readonly FlowSchema[] = [
  schema('exempt', 'exempt', 1, '', { subjects: groups('system:masters'), ...EVERYTHING }),
  schema('catch-all', 'catch-all', 10_000, 'ByUser', { subjects: groups(...ALL_USERS), ...EVERYTHING }),
];

export const SUGGESTED_LEVELS: readonly PriorityLevelConfiguration[] = [
  level('system', 30, 33, 64),
  level('node-high', 40, 25, 64),
  level('leader-election', 10, 0, 16, 4),
  level('workload-high', 40, 50, 128),
  level('workload-low', 100, 90, 128),
  level('global-default', 20, 50, 128),
];

export const SUGGESTED_SCHEMAS: readonly FlowSchema[] = [
  schema('probes', 'exempt', 2, '', {
    subjects: groups(...ALL_USERS),
    nonResourceRules: [{ verbs: ['get'], nonResourceURLs: ['/healthz', '/readyz', '/livez'] }],
  }),
  schema('system-leader-election', 'leader-election', 100, 'ByUser', {
    subjects: [...users('system:kube-controller-manager', 'system:kube-scheduler'), ...ofKubeSystem('*')],
    resourceRules: [LEASES],
  }),
  schema('endpoint-controller', 'workload-high', 150, 'ByUser', {
    subjects: [
      ...users('system:kube-controller-manager'),
      ...ofKubeSystem('endpoint-controller', 'endpointslicemirroring-controller'),
    ],
    resourceRules: [elections('', 'endpoints')],
  }),
  schema('workload-leader-election', 'leader-election', 200, 'ByUser', {
    subjects: ofKubeSystem('*'),
    resourceRules: [elections('', 'endpoints', 'configmaps'), LEASES],
  }),
  schema('system-node-high', 'node-high', 400, 'ByUser', {
    subjects: groups('system:nodes'),
    resourceRules: [
      { verbs: ['*'], apiGroups: [''], resources: ['nodes', 'nodes/status'], clusterScope: true, namespaces: ['*'] },
      { verbs: ['*'], apiGroups: ['coordination.k8s.io'], resources: ['leases'], namespaces: ['*'] },
    ],
  }),
  schema('system-nodes', 'system', 500, 'ByUser', { subjects: groups('system:nodes'), ...EVERYTHING }),
  schema('kube-controller-manager', 'workload-high', 800, 'ByNamespace', {
    subjects: users('system:kube-controller-manager'),
    ...EVERYTHING,
  }),
  schema('kube-scheduler', 'workload-high', 800, 'ByNamespace', {
    subjects: users('system:kube-scheduler'),
    ...EVERYTHING,
  }),
  schema('kube-system-service-accounts', 'workload-high', 900, 'ByNamespace', {
    subjects: ofKubeSystem('*'),
    ...EVERYTHING,
  }),
  schema('service-accounts', 'workload-low', 9000, 'ByUser', {
    subjects: groups('system:serviceaccounts'),
    ...EVERYTHING,
  }),
  schema('global-default', 'global-default', 9900, 'ByUser', { subjects: groups(...ALL_USERS), ...EVERYTHING }),
];
