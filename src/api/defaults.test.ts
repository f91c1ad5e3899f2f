import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode } from './codec.ts';
import defaultRows from './data/defaults.json' with { type: 'json' };
import { CONDITIONS, DERIVED, isLatestImage } from './default-rules.ts';
import { applyDefaults } from './defaults.ts';
import { Tables } from './tables.ts';

const tables = new Tables();

// biome-ignore lint/suspicious/noExplicitAny: tests look into objects of every type
function defaulted(type: string, value: unknown): any {
  const { object } = decode(tables, `io.k8s.api.${type}`, value);
  applyDefaults(tables, `io.k8s.api.${type}`, object, { nowMs: 0 });
  return object;
}

test('every condition and derived value of the data has a rule, and every rule is used', () => {
  const conditions = new Set<string>();
  const derived = new Set<string>();
  for (const [type, , value, condition] of defaultRows as unknown as [string, string, unknown, string?][]) {
    assert.ok(tables.type(type), type);
    if (condition) conditions.add(condition);
    if (typeof value === 'string' && value.startsWith('=')) derived.add(value);
  }
  assert.deepEqual([...conditions].sort(), Object.keys(CONDITIONS).sort());
  assert.deepEqual([...derived].sort(), Object.keys(DERIVED).sort());
});

test('a pod', () => {
  const pod = defaulted('core.v1.Pod', {
    spec: {
      hostNetwork: true,
      containers: [
        {
          name: 'c',
          image: 'nginx',
          ports: [{ containerPort: 80 }],
          resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '500m' } },
          readinessProbe: { httpGet: { port: 80 } },
          env: [{ name: 'N', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
        },
      ],
      initContainers: [{ name: 'i', image: 'nginx:1.2' }],
      ephemeralContainers: [{ name: 'e', image: 'busybox:latest' }],
      volumes: [{ name: 'v' }, { name: 's', secret: { secretName: 'x' } }, { name: 'h', hostPath: { path: '/' } }],
    },
  });
  assert.deepEqual(pod.spec.containers[0], {
    name: 'c',
    image: 'nginx',
    ports: [{ containerPort: 80, hostPort: 80, protocol: 'TCP' }],
    resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '500m', memory: '1Gi' } },
    readinessProbe: {
      httpGet: { port: 80, path: '/', scheme: 'HTTP' },
      timeoutSeconds: 1,
      periodSeconds: 10,
      successThreshold: 1,
      failureThreshold: 3,
    },
    env: [{ name: 'N', valueFrom: { fieldRef: { fieldPath: 'metadata.name', apiVersion: 'v1' } } }],
    imagePullPolicy: 'Always',
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
  });
  assert.equal(pod.spec.initContainers[0].imagePullPolicy, 'IfNotPresent');
  assert.equal(pod.spec.ephemeralContainers[0].imagePullPolicy, 'Always');
  assert.equal(pod.spec.ephemeralContainers[0].terminationMessagePolicy, 'File');
  assert.deepEqual(pod.spec.volumes, [
    { name: 'v', emptyDir: {} },
    { name: 's', secret: { secretName: 'x', defaultMode: 420 } },
    { name: 'h', hostPath: { path: '/', type: '' } },
  ]);
  assert.deepEqual(
    { ...pod.spec, containers: 0, initContainers: 0, ephemeralContainers: 0, volumes: 0 },
    {
      hostNetwork: true,
      containers: 0,
      initContainers: 0,
      ephemeralContainers: 0,
      volumes: 0,
      dnsPolicy: 'ClusterFirst',
      restartPolicy: 'Always',
      securityContext: {},
      terminationGracePeriodSeconds: 30,
      schedulerName: 'default-scheduler',
      enableServiceLinks: true,
    },
  );
});

test('what a pod gets, a template does not', () => {
  const { template } = defaulted('apps.v1.Deployment', {
    spec: {
      template: {
        spec: {
          hostNetwork: true,
          containers: [{ name: 'c', ports: [{ containerPort: 80 }], resources: { limits: { cpu: '1' } } }],
        },
      },
    },
  }).spec;
  assert.equal(template.spec.enableServiceLinks, undefined);
  assert.deepEqual(template.spec.containers[0].resources, { limits: { cpu: '1' } });
  assert.deepEqual(template.spec.containers[0].ports, [{ containerPort: 80, protocol: 'TCP' }]);
  assert.equal(template.spec.dnsPolicy, 'ClusterFirst');
});

