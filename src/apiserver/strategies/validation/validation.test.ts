// Wrong objects, one thing wrong in each, and what is said of them: `field: message`, in the order of the findings.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decode } from '../../../api/codec.ts';
import { applyDefaults } from '../../../api/defaults.ts';
import type { KubeObject } from '../../../api/object.ts';
import { type Resource, Tables } from '../../../api/tables.ts';
import { strategyOf } from '../strategies.ts';

const tables = new Tables();
type Fields = { readonly [key: string]: unknown };

/** The object as it is after decoding and defaulting. */
function objectOf(row: Resource, apiVersion: string, fields: Fields): KubeObject {
  const metadata = { name: 'o', ...(row.namespaced && { namespace: 'n' }), ...(fields.metadata as object) };
  const value = { apiVersion, kind: row.kind, ...structuredClone(fields), metadata };
  const { object } = decode<KubeObject>(tables, row.type, value);
  applyDefaults(tables, row.type, object);
  return object as KubeObject;
}

function findings(apiVersion: string, kind: string, fields: Fields, old?: Fields): string[] {
  const row = tables.byKind(apiVersion, kind)!;
  const strategy = strategyOf(row);
  const scope = { resource: row, now: '2026-01-01T00:00:00Z', user: { username: 'u', groups: [] } };
  const object = objectOf(row, apiVersion, fields);
  const found = old
    ? strategy.validateUpdate!(object, objectOf(row, apiVersion, old), scope)
    : strategy.validate!(object, scope);
  return found.map((f) => `${f.field}: ${f.message}`);
}

interface Row {
  readonly wrong: string;
  readonly of: readonly [apiVersion: string, kind: string];
  readonly fields: Fields;
  readonly old?: Fields;
  readonly said: readonly string[];
}

const container = { name: 'c', image: 'i' };
const spec = (more: Fields = {}, of: Fields = {}): Fields => ({
  spec: { containers: [{ ...container, ...of }], ...more },
});
const POD = ['v1', 'Pod'] as const;
const DEPLOYMENT = ['apps/v1', 'Deployment'] as const;
const selector = { matchLabels: { a: 'b' } };
const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [container] } };
const volumes = (source: Fields): Fields => spec({ volumes: [{ name: 'v', ...source }] });
const IP = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';

