// Writes whose managedFields upstream's API server was asked for (scripts/record-managed-fields.ts): managed-fields.json holds
// what it answered.

export type WriteKind = 'create' | 'put' | 'merge' | 'strategic' | 'json' | 'apply' | 'force';

export interface ManagedWrite {
  readonly how: WriteKind;
  /** "deployments.apps", "pods/status". */
  readonly resource: string;
  readonly name: string;
  /** A put sends the object as it is with this laid over it as a merge patch. */
  readonly body: unknown;
  readonly manager: string;
}

export const NAMESPACE = 'managed';

const labels = { app: 'web' };
const container = {
  name: 'main',
  image: 'example.com/web:1',
  command: ['serve', '--fast'],
  ports: [{ name: 'http', containerPort: 8080 }, { containerPort: 9090, protocol: 'TCP' }, { containerPort: 443 }],
  env: [
    { name: 'B', value: '1' },
    { name: 'A', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
    { name: 'C', valueFrom: { configMapKeyRef: { name: 'settings', key: 'c' } } },
  ],
  resources: { requests: { cpu: '100m', memory: '64Mi' }, limits: { memory: '128Mi' } },
  readinessProbe: { httpGet: { path: '/ready', port: 'http', httpHeaders: [{ name: 'x', value: 'y' }] } },
  volumeMounts: [
    { name: 'data', mountPath: '/data' },
    { name: 'config', mountPath: '/etc/web' },
  ],
  securityContext: { runAsUser: 1000, capabilities: { drop: ['ALL'] } },
};
const podSpec = {
  automountServiceAccountToken: false,
  containers: [container, { name: 'side', image: 'example.com/side:1' }],
  initContainers: [{ name: 'first', image: 'example.com/init:1' }],
  nodeSelector: { disk: 'ssd', zone: 'a' },
  tolerations: [{ key: 'a', operator: 'Exists' }],
  imagePullSecrets: [{ name: 'one' }, { name: 'a<b' }],
  volumes: [
    { name: 'data', emptyDir: { medium: 'Memory' } },
    { name: 'config', configMap: { name: 'settings', items: [{ key: 'a', path: 'b' }] } },
  ],
  affinity: {
    podAntiAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [
        { labelSelector: { matchLabels: labels }, topologyKey: 'kubernetes.io/hostname' },
      ],
    },
  },
};
const template = { metadata: { labels, annotations: { note: 'a' } }, spec: podSpec };
const selector = { matchLabels: labels };

const pod: readonly ManagedWrite[] = [
  {
    how: 'create',
    resource: 'pods',
    name: 'pod',
    body: { metadata: { labels, finalizers: ['example.com/b', 'example.com/a'] }, spec: podSpec },
    manager: 'creator',
  },
  {
    how: 'strategic',
    resource: 'pods/status',
    name: 'pod',
    body: {
      status: {
        phase: 'Running',
        conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z' }],
        hostIP: '10.0.0.1',
      },
    },
    manager: 'kubelet',
  },
  {
    how: 'strategic',
    resource: 'pods/status',
    name: 'pod',
    body: { status: { conditions: [{ type: 'Initialized', status: 'True' }], phase: 'Failed', reason: 'Gone' } },
    manager: 'judge',
  },
  {
    how: 'merge',
    resource: 'pods',
    name: 'pod',
    body: { metadata: { labels: { app: null, more: 'x' } } },
    manager: 'labeller',
  },
  {
    how: 'json',
    resource: 'pods',
    name: 'pod',
    body: [{ op: 'replace', path: '/spec/containers/0/image', value: 'example.com/web:2' }],
    manager: 'image',
  },
  {
    how: 'merge',
    resource: 'pods',
    name: 'pod',
    body: { metadata: { finalizers: ['example.com/c', 'example.com/a'] } },
    manager: 'finalizers',
  },
];

