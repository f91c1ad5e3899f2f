// Objects that are wrong in one way each, for asking upstream's API server and ours the same question.

export interface Case {
  readonly name: string;
  readonly apiVersion: string;
  readonly kind: string;
  /** The object without apiVersion and kind. */
  readonly object: Record<string, unknown>;
  /** Members laid over the object in an update after it was created; absent: the create itself is wrong. */
  readonly update?: Record<string, unknown>;
}

const container = { name: 'c', image: 'i' };
type Fields = Record<string, unknown>;

const pod = (name: string, spec: Fields, of: Fields = {}): Case => ({
  name: `pod: ${name}`,
  apiVersion: 'v1',
  kind: 'Pod',
  object: { metadata: { name: 'p' }, spec: { containers: [{ ...container, ...of }], ...spec } },
});
const of = (name: string, fields: Fields): Case => pod(name, {}, fields);
const volume = (name: string, source: Fields): Case => pod(`volume ${name}`, { volumes: [{ name: 'v', ...source }] });
const core = (kind: string, name: string, fields: Fields, update?: Fields): Case => ({
  name: `${kind}: ${name}`,
  apiVersion: 'v1',
  kind,
  object: { metadata: { name: 'o' }, ...fields },
  ...(update && { update }),
});
const kind =
  (apiVersion: string, kindName: string) =>
  (name: string, fields: Fields, update?: Fields): Case => ({
    ...core(kindName, name, fields, update),
    apiVersion,
  });