const PODS: readonly Row[] = [
  { wrong: 'nothing', of: POD, fields: spec(), said: [] },
  { wrong: 'image', of: POD, fields: spec({}, { image: '' }), said: ['spec.containers[0].image: Required value'] },
  {
    wrong: 'pull policy',
    of: POD,
    fields: spec({}, { imagePullPolicy: 'No' }),
    said: [
      'spec.containers[0].imagePullPolicy: Unsupported value: "No": supported values: "Always", "IfNotPresent", "Never"',
    ],
  },
  {
    wrong: "restart policy, in upstream's order",
    of: POD,
    fields: spec({ restartPolicy: 'No' }),
    said: ['spec.restartPolicy: Unsupported value: "No": supported values: "Always", "OnFailure", "Never"'],
  },
  {
    wrong: 'port',
    of: POD,
    fields: spec({}, { ports: [{ containerPort: 0 }, { containerPort: 70000 }] }),
    said: [
      'spec.containers[0].ports[0].containerPort: Required value',
      'spec.containers[0].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive',
    ],
  },
  {
    wrong: 'sysctls',
    of: POD,
    fields: spec({
      securityContext: {
        // As the conformance test has them: what is wrong in the name alone, what no node allows is the kubelet's to refuse.
        sysctls: ['foo-', 'kernel.shmmax', 'safe-and-unsafe', 'bar..'].map((name) => ({ name, value: '1' })),
      },
    }),
    said: ['foo-', 'bar..'].map(
      (name) =>
        `spec.securityContext.sysctls[${name === 'foo-' ? 0 : 3}].name: Invalid value: "${name}": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$`,
    ),
  },
  {
    wrong: 'mount of no volume',
    of: POD,
    fields: spec({}, { volumeMounts: [{ name: 'v', mountPath: '/a' }] }),
    said: ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
  },
  {
    wrong: 'request above limit',
    of: POD,
    fields: spec({}, { resources: { limits: { cpu: '1' }, requests: { cpu: '2' } } }),
    said: ['spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
  },
  {
    wrong: 'two handlers',
    of: POD,
    fields: spec({}, { livenessProbe: { exec: { command: ['a'] }, grpc: { port: 1 } } }),
    said: ['spec.containers[0].livenessProbe.grpc: Forbidden: may not specify more than 1 handler type'],
  },
  {
    wrong: 'probe of an init container',
    of: POD,
    fields: spec({ initContainers: [{ ...container, name: 'i', startupProbe: { grpc: { port: 1 } } }] }),
    said: [
      'spec.initContainers[0].startupProbe: Forbidden: may not be set for init containers without restartPolicy=Always',
    ],
  },
  {
    wrong: 'sleep beyond the grace period',
    of: POD,
    fields: spec({ terminationGracePeriodSeconds: 5 }, { lifecycle: { preStop: { sleep: { seconds: 6 } } } }),
    said: [
      'spec.containers[0].lifecycle.preStop.sleep: Invalid value: 6: must be non-negative and less than terminationGracePeriodSeconds (5)',
    ],
  },
  {
    wrong: 'variable from an unknown field',
    of: POD,
    fields: spec({}, { env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'spec.x' } } }] }),
    said: [
      'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.x": error converting fieldPath: field label not supported: spec.x',
    ],
  },
  {
    wrong: 'volume types',
    of: POD,
    fields: volumes({ emptyDir: {}, hostPath: { path: '/a' } }),
    said: ['spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type'],
  },
  {
    wrong: 'host path',
    of: POD,
    fields: volumes({ hostPath: { path: '/a/../b', type: 'x' } }),
    said: [
      'spec.volumes[0].hostPath.path: Invalid value: "/a/../b": must not contain \'..\'',
      'spec.volumes[0].hostPath.type: Unsupported value: "x": supported values: "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"',
    ],
  },
  {
    wrong: 'nfs path',
    of: POD,
    fields: volumes({ nfs: { server: 's', path: 'a' } }),
    said: ['spec.volumes[0].nfs.path: Invalid value: "a": must be an absolute path'],
  },
  {
    wrong: 'mode',
    of: POD,
    fields: volumes({ secret: { secretName: 's', defaultMode: 512 } }),
    said: [
      'spec.volumes[0].secret.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive',
    ],
  },
  {
    wrong: 'projected token',
    of: POD,
    fields: volumes({ projected: { sources: [{ serviceAccountToken: { path: 'p', expirationSeconds: 1 } }] } }),
    said: [
      'spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes',
    ],
  },
  {
    wrong: 'toleration',
    of: POD,
    fields: spec({ tolerations: [{ key: 'a', operator: 'x', effect: 'y' }] }),
    said: [
      'spec.tolerations[0].operator: Unsupported value: "x": supported values: "Equal", "Exists"',
      'spec.tolerations[0].effect: Unsupported value: "y": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"',
    ],
  },
  {
    wrong: 'spread',
    of: POD,
    fields: spec({
      topologySpreadConstraints: [{ maxSkew: 0, topologyKey: 'a', whenUnsatisfiable: 'ScheduleAnyway', minDomains: 1 }],
    }),
    said: [
      'spec.topologySpreadConstraints[0].minDomains: Invalid value: 1: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway',
      'spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero',
    ],
  },
  {
    wrong: 'name servers',
    of: POD,
    fields: spec({ dnsConfig: { nameservers: ['x'] } }),
    said: [`spec.dnsConfig.nameservers[0]: Invalid value: "x": ${IP}`],
  },
  {
    wrong: 'node selector operator',
    of: POD,
    fields: spec({
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchExpressions: [{ key: 'a', operator: 'x' }] }],
          },
        },
      },
    }),
    said: [
      'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].operator: Invalid value: "x": not a valid selector operator',
    ],
  },
  {
    wrong: 'user',
    of: POD,
    fields: spec({ securityContext: { runAsUser: -1 } }),
    said: ['spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive'],
  },
  {
    wrong: 'profile',
    of: POD,
    fields: spec({}, { securityContext: { seccompProfile: { type: 'Localhost' } } }),
    said: [
      'spec.containers[0].securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost',
    ],
  },
  {
    wrong: 'windows options of a linux pod',
    of: POD,
    fields: spec({ os: { name: 'linux' }, securityContext: { windowsOptions: {} } }),
    said: ['spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod'],
  },
  {
    wrong: 'claim of a container that the pod lacks',
    of: POD,
    fields: spec({}, { resources: { claims: [{ name: 'x' }] } }),
    said: ['spec.containers[0].resources.claims[0]: Not found: "x"'],
  },
  {
    wrong: 'container added',
    of: POD,
    fields: { spec: { containers: [container, { ...container, name: 'd' }] } },
    old: spec(),
    said: ['spec.containers: Forbidden: pod updates may not add or remove containers'],
  },
];

