import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Container, Pod, PodSpec } from '../api/generated/types.ts';
import {
  type ConditionLike,
  controllerOf,
  controllerReference,
  hasFinalizer,
  isControlledBy,
  isTerminating,
  removeCondition,
  setCondition,
} from './meta.ts';
import {
  heldLimits,
  heldRequests,
  isPodActive,
  isPodAvailable,
  isPodReady,
  podLimits,
  podRequestNumbers,
  podRequests,
  qosClass,
} from './pods.ts';

const container = (
  requests?: { [r: string]: string },
  limits?: { [r: string]: string },
  sidecar = false,
): Container => ({
  name: 'c',
  resources: { ...(requests && { requests }), ...(limits && { limits }) },
  ...(sidecar && { restartPolicy: 'Always' }),
});
const pod = (spec: PodSpec, status: Pod['status'] = {}): Pod => ({ metadata: { name: 'p' }, spec, status }) as Pod;

test('requests: containers are summed, init containers are alternatives, overhead comes on top', () => {
  const p = pod({
    containers: [container({ cpu: '500m', memory: '1Gi' }), container({ cpu: '250m', gpu: '1' })],
    initContainers: [container({ cpu: '2' })],
    overhead: { cpu: '10m', memory: '24Mi' },
  });
  assert.deepEqual(podRequests(p), { cpu: '2010m', memory: '1048Mi', gpu: '1' });
  assert.deepEqual(podRequestNumbers(p), new Map([['cpu', 2010], ['memory', 1048 * 2 ** 20], ['gpu', 1]])); // biome-ignore format: short
});

test('requests: a sidecar runs beside everything after it', () => {
  const p = pod({
    containers: [container({ cpu: '1' })],
    initContainers: [container({ cpu: '2' }), container({ cpu: '300m' }, undefined, true), container({ cpu: '1' })],
  });
  assert.deepEqual(podRequests(p), { cpu: '2' });
  const later = pod({
    containers: [container({ cpu: '1' })],
    initContainers: [container({ cpu: '300m' }, undefined, true), container({ cpu: '2' })],
  });
  assert.deepEqual(podRequests(later), { cpu: '2300m' });
});

test('requests: what the pod asks as a whole replaces the sum', () => {
  const p = pod({ containers: [container({ cpu: '1', gpu: '1' })], resources: { requests: { cpu: '3', gpu: '9' } } });
  assert.deepEqual(podRequests(p), { cpu: '3', gpu: '1' });
});

test('limits: overhead adds only to limits that exist', () => {
  const p = pod({ containers: [container(undefined, { cpu: '1' })], overhead: { cpu: '10m', memory: '1Mi' } });
  assert.deepEqual(podLimits(p), { cpu: '1010m' });
});

test('QoS classes', () => {
  const full = { cpu: '1', memory: '1Gi' };
  assert.equal(qosClass(pod({ containers: [container()] })), 'BestEffort');
  assert.equal(qosClass(pod({ containers: [container({ cpu: '0' })] })), 'BestEffort');
  assert.equal(qosClass(pod({ containers: [container({ gpu: '1' })] })), 'BestEffort');
  assert.equal(qosClass(pod({ containers: [container(undefined, full)] })), 'Guaranteed');
  assert.equal(qosClass(pod({ containers: [container({ cpu: '1000m', memory: '1024Mi' }, full)] })), 'Guaranteed');
  assert.equal(qosClass(pod({ containers: [container(undefined, full), container()] })), 'Burstable');
  assert.equal(qosClass(pod({ containers: [container({ cpu: '500m' }, full)] })), 'Burstable');
  assert.equal(qosClass(pod({ containers: [container(full, full)], initContainers: [container()] })), 'Burstable');
  assert.equal(qosClass(pod({ containers: [container()], resources: { limits: full, requests: full } })), 'Guaranteed');
});

test('readiness, availability and activity', () => {
  const ready = pod({ containers: [] }, {
    phase: 'Running',
    conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: '1970-01-01T00:00:10Z' }],
  }); // biome-ignore format: short
  assert.ok(isPodReady(ready) && isPodActive(ready));
  assert.ok(!isPodAvailable(ready, 5, 14_000) && isPodAvailable(ready, 5, 15_000) && isPodAvailable(ready, 0, 0));
  assert.ok(!isPodActive(pod({ containers: [] }, { phase: 'Failed' })));
  const leaving = { ...ready, metadata: { name: 'p', deletionTimestamp: '1970-01-01T00:00:00Z' } };
  assert.ok(isTerminating(leaving) && !isPodActive(leaving));
});

test('owners and finalizers', () => {
  const owner = { metadata: { name: 'o', uid: 'u1' } };
  const reference = controllerReference(owner, { apiVersion: 'apps/v1', kind: 'ReplicaSet' });
  const object = { metadata: { name: 'x', ownerReferences: [reference], finalizers: ['f'] } };
  assert.equal(controllerOf(object), reference);
  assert.ok(isControlledBy(object, owner) && !isControlledBy(object, { metadata: { name: 'o', uid: 'u2' } }));
  assert.ok(hasFinalizer(object, 'f') && !hasFinalizer(owner, 'f'));
});

test('a condition keeps its transition time until its status changes', () => {
  const first = setCondition<ConditionLike>([], { type: 'A', status: 'True', reason: 'R' }, 1000);
  assert.deepEqual(first, [{ type: 'A', status: 'True', reason: 'R', lastTransitionTime: '1970-01-01T00:00:01Z' }]);
  assert.equal(setCondition<ConditionLike>(first, { type: 'A', status: 'True', reason: 'R' }, 2000), first);
  assert.equal(
    setCondition<ConditionLike>(first, { type: 'A', status: 'True', reason: 'S' }, 2000)[0]?.lastTransitionTime,
    '1970-01-01T00:00:01Z',
  );
  assert.equal(
    setCondition<ConditionLike>(first, { type: 'A', status: 'False' }, 2000)[0]?.lastTransitionTime,
    '1970-01-01T00:00:02Z',
  );
  assert.deepEqual(removeCondition(first, 'A'), []);
});

test('while a pod is resized the largest of what is asked for, set aside and had counts', () => {
  const resized = (cpu: string, allocated: string, actual: string, reason?: string): Pod => ({
    metadata: { name: 'p' },
    spec: { containers: [{ name: 'c', resources: { requests: { cpu }, limits: { cpu } } }] },
    status: {
      ...(reason && { conditions: [{ type: 'PodResizePending', status: 'True', reason }] }),
      containerStatuses: [
        {
          ...{ name: 'c', ready: true, restartCount: 0, image: '', imageID: '' },
          allocatedResources: { cpu: allocated },
          resources: { requests: { cpu: actual }, limits: { cpu: actual } },
        },
      ],
    },
  });
  const counted = (pod: Pod) => [heldRequests(pod).cpu, heldLimits(pod).cpu];
  assert.deepEqual(counted(resized('3', '2', '1')), ['3', '3']);
  assert.deepEqual(counted(resized('1', '2', '1')), ['2', '1']);
  assert.deepEqual(counted(resized('1', '1', '2500m')), ['2500m', '2500m']);
  assert.deepEqual(counted(resized('9', '2', '1', 'Deferred')), ['9', '9']);
  assert.deepEqual(counted(resized('9', '2', '1', 'Infeasible')), ['2', '1']);
  assert.equal(podRequests(resized('9', '2', '1', 'Infeasible')).cpu, '9');
});
