import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { ConfigMap, OwnerReference } from '../api/generated/types.ts';
import type { ResourceClient } from '../client/contract.ts';
import { silentLog } from '../lib/log.ts';
import { garbageCollector } from './garbage-collector.ts';
import { decideForeground, decideOwned } from './garbage-decision.ts';
import { OwnerGraph } from './garbage-graph.ts';
import { type Running, runTestControllers, testPod } from './test-controllers.ts';

const MAPS = { group: '', version: 'v1', resource: 'configmaps', namespaced: true };

function owned(by: ConfigMap, more: Partial<OwnerReference> = {}): OwnerReference {
  return { apiVersion: 'v1', kind: 'ConfigMap', name: by.metadata.name, uid: by.metadata.uid ?? '', ...more };
}

describe('garbage collector', () => {
  let cluster: Running;
  beforeEach(async () => {
    cluster = await runTestControllers(garbageCollector());
  });
  afterEach(() => cluster.close());
  const maps = (): ResourceClient<ConfigMap> => cluster.client.resource('configmaps');
  const make = async (name: string, ...ownerReferences: OwnerReference[]): Promise<ConfigMap> =>
    maps().create({ metadata: { namespace: 'default', name, ownerReferences } });
  const names = async (): Promise<string[]> =>
    (await maps().list({ namespace: 'default' })).items.map((one) => one.metadata.name);
  const remove = (name: string, propagationPolicy?: 'Background' | 'Foreground' | 'Orphan'): Promise<void> =>
    maps().delete({ namespace: 'default', name }, propagationPolicy ? { propagationPolicy } : {});

  it('in the background: the owner goes at once, then what it owns, and nothing else', async () => {
    const owner = await make('owner');
    const child = await make('child', owned(owner));
    await make('grandchild', owned(child));
    await make('stranger');
    await cluster.pass(1_000);
    assert.equal((await names()).length, 4);
    await remove('owner', 'Background');
    assert.deepEqual(await names(), ['child', 'grandchild', 'stranger']);
    await cluster.pass(1_000);
    assert.deepEqual(await names(), ['stranger']);
  });

  it('in the foreground: the owner goes after what blocks it', async () => {
    const owner = await make('owner');
    const blocking = await make('blocking', owned(owner, { blockOwnerDeletion: true }));
    const body = { metadata: { finalizers: ['example.com/hold'] } };
    await maps().patch(blocking.metadata, { type: 'merge', body });
    await make('other', owned(owner));
    await cluster.pass(1_000);
    await remove('owner', 'Foreground');
    await cluster.pass(1_000);
    assert.deepEqual(await names(), ['blocking', 'owner']);
    const held = await maps().get({ namespace: 'default', name: 'owner' });
    assert.deepEqual(held.metadata.finalizers, ['foregroundDeletion']);
    await maps().patch(blocking.metadata, { type: 'merge', body: { metadata: { finalizers: null } } });
    await cluster.pass(1_000);
    assert.deepEqual(await names(), []);
  });

  it('orphaning: the owner goes, what it owned stays without a reference', async () => {
    const owner = await make('owner');
    const second = await make('second');
    await make('child', owned(owner), owned(second));
    await cluster.pass(1_000);
    await remove('owner', 'Orphan');
    await cluster.pass(1_000);
    assert.deepEqual(await names(), ['child', 'second']);
    const child = await maps().get({ namespace: 'default', name: 'child' });
    assert.deepEqual(
      child.metadata.ownerReferences?.map((one) => one.name),
      ['second'],
    );
  });

  it('one of two owners is enough to live; the reference to the lost one is removed', async () => {
    const first = await make('first');
    const second = await make('second');
    await make('child', owned(first), owned(second));
    await cluster.pass(1_000);
    await remove('first');
    await cluster.pass(1_000);
    const child = await maps().get({ namespace: 'default', name: 'child' });
    assert.deepEqual(
      child.metadata.ownerReferences?.map((one) => one.name),
      ['second'],
    );
    await remove('second');
    await cluster.pass(1_000);
    assert.deepEqual(await names(), []);
  });

  it('an owner that never was, or whose name another has taken, is absent', async () => {
    const real = await make('real');
    await make('of-none', owned(real, { uid: 'never-was', name: 'nobody' }));
    await make('of-another', owned(real, { uid: 'an-older-uid' }));
    await cluster.pass(1_000);
    assert.deepEqual(await names(), ['real']);
  });

  it('an owner in another namespace is absent, which is said on the dependent', async () => {
    await cluster.client.resource('namespaces').create({ metadata: { name: 'far' }, spec: {} });
    const far = await maps().create({ metadata: { namespace: 'far', name: 'owner' } });
    await cluster.pass(1_000);
    await make('child', owned(far));
    await cluster.pass(1_000);
    assert.deepEqual(await names(), []);
    assert.ok(await maps().get({ namespace: 'far', name: 'owner' }));
    const { uid } = far.metadata;
    const identity = `[v1/ConfigMap, namespace: default, name: owner, uid: ${uid}]`;
    const expected = `OwnerRefInvalidNamespace: ownerRef ${identity} does not exist in namespace "default"`;
    assert.deepEqual(await cluster.events(), [expected]);
  });

  it('a cluster-scoped object with a namespaced owner, or one of an unknown kind, is left alone, without noise', async (t) => {
    const errors = t.mock.method(silentLog, 'error', () => undefined);
    const owner = await make('owner');
    const { client } = cluster;
    const metadata = { name: 'n', ownerReferences: [owned(owner, { uid: 'absent' })] };
    await client.resource('nodes').create({ metadata, spec: {} });
    await make('alien', { apiVersion: 'example.com/v1', kind: 'Thing', name: 't', uid: 'x' });
    await cluster.pass(60_000);
    assert.ok(await client.resource('nodes').get({ name: 'n' }));
    assert.deepEqual(await names(), ['alien', 'owner']);
    assert.equal(errors.mock.callCount(), 0);
  });

  it('a circle of owners in foreground deletion does not wait for itself', async () => {
    const a = await make('a');
    const b = await make('b', owned(a, { blockOwnerDeletion: true }));
    const body = { metadata: { ownerReferences: [owned(b, { blockOwnerDeletion: true })] } };
    await maps().patch(a.metadata, { type: 'merge', body });
    await cluster.pass(1_000);
    await remove('a', 'Foreground');
    await cluster.pass(30_000);
    assert.deepEqual(await names(), []);
  });

  it('a pod of a deleted ReplicaSet goes gracefully, as its owner asked', async () => {
    const { client } = cluster;
    await client.resource('serviceaccounts').create({ metadata: { namespace: 'default', name: 'default' } });
    const template = { metadata: { name: '', labels: { a: 'b' } }, spec: testPod('x').spec };
    const spec = { selector: { matchLabels: { a: 'b' } }, template };
    const set = await client
      .resource('replicasets.apps')
      .create({ metadata: { namespace: 'default', name: 's' }, spec });
    const reference = {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      name: 's',
      uid: set.metadata.uid ?? '',
      controller: true,
    };
    await client.resource('pods').create(testPod('p', { nodeName: 'n' }, { ownerReferences: [reference] }));
    await cluster.pass(1_000);
    await client.resource('replicasets.apps').delete(set.metadata);
    await cluster.pass(1_000);
    const pod = await client.resource('pods').get({ namespace: 'default', name: 'p' });
    assert.ok(pod.metadata.deletionTimestamp);
    assert.equal(pod.metadata.deletionGracePeriodSeconds, 30);
  });
});

