// Objects for upstream's API server to hold while its protobuf is compared with ours: many kinds, many forms of fields.

const meta = (name: string, namespaced = true): object => ({
  name,
  ...(namespaced && { namespace: 'default' }),
  labels: { app: 'web', 'example.com/tier': 'x', a: '' },
  annotations: { zebra: '1', apple: '2', 'example.com/text': 'line\nother ✓ 𝄞' },
});

const container = {
  name: 'web',
  image: 'nginx:1.27',
  command: ['nginx', '-g', 'daemon off;'],
  env: [
    { name: 'A', value: '' },
    { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
    { name: 'CPU', valueFrom: { resourceFieldRef: { resource: 'limits.cpu', divisor: '1m' } } },
    { name: 'KEY', valueFrom: { configMapKeyRef: { name: 'c', key: 'k', optional: false } } },
  ],
  envFrom: [{ prefix: 'P_', secretRef: { name: 's' } }],
  ports: [{ containerPort: 80, name: 'http', protocol: 'TCP', hostPort: 0 }],
  resources: { limits: { cpu: '500m', memory: '128Mi', 'example.com/gpu': 2 }, requests: { cpu: 0.1, memory: '1e6' } },
  livenessProbe: { httpGet: { path: '/', port: 'http', httpHeaders: [{ name: 'a', value: 'b' }] }, periodSeconds: 3 },
  readinessProbe: { tcpSocket: { port: 80 }, failureThreshold: 5 },
  startupProbe: { exec: { command: ['true'] } },
  lifecycle: { preStop: { exec: { command: ['sleep', '1'] } } },
  volumeMounts: [
    { name: 'data', mountPath: '/data', readOnly: true, subPath: 'x' },
    { name: 'config', mountPath: '/config' },
  ],
  securityContext: { capabilities: { add: ['NET_ADMIN'], drop: ['ALL'] }, runAsUser: 1000, privileged: false },
};

const podSpec = {
  containers: [container],
  initContainers: [{ name: 'init', image: 'busybox' }],
  volumes: [
    { name: 'data', emptyDir: { sizeLimit: '1Gi', medium: 'Memory' } },
    { name: 'config', configMap: { name: 'c', items: [{ key: 'k', path: 'p', mode: 256 }], defaultMode: 420 } },
    {
      name: 'all',
      projected: {
        sources: [
          { serviceAccountToken: { path: 'token', expirationSeconds: 7200, audience: 'x' } },
          { downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
          { secret: { name: 's', optional: true } },
        ],
      },
    },
    { name: 'host', hostPath: { path: '/tmp', type: 'Directory' } },
  ],
  nodeSelector: { disk: 'ssd' },
  affinity: {
    podAntiAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [
        {
          weight: 100,
          podAffinityTerm: {
            topologyKey: 'kubernetes.io/hostname',
            labelSelector: { matchExpressions: [{ key: 'app', operator: 'In', values: ['a', 'b'] }] },
          },
        },
      ],
    },
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'NotIn', values: ['n'] }] }],
      },
    },
  },
  tolerations: [{ key: 'k', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 30 }],
  topologySpreadConstraints: [
    {
      maxSkew: 1,
      topologyKey: 'zone',
      whenUnsatisfiable: 'DoNotSchedule',
      labelSelector: { matchLabels: { app: 'web' } },
    },
  ],
  hostAliases: [{ ip: '1.2.3.4', hostnames: ['x'] }],
  dnsConfig: { nameservers: ['10.0.0.10'], options: [{ name: 'ndots', value: '2' }, { name: 'edns0' }] },
  securityContext: { fsGroup: 2000, supplementalGroups: [1, 300, 70000], sysctls: [{ name: 'a.b', value: '1' }] },
  terminationGracePeriodSeconds: 0,
};

const selector = { matchLabels: { app: 'web' } };
const template = { metadata: { labels: { app: 'web' } }, spec: podSpec };
const jobTemplate = { metadata: { labels: { app: 'job' } }, spec: { ...podSpec, restartPolicy: 'Never' } };
const rules = [{ apiGroups: [''], resources: ['pods', 'pods/log'], verbs: ['get', 'list'], resourceNames: ['a'] }];
const schema = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      required: ['size'],
      properties: {
        size: { type: 'integer', minimum: 1, maximum: 10.5, default: 3, enum: [1, 3, 5] },
        names: { type: 'array', items: { type: 'string', pattern: '^a' }, 'x-kubernetes-list-type': 'set' },
        any: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
        map: { type: 'object', additionalProperties: { type: 'string' } },
        either: { 'x-kubernetes-int-or-string': true, default: 'x' },
      },
    },
  },
};

export interface Sample {
  /** Path of the collection. */
  readonly path: string;
  readonly body: object;
}

const inDefault = (group: string, resource: string): string =>
  `${group === 'v1' ? '/api' : '/apis'}/${group}/namespaces/default/${resource}`;

