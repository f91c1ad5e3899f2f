// Custom resources among the controllers: what is deleted with what, what counts towards quotas, who may do what.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { KubeObject } from '../api/object.ts';
import { until } from '../lib/test-until.ts';
import { isReason } from '../machinery/status.ts';
import { realEnvironment } from '../platform/environment.ts';
import { startEmbeddedCluster } from './embedded-cluster.ts';
import type { EmbeddedCluster } from './embedded-contract.ts';

const CRONTABS = { group: 'stable.example.com', version: 'v1', resource: 'crontabs', namespaced: true };
let cluster: EmbeddedCluster;
const version = (name: string, storage: boolean): object => ({
  ...{ name, served: true, storage },
  schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
});
const spec = {
  group: CRONTABS.group,
  scope: 'Namespaced',
  names: { plural: 'crontabs', kind: 'CronTab', categories: ['all'] },
  versions: [version('v1', true), version('v1beta1', false)],
};
before(async () => {
  cluster = await startEmbeddedCluster(realEnvironment('silent'), { nodes: 0 as never });
});
after(() => cluster.dispose());

const definitions = () => cluster.client.resource('customresourcedefinitions.apiextensions.k8s.io');
const crontabs = () => cluster.client.dynamic(CRONTABS);
const crontab = (namespace: string, name: string, more: object = {}): KubeObject =>
  ({ apiVersion: 'stable.example.com/v1', kind: 'CronTab', metadata: { name, namespace, ...more } }) as KubeObject;
const isGone = (asked: Promise<unknown>): Promise<boolean> =>
  asked.then(
    () => false,
    (error) => {
      if (!isReason(error, 'NotFound')) throw error;
      return true;
    },
  );

async function define(): Promise<void> {
  await definitions().create({ metadata: { name: 'crontabs.stable.example.com' }, spec } as never);
  await until('it is served', () =>
    crontabs()
      .list({ namespace: 'default' })
      .then(
        () => true,
        () => false,
      ),
  );
}
async function namespace(name: string): Promise<void> {
  await cluster.client.resource('namespaces').create({ metadata: { name } } as never);
}

test('custom resources go with their namespace, with their owners, and take what they own with them', async () => {
  await define();
  await namespace('busy');
  await crontabs().create(crontab('busy', 'a'));
  const owner = await crontabs().create(crontab('default', 'owner'));
  const configMaps = cluster.client.resource('configmaps');
  const reference = (of: KubeObject, apiVersion: string, kind: string): object => ({
    ownerReferences: [{ apiVersion, kind, name: of.metadata.name, uid: of.metadata.uid! }],
  });
  // By a version that is served, but not the one that the collector watches.
  const owned = await configMaps.create({
    metadata: { namespace: 'default', name: 'owned', ...reference(owner, 'stable.example.com/v1beta1', 'CronTab') },
  } as never);
  await crontabs().create(crontab('default', 'leaf', reference(owned as unknown as KubeObject, 'v1', 'ConfigMap')));
  await crontabs().delete({ namespace: 'default', name: 'owner' });
  await until('what it owned is gone', () => isGone(configMaps.get({ namespace: 'default', name: 'owned' })));
  await until('and what that owned', () => isGone(crontabs().get({ namespace: 'default', name: 'leaf' })));
  await cluster.client.resource('namespaces').delete({ name: 'busy' });
  await until('the namespace is gone', () => isGone(cluster.client.resource('namespaces').get({ name: 'busy' })));
  assert.deepEqual((await crontabs().list({})).items, []);
});

test('a quota counts custom resources', async () => {
  await namespace('counted');
  const quotas = cluster.client.resource('resourcequotas');
  const hard = { 'count/crontabs.stable.example.com': '1' };
  await quotas.create({ metadata: { namespace: 'counted', name: 'q' }, spec: { hard } } as never);
  await until('it is counted', async () => (await quotas.get({ namespace: 'counted', name: 'q' })).status?.used);
  await crontabs().create(crontab('counted', 'first'));
  await assert.rejects(crontabs().create(crontab('counted', 'second')), /exceeded quota: q/);
});

test('a definition and a namespace that are deleted together both go', async () => {
  await namespace('both');
  for (let i = 0; i < 20; i++) await crontabs().create(crontab('both', `c${i}`));
  await Promise.all([
    cluster.client.resource('namespaces').delete({ name: 'both' }),
    definitions().delete({ name: 'crontabs.stable.example.com' }),
  ]);
  await until('the definition is gone', () => isGone(definitions().get({ name: 'crontabs.stable.example.com' })));
  await until('the namespace is gone', () => isGone(cluster.client.resource('namespaces').get({ name: 'both' })));
});

test('a role that is put together of others has the rules of those that come later too', async () => {
  const roles = cluster.client.resource('clusterroles.rbac.authorization.k8s.io');
  const rule = { apiGroups: ['stable.example.com'], resources: ['crontabs'], verbs: ['get'] };
  const labels = { 'rbac.authorization.k8s.io/aggregate-to-view': 'true' };
  await roles.create({ metadata: { name: 'view-crontabs', labels }, rules: [rule] } as never);
  await until('view has it', async () =>
    JSON.stringify((await roles.get({ name: 'view' })).rules).includes('crontabs'),
  );
});
