// The standard roles and bindings of every cluster, as data. Controllers' own roles: controller-roles.ts.

import type {
  ClusterRole,
  ClusterRoleBinding,
  PolicyRule,
  Role,
  RoleBinding,
  SubjectRbacV1,
} from '../../api/generated/types.ts';
import type { Draft } from '../../api/object.ts';
import { parseRule } from './bootstrap-rule-text.ts';
import { CONTROLLER_ROLE_PREFIX, CONTROLLER_ROLES, EVENTS } from './controller-roles.ts';

const RBAC = 'rbac.authorization.k8s.io';
const CERTIFICATES = 'certificates.k8s.io';
const STORAGE = 'storage.k8s.io';
const NETWORKING = 'networking.k8s.io';
const LEASES = 'coordination.k8s.io leases';
const REVIEWS = ['create authentication.k8s.io tokenreviews', 'create authorization.k8s.io subjectaccessreviews'];

const AGGREGATED = {
  admin: 'system:aggregate-to-admin',
  edit: 'system:aggregate-to-edit',
  view: 'system:aggregate-to-view',
};

const RULES: { readonly [role: string]: readonly string[] } = {
  'cluster-admin': ['* * *', '* url *'],
  'system:discovery': [
    'get url /api,/api/*,/apis,/apis/*,/healthz,/livez,/openapi,/openapi/*,/readyz,/version,/version/',
  ],
  'system:monitoring': ['get url /healthz,/healthz/*,/livez,/livez/*,/metrics,/metrics/slis,/readyz,/readyz/*'],
  'system:basic-user': [
    'create authorization.k8s.io selfsubjectaccessreviews,selfsubjectrulesreviews',
    'create authentication.k8s.io selfsubjectreviews',
  ],
  'system:public-info-viewer': ['get url /healthz,/livez,/readyz,/version,/version/'],
  'system:service-account-issuer-discovery': [
    'get url /.well-known/openid-configuration,/.well-known/openid-configuration/,/openid/v1/jwks,/openid/v1/jwks/',
  ],
  'system:aggregate-to-admin': [
    'create authorization.k8s.io localsubjectaccessreviews',
    `readwrite ${RBAC} roles,rolebindings`,
  ],
  'system:aggregate-to-edit': [
    'read core pods/attach,pods/proxy,pods/exec,pods/portforward,secrets,services/proxy',
    'impersonate core serviceaccounts',
    'write core pods,pods/attach,pods/proxy,pods/exec,pods/portforward',
    'create core pods/eviction',
    'write core replicationcontrollers,replicationcontrollers/scale,serviceaccounts,services,services/proxy,persistentvolumeclaims,configmaps,secrets,events',
    'create core serviceaccounts/token',
    'write apps statefulsets,statefulsets/scale,daemonsets,deployments,deployments/scale,deployments/rollback,replicasets,replicasets/scale',
    'write autoscaling horizontalpodautoscalers',
    'write batch jobs,cronjobs',
    'write policy poddisruptionbudgets',
    `write ${NETWORKING} networkpolicies,ingresses`,
    `readwrite ${LEASES}`,
    'write resource.k8s.io resourceclaims,resourceclaimtemplates',
  ],
  'system:aggregate-to-view': [
    'read core pods,replicationcontrollers,replicationcontrollers/scale,serviceaccounts,services,services/status,endpoints,persistentvolumeclaims,persistentvolumeclaims/status,configmaps',
    'read core limitranges,resourcequotas,bindings,events,pods/status,resourcequotas/status,namespaces/status,replicationcontrollers/status,pods/log',
    'read core namespaces',
    'read discovery.k8s.io endpointslices',
    'read apps controllerrevisions,statefulsets,statefulsets/status,statefulsets/scale,daemonsets,daemonsets/status,deployments,deployments/status,deployments/scale,replicasets,replicasets/status,replicasets/scale',
    'read autoscaling horizontalpodautoscalers,horizontalpodautoscalers/status',
    'read batch jobs,jobs/status,cronjobs,cronjobs/status',
    'read policy poddisruptionbudgets,poddisruptionbudgets/status',
    `read ${NETWORKING} networkpolicies,ingresses,ingresses/status`,
    'read resource.k8s.io resourceclaims,resourceclaims/status,resourceclaimtemplates',
  ],
  'system:heapster': ['read core events,pods,nodes,namespaces', 'read extensions deployments'],
  'system:node': [
    ...REVIEWS,
    'create authorization.k8s.io localsubjectaccessreviews',
    'read core services',
    'create,get,list,watch core nodes',
    'update,patch core nodes/status',
    'update,patch core nodes',
    'create,update,patch core,events.k8s.io events',
    'read core pods',
    'create,delete core pods',
    'update,patch core pods/status',
    'create core pods/eviction',
    'read core secrets,configmaps',
    'get core persistentvolumeclaims,persistentvolumes',
    'get core endpoints',
    'read discovery.k8s.io endpointslices',
    `create,get,list,watch ${CERTIFICATES} certificatesigningrequests`,
    `get,create,update,patch,delete ${LEASES}`,
    `get ${STORAGE} volumeattachments`,
    'get,update,patch core persistentvolumeclaims/status',
    'create,get core serviceaccounts/token',
    'get core serviceaccounts',
    `read ${STORAGE} csidrivers`,
    `get,create,update,patch,delete ${STORAGE} csinodes`,
    'read node.k8s.io runtimeclasses',
    'get resource.k8s.io resourceclaims',
    'deletecollection,read,create,update,patch,delete resource.k8s.io resourceslices',
    `read ${CERTIFICATES} clustertrustbundles`,
  ],
  'system:node-problem-detector': ['get core nodes', 'patch core nodes/status', EVENTS],
  'system:kubelet-api-admin': [
    'read core nodes',
    'proxy core nodes',
    '* core nodes/proxy,nodes/metrics,nodes/stats,nodes/log,nodes/spec,nodes/configz,nodes/healthz,nodes/pods',
  ],
  'system:node-bootstrapper': [`create,get,list,watch ${CERTIFICATES} certificatesigningrequests`],
  'system:auth-delegator': REVIEWS,
  'system:kube-aggregator': ['read core services,endpoints', 'read discovery.k8s.io endpointslices'],
  'system:kube-controller-manager': [
    EVENTS,
    `create ${LEASES}`,
    `get,update ${LEASES} =kube-controller-manager,kube-controller-manager.term`,
    'create core secrets,serviceaccounts',
    'delete core secrets',
    'get core namespaces,secrets,serviceaccounts,configmaps',
    'update core secrets,serviceaccounts',
    ...REVIEWS,
    'list,watch * *',
    'create core serviceaccounts/token',
  ],
  'system:kube-scheduler': [
    EVENTS,
    `create ${LEASES}`,
    `get,update ${LEASES} =kube-scheduler,kube-scheduler.term`,
    // A released Lease is taken at once by those who watch it.
    `watch ${LEASES} =kube-scheduler`,
    'read core nodes',
    'get,list,watch,delete core pods',
    'create core pods/binding,bindings',
    'patch,update core pods/status',
    'read core services,replicationcontrollers',
    'read apps,extensions replicasets',
    'read apps statefulsets',
    'read policy poddisruptionbudgets',
    'read core persistentvolumeclaims,persistentvolumes',
    ...REVIEWS,
    `read ${STORAGE} csinodes,csidrivers,csistoragecapacities,volumeattachments,storageclasses`,
    'read core namespaces',
    'read resource.k8s.io deviceclasses,resourceslices',
    'get,list,watch,update,patch resource.k8s.io resourceclaims',
    'update,patch resource.k8s.io resourceclaims/status',
    'update,patch core pods/finalizers',
  ],
  'system:volume-scheduler': [
    'get,list,watch,update,patch core persistentvolumes',
    `read ${STORAGE} storageclasses`,
    'get,list,watch,update,patch core persistentvolumeclaims',
  ],
  'system:kube-dns': ['list,watch core endpoints,services', 'list,watch discovery.k8s.io endpointslices'],
  // Cluster DNS runs in every node's agent, with the node's identity.
  'tsukube:cluster-dns': ['list,watch core services,namespaces', 'list,watch discovery.k8s.io endpointslices'],
  'system:node-proxier': [
    'list,watch core services,endpoints',
    'read core nodes',
    EVENTS,
    'list,watch discovery.k8s.io endpointslices',
    `list,watch ${NETWORKING} servicecidrs`,
  ],
  'system:persistent-volume-provisioner': [
    'get,list,watch,create,delete core persistentvolumes',
    'get,list,watch,update core persistentvolumeclaims',
    `read ${STORAGE} storageclasses`,
    'watch core events',
    EVENTS,
  ],
  'system:certificates.k8s.io:certificatesigningrequests:nodeclient': [
    `create ${CERTIFICATES} certificatesigningrequests/nodeclient`,
  ],
  'system:certificates.k8s.io:certificatesigningrequests:selfnodeclient': [
    `create ${CERTIFICATES} certificatesigningrequests/selfnodeclient`,
  ],
  'system:certificates.k8s.io:legacy-unknown-approver': [
    `approve ${CERTIFICATES} signers =kubernetes.io/legacy-unknown`,
  ],
  'system:certificates.k8s.io:kubelet-serving-approver': [
    `approve ${CERTIFICATES} signers =kubernetes.io/kubelet-serving`,
  ],
  'system:certificates.k8s.io:kube-apiserver-client-approver': [
    `approve ${CERTIFICATES} signers =kubernetes.io/kube-apiserver-client`,
  ],
  'system:certificates.k8s.io:kube-apiserver-client-kubelet-approver': [
    `approve ${CERTIFICATES} signers =kubernetes.io/kube-apiserver-client-kubelet`,
  ],
};

