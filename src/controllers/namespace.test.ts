import assert from 'node:assert/strict';
import { it } from 'node:test';
import { isReason } from '../machinery/status.ts';
import { namespaceController } from './namespace.ts';
import { namespaceConditions } from './namespace-conditions.ts';
import { rootCaPublisher } from './root-ca-publisher.ts';
import { serviceAccountController } from './service-account.ts';
import { type Running, runTestControllers, testPod } from './test-controllers.ts';

const gone = async (cluster: Running, name: string): Promise<boolean> =>
  cluster.client
    .resource('namespaces')
    .get({ name })
    .then(
      () => false,
      (error) => isReason(error, 'NotFound'),
    );

it('a new namespace gets its service account and the root certificate, again when they are deleted or changed', async () => {
  const cluster = await runTestControllers(serviceAccountController(), rootCaPublisher({ rootCa: 'PEM' }));
  const { client } = cluster;
  await client.resource('namespaces').create({ metadata: { name: 'team' }, spec: {} });
  await cluster.pass(0);
  const account = { namespace: 'team', name: 'default' };
  const ca = { namespace: 'team', name: 'kube-root-ca.crt' };
  assert.ok(await client.resource('serviceaccounts').get(account));
  assert.deepEqual((await client.resource('configmaps').get(ca)).data, { 'ca.crt': 'PEM' });
  await client.resource('serviceaccounts').delete(account);
  await client.resource('configmaps').patch(ca, { type: 'merge', body: { data: { 'ca.crt': 'theirs', more: 'x' } } });
  await cluster.pass(0);
  assert.ok(await client.resource('serviceaccounts').get(account));
  assert.deepEqual((await client.resource('configmaps').get(ca)).data, { 'ca.crt': 'PEM' });
  await client.resource('configmaps').delete(ca);
  await cluster.pass(0);
  assert.ok(await client.resource('configmaps').get(ca));
  await cluster.close();
});

it('a deleted namespace is emptied and goes; others keep what they have', async () => {
  const cluster = await runTestControllers(namespaceController(), serviceAccountController());
  const { client } = cluster;
  for (const name of ['old', 'new']) {
    await client.resource('namespaces').create({ metadata: { name }, spec: {} });
    await client.resource('configmaps').create({ metadata: { namespace: name, name: 'a' } });
    await client
      .resource('roles.rbac.authorization.k8s.io')
      .create({ metadata: { namespace: name, name: 'r' }, rules: [] });
  }
  await cluster.pass(0);
  await client.resource('namespaces').delete({ name: 'old' });
  await cluster.pass(2_000);
  assert.ok(await gone(cluster, 'old'));
  assert.equal((await client.resource('configmaps').list({ namespace: 'old' })).items.length, 0);
  assert.equal((await client.resource('configmaps').list({ namespace: 'new' })).items.length, 1);
  assert.equal((await client.resource('serviceaccounts').list({ namespace: 'old' })).items.length, 0);
  await cluster.close();
});

it('pods and Services go with their namespace; one made again under its name has none', async () => {
  const cluster = await runTestControllers(namespaceController(), serviceAccountController());
  const { client } = cluster;
  const made = { metadata: { name: 'again' }, spec: {} };
  const left = async (): Promise<number[]> =>
    Promise.all(
      (['pods', 'services'] as const).map(async (name) => {
        const { items } = await client.resource(name).list({ namespace: 'again' });
        return items.length;
      }),
    );
  await client.resource('namespaces').create(made);
  await cluster.pass(0);
  await client.resource('pods').create(testPod('p', {}, { namespace: 'again' }));
  const ports = [{ port: 80 }];
  await client.resource('services').create({ metadata: { namespace: 'again', name: 's' }, spec: { ports } });
  assert.deepEqual(await left(), [1, 1]);
  await client.resource('namespaces').delete({ name: 'again' });
  await cluster.pass(3_000);
  assert.ok(await gone(cluster, 'again'));
  await client.resource('namespaces').create(made);
  await cluster.pass(0);
  assert.deepEqual(await left(), [0, 0]);
  await cluster.close();
});

it('pods go first; what remains and the finalizers that keep it are told', async () => {
  const cluster = await runTestControllers(namespaceController(), serviceAccountController());
  const { client } = cluster;
  await client.resource('namespaces').create({ metadata: { name: 'old' }, spec: {} });
  await cluster.pass(0);
  await client.resource('pods').create(testPod('p', { nodeName: 'n' }, { namespace: 'old' }));
  const kept = { namespace: 'old', name: 'kept', finalizers: ['example.com/keep'] };
  await client.resource('configmaps').create({ metadata: kept });
  await client.resource('namespaces').delete({ name: 'old' });
  await cluster.pass(3_000);
  const conditions = async (): Promise<string[]> =>
    ((await client.resource('namespaces').get({ name: 'old' })).status?.conditions ?? [])
      .filter((one) => one.status === 'True')
      .map((one) => `${one.reason}: ${one.message}`);
  assert.deepEqual(await conditions(), [
    'SomeResourcesRemain: Some resources are remaining: pods. has 1 resource instances',
  ]);
  const map = await client.resource('configmaps').get(kept);
  assert.equal(map.metadata.deletionTimestamp, undefined, 'nothing else is deleted while there are pods');
  await client.resource('pods').delete({ namespace: 'old', name: 'p' }, { gracePeriodSeconds: 0 });
  await cluster.pass(0);
  assert.deepEqual(await conditions(), [
    'SomeResourcesRemain: Some resources are remaining: configmaps. has 1 resource instances',
    'SomeFinalizersRemain: Some content in the namespace has finalizers remaining: example.com/keep in 1 resource instances',
  ]);
  await client.resource('configmaps').patch(kept, { type: 'merge', body: { metadata: { finalizers: null } } });
  await cluster.pass(3_000);
  assert.ok(await gone(cluster, 'old'));
  await cluster.close();
});

it('all five conditions are there, with upstream’s words when nothing is wrong', () => {
  const conditions = namespaceConditions({ discoveryErrors: [], deletionErrors: ['boom'], remaining: [] });
  assert.deepEqual(
    conditions.map((one) => `${one.type}=${one.status} ${one.reason}`),
    [
      'NamespaceDeletionDiscoveryFailure=False ResourcesDiscovered',
      'NamespaceDeletionGroupVersionParsingFailure=False ParsedGroupVersions',
      'NamespaceDeletionContentFailure=True ContentDeletionFailed',
      'NamespaceContentRemaining=False ContentRemoved',
      'NamespaceFinalizersRemaining=False ContentHasNoFinalizers',
    ],
  );
  assert.equal(conditions[2]?.message, 'Failed to delete all resource types, 1 remaining: boom');
});