function sample(apiVersion: string, kind: string, resource: string, rest: object, name = kind.toLowerCase()): Sample {
  return { path: inDefault(apiVersion, resource), body: { apiVersion, kind, metadata: meta(name), ...rest } };
}

function cluster(apiVersion: string, kind: string, resource: string, rest: object, name = kind.toLowerCase()): Sample {
  return { path: `/apis/${apiVersion}/${resource}`, body: { apiVersion, kind, metadata: meta(name, false), ...rest } };
}

const webhook = {
  name: 'a.example.com',
  admissionReviewVersions: ['v1'],
  sideEffects: 'None',
  failurePolicy: 'Ignore',
  clientConfig: { service: { name: 's', namespace: 'default', path: '/x' } },
  rules: [{ apiGroups: ['none.example.com'], apiVersions: ['v1'], resources: ['x'], operations: ['CREATE'] }],
  namespaceSelector: selector,
};

export const SAMPLES: readonly Sample[] = [
  sample('v1', 'ConfigMap', 'configmaps', { data: { b: 'x', a: '' }, binaryData: { z: 'AP8=' }, immutable: false }),
  sample('v1', 'Secret', 'secrets', { data: { k: 'AP8=', empty: '' }, type: 'Opaque' }),
  sample('v1', 'ServiceAccount', 'serviceaccounts', { automountServiceAccountToken: false, secrets: [{ name: 'x' }] }),
  sample('v1', 'Pod', 'pods', { metadata: { ...meta('pod'), labels: { alone: 'yes' } }, spec: podSpec }),
  sample('v1', 'Service', 'services', {
    spec: {
      selector: { app: 'web' },
      ports: [
        { port: 80, targetPort: 'http' },
        { port: 81, targetPort: 8081, name: 'b' },
      ].map((p) => ({ name: 'a', ...p })),
    },
  }),
  sample('v1', 'Endpoints', 'endpoints', { subsets: [{ addresses: [{ ip: '1.2.3.4' }], ports: [{ port: 1 }] }] }),
  sample('v1', 'LimitRange', 'limitranges', { spec: { limits: [{ type: 'Pod', max: { cpu: '64' } }] } }),
  sample('v1', 'ResourceQuota', 'resourcequotas', { spec: { hard: { pods: '1000', 'requests.cpu': '1k' } } }),
  sample('v1', 'PodTemplate', 'podtemplates', { template }),
  sample('v1', 'ReplicationController', 'replicationcontrollers', {
    spec: { replicas: 0, selector: { app: 'rc' }, template: { ...template, metadata: { labels: { app: 'rc' } } } },
  }),
  sample('v1', 'PersistentVolumeClaim', 'persistentvolumeclaims', {
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, storageClassName: '' },
  }),
  {
    path: '/api/v1/persistentvolumes',
    body: {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: meta('pv', false),
      spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/x' } },
    },
  },
  {
    path: '/api/v1/nodes',
    body: {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: meta('node', false),
      spec: { podCIDR: '10.0.0.0/24', podCIDRs: ['10.0.0.0/24'], taints: [{ key: 'a', effect: 'NoSchedule' }] },
    },
  },
  sample('v1', 'Event', 'events', {
    involvedObject: { kind: 'Pod', name: 'x', namespace: 'default' },
    eventTime: '2024-05-06T07:08:09.123456Z',
    reportingComponent: 'c',
    reportingInstance: 'i',
    action: 'a',
    reason: 'R',
    type: 'Normal',
    series: { count: 2, lastObservedTime: '2024-05-06T07:08:09.000001Z' },
  }),
  sample('apps/v1', 'Deployment', 'deployments', {
    spec: { replicas: 1, selector, template, strategy: { rollingUpdate: { maxSurge: '30%', maxUnavailable: 0 } } },
  }),
  sample('apps/v1', 'StatefulSet', 'statefulsets', {
    spec: {
      serviceName: 'x',
      selector,
      template,
      volumeClaimTemplates: [
        {
          metadata: { name: 'data' },
          spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
        },
      ],
    },
  }),
  sample('apps/v1', 'DaemonSet', 'daemonsets', { spec: { selector, template } }),
  sample('apps/v1', 'ControllerRevision', 'controllerrevisions', {
    revision: 5,
    data: { spec: { x: [1, 2.5, 'y', null] } },
  }),
  sample('batch/v1', 'Job', 'jobs', { spec: { template: jobTemplate, backoffLimit: 0, ttlSecondsAfterFinished: 100 } }),
  sample('batch/v1beta1', 'CronJob', 'cronjobs', {
    spec: { schedule: '*/5 * * * *', suspend: true, jobTemplate: { spec: { template: jobTemplate } } },
  }),
  sample('autoscaling/v1', 'HorizontalPodAutoscaler', 'horizontalpodautoscalers', {
    spec: {
      maxReplicas: 3,
      scaleTargetRef: { kind: 'Deployment', name: 'deployment', apiVersion: 'apps/v1' },
      targetCPUUtilizationPercentage: 50,
    },
  }),
  sample('networking.k8s.io/v1', 'Ingress', 'ingresses', {
    spec: {
      tls: [{ hosts: ['a.b'] }],
      rules: [
        {
          host: 'a.b',
          http: {
            paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name: 's', port: { number: 80 } } } }],
          },
        },
        { host: 'c.d' },
      ],
    },
  }),
  sample('networking.k8s.io/v1', 'NetworkPolicy', 'networkpolicies', {
    spec: {
      podSelector: {},
      ingress: [
        {
          from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } }, { namespaceSelector: selector }],
          ports: [{ port: 80 }, { port: 'http', protocol: 'UDP' }],
        },
        {},
      ],
      policyTypes: ['Ingress'],
    },
  }),
  sample('policy/v1beta1', 'PodDisruptionBudget', 'poddisruptionbudgets', { spec: { minAvailable: '50%', selector } }),
  sample('rbac.authorization.k8s.io/v1', 'Role', 'roles', { rules }),
  sample('rbac.authorization.k8s.io/v1', 'RoleBinding', 'rolebindings', {
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'role' },
    subjects: [
      { kind: 'ServiceAccount', name: 'x', namespace: 'default' },
      { kind: 'User', name: 'u', apiGroup: 'rbac.authorization.k8s.io' },
    ],
  }),
  sample('coordination.k8s.io/v1', 'Lease', 'leases', {
    spec: {
      holderIdentity: 'me',
      leaseDurationSeconds: 15,
      renewTime: '2024-01-02T03:04:05.000600Z',
      acquireTime: '1960-01-02T03:04:05.500000Z',
    },
  }),
  sample('discovery.k8s.io/v1beta1', 'EndpointSlice', 'endpointslices', {
    addressType: 'IPv4',
    endpoints: [{ addresses: ['1.2.3.4'], conditions: { ready: false } }],
    ports: [{ name: '', port: 80 }],
  }),
  cluster('rbac.authorization.k8s.io/v1', 'ClusterRole', 'clusterroles', {
    rules: [{ nonResourceURLs: ['/x'], verbs: ['get'] }],
    aggregationRule: { clusterRoleSelectors: [selector] },
  }),
  cluster('storage.k8s.io/v1', 'StorageClass', 'storageclasses', {
    provisioner: 'x.y',
    parameters: { b: '1', a: '2' },
    mountOptions: ['ro'],
    allowedTopologies: [{ matchLabelExpressions: [{ key: 'zone', values: ['a'] }] }],
  }),
  cluster('storage.k8s.io/v1', 'CSIDriver', 'csidrivers', {
    spec: { attachRequired: false, volumeLifecycleModes: ['Ephemeral'] },
  }),
  cluster('storage.k8s.io/v1', 'CSINode', 'csinodes', {
    spec: { drivers: [{ name: 'd', nodeID: 'n', topologyKeys: ['k'], allocatable: { count: 0 } }] },
  }),
  cluster('storage.k8s.io/v1', 'VolumeAttachment', 'volumeattachments', {
    spec: { attacher: 'a', nodeName: 'n', source: { persistentVolumeName: 'pv' } },
  }),
  cluster('scheduling.k8s.io/v1', 'PriorityClass', 'priorityclasses', {
    value: -2147483648,
    preemptionPolicy: 'Never',
    description: 'ß',
  }),
  cluster('node.k8s.io/v1', 'RuntimeClass', 'runtimeclasses', {
    handler: 'h',
    overhead: { podFixed: { cpu: '1m' } },
    scheduling: { nodeSelector: { a: 'b' } },
  }),
  cluster('networking.k8s.io/v1', 'IngressClass', 'ingressclasses', {
    spec: { controller: 'a.b/c', parameters: { apiGroup: 'x.y', kind: 'P', name: 'p' } },
  }),
  cluster('admissionregistration.k8s.io/v1', 'ValidatingWebhookConfiguration', 'validatingwebhookconfigurations', {
    webhooks: [webhook],
  }),
  cluster('admissionregistration.k8s.io/v1', 'MutatingWebhookConfiguration', 'mutatingwebhookconfigurations', {
    webhooks: [{ ...webhook, reinvocationPolicy: 'IfNeeded' }],
  }),
  cluster(
    'apiextensions.k8s.io/v1',
    'CustomResourceDefinition',
    'customresourcedefinitions',
    {
      spec: {
        group: 'example.com',
        scope: 'Namespaced',
        names: { plural: 'things', kind: 'Thing', shortNames: ['th'] },
        versions: [
          {
            name: 'v1',
            served: true,
            storage: true,
            schema: { openAPIV3Schema: schema },
            subresources: { status: {}, scale: { specReplicasPath: '.spec.size', statusReplicasPath: '.status.size' } },
            additionalPrinterColumns: [{ name: 'Size', type: 'integer', jsonPath: '.spec.size' }],
          },
        ],
      },
    },
    'things.example.com',
  ),
];
