import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PersistentVolumeClaim, StatefulSet } from '../api/generated/types.ts';
import { claimOwners, isStale, statefulPod } from './stateful-identity.ts';
import { statefulSetController } from './stateful-set.ts';
import { makeReady, podsOf, settled, withWorkloads } from './test-workloads.ts';

const data: PersistentVolumeClaim = {
  metadata: { name: 'data' },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
};

function setOf(spec: Partial<StatefulSet['spec']> = {}): StatefulSet {
  return {
    metadata: { name: 'db', namespace: 'default' },
    spec: {
      replicas: 2,
      serviceName: 'dbs',
      selector: { matchLabels: { app: 'db' } },
      template: { metadata: { labels: { app: 'db' } }, spec: { containers: [{ name: 'c', image: 'one' }] } },
      volumeClaimTemplates: [data],
      ...spec,
    },
  };
}

const ref = { namespace: 'default', name: 'db' };

test('pods come one after the other with their claims, are updated from the top, and go from the top', () =>
  withWorkloads([statefulSetController()], async (cluster) => {
    const sets = cluster.client.resource('statefulsets.apps');
    const names = async (): Promise<string[]> => (await podsOf(cluster)).map((pod) => pod.metadata.name);
    await sets.create(setOf());
    await settled(cluster);
    assert.deepEqual(await names(), ['db-0']);
    await makeReady(cluster);
    assert.deepEqual(await names(), ['db-0', 'db-1']);
    await makeReady(cluster);
    const claims = await cluster.client.resource('persistentvolumeclaims').list();
    assert.deepEqual(claims.items.map((claim) => claim.metadata.name).sort(), ['data-db-0', 'data-db-1']);
    assert.equal((await sets.get(ref)).status?.availableReplicas, 2);

    const image = { spec: { template: { spec: { containers: [{ name: 'c', image: 'two' }] } } } };
    await sets.patch(ref, { type: 'strategic', body: image });
    await settled(cluster);
    const images = async (): Promise<(string | undefined)[]> =>
      (await podsOf(cluster)).map((pod) => pod.spec.containers[0]?.image);
    assert.deepEqual(await images(), ['one', 'two']);
    await makeReady(cluster);
    await makeReady(cluster);
    assert.deepEqual(await images(), ['two', 'two']);
    const { status } = await sets.get(ref);
    assert.equal(status?.currentRevision, status?.updateRevision);
    assert.equal(status?.updatedReplicas, 2);

    await sets.patch(ref, { type: 'merge', body: { spec: { replicas: 0 } } });
    await settled(cluster);
    await settled(cluster);
    assert.deepEqual(await names(), []);
    const events = await cluster.events();
    assert.ok(events.includes('SuccessfulCreate: create Pod db-0 in StatefulSet db successful'));
    assert.ok(events.includes('SuccessfulCreate: create Claim data-db-0 Pod db-0 in StatefulSet db success'));
    assert.ok(events.includes('SuccessfulDelete: delete Pod db-1 in StatefulSet db successful'));
    assert.equal((await cluster.client.resource('persistentvolumeclaims').list()).items.length, 2);
  }));

test('minReadySeconds holds the next pod back', () =>
  withWorkloads([statefulSetController()], async (cluster) => {
    await cluster.client.resource('statefulsets.apps').create(setOf({ minReadySeconds: 10 }));
    await settled(cluster);
    await makeReady(cluster);
    assert.equal((await podsOf(cluster)).length, 1);
    await cluster.pass(10_000);
    await settled(cluster);
    assert.equal((await podsOf(cluster)).length, 2);
  }));

test('a pod carries its name, index, host name and claims', () => {
  const pod = statefulPod(setOf(), 3, { template: setOf().spec.template, revision: 'db-x' });
  assert.deepEqual(pod.metadata.labels, {
    app: 'db',
    'statefulset.kubernetes.io/pod-name': 'db-3',
    'apps.kubernetes.io/pod-index': '3',
    'controller-revision-hash': 'db-x',
  });
  assert.deepEqual([pod.spec.hostname, pod.spec.subdomain], ['db-3', 'dbs']);
  assert.deepEqual(pod.spec.volumes, [{ name: 'data', persistentVolumeClaim: { claimName: 'data-db-3' } }]);
});

test('who owns a claim follows the retention policy', () => {
  const template = setOf().spec.template;
  const owners = (whenDeleted: string, whenScaled: string, ordinal: number): (string | undefined)[] => {
    const set = setOf({ persistentVolumeClaimRetentionPolicy: { whenDeleted, whenScaled } });
    const named = { ...set, metadata: { ...set.metadata, uid: 'set' } };
    const made = statefulPod(named, ordinal, { template, revision: 'r' });
    const pod = { ...made, metadata: { ...made.metadata, uid: 'pod' } };
    return (claimOwners(named, ordinal, pod, data) ?? []).map((one) => one.uid);
  };
  assert.deepEqual(owners('Retain', 'Retain', 5), []);
  assert.deepEqual(owners('Delete', 'Retain', 5), ['set']);
  assert.deepEqual(owners('Retain', 'Delete', 5), ['pod']);
  assert.deepEqual(owners('Retain', 'Delete', 0), []);
  assert.deepEqual(owners('Delete', 'Delete', 5), ['pod']);
  assert.deepEqual(owners('Delete', 'Delete', 0), ['set']);
  const reference = { apiVersion: 'v1', kind: 'Pod', name: 'db-0', uid: 'gone' };
  assert.ok(isStale({ ...data, metadata: { name: 'data-db-0', ownerReferences: [reference] } }, 'db-0'));
});