describe('garbage rules', () => {
  const object = (uid: string, ownerReferences: OwnerReference[] = [], finalizers: string[] = []) => ({
    metadata: { name: uid, uid, namespace: 'n', ownerReferences, finalizers },
  });
  const ref = (uid: string, blockOwnerDeletion = false): OwnerReference => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    name: uid,
    uid,
    blockOwnerDeletion,
  });

  it('a live owner wins over lost ones; without one the object goes as its finalizers say', () => {
    const child = object('c', [ref('a'), ref('b')]);
    const states = new Map([['a', 'solid'] as const, ['b', 'dangling'] as const]);
    assert.deepEqual(decideOwned(child, states, []), { kind: 'removeOwners', uids: ['b'] });
    const lost = new Map([['a', 'dangling'] as const, ['b', 'dangling'] as const]);
    assert.deepEqual(decideOwned(child, lost, []), { kind: 'delete', propagation: 'Background', unblock: false });
    const orphaning = object('c', [ref('a')], ['orphan']);
    const step = decideOwned(orphaning, new Map([['a', 'dangling']]), []);
    assert.ok(step.kind === 'delete' && step.propagation === 'Orphan');
  });

  it('only dependents that block hold up a foreground deletion', () => {
    const owner = object('o', [], ['foregroundDeletion']);
    const free = { uid: 'f', resource: MAPS, object: object('f', [ref('o')]) };
    const blocking = { uid: 'b', resource: MAPS, object: object('b', [ref('o', true)]) };
    assert.deepEqual(decideForeground(owner, [free]), { kind: 'removeFinalizer', finalizer: 'foregroundDeletion' });
    assert.deepEqual(decideForeground(owner, [free, blocking]), { kind: 'wait', attempt: ['b'] });
  });

  it('a graph forgets what is gone and asks for those it owned', () => {
    const graph = new OwnerGraph();
    graph.observe(MAPS, object('o'));
    assert.deepEqual(graph.observe(MAPS, object('c', [ref('o')])).attempt, []);
    assert.deepEqual(graph.forget(object('o')).attempt, ['c']);
    assert.equal(graph.size, 1);
    graph.forget(object('c', [ref('o')]));
    assert.deepEqual(graph.dependents('o'), []);
    assert.deepEqual(graph.observe(MAPS, object('late', [ref('o')])).attempt, ['late'], 'its owner is not known');
  });
});