const KINDS: readonly Row[] = [
  { wrong: 'docker config', of: ['v1', 'Secret'], fields: { type: 'kubernetes.io/dockercfg', data: { '.dockercfg': 'eA==' } }, said: ['data[.dockercfg]: Invalid value: "<secret contents redacted>": must be a JSON object'] },
  { wrong: 'claim', of: ['v1', 'PersistentVolumeClaim'], fields: { spec: {} }, said: ['spec.accessModes: Required value: at least 1 access mode is required', 'spec.resources[storage]: Required value'] },
  { wrong: 'source of a volume', of: ['v1', 'PersistentVolume'], fields: { spec: { capacity: { storage: '1' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/b' } } }, old: { spec: { capacity: { storage: '1' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/a' } } }, said: ['spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation'] },
  { wrong: 'address', of: ['v1', 'Endpoints'], fields: { subsets: [{ addresses: [{ ip: 'x' }], ports: [{ port: 0 }] }] }, said: [`subsets[0].addresses[0].ip: Invalid value: "x": ${IP}`, 'subsets[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive'] },
  { wrong: 'quota scopes changed', of: ['v1', 'ResourceQuota'], fields: { spec: { hard: { pods: '1' }, scopes: ['BestEffort'] } }, old: { spec: { hard: { pods: '1' } } }, said: ['spec.scopes: Invalid value: ["BestEffort"]: field is immutable'] },
  { wrong: 'limit', of: ['v1', 'LimitRange'], fields: { spec: { limits: [{ type: 'x' }] } }, said: ['spec.limits[0].type: Invalid value: "x": must be a standard limit type or fully qualified'] },
  { wrong: 'taint', of: ['v1', 'Node'], fields: { spec: { taints: [{ key: 'a', effect: 'x' }] } }, said: ['metadata.taints[0].effect: Unsupported value: "x": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"'] },
  { wrong: 'external address', of: ['v1', 'Service'], fields: { spec: { ports: [{ port: 1 }], externalIPs: ['169.254.0.1'] } }, said: ['spec.externalIPs[0]: Invalid value: "169.254.0.1": may not be in the link-local range (169.254.0.0/16, fe80::/10)'] },
  { wrong: 'selector changed', of: DEPLOYMENT, fields: { spec: { selector, template } }, old: { spec: { selector: { matchLabels: { c: 'd' } }, template } }, said: ['spec.selector: Invalid value: {"matchLabels":{"a":"b"}}: field is immutable'] },
  { wrong: 'label of a template', of: DEPLOYMENT, fields: { spec: { selector, template: { ...template, metadata: { labels: { a: 'b', c: 'd e' } } } } }, said: ['spec.template.labels: Invalid value: "d e": a valid label must be an empty string or consist of alphanumeric characters, \'-\', \'_\' or \'.\', and must start and end with an alphanumeric character (e.g. \'MyValue\',  or \'my_value\',  or \'12345\', regex used for validation is \'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?\')'] },
  { wrong: 'replicas', of: ['apps/v1', 'ReplicaSet'], fields: { spec: { replicas: -1, selector, template } }, said: ['spec.replicas: Invalid value: -1: must be greater than or equal to 0'] },
  { wrong: 'surge of a daemon set', of: ['apps/v1', 'DaemonSet'], fields: { spec: { selector, template, updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 1 } } } }, said: ['spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero'] },
  { wrong: 'management policy', of: ['apps/v1', 'StatefulSet'], fields: { spec: { selector, template, podManagementPolicy: 'x' } }, said: ["spec.podManagementPolicy: Invalid value: \"x\": must be 'OrderedReady' or 'Parallel'"] },
  { wrong: 'claim template mounted', of: ['apps/v1', 'StatefulSet'], fields: { spec: { selector, volumeClaimTemplates: [{ metadata: { name: 'd' }, spec: {} }], template: { ...template, spec: { containers: [{ ...container, volumeMounts: [{ name: 'd', mountPath: '/d' }] }] } } } }, said: [] },
  { wrong: 'job that restarts always', of: ['batch/v1', 'Job'], fields: { spec: { manualSelector: true, selector, template } }, said: ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'] },
  { wrong: 'history limit', of: ['batch/v1', 'CronJob'], fields: { spec: { schedule: '* * * * *', failedJobsHistoryLimit: -1, jobTemplate: { spec: { template: { spec: { restartPolicy: 'Never', containers: [container] } } } } } }, said: ['spec.failedJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0'] },
  { wrong: 'metric', of: ['autoscaling/v2', 'HorizontalPodAutoscaler'], fields: { spec: { maxReplicas: 1, scaleTargetRef: { kind: 'Deployment', name: 'a' }, metrics: [{ type: 'Resource' }] } }, said: ['spec.metrics[0].resource: Required value: must populate information for the given metric source'] },
  { wrong: 'path', of: ['networking.k8s.io/v1', 'Ingress'], fields: { spec: { rules: [{ http: { paths: [{ path: 'a', pathType: 'Exact', backend: { service: { name: 's' } } }] } }] } }, said: ["spec.rules[0].http.paths[0].path: Invalid value: \"a\": must be an absolute path", 'spec.rules[0].http.paths[0].backend: Required value: port name or number is required'] },
  { wrong: 'block', of: ['networking.k8s.io/v1', 'NetworkPolicy'], fields: { spec: { podSelector: {}, egress: [{ to: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['11.0.0.0/16'] } }] }] } }, said: ['spec.egress[0].to[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`'] },
  { wrong: 'block of IPv6', of: ['networking.k8s.io/v1', 'NetworkPolicy'], fields: { spec: { podSelector: {}, egress: [{ to: [{ ipBlock: { cidr: '2001:db8::/32', except: ['2001:db8:1::/48', '2001:db9::/48'] } }] }] } }, said: ['spec.egress[0].to[0].ipBlock.except[1]: Invalid value: "2001:db9::/48": must be a strict subset of `cidr`'] },
  { wrong: 'range changed', of: ['networking.k8s.io/v1', 'ServiceCIDR'], fields: { spec: { cidrs: ['10.0.0.0/24'] } }, old: { spec: { cidrs: ['10.1.0.0/24'] } }, said: ['spec.cidrs: Invalid value: ["10.0.0.0/24"]: field is immutable'] },
  { wrong: 'both of a budget', of: ['policy/v1', 'PodDisruptionBudget'], fields: { spec: { minAvailable: 1, maxUnavailable: '101%' } }, said: ['spec: Invalid value: {"minAvailable":1,"maxUnavailable":"101%"}: minAvailable and maxUnavailable cannot be both set', 'spec.maxUnavailable: Invalid value: "101%": must not be greater than 100%'] },
  { wrong: 'class', of: ['storage.k8s.io/v1', 'StorageClass'], fields: { provisioner: '', reclaimPolicy: 'x' }, said: ['provisioner: Required value', 'reclaimPolicy: Unsupported value: "x": supported values: "Delete", "Retain"'] },
  { wrong: 'lease', of: ['coordination.k8s.io/v1', 'Lease'], fields: { spec: { leaseDurationSeconds: 0 } }, said: ['spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0'] },
  { wrong: 'handler changed', of: ['node.k8s.io/v1', 'RuntimeClass'], fields: { handler: 'a' }, old: { handler: 'b' }, said: ['handler: Invalid value: "a": field is immutable'] },
  { wrong: 'slice', of: ['discovery.k8s.io/v1', 'EndpointSlice'], fields: { addressType: 'IPv4', endpoints: [{ addresses: ['::2'] }] }, said: ['endpoints[0].addresses[0]: Invalid value: "::2": must be a valid IPv4 address'] },
  { wrong: 'path of a webhook', of: ['admissionregistration.k8s.io/v1', 'ValidatingWebhookConfiguration'], fields: { webhooks: ['', '/', '/a/b/', '//', 'a'].map((path, i) => ({ name: `${i}.example.com`, sideEffects: 'None', admissionReviewVersions: ['v1'], clientConfig: { service: { namespace: 'n', name: 's', path } } })) }, said: ['webhooks[3].clientConfig.service.path: Invalid value: "//": segment[0] may not be empty', 'webhooks[4].clientConfig.service.path: Invalid value: "a": must start with a \'/\''] },
  { wrong: 'webhook', of: ['admissionregistration.k8s.io/v1', 'ValidatingWebhookConfiguration'], fields: { webhooks: [{ name: 'a', sideEffects: 'Some', admissionReviewVersions: ['v1'], clientConfig: {} }] }, said: ['webhooks[0].name: Invalid value: "a": should be a domain with at least three segments separated by dots', 'webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"', 'webhooks[0].clientConfig: Required value: exactly one of url or service is required'] },
  { wrong: 'flow schema', of: ['flowcontrol.apiserver.k8s.io/v1', 'FlowSchema'], fields: { spec: { matchingPrecedence: 10001, priorityLevelConfiguration: { name: 'a' } } }, said: ['spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000'] },
  { wrong: 'priority level', of: ['flowcontrol.apiserver.k8s.io/v1', 'PriorityLevelConfiguration'], fields: { spec: { type: 'Limited' } }, said: ['spec.limited: Required value: must not be empty when type is Limited'] },
  { wrong: 'subject', of: ['rbac.authorization.k8s.io/v1', 'ClusterRoleBinding'], fields: { roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'a' }, subjects: [{ kind: 'ServiceAccount', name: 'a' }] }, said: ['subjects[0].namespace: Required value'] },
  { wrong: 'device request', of: ['resource.k8s.io/v1', 'ResourceClaim'], fields: { spec: { devices: { requests: [{ name: 'a' }] } } }, said: ['spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required'] },
]; // biome-ignore format: a table

for (const [name, rows] of Object.entries({ pods: PODS, kinds: KINDS })) {
  describe(`wrong ${name}`, () => {
    for (const { wrong, of, fields, old, said } of rows) {
      test(`${of[1]}: ${wrong}`, () => assert.deepEqual(findings(of[0], of[1], fields, old), said));
    }
  });
}
