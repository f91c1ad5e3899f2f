// The least that each kind asks for. Kinds that ask for nothing are not here.
const template = { metadata: { labels: { app: 'a' } }, spec: { containers: [{ name: 'c', image: 'busybox' }] } };
const once = { metadata: {}, spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'busybox' }] } };
const selector = { matchLabels: { app: 'a' } };
const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' };
const webhookClient = { url: 'https://example.com/hook' };

export const MINIMAL: { readonly [resource: string]: object } = {
  pods: { spec: { containers: [{ name: 'c', image: 'busybox' }] } },
  events: { involvedObject: { kind: 'Pod', namespace: 'default', name: 'p' } },
  'events.events.k8s.io': {
    eventTime: '2026-01-01T00:00:00.000000Z',
    regarding: { kind: 'Pod', namespace: 'default', name: 'p' },
    reportingController: 'example.com/c',
    reportingInstance: 'c-0',
    action: 'Test',
    reason: 'Tested',
  },
  persistentvolumeclaims: { spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } },
  persistentvolumes: {
    spec: { accessModes: ['ReadWriteOnce'], capacity: { storage: '1Gi' }, hostPath: { path: '/tmp' } },
  },
  podtemplates: { template },
  replicationcontrollers: { spec: { selector: { app: 'a' }, template } },
  services: { spec: { ports: [{ port: 80 }] } },
  'daemonsets.apps': { spec: { selector, template } },
  'deployments.apps': { spec: { selector, template } },
  'replicasets.apps': { spec: { selector, template } },
  'statefulsets.apps': { spec: { selector, template, serviceName: 's' } },
  'controllerrevisions.apps': { revision: 1, data: { a: 'b' } },
  'cronjobs.batch': { spec: { schedule: '* * * * *', jobTemplate: { spec: { template: once } } } },
  'jobs.batch': { spec: { template: once } },
  'horizontalpodautoscalers.autoscaling': {
    spec: { maxReplicas: 3, scaleTargetRef: { kind: 'Deployment', name: 'a' } },
  },
  'certificatesigningrequests.certificates.k8s.io': {
    spec: { request: 'YQ==', signerName: 'example.com/s', usages: ['client auth'] },
  },
  'ingresses.networking.k8s.io': { spec: { defaultBackend: { service: { name: 's', port: { number: 80 } } } } },
  'ingressclasses.networking.k8s.io': { spec: { controller: 'example.com/c' } },
  'rolebindings.rbac.authorization.k8s.io': { roleRef },
  'clusterrolebindings.rbac.authorization.k8s.io': { roleRef },
  'storageclasses.storage.k8s.io': { provisioner: 'example.com/p' },
  'apiservices.apiregistration.k8s.io': {
    spec: { group: 'example.com', version: 'v1', groupPriorityMinimum: 1, versionPriority: 1 },
  },
  'customresourcedefinitions.apiextensions.k8s.io': {
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'things', kind: 'Thing' },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
    },
  },
  'priorityclasses.scheduling.k8s.io': { value: 1000 },
  'runtimeclasses.node.k8s.io': { handler: 'runc' },
  'endpointslices.discovery.k8s.io': { addressType: 'IPv4', endpoints: [] },
  'validatingwebhookconfigurations.admissionregistration.k8s.io': {
    webhooks: [
      { name: 'a.example.com', clientConfig: webhookClient, sideEffects: 'None', admissionReviewVersions: ['v1'] },
    ],
  },
  'ipaddresses.networking.k8s.io': { spec: { parentRef: { resource: 'services', namespace: 'default', name: 's' } } },
  'servicecidrs.networking.k8s.io': { spec: { cidrs: ['10.7.0.0/24'] } },
  'csistoragecapacities.storage.k8s.io': { storageClassName: 'a' },
  'volumeattachments.storage.k8s.io': {
    spec: { attacher: 'example.com', nodeName: 'n', source: { persistentVolumeName: 'v' } },
  },
  'volumeattributesclasses.storage.k8s.io': { driverName: 'example.com', parameters: { a: 'b' } },
  'mutatingadmissionpolicies.admissionregistration.k8s.io': {
    spec: {
      matchConstraints: {
        resourceRules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }],
      },
      mutations: [{ patchType: 'JSONPatch', jsonPatch: { expression: "[JSONPatch{op: 'test', path: '/a'}]" } }],
      reinvocationPolicy: 'Never',
    },
  },
  'mutatingadmissionpolicybindings.admissionregistration.k8s.io': { spec: { policyName: 'a' } },
  'validatingadmissionpolicies.admissionregistration.k8s.io': {
    spec: {
      matchConstraints: {
        resourceRules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }],
      },
      validations: [{ expression: 'true' }],
    },
  },
  'validatingadmissionpolicybindings.admissionregistration.k8s.io': {
    spec: { policyName: 'a', validationActions: ['Deny'] },
  },
  'resourceslices.resource.k8s.io': {
    spec: { driver: 'example.com', nodeName: 'n', pool: { name: 'p', generation: 1, resourceSliceCount: 1 } },
  },
  'flowschemas.flowcontrol.apiserver.k8s.io': { spec: { priorityLevelConfiguration: { name: 'workload-low' } } },
};