const labels = { matchLabels: { a: 'b' } };
const template = (spec: Fields = {}, more: Fields = {}): Fields => ({
  metadata: { labels: { a: 'b' } },
  spec: { containers: [container], ...spec },
  ...more,
});
const deployment = kind('apps/v1', 'Deployment');
const daemonSet = kind('apps/v1', 'DaemonSet');
const statefulSet = kind('apps/v1', 'StatefulSet');
const replicaSet = kind('apps/v1', 'ReplicaSet');
const job = kind('batch/v1', 'Job');
const ingress = kind('networking.k8s.io/v1', 'Ingress');
const policy = kind('networking.k8s.io/v1', 'NetworkPolicy');
const autoscaler = kind('autoscaling/v1', 'HorizontalPodAutoscaler');
const hook = kind('admissionregistration.k8s.io/v1', 'ValidatingWebhookConfiguration');
const storageClass = kind('storage.k8s.io/v1', 'StorageClass');
const role = kind('rbac.authorization.k8s.io/v1', 'Role');
const binding = kind('rbac.authorization.k8s.io/v1', 'RoleBinding');
const backend = { service: { name: 's', port: { number: 80 } } };
const path = (fields: Fields): Fields => ({
  spec: { rules: [{ http: { paths: [{ path: '/', pathType: 'Prefix', backend, ...fields }] } }] },
});
const good = { selector: labels, template: template(), serviceName: 's' };
const claim = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } };
const webhook = {
  name: 'a.b.example', sideEffects: 'None', admissionReviewVersions: ['v1'], clientConfig: { url: 'https://a.example/x' },
}; // biome-ignore format: a table
const volumeSpec = { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/a' } };

export const CASES: readonly Case[] = [
  pod('no containers', { containers: [] }),
  of('no image', { image: '' }),
  of('container name', { name: 'A_b' }),
  of('image with a space', { image: ' i' }),
  pod('two containers of one name', { containers: [container, container] }),
  pod('init container of the same name', { initContainers: [container] }),
  pod('init container with a probe', {
    initContainers: [{ ...container, name: 'i', livenessProbe: { exec: { command: ['a'] } } }],
  }),
  of('pull policy', { imagePullPolicy: 'Sometimes' }),
  of('message policy', { terminationMessagePolicy: 'Nowhere' }),
  of('port 0', { ports: [{ containerPort: 0 }] }),
  of('port too high', { ports: [{ containerPort: 70000 }] }),
  of('port name', { ports: [{ containerPort: 80, name: 'a--b' }] }),
  of('port names twice', {
    ports: [
      { containerPort: 80, name: 'a' },
      { containerPort: 81, name: 'a' },
    ],
  }),
  of('protocol', { ports: [{ containerPort: 80, protocol: 'QUIC' }] }),
  of('host port twice', {
    ports: [
      { containerPort: 80, hostPort: 80 },
      { containerPort: 81, hostPort: 80 },
    ],
  }),
  pod('host network port', {
    hostNetwork: true,
    containers: [{ ...container, ports: [{ containerPort: 80, hostPort: 81 }] }],
  }),
  of('variable without name', { env: [{ name: '', value: 'a' }] }),
  of('variable with two sources', {
    env: [
      { name: 'A', valueFrom: { secretKeyRef: { name: 'a', key: 'b' }, configMapKeyRef: { name: 'a', key: 'b' } } },
    ],
  }),
  of('variable with value and source', {
    env: [{ name: 'A', value: 'x', valueFrom: { secretKeyRef: { name: 'a', key: 'b' } } }],
  }),
  of('variable of an unknown field', {
    env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'metadata.whoops' } } }],
  }),
  of('variable of a field not for variables', {
    env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'metadata.labels' } } }],
  }),
  of('variable of an unknown resource', {
    env: [{ name: 'A', valueFrom: { resourceFieldRef: { resource: 'limits.gold' } } }],
  }),
  of('key of a secret', { env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'a', key: 'b/c' } } }] }),
  of('source of variables without a source', { envFrom: [{}] }),
  of('mount without volume', { volumeMounts: [{ name: 'v', mountPath: '/a' }] }),
  pod('mount path twice', {
    volumes: [{ name: 'v', emptyDir: {} }],
    containers: [
      {
        ...container,
        volumeMounts: [
          { name: 'v', mountPath: '/a' },
          { name: 'v', mountPath: '/a' },
        ],
      },
    ],
  }),
  pod('mount sub path', {
    volumes: [{ name: 'v', emptyDir: {} }],
    containers: [{ ...container, volumeMounts: [{ name: 'v', mountPath: '/a', subPath: '../x' }] }],
  }),
  pod('mount propagation', {
    volumes: [{ name: 'v', emptyDir: {} }],
    containers: [{ ...container, volumeMounts: [{ name: 'v', mountPath: '/a', mountPropagation: 'Bidirectional' }] }],
  }),
  pod('device of a directory', {
    volumes: [{ name: 'v', emptyDir: {} }],
    containers: [{ ...container, volumeDevices: [{ name: 'v', devicePath: '/a' }] }],
  }),
  of('limit below request', { resources: { limits: { cpu: '1' }, requests: { cpu: '2' } } }),
  of('negative request', { resources: { requests: { cpu: '-1' } } }),
  of('unknown resource', { resources: { requests: { gold: '1' } } }),
  of('extended resource without limit', { resources: { requests: { 'a.example/gold': '1' } } }),
  of('fraction of an extended resource', { resources: { limits: { 'a.example/gold': '500m' } } }),
  of('huge pages alone', { resources: { limits: { 'hugepages-2Mi': '2Mi' } } }),
  of('probe without handler', { livenessProbe: {} }),
  of('probe with two handlers', { livenessProbe: { exec: { command: ['a'] }, tcpSocket: { port: 80 } } }),
  of('probe without command', { livenessProbe: { exec: {} } }),
  of('probe of port 0', { livenessProbe: { httpGet: { port: 0 } } }),
  of('probe header', { livenessProbe: { httpGet: { port: 80, httpHeaders: [{ name: 'a b', value: 'x' }] } } }),
  of('probe scheme', { livenessProbe: { httpGet: { port: 80, scheme: 'FTP' } } }),
  of('liveness successes', { livenessProbe: { exec: { command: ['a'] }, successThreshold: 2 } }),
  of('negative probe period', { readinessProbe: { exec: { command: ['a'] }, periodSeconds: -1 } }),
  of('hook without handler', { lifecycle: { preStop: {} } }),
  of('negative user', { securityContext: { runAsUser: -1 } }),
  of('escalation of the privileged', { securityContext: { privileged: true, allowPrivilegeEscalation: false } }),
  of('seccomp without profile', { securityContext: { seccompProfile: { type: 'Localhost' } } }),
  of('seccomp type', { securityContext: { seccompProfile: { type: 'Strange' } } }),
  pod('restart policy', { restartPolicy: 'Maybe' }),
  pod('dns policy', { dnsPolicy: 'Maybe' }),
  pod('dns none', { dnsPolicy: 'None' }),
  pod('dns servers', { dnsConfig: { nameservers: ['a', '1.1.1.1', '2.2.2.2', '3.3.3.3'] } }),
  pod('dns option', { dnsConfig: { options: [{ value: 'a' }] } }),
  pod('deadline', { activeDeadlineSeconds: 0 }),
  pod('host name', { hostname: 'a.b' }),
  pod('node selector', { nodeSelector: { 'a b': 'c' } }),
  pod('host alias', { hostAliases: [{ ip: 'x', hostnames: ['A_'] }] }),
  pod('shared process namespace', { shareProcessNamespace: true, hostPID: true }),
  pod('group', { securityContext: { fsGroup: -1, supplementalGroups: [-2] } }),
  pod('sysctl', { securityContext: { sysctls: [{ name: 'A B', value: '1' }] } }),
  pod('toleration without key', { tolerations: [{ operator: 'Equal', value: 'a' }] }),
  pod('toleration operator', { tolerations: [{ key: 'a', operator: 'Maybe' }] }),
  pod('toleration effect', { tolerations: [{ key: 'a', operator: 'Exists', effect: 'Maybe' }] }),
  pod('toleration seconds', {
    tolerations: [{ key: 'a', operator: 'Exists', effect: 'NoSchedule', tolerationSeconds: 1 }],
  }),
  pod('node affinity without terms', {
    affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [] } } },
  }),
  pod('node affinity operator', {
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: 'a', operator: 'Is' }] }],
        },
      },
    },
  }),
  pod('node affinity without values', {
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: 'a', operator: 'In' }] }],
        },
      },
    },
  }),
  pod('node affinity field', {
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchFields: [{ key: 'spec.x', operator: 'In', values: ['a'] }] }],
        },
      },
    },
  }),
  pod('weight', {
    affinity: {
      nodeAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 0, preference: { matchExpressions: [] } }],
      },
    },
  }),
  pod('pod affinity without topology', {
    affinity: {
      podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ labelSelector: labels, topologyKey: '' }] },
    },
  }),
  pod('pod affinity selector', {
    affinity: {
      podAntiAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [
          { labelSelector: { matchExpressions: [{ key: 'a', operator: 'Is' }] }, topologyKey: 'a' },
        ],
      },
    },
  }),
  pod('spread skew', {
    topologySpreadConstraints: [{ maxSkew: 0, topologyKey: 'a', whenUnsatisfiable: 'DoNotSchedule' }],
  }),
  pod('spread without key', {
    topologySpreadConstraints: [{ maxSkew: 1, topologyKey: '', whenUnsatisfiable: 'Maybe' }],
  }),
  pod('spread twice', {
    topologySpreadConstraints: [
      { maxSkew: 1, topologyKey: 'a', whenUnsatisfiable: 'DoNotSchedule' },
      { maxSkew: 2, topologyKey: 'a', whenUnsatisfiable: 'DoNotSchedule' },
    ],
  }),
  pod('readiness gate', { readinessGates: [{ conditionType: 'a b' }] }),
  pod('volume without name', { volumes: [{ name: '', emptyDir: {} }] }),
  pod('volumes of one name', {
    volumes: [
      { name: 'v', emptyDir: {} },
      { name: 'v', emptyDir: {} },
    ],
  }),
  volume('of two types', { emptyDir: {}, hostPath: { path: '/a' } }),
  volume('host path back', { hostPath: { path: '/a/../b' } }),
  volume('host path type', { hostPath: { path: '/a', type: 'Maybe' } }),
  volume('secret without name', { secret: {} }),
  volume('secret mode', { secret: { secretName: 'a', defaultMode: 4096 } }),
  volume('config map item', { configMap: { name: 'a', items: [{ key: 'k', path: '/abs' }] } }),
  volume('config map without key', { configMap: { name: 'a', items: [{ key: '', path: 'p' }] } }),
  volume('claim without name', { persistentVolumeClaim: { claimName: '' } }),
  volume('nfs', { nfs: { server: '', path: 'relative' } }),
  volume('iscsi', { iscsi: { targetPortal: '', iqn: 'strange', lun: 300 } }),
  volume('gce disk', { gcePersistentDisk: { pdName: '' } }),
  volume('aws disk', { awsElasticBlockStore: { volumeID: 'a', partition: 256 } }),
  volume('glusterfs', { glusterfs: { endpoints: '', path: '' } }),
  volume('rbd', { rbd: { monitors: [], image: '' } }),
  volume('cinder', { cinder: { volumeID: '' } }),
  volume('cephfs', { cephfs: { monitors: [] } }),
  volume('flocker', { flocker: {} }),
  volume('fc', { fc: {} }),
  volume('flex', { flexVolume: { driver: '', options: { 'kubernetes.io/x': 'y' } } }),
  volume('azure file', { azureFile: { secretName: '', shareName: '' } }),
  volume('azure disk', { azureDisk: { diskName: 'a', diskURI: 'b', cachingMode: 'Maybe', kind: 'Managed' } }),
  volume('vsphere', { vsphereVolume: { volumePath: '' } }),
  volume('photon', { photonPersistentDisk: { pdID: '' } }),
  volume('portworx', { portworxVolume: { volumeID: '' } }),
  volume('quobyte', { quobyte: { registry: '', volume: '' } }),
  volume('scale io', { scaleIO: { gateway: '', system: '', secretRef: { name: 'a' } } }),
  volume('storageos', { storageos: { volumeName: 'A_' } }),
  volume('csi', { csi: { driver: 'A_b' } }),
  volume('downward file', { downwardAPI: { items: [{ path: '../a' }] } }),
  volume('projected paths', {
    projected: {
      sources: [
        { secret: { name: 'a', items: [{ key: 'k', path: 'p' }] } },
        { configMap: { name: 'b', items: [{ key: 'k', path: 'p' }] } },
      ],
    },
  }),
  volume('projected token', { projected: { sources: [{ serviceAccountToken: { path: '', expirationSeconds: 1 } }] } }),
  volume('projected twice', { projected: { sources: [{ secret: { name: 'a' }, configMap: { name: 'b' } }] } }),
  { ...pod('update of an image to nothing', {}), update: { spec: { containers: [{ ...container, image: '' }] } } },
  { ...pod('update of a command', {}), update: { spec: { containers: [{ ...container, command: ['x'] }] } } },
  {
    ...pod('update that adds a container', {}),
    update: { spec: { containers: [container, { ...container, name: 'd' }] } },
  },

  core('ConfigMap', 'key', { data: { 'a/b': 'c' } }),
  core('ConfigMap', 'key of both', { data: { a: 'c' }, binaryData: { a: 'Yg==' } }),
  core('ConfigMap', 'immutable', { data: { a: 'b' }, immutable: true }, { data: { a: 'c' }, immutable: false }),
  core('Secret', 'tls', { type: 'kubernetes.io/tls' }),
  core('Secret', 'docker', { type: 'kubernetes.io/dockerconfigjson', data: { '.dockerconfigjson': 'eA==' } }),
  core('Secret', 'type', {}, { type: 'other' }),
  core('Service', 'no ports', { spec: {} }),
  core('Service', 'name', { metadata: { name: '1a' }, spec: { ports: [{ port: 80 }] } }),
  core('Service', 'port', { spec: { ports: [{ port: 0 }] } }),
  core('Service', 'two ports without names', { spec: { ports: [{ port: 80 }, { port: 81 }] } }),
  core('Service', 'protocol', { spec: { ports: [{ port: 80, protocol: 'QUIC' }] } }),
  core('Service', 'type', { spec: { type: 'Maybe', ports: [{ port: 80 }] } }),
  core('Service', 'affinity', { spec: { sessionAffinity: 'Maybe', ports: [{ port: 80 }] } }),
  core('Service', 'affinity time', {
    spec: {
      sessionAffinity: 'ClientIP',
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 0 } },
      ports: [{ port: 80 }],
    },
  }),
  core('Service', 'external name', { spec: { type: 'ExternalName', externalName: 'A_' } }),
  core('Service', 'external address', { spec: { ports: [{ port: 80 }], externalIPs: ['127.0.0.1', 'x'] } }),
  core('Service', 'node port of a cluster address', { spec: { ports: [{ port: 80, nodePort: 30000 }] } }),
  core('Service', 'source ranges', { spec: { ports: [{ port: 80 }], loadBalancerSourceRanges: ['x'] } }),
  core('Service', 'ports twice', {
    spec: {
      ports: [
        { name: 'a', port: 80 },
        { name: 'b', port: 80 },
      ],
    },
  }),
  core('Endpoints', 'address', { subsets: [{ addresses: [{ ip: 'x' }] }] }),
  core('Endpoints', 'loopback', { subsets: [{ addresses: [{ ip: '127.0.0.1' }] }] }),
  core('Endpoints', 'nothing', { subsets: [{}] }),
  core('Endpoints', 'port', { subsets: [{ addresses: [{ ip: '1.2.3.4' }], ports: [{ port: 0 }] }] }),
  core('PersistentVolumeClaim', 'nothing', { spec: {} }),
  core('PersistentVolumeClaim', 'mode', { spec: { ...claim, accessModes: ['Maybe'] } }),
  core('PersistentVolumeClaim', 'zero', { spec: { ...claim, resources: { requests: { storage: '0' } } } }),
  core('PersistentVolumeClaim', 'class', { spec: { ...claim, storageClassName: 'A_' } }),
  core('PersistentVolumeClaim', 'volume mode', { spec: { ...claim, volumeMode: 'Maybe' } }),
  core('PersistentVolumeClaim', 'change', { spec: claim }, { spec: { ...claim, accessModes: ['ReadOnlyMany'] } }),
  core('PersistentVolume', 'nothing', { spec: {} }),
  core('PersistentVolume', 'two sources', { spec: { ...volumeSpec, nfs: { server: 'a', path: '/b' } } }),
  core('PersistentVolume', 'reclaim policy', { spec: { ...volumeSpec, persistentVolumeReclaimPolicy: 'Maybe' } }),
  core('PersistentVolume', 'local', { spec: { ...volumeSpec, hostPath: undefined, local: { path: '/a' } } }),
  core('PersistentVolume', 'capacity', { spec: { ...volumeSpec, capacity: { storage: '-1' } } }),
  core(
    'PersistentVolume',
    'source change',
    { spec: volumeSpec },
    { spec: { ...volumeSpec, hostPath: { path: '/b' } } },
  ),
  core('LimitRange', 'type', { spec: { limits: [{ type: 'Maybe' }] } }),
  core('LimitRange', 'order', { spec: { limits: [{ type: 'Container', min: { cpu: '2' }, max: { cpu: '1' } }] } }),
  core('LimitRange', 'pod default', { spec: { limits: [{ type: 'Pod', default: { cpu: '2' } }] } }),
  core('ResourceQuota', 'name', { spec: { hard: { gold: '1' } } }),
  core('ResourceQuota', 'negative', { spec: { hard: { pods: '-1' } } }),
  core('ResourceQuota', 'scope', { spec: { hard: { pods: '1' }, scopes: ['BestEffort', 'NotBestEffort'] } }),
  core('ResourceQuota', 'scope of a resource', { spec: { hard: { cpu: '1' }, scopes: ['BestEffort'] } }),
  core('Node', 'taints', { metadata: { name: 'n1' }, spec: { taints: [{ key: 'a b', effect: 'Maybe' }] } }),
  core('Node', 'taints twice', {
    metadata: { name: 'n1' },
    spec: {
      taints: [
        { key: 'a', effect: 'NoSchedule' },
        { key: 'a', effect: 'NoSchedule' },
      ],
    },
  }),
  core('ReplicationController', 'selector', { spec: { selector: { x: 'y' }, template: template() } }),
  core('ReplicationController', 'replicas', { spec: { replicas: -1, selector: { a: 'b' }, template: template() } }),
  core('PodTemplate', 'container', { template: { spec: { containers: [] } } }),

  deployment('nothing', { spec: {} }),
  deployment('selector', { spec: { selector: { matchLabels: { x: 'y' } }, template: template() } }),
  deployment('selector operator', {
    spec: { selector: { matchExpressions: [{ key: 'a', operator: 'Is' }] }, template: template() },
  }),
  deployment('strategy', { spec: { ...good, serviceName: undefined, strategy: { type: 'Maybe' } } }),
  deployment('recreate', {
    spec: { ...good, serviceName: undefined, strategy: { type: 'Recreate', rollingUpdate: { maxSurge: 1 } } },
  }),
  deployment('both zero', {
    spec: {
      ...good,
      serviceName: undefined,
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 0, maxUnavailable: 0 } },
    },
  }),
  deployment('percentage', {
    spec: {
      ...good,
      serviceName: undefined,
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '120%' } },
    },
  }),
  deployment('deadline', {
    spec: { ...good, serviceName: undefined, minReadySeconds: 10, progressDeadlineSeconds: 5 },
  }),
  deployment('restart policy', { spec: { selector: labels, template: template({ restartPolicy: 'Never' }) } }),
  deployment('template label', {
    spec: { selector: labels, template: { ...template(), metadata: { labels: { a: 'b', 'c d': 'e' } } } },
  }),
  deployment('container in a template', {
    spec: { selector: labels, template: template({ containers: [{ name: 'A' }] }) },
  }),
  deployment(
    'selector change',
    { spec: { selector: labels, template: template() } },
    { spec: { selector: { matchLabels: { c: 'd' } }, template: { ...template(), metadata: { labels: { c: 'd' } } } } },
  ),
  replicaSet('replicas', { spec: { replicas: -1, selector: labels, template: template() } }),
  daemonSet('strategy', { spec: { selector: labels, template: template(), updateStrategy: { type: 'Maybe' } } }),
  daemonSet('deadline of pods', { spec: { selector: labels, template: template({ activeDeadlineSeconds: 5 }) } }),
  statefulSet('management policy', { spec: { ...good, podManagementPolicy: 'Maybe' } }),
  statefulSet('strategy', { spec: { ...good, updateStrategy: { type: 'Maybe' } } }),
  statefulSet('partition', {
    spec: { ...good, updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: -1 } } },
  }),
  statefulSet('change', { spec: good }, { spec: { ...good, podManagementPolicy: 'Parallel' } }),
  job('parallelism', { spec: { parallelism: -1, template: template({ restartPolicy: 'Never' }) } }),
  job('restart policy', { spec: { template: template({ restartPolicy: 'Always' }) } }),
  job('backoff limit', { spec: { backoffLimit: -1, template: template({ restartPolicy: 'Never' }) } }),
  job(
    'template change',
    { spec: { template: template({ restartPolicy: 'Never' }) } },
    { spec: { template: template({ restartPolicy: 'OnFailure' }) } },
  ),
  autoscaler('nothing', { spec: { scaleTargetRef: {}, maxReplicas: 0 } }),
  autoscaler('order', { spec: { scaleTargetRef: { kind: 'Deployment', name: 'a' }, minReplicas: 5, maxReplicas: 2 } }),
  autoscaler('reference', { spec: { scaleTargetRef: { kind: 'a/b', name: '..' }, maxReplicas: 2 } }),
  ingress('nothing', { spec: {} }),
  ingress('path type', path({ pathType: undefined })),
  ingress('unknown path type', path({ pathType: 'Maybe' })),
  ingress('relative path', path({ path: 'a' })),
  ingress('double slash', path({ path: '/a//b' })),
  ingress('no backend', path({ backend: {} })),
  ingress('no port', path({ backend: { service: { name: 's' } } })),
  ingress('both ports', path({ backend: { service: { name: 's', port: { name: 'a', number: 80 } } } })),
  ingress('address as host', { spec: { rules: [{ host: '1.2.3.4' }] } }),
  ingress('wildcard', { spec: { rules: [{ host: 'a.*.b' }] } }),
  ingress('tls secret', { spec: { defaultBackend: backend, tls: [{ secretName: 'A_' }] } }),
  kind('networking.k8s.io/v1', 'IngressClass')('controller', { spec: { controller: 'a' } }),
  kind('networking.k8s.io/v1', 'IngressClass')(
    'controller change',
    { spec: { controller: 'a.example/b' } },
    { spec: { controller: 'a.example/c' } },
  ),
  policy('policy type', { spec: { podSelector: {}, policyTypes: ['Maybe'] } }),
  policy('port', { spec: { podSelector: {}, ingress: [{ ports: [{ port: 0 }] }] } }),
  policy('protocol', { spec: { podSelector: {}, ingress: [{ ports: [{ port: 1, protocol: 'QUIC' }] }] } }),
  policy('peer', { spec: { podSelector: {}, ingress: [{ from: [{}] }] } }),
  policy('block', { spec: { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: 'x' } }] }] } }),
  policy('except', {
    spec: { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['11.0.0.0/16'] } }] }] },
  }),
  policy('block and peer', {
    spec: { podSelector: {}, egress: [{ to: [{ podSelector: {}, ipBlock: { cidr: '10.0.0.0/8' } }] }] },
  }),
  role('no verbs', { rules: [{ apiGroups: [''], resources: ['pods'] }] }),
  role('urls', { rules: [{ verbs: ['get'], nonResourceURLs: ['/a'] }] }),
  binding('reference', { roleRef: { apiGroup: 'x', kind: 'Maybe', name: '' } }),
  binding('subject', {
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'a' },
    subjects: [
      { kind: 'ServiceAccount', name: 'a' },
      { kind: 'Maybe', name: 'b' },
    ],
  }),
  binding(
    'change',
    { roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'a' } },
    { roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'b' } },
  ),
  storageClass('provisioner', { provisioner: '' }),
  storageClass('reclaim policy', { provisioner: 'a.example/b', reclaimPolicy: 'Maybe' }),
  storageClass('binding mode', { provisioner: 'a.example/b', volumeBindingMode: 'Maybe' }),
  storageClass('parameters change', { provisioner: 'a.example/b', parameters: { a: 'b' } }, { parameters: { a: 'c' } }),
  kind('scheduling.k8s.io/v1', 'PriorityClass')('value', { value: 2000000000 }),
  kind('scheduling.k8s.io/v1', 'PriorityClass')('policy', { value: 1, preemptionPolicy: 'Maybe' }),
  kind('scheduling.k8s.io/v1', 'PriorityClass')('value change', { value: 1 }, { value: 2 }),
  kind('coordination.k8s.io/v1', 'Lease')('duration', { spec: { leaseDurationSeconds: 0, leaseTransitions: -1 } }),
  kind('node.k8s.io/v1', 'RuntimeClass')('handler', { handler: 'A_' }),
  kind('node.k8s.io/v1', 'RuntimeClass')('handler change', { handler: 'a' }, { handler: 'b' }),
  hook('name', { webhooks: [{ ...webhook, name: 'a' }] }),
  hook('side effects', { webhooks: [{ ...webhook, sideEffects: 'Some' }] }),
  hook('versions', { webhooks: [{ ...webhook, admissionReviewVersions: ['v9'] }] }),
  hook('no client', { webhooks: [{ ...webhook, clientConfig: {} }] }),
  hook('plain url', { webhooks: [{ ...webhook, clientConfig: { url: 'http://a.example/x?y' } }] }),
  hook('timeout', { webhooks: [{ ...webhook, timeoutSeconds: 31 }] }),
  hook('rules', {
    webhooks: [
      {
        ...webhook,
        rules: [{ operations: ['*', 'CREATE'], apiGroups: [], apiVersions: [''], resources: ['*', 'pods'] }],
      },
    ],
  }),
  hook('policies', { webhooks: [{ ...webhook, failurePolicy: 'Maybe', matchPolicy: 'Maybe' }] }),
  hook('service', { webhooks: [{ ...webhook, clientConfig: { service: { name: '', namespace: '', path: 'x' } } }] }),
];