const deployment: readonly ManagedWrite[] = [
  {
    how: 'create',
    resource: 'deployments.apps',
    name: 'web',
    body: { metadata: { labels }, spec: { replicas: 2, selector, template } },
    manager: 'creator',
  },
  { how: 'put', resource: 'deployments.apps', name: 'web', body: { spec: { replicas: 3 } }, manager: 'scaler' },
  { how: 'put', resource: 'deployments.apps', name: 'web', body: {}, manager: 'idler' },
  {
    how: 'put',
    resource: 'deployments.apps',
    name: 'web',
    body: { spec: { strategy: { type: 'Recreate', rollingUpdate: null } } },
    manager: 'creator',
  },
  {
    how: 'merge',
    resource: 'deployments.apps/status',
    name: 'web',
    body: {
      status: {
        observedGeneration: 1,
        replicas: 3,
        conditions: [{ type: 'Available', status: 'True', reason: 'x', message: 'y' }],
      },
    },
    manager: 'controller',
  },
  {
    how: 'merge',
    resource: 'deployments.apps',
    name: 'web',
    body: { metadata: { annotations: { 'deployment.kubernetes.io/revision': '1' } } },
    manager: 'controller',
  },
];

const applied: readonly ManagedWrite[] = [
  {
    how: 'apply',
    resource: 'deployments.apps',
    name: 'applied',
    body: { metadata: { labels }, spec: { replicas: 3, selector, template } },
    manager: 'first',
  },
  { how: 'apply', resource: 'deployments.apps', name: 'applied', body: { spec: { replicas: 4 } }, manager: 'second' },
  {
    how: 'apply',
    resource: 'deployments.apps',
    name: 'applied',
    body: { metadata: { labels: { app: 'other' } }, spec: { replicas: 4, paused: true } },
    manager: 'second',
  },
  { how: 'force', resource: 'deployments.apps', name: 'applied', body: { spec: { replicas: 4 } }, manager: 'second' },
  {
    how: 'apply',
    resource: 'deployments.apps',
    name: 'applied',
    body: {
      metadata: { labels },
      spec: {
        selector,
        template: {
          ...template,
          spec: { containers: [{ ...container, env: [{ name: 'B', value: '2' }] }], volumes: podSpec.volumes },
        },
      },
    },
    manager: 'first',
  },
  { how: 'merge', resource: 'deployments.apps', name: 'applied', body: { spec: { replicas: 5 } }, manager: 'updater' },
  { how: 'apply', resource: 'deployments.apps', name: 'applied', body: { spec: { replicas: 5 } }, manager: 'second' },
  { how: 'apply', resource: 'deployments.apps', name: 'applied', body: {}, manager: 'second' },
  {
    how: 'apply',
    resource: 'deployments.apps',
    name: 'applied',
    body: { spec: { template: { spec: { containers: [{ name: 'side', image: 'example.com/side:2', tty: true }] } } } },
    manager: 'third',
  },
  {
    how: 'apply',
    resource: 'deployments.apps',
    name: 'applied',
    body: {
      spec: { template: { spec: { containers: [{ name: 'main', ports: [{ containerPort: 8080, name: 'web' }] }] } } },
    },
    manager: 'third',
  },
];