/** Role → subjects. "group:x", "user:x", "serviceaccount:namespace/x". */
const BINDINGS: { readonly [role: string]: readonly string[] } = {
  'cluster-admin': ['group:system:masters'],
  'system:monitoring': ['group:system:monitoring'],
  'system:discovery': ['group:system:authenticated'],
  'system:basic-user': ['group:system:authenticated'],
  'system:public-info-viewer': ['group:system:authenticated', 'group:system:unauthenticated'],
  'system:node-proxier': ['user:system:kube-proxy'],
  'system:kube-controller-manager': ['user:system:kube-controller-manager'],
  'system:kube-dns': ['serviceaccount:kube-system/kube-dns'],
  'system:kube-scheduler': ['user:system:kube-scheduler'],
  'system:volume-scheduler': ['user:system:kube-scheduler'],
  'system:service-account-issuer-discovery': ['group:system:serviceaccounts'],
  // Upstream leaves this one empty because its Node authorizer decides; here nodes are authorized by RBAC.
  'system:node': ['group:system:nodes'],
  'tsukube:cluster-dns': ['group:system:nodes'],
};

const LEADER_LOCKING = (name: string): string[] => ['watch core configmaps', `get,update core configmaps =${name}`];

/** Namespace → role → rules. */
const NAMESPACE_ROLES: { readonly [namespace: string]: { readonly [role: string]: readonly string[] } } = {
  'kube-system': {
    'extension-apiserver-authentication-reader': ['read core configmaps =extension-apiserver-authentication'],
    'system:controller:bootstrap-signer': ['read core secrets'],
    'system:controller:cloud-provider': ['create,get,list,watch core configmaps'],
    'system:controller:token-cleaner': ['get,list,watch,delete core secrets', EVENTS],
    'system::leader-locking-kube-controller-manager': LEADER_LOCKING('kube-controller-manager'),
    'system::leader-locking-kube-scheduler': LEADER_LOCKING('kube-scheduler'),
  },
  'kube-public': {
    'system:controller:bootstrap-signer': ['read core configmaps', 'update core configmaps =cluster-info', EVENTS],
  },
};