test('images that may change are always pulled', () => {
  const digest = `@sha256:${'a'.repeat(64)}`;
  for (const image of ['nginx', 'nginx:latest', 'a.b/c', 'localhost:5000/x', `x:latest${digest}`])
    assert.ok(isLatestImage(image), image);
  for (const image of ['nginx:1', `nginx${digest}`, 'localhost:5000/x:1', '', 'UPPER', undefined])
    assert.ok(!isLatestImage(image), String(image));
});

test('workloads', () => {
  const deployment = defaulted('apps.v1.Deployment', {}).spec;
  assert.deepEqual(deployment.strategy, {
    type: 'RollingUpdate',
    rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' },
  });
  assert.deepEqual(
    [deployment.replicas, deployment.revisionHistoryLimit, deployment.progressDeadlineSeconds],
    [1, 10, 600],
  );
  assert.deepEqual(defaulted('apps.v1.Deployment', { spec: { strategy: { type: 'Recreate' } } }).spec.strategy, {
    type: 'Recreate',
  });
  assert.equal(defaulted('apps.v1.Deployment', { spec: { replicas: 0 } }).spec.replicas, 0);
  const daemon = defaulted('apps.v1.DaemonSet', {}).spec;
  assert.deepEqual(daemon.updateStrategy, { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } });
  const stateful = defaulted('apps.v1.StatefulSet', { spec: { volumeClaimTemplates: [{}] } }).spec;
  assert.deepEqual(stateful.updateStrategy, { type: 'RollingUpdate', rollingUpdate: { partition: 0 } });
  assert.deepEqual(stateful.persistentVolumeClaimRetentionPolicy, { whenDeleted: 'Retain', whenScaled: 'Retain' });
  assert.equal(stateful.volumeClaimTemplates[0].spec.volumeMode, 'Filesystem');
  assert.equal(stateful.volumeClaimTemplates[0].status.phase, 'Pending');
  const given = { spec: { updateStrategy: { type: 'RollingUpdate' } } };
  assert.deepEqual(defaulted('apps.v1.StatefulSet', given).spec.updateStrategy, { type: 'RollingUpdate' });
});

test('jobs, and not the jobs inside cron jobs', () => {
  const template = { metadata: { labels: { a: 'b' } } };
  const job = defaulted('batch.v1.Job', { spec: { template } });
  assert.deepEqual(job.metadata.labels, { a: 'b' });
  const { completions, parallelism, backoffLimit, completionMode, suspend, podReplacementPolicy } = job.spec;
  assert.deepEqual(
    [completions, parallelism, backoffLimit, completionMode, suspend, podReplacementPolicy],
    [1, 1, 6, 'NonIndexed', false, 'TerminatingOrFailed'],
  );
  const indexed = defaulted('batch.v1.Job', {
    spec: { parallelism: 3, backoffLimitPerIndex: 1, podFailurePolicy: {} },
  }).spec;
  assert.deepEqual(
    [indexed.completions, indexed.backoffLimit, indexed.podReplacementPolicy],
    [undefined, 2147483647, 'Failed'],
  );
  const cron = defaulted('batch.v1.CronJob', {}).spec;
  assert.deepEqual([cron.concurrencyPolicy, cron.suspend, cron.successfulJobsHistoryLimit], ['Allow', false, 3]);
  assert.equal(cron.jobTemplate.spec.completions, undefined);
  assert.equal(cron.jobTemplate.spec.template.spec.restartPolicy, 'Always');
});

test('services', () => {
  const service = defaulted('core.v1.Service', { spec: { ports: [{ port: 80 }, { port: 1, targetPort: 'x' }] } }).spec;
  assert.deepEqual(service, {
    ports: [
      { port: 80, targetPort: 80, protocol: 'TCP' },
      { port: 1, targetPort: 'x', protocol: 'TCP' },
    ],
    sessionAffinity: 'None',
    type: 'ClusterIP',
    internalTrafficPolicy: 'Cluster',
  });
  const balanced = defaulted('core.v1.Service', {
    spec: { type: 'LoadBalancer', sessionAffinity: 'ClientIP' },
    status: { loadBalancer: { ingress: [{ ip: '1.2.3.4' }, { hostname: 'h' }] } },
  });
  assert.deepEqual(balanced.spec.sessionAffinityConfig, { clientIP: { timeoutSeconds: 10800 } });
  assert.equal(balanced.spec.allocateLoadBalancerNodePorts, true);
  assert.equal(balanced.spec.externalTrafficPolicy, 'Cluster');
  assert.deepEqual(balanced.status.loadBalancer.ingress, [{ ip: '1.2.3.4', ipMode: 'VIP' }, { hostname: 'h' }]);
  const none = { spec: { type: 'ExternalName', sessionAffinityConfig: { clientIP: { timeoutSeconds: 1 } } } };
  const named = defaulted('core.v1.Service', none).spec;
  assert.deepEqual([named.sessionAffinityConfig, named.internalTrafficPolicy], [undefined, undefined]);
  const external = defaulted('core.v1.Service', { spec: { externalIPs: ['1.1.1.1'] } }).spec;
  assert.equal(external.externalTrafficPolicy, 'Cluster');
});