const configMap: readonly ManagedWrite[] = [
  { how: 'create', resource: 'configmaps', name: 'settings', body: { data: { a: '1', b: '2' } }, manager: 'creator' },
  { how: 'put', resource: 'configmaps', name: 'settings', body: { data: { a: null, c: '3' } }, manager: 'updater' },
  { how: 'apply', resource: 'configmaps', name: 'settings', body: { data: { b: '2', d: '4' } }, manager: 'applier' },
  { how: 'apply', resource: 'configmaps', name: 'settings', body: { data: { d: '4' } }, manager: 'applier' },
  { how: 'apply', resource: 'configmaps', name: 'settings', body: { data: { c: 'x' } }, manager: 'other' },
  {
    how: 'force',
    resource: 'configmaps',
    name: 'settings',
    body: { data: { c: 'x', 'k.k': 'y' } },
    manager: 'other',
  },
  { how: 'apply', resource: 'configmaps', name: 'settings', body: {}, manager: 'applier' },
  { how: 'merge', resource: 'configmaps', name: 'settings', body: { data: null, immutable: true }, manager: 'cleaner' },
  {
    how: 'merge',
    resource: 'configmaps',
    name: 'settings',
    body: { metadata: { managedFields: [{}] } },
    manager: 'reset',
  },
  { how: 'merge', resource: 'configmaps', name: 'settings', body: { metadata: { labels } }, manager: 'later' },
  { how: 'apply', resource: 'configmaps', name: 'settings', body: { metadata: { labels } }, manager: 'applier' },
];

const service: readonly ManagedWrite[] = [
  {
    how: 'create',
    resource: 'services',
    name: 'web',
    body: {
      spec: {
        selector: labels,
        ports: [
          { name: 'http', port: 80, targetPort: 'http' },
          { name: 'dns', port: 53, protocol: 'UDP' },
        ],
      },
    },
    manager: 'creator',
  },
  {
    how: 'apply',
    resource: 'services',
    name: 'web',
    body: {
      spec: {
        ports: [
          { name: 'tls', port: 443, protocol: 'TCP' },
          { name: 'http', port: 80, protocol: 'TCP', targetPort: 'http' },
        ],
      },
    },
    manager: 'applier',
  },
  {
    how: 'apply',
    resource: 'services',
    name: 'web',
    body: { spec: { ports: [{ name: 'tls', port: 443, protocol: 'TCP' }] } },
    manager: 'applier',
  },
  {
    how: 'force',
    resource: 'services',
    name: 'web',
    body: { spec: { sessionAffinity: 'ClientIP' } },
    manager: 'applier',
  },
];

const others: readonly ManagedWrite[] = [
  { how: 'create', resource: 'secrets', name: 's', body: { type: 'Opaque', data: { a: 'YQ==' } }, manager: 'm' },
  { how: 'create', resource: 'secrets', name: 't', body: { stringData: { a: 'a' } }, manager: 'm' },
  { how: 'create', resource: 'serviceaccounts', name: 'sa', body: { imagePullSecrets: [{ name: 'p' }] }, manager: 'm' },
  {
    how: 'create',
    resource: 'roles.rbac.authorization.k8s.io',
    name: 'r',
    body: { rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }] },
    manager: 'm',
  },
  {
    how: 'create',
    resource: 'rolebindings.rbac.authorization.k8s.io',
    name: 'rb',
    body: {
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'r' },
      subjects: [{ kind: 'User', name: 'u', apiGroup: 'rbac.authorization.k8s.io' }],
    },
    manager: 'm',
  },
  {
    how: 'create',
    resource: 'statefulsets.apps',
    name: 'sts',
    body: {
      spec: {
        serviceName: 's',
        selector,
        template: { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'i' }] } },
        volumeClaimTemplates: [
          {
            metadata: { name: 'd' },
            spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
          },
        ],
      },
    },
    manager: 'm',
  },
  {
    how: 'create',
    resource: 'jobs.batch',
    name: 'j',
    body: {
      spec: {
        backoffLimit: 2,
        template: { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'i' }] } },
      },
    },
    manager: 'm',
  },
  {
    how: 'create',
    resource: 'ingresses.networking.k8s.io',
    name: 'i',
    body: {
      spec: {
        tls: [{ hosts: ['a'], secretName: 's' }],
        rules: [
          {
            host: 'a.b',
            http: {
              paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name: 's', port: { number: 80 } } } }],
            },
          },
        ],
      },
    },
    manager: 'm',
  },
  {
    how: 'create',
    resource: 'networkpolicies.networking.k8s.io',
    name: 'np',
    body: { spec: { podSelector: {}, policyTypes: ['Ingress'], ingress: [{ from: [{ podSelector: selector }] }] } },
    manager: 'm',
  },
  {
    how: 'create',
    resource: 'persistentvolumeclaims',
    name: 'c',
    body: { spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } },
    manager: 'm',
  },
  {
    how: 'create',
    resource: 'leases.coordination.k8s.io',
    name: 'l',
    body: { spec: { holderIdentity: 'x', leaseDurationSeconds: 15, renewTime: '2026-01-01T00:00:00.000000Z' } },
    manager: 'm',
  },
  {
    how: 'merge',
    resource: 'leases.coordination.k8s.io',
    name: 'l',
    body: { spec: { renewTime: '2026-01-01T00:00:10.000000Z' } },
    manager: 'n',
  },
  {
    how: 'create',
    resource: 'events',
    name: 'e',
    body: {
      involvedObject: { kind: 'Pod', namespace: NAMESPACE, name: 'p' },
      reason: 'R',
      message: 'm',
      type: 'Normal',
      source: { component: 'c' },
      count: 1,
      firstTimestamp: '2026-01-01T00:00:00Z',
      lastTimestamp: '2026-01-01T00:00:00Z',
    },
    manager: 'm',
  },
  {
    how: 'create',
    resource: 'resourcequotas',
    name: 'q',
    body: { spec: { hard: { pods: '100', 'requests.cpu': '10' } } },
    manager: 'm',
  },
  {
    how: 'create',
    resource: 'endpoints',
    name: 'ep',
    body: { subsets: [{ addresses: [{ ip: '10.1.1.1' }], ports: [{ port: 80, name: 'http' }] }] },
    manager: 'm',
  },
];