const NAMESPACE_BINDINGS: readonly (readonly [namespace: string, name: string, role: string, ...subjects: string[]])[] =
  [
    [
      'kube-system',
      'system::extension-apiserver-authentication-reader',
      'extension-apiserver-authentication-reader',
      'user:system:kube-controller-manager',
      'user:system:kube-scheduler',
    ],
    [
      'kube-system',
      'system::leader-locking-kube-controller-manager',
      'system::leader-locking-kube-controller-manager',
      'user:system:kube-controller-manager',
      'serviceaccount:kube-system/kube-controller-manager',
    ],
    [
      'kube-system',
      'system::leader-locking-kube-scheduler',
      'system::leader-locking-kube-scheduler',
      'user:system:kube-scheduler',
      'serviceaccount:kube-system/kube-scheduler',
    ],
    ...(['bootstrap-signer', 'cloud-provider', 'token-cleaner'] as const).map(
      (name) =>
        [
          'kube-system',
          `${CONTROLLER_ROLE_PREFIX}${name}`,
          `${CONTROLLER_ROLE_PREFIX}${name}`,
          `serviceaccount:kube-system/${name}`,
        ] as const,
    ),
    [
      'kube-public',
      'system:controller:bootstrap-signer',
      'system:controller:bootstrap-signer',
      'serviceaccount:kube-system/bootstrap-signer',
    ],
  ];