test('the others that have conditions', () => {
  assert.deepEqual(defaulted('core.v1.Namespace', { metadata: { name: 'n' } }).metadata.labels, {
    'kubernetes.io/metadata.name': 'n',
  });
  assert.equal(defaulted('core.v1.Namespace', { metadata: { generateName: 'n' } }).metadata.labels, undefined);
  assert.deepEqual(defaulted('core.v1.Node', { status: { capacity: { cpu: '1' } } }).status.allocatable, { cpu: '1' });
  const controller = defaulted('core.v1.ReplicationController', {
    spec: { template: { metadata: { labels: { a: 'b' } } } },
  });
  assert.deepEqual([controller.spec.selector, controller.metadata.labels], [{ a: 'b' }, { a: 'b' }]);
  const limits = [
    { type: 'Container', max: { cpu: '2' }, min: { cpu: '1', memory: '1Mi' } },
    { type: 'Pod', max: { cpu: '9' } },
  ];
  assert.deepEqual(defaulted('core.v1.LimitRange', { spec: { limits } }).spec.limits, [
    { type: 'Container', max: { cpu: '2' }, min: { cpu: '1', memory: '1Mi' }, default: { cpu: '2' }, defaultRequest: { cpu: '2', memory: '1Mi' } },
    { type: 'Pod', max: { cpu: '9' } },
  ]); // biome-ignore format: rows
  assert.deepEqual(defaulted('networking.v1.NetworkPolicy', {}).spec.policyTypes, ['Ingress']);
  assert.deepEqual(defaulted('networking.v1.NetworkPolicy', { spec: { egress: [{}] } }).spec.policyTypes, [
    'Ingress',
    'Egress',
  ]);
  const binding = defaulted('rbac.v1.RoleBinding', { subjects: [{ kind: 'User' }, { kind: 'ServiceAccount' }] });
  assert.equal(binding.subjects[0].apiGroup, 'rbac.authorization.k8s.io');
  assert.equal(binding.subjects[1].apiGroup ?? '', '');
  assert.equal(binding.roleRef.apiGroup, 'rbac.authorization.k8s.io');
  const scaler = defaulted('autoscaling.v2.HorizontalPodAutoscaler', {
    spec: { behavior: { scaleUp: { selectPolicy: 'Min' } } },
  }).spec;
  assert.equal(scaler.behavior.scaleUp.selectPolicy, 'Min');
  assert.equal(scaler.behavior.scaleUp.policies.length, 2);
  assert.equal(scaler.behavior.scaleDown.selectPolicy, 'Max');
  assert.equal(scaler.metrics.length, 1);
  assert.equal(defaulted('autoscaling.v2.HorizontalPodAutoscaler', {}).spec.behavior, undefined);
  const webhook = defaulted('admissionregistration.v1.ValidatingWebhookConfiguration', {
    webhooks: [{ rules: [{ operations: ['*'] }] }],
  });
  assert.equal(webhook.webhooks[0].rules[0].scope, '*');
  assert.equal(webhook.webhooks[0].timeoutSeconds, 10);
});

test('resources of the pod as a whole', () => {
  const limits = { cpu: '2', memory: '1Gi' };
  const byLimits = defaulted('core.v1.Pod', {
    spec: { resources: { limits }, containers: [{ name: 'c', resources: { requests: { cpu: '1' } } }] },
  }).spec.resources;
  assert.deepEqual(byLimits, { limits, requests: { cpu: '1', memory: '1Gi' } });
  const byRequests = defaulted('core.v1.Pod', {
    spec: { resources: { requests: { cpu: '1' } }, containers: [{ name: 'c', resources: { limits: { cpu: '3' } } }] },
  }).spec.resources;
  assert.deepEqual(byRequests, { requests: { cpu: '1' }, limits: { cpu: '3' } });
});
