import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod, ReplicaSet } from '../api/generated/types.ts';
import { rfc3339 } from '../lib/clock.ts';
import { labelSelectorFromObject } from '../machinery/selector-parse.ts';
import { decideClaims, podFromTemplate } from './pod-ownership.ts';
import { decideReplicas, replicaStatus } from './replica-set.ts';

const NOW = Date.UTC(2026, 0, 1, 12);

function setOf(replicas: number, minReadySeconds = 0): ReplicaSet {
  return {
    metadata: { name: 'web', namespace: 'default', uid: 'u', generation: 2 },
    spec: {
      replicas,
      minReadySeconds,
      selector: { matchLabels: { app: 'web' } },
      template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
    },
  };
}

interface Shape {
  readonly node?: string;
  readonly phase?: string;
  readonly readyForSeconds?: number;
  readonly cost?: string;
  readonly restarts?: number;
  readonly deleting?: boolean;
}

function podOf(
  name: string,
  { node = 'n1', phase = 'Running', readyForSeconds, cost, restarts = 0, deleting }: Shape,
): Pod {
  const since = rfc3339(NOW - (readyForSeconds ?? 0) * 1000);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      uid: name,
      labels: { app: 'web' },
      creationTimestamp: rfc3339(NOW - 3_600_000),
      ...(cost !== undefined && { annotations: { 'controller.kubernetes.io/pod-deletion-cost': cost } }),
      ...(deleting && { deletionTimestamp: rfc3339(NOW) }),
    },
    spec: { containers: [], ...(node && { nodeName: node }) },
    status: {
      phase: phase as 'Running',
      ...(readyForSeconds !== undefined && {
        conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: since }],
      }),
      containerStatuses: [{ name: 'c', restartCount: restarts, ready: true, image: 'i', imageID: '' }],
    },
  };
}

const removed = (replicas: number, pods: Pod[]): string[] =>
  decideReplicas(setOf(replicas), pods, NOW).remove.map((p) => p.metadata.name);

test('missing pods are made; finished and going ones do not count', () => {
  const pods = [podOf('a', {}), podOf('b', { phase: 'Failed' }), podOf('c', { deleting: true })];
  assert.equal(decideReplicas(setOf(3), pods, NOW).create, 2);
});

test('which pods go first', () => {
  assert.deepEqual(
    removed(1, [podOf('bound', { readyForSeconds: 9 }), podOf('unbound', { node: '', phase: 'Pending' })]),
    ['unbound'],
  );
  assert.deepEqual(removed(1, [podOf('ready', { readyForSeconds: 9 }), podOf('unready', {})]), ['unready']);
  assert.deepEqual(
    removed(1, [podOf('cheap', { readyForSeconds: 9, cost: '-5' }), podOf('dear', { readyForSeconds: 9 })]),
    ['cheap'],
  );
  const crowded = [
    podOf('a', { readyForSeconds: 99, node: 'x' }),
    podOf('b', { readyForSeconds: 99, node: 'y' }),
    podOf('c', { readyForSeconds: 99, node: 'y' }),
  ];
  assert.deepEqual(removed(2, crowded), ['b']);
  assert.deepEqual(removed(1, [podOf('old', { readyForSeconds: 9000 }), podOf('new', { readyForSeconds: 5 })]), [
    'new',
  ]);
  assert.deepEqual(
    removed(1, [podOf('calm', { readyForSeconds: 9 }), podOf('restarted', { readyForSeconds: 9, restarts: 4 })]),
    ['restarted'],
  );
});

test('a pod is available minReadySeconds after it became ready', () => {
  const pods = [podOf('a', { readyForSeconds: 10 }), podOf('b', { readyForSeconds: 3 })];
  const status = replicaStatus(setOf(2, 5), pods, undefined, NOW);
  assert.equal(status.readyReplicas, 2);
  assert.equal(status.availableReplicas, 1);
  assert.equal(decideReplicas(setOf(2, 5), pods, NOW).availableInMs, 2000);
});

test('a failure shows as a condition and goes when it is over', () => {
  const failure = { reason: 'FailedCreate', message: 'no' };
  const failed = replicaStatus(setOf(1), [], failure, NOW);
  assert.equal(failed.conditions?.[0]?.reason, 'FailedCreate');
  const again = replicaStatus({ ...setOf(1), status: failed }, [], { reason: 'FailedCreate', message: 'another' }, NOW);
  assert.deepEqual(again, failed);
  assert.equal(replicaStatus({ ...setOf(1), status: failed }, [], undefined, NOW).conditions, undefined);
});

test('an owner that is being deleted neither adopts nor makes nor removes', () => {
  const owner = { ...setOf(0), metadata: { ...setOf(0).metadata, deletionTimestamp: rfc3339(NOW) } };
  const selector = labelSelectorFromObject(owner.spec.selector);
  assert.deepEqual(decideClaims(owner, selector, [], [podOf('orphan', {})]).adopt, []);
  assert.deepEqual(decideReplicas(owner, [podOf('a', {})], NOW).remove, []);
});

test('orphans that match are adopted unless finished, and what no longer matches is released', () => {
  const selector = labelSelectorFromObject(setOf(1).spec.selector);
  const other: Pod = { ...podOf('other', {}), metadata: { name: 'other', labels: { app: 'db' } } };
  const claims = decideClaims(setOf(1), selector, [other], [podOf('a', {}), podOf('done', { phase: 'Succeeded' })]);
  assert.deepEqual(
    claims.adopt.map((p) => p.metadata.name),
    ['a'],
  );
  assert.deepEqual(
    claims.release.map((p) => p.metadata.name),
    ['other'],
  );
});

test('a pod of the template carries its labels and its controller', () => {
  const pod = podFromTemplate({ apiVersion: 'apps/v1', kind: 'ReplicaSet' }, setOf(1), setOf(1).spec.template!);
  assert.equal(pod.metadata.generateName, 'web-');
  assert.deepEqual(pod.metadata.ownerReferences, [
    { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web', uid: 'u', controller: true, blockOwnerDeletion: true },
  ]);
});
