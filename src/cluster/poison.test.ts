// One bad object harms itself only: a control plane full of objects that are strange but storable still does its work.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { type Controller, watch } from '../controllers/runtime.ts';
import { runTestControllers } from '../controllers/test-controllers.ts';
import { startCluster } from '../index.ts';

const deployment = (name: string, spec: object = {}, pod: object = {}): object => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name },
  spec: {
    replicas: 2,
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'c', image: 'i' }], ...pod } },
    ...spec,
  },
});
const spread = (topologyKey: string): object => ({
  topologySpreadConstraints: [
    {
      maxSkew: 1,
      topologyKey,
      whenUnsatisfiable: 'DoNotSchedule',
      labelSelector: { matchLabels: { a: 'b' } },
      matchLabelKeys: ['constructor', 'app'],
    },
  ],
});
const podAntiAffinity = (topologyKey: string): object => ({
  affinity: {
    podAntiAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [
        { topologyKey, labelSelector: {}, matchLabelKeys: ['constructor'] },
      ],
    },
  },
});
const owner = { apiVersion: 'no.such/v1', kind: 'constructor', name: '..', uid: '__proto__', controller: true };

/** Whatever of these the API server takes is there when the good one comes. */
const STRANGE: readonly object[] = [
  deployment('spread', {}, spread('constructor')),
  deployment('anti', {}, podAntiAffinity('toString')),
  deployment('selects', {}, { nodeSelector: { constructor: 'x', valueOf: 'y' } }),
  deployment('many', { replicas: 2_147_483_647, paused: true }),
  deployment('percent', { strategy: { rollingUpdate: { maxSurge: '100%', maxUnavailable: '0%' } } }),
  deployment(
    'huge',
    {},
    { containers: [{ name: 'c', image: 'i', resources: { requests: { cpu: '9e18', memory: '8Ei' } } }] },
  ),
  deployment('tiny', {}, { containers: [{ name: 'c', image: 'i', resources: { requests: { cpu: '1n' } } }] }),
  deployment('priority', { minReadySeconds: 0, progressDeadlineSeconds: 2_147_483_647 }),
  {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: { name: 'owned', ownerReferences: [owner], annotations: { 'deployment.kubernetes.io/revision': 'NaN' } },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: 'owned' } },
      template: { metadata: { labels: { app: 'owned' } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
    },
  },
  {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'orphan', ownerReferences: [owner], finalizers: ['a.b/c'] },
  },
  {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'proto' },
    data: JSON.parse('{"__proto__":"a","constructor":"b"}'),
  },
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'svc' },
    spec: { selector: { constructor: 'x' }, ports: [{ port: 1 }] },
  },
  {
    apiVersion: 'v1',
    kind: 'ResourceQuota',
    metadata: { name: 'q' },
    spec: { hard: { 'count/constructor.x': '9e18' } },
  },
  {
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: { name: 'never' },
    spec: {
      schedule: '0 0 31 2 *',
      jobTemplate: {
        spec: { template: { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'i' }] } } },
      },
    },
  },
  {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: 'budget' },
    spec: { selector: {}, maxUnavailable: '100%' },
  },
  {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'strange', annotations: { 'volumes.kubernetes.io/controller-managed-attach-detach': '{' } },
    spec: {
      podCIDR: '10.1.2.0/24',
      taints: [{ key: 'constructor', effect: 'NoExecute', timeAdded: '2024-01-01T00:00:00Z' }],
    },
    status: { allocatable: { constructor: '1', cpu: '9e18', pods: '-5' } },
  },
];

it('strange objects stop nobody else', async () => {
  await using cluster = await startCluster({ nodes: 2, name: 'poison' });
  let taken = 0;
  for (const object of STRANGE) {
    const text = JSON.stringify(object);
    await cluster.apply(text).then(
      () => taken++,
      (error: { code?: number; message: string }) => {
        assert.ok(error.code !== undefined && error.code < 500, `${text}: ${error.message}`);
      },
    );
  }
  assert.ok(taken > STRANGE.length / 2, `only ${taken} of ${STRANGE.length} were taken`);
  await cluster.apply(JSON.stringify(deployment('good')));
  const good = { namespace: 'default', name: 'good' };
  await cluster.waitFor('deployments.apps', good, (found) => found.status?.readyReplicas === 2, { timeoutMs: 120_000 });
  await cluster.client.resource('deployments.apps').delete(good);
  await cluster.waitFor('deployments.apps', good, 'delete', { timeoutMs: 120_000 });
});

it('a controller that cannot even tell the key of an object goes on with the others', async () => {
  const seen: string[] = [];
  const controller: Controller = {
    name: 'picky',
    watches: () => [
      watch('configmaps', {
        keys: ({ metadata }) => {
          if (metadata.name === 'bad') throw new Error('what is this?');
          return [metadata.name];
        },
      }),
    ],
    reconcile: async (_ctx, key) => {
      seen.push(key);
      return undefined;
    },
  };
  const cluster = await runTestControllers(controller);
  const make = (name: string): Promise<unknown> =>
    cluster.client.resource('configmaps').create({ metadata: { namespace: 'default', name } });
  await make('before');
  await cluster.pass(0);
  await make('bad');
  await make('after');
  await cluster.pass(10);
  assert.deepEqual([...new Set(seen)], ['before', 'after']);
  await cluster.close();
});