/** Cluster-scoped things. */
const cluster: readonly ManagedWrite[] = [
  {
    how: 'create',
    resource: 'nodes',
    name: 'node-a',
    body: {
      metadata: { labels: { zone: 'a' } },
      spec: { taints: [{ key: 'a', effect: 'NoSchedule' }], podCIDR: '10.9.0.0/24', podCIDRs: ['10.9.0.0/24'] },
    },
    manager: 'kubelet',
  },
  {
    how: 'strategic',
    resource: 'nodes/status',
    name: 'node-a',
    body: {
      status: {
        addresses: [{ type: 'InternalIP', address: '10.0.0.1' }],
        conditions: [{ type: 'Ready', status: 'True', lastHeartbeatTime: '2026-01-01T00:00:00Z' }],
        allocatable: { cpu: '1' },
      },
    },
    manager: 'kubelet',
  },
  {
    how: 'create',
    resource: 'persistentvolumes',
    name: 'pv-a',
    body: {
      spec: {
        accessModes: ['ReadWriteOnce'],
        capacity: { storage: '1Gi' },
        hostPath: { path: '/tmp' },
        claimRef: { namespace: NAMESPACE, name: 'c' },
      },
    },
    manager: 'm',
  },
  {
    how: 'create',
    resource: 'storageclasses.storage.k8s.io',
    name: 'sc-a',
    body: { provisioner: 'example.com/p', parameters: { a: 'b' } },
    manager: 'm',
  },
  {
    how: 'create',
    resource: 'priorityclasses.scheduling.k8s.io',
    name: 'pc-a',
    body: { value: 10, description: 'd' },
    manager: 'm',
  },
  {
    how: 'create',
    resource: 'clusterroles.rbac.authorization.k8s.io',
    name: 'cr-a',
    body: { rules: null },
    manager: 'm',
  },
  {
    how: 'apply',
    resource: 'namespaces',
    name: 'ns-a',
    body: { metadata: { labels: { a: 'b' } } },
    manager: 'm',
  },
];

/** Each list on objects of its own. */
export const MANAGED_WRITES: { readonly [scenario: string]: readonly ManagedWrite[] } = {
  pod,
  deployment,
  applied,
  configMap,
  service,
  others,
  cluster,
};