const AGGREGATE_LABEL = (role: string): string => `${RBAC}/aggregate-to-${role}`;

/** Every standard cluster role. The aggregated ones come with the rules that aggregation will give them. */
export function clusterRoles(): ClusterRole[] {
  const all: Draft<ClusterRole>[] = [];
  for (const [name, texts] of [...Object.entries(RULES), ...Object.entries(CONTROLLER_ROLES)]) {
    all.push({ ...TYPES.ClusterRole, metadata: metadata(name), rules: texts.map(parseRule) as Draft<PolicyRule>[] });
  }
  const rulesOf = (...names: string[]) => names.flatMap((name) => RULES[name]!.map(parseRule)) as Draft<PolicyRule>[];
  const { admin, edit, view } = AGGREGATED;
  all.push(aggregated('admin', undefined, rulesOf(admin, edit, view)));
  all.push(aggregated('edit', 'admin', rulesOf(edit, view)));
  all.push(aggregated('view', 'edit', rulesOf(view)));
  for (const [role, part] of Object.entries(AGGREGATED)) {
    const found = all.find((one) => one.metadata.name === part)!;
    found.metadata.labels![AGGREGATE_LABEL(role)] = 'true';
  }
  return all;
}

export function clusterRoleBindings(): ClusterRoleBinding[] {
  const controllers = Object.keys(CONTROLLER_ROLES).map((role): [string, string[]] => {
    return [role, [`serviceaccount:kube-system/${role.slice(CONTROLLER_ROLE_PREFIX.length)}`]];
  });
  return [...Object.entries(BINDINGS), ...controllers].map(([role, subjects]) => ({
    ...TYPES.ClusterRoleBinding,
    metadata: metadata(role),
    subjects: subjects.map(subject),
    roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name: role },
  }));
}

export function namespaceRoles(): Role[] {
  return Object.entries(NAMESPACE_ROLES).flatMap(([namespace, roles]) =>
    Object.entries(roles).map(([name, texts]) => ({
      ...TYPES.Role,
      metadata: metadata(name, namespace),
      rules: texts.map(parseRule),
    })),
  );
}

export function namespaceRoleBindings(): RoleBinding[] {
  return NAMESPACE_BINDINGS.map(([namespace, name, role, ...subjects]) => ({
    ...TYPES.RoleBinding,
    metadata: metadata(name, namespace),
    subjects: subjects.map(subject),
    roleRef: { apiGroup: RBAC, kind: 'Role', name: role },
  }));
}

const typeOf = <K extends string>(kind: K): { apiVersion: string; kind: K } => ({ apiVersion: `${RBAC}/v1`, kind });
const TYPES = {
  ClusterRole: typeOf('ClusterRole'),
  ClusterRoleBinding: typeOf('ClusterRoleBinding'),
  Role: typeOf('Role'),
  RoleBinding: typeOf('RoleBinding'),
};

/** Set to "false" by who wants reconciliation at start to leave an object alone. */
export const AUTOUPDATE_ANNOTATION = `${RBAC}/autoupdate`;

interface StandardMetadata {
  name: string;
  namespace?: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

function metadata(name: string, namespace?: string): StandardMetadata {
  return {
    name,
    ...(namespace && { namespace }),
    labels: { 'kubernetes.io/bootstrapping': 'rbac-defaults' },
    annotations: { [AUTOUPDATE_ANNOTATION]: 'true' },
  };
}

function aggregated(role: string, into: string | undefined, rules: Draft<PolicyRule>[]): Draft<ClusterRole> {
  const meta = metadata(role);
  if (into) meta.labels[AGGREGATE_LABEL(into)] = 'true';
  const clusterRoleSelectors = [{ matchLabels: { [AGGREGATE_LABEL(role)]: 'true' } }];
  return { ...TYPES.ClusterRole, metadata: meta, aggregationRule: { clusterRoleSelectors }, rules };
}

function subject(text: string): SubjectRbacV1 {
  const colon = text.indexOf(':');
  const [kind, name] = [text.slice(0, colon), text.slice(colon + 1)];
  if (kind === 'group') return { apiGroup: RBAC, kind: 'Group', name };
  if (kind === 'user') return { apiGroup: RBAC, kind: 'User', name };
  const slash = name.indexOf('/');
  return { kind: 'ServiceAccount', name: name.slice(slash + 1), namespace: name.slice(0, slash) };
}
