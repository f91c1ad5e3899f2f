import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Node, Pod } from '../../api/generated/types.ts';
import { admitPod } from './admit.ts';
import { aContainer, aPod } from './fixtures.ts';

const node: Node = {
  metadata: { name: 'n1', labels: { zone: 'a' } },
  spec: {},
  status: { allocatable: { cpu: '2', memory: '1Gi', pods: '3' } },
};
const asking = (requests: { [name: string]: string }, more: Partial<Pod['spec']> = {}): Pod =>
  aPod({ containers: [aContainer('main', { resources: { requests } })], ...more });

test('what fits is admitted', () => {
  assert.equal(admitPod(asking({ cpu: '500m' }), [asking({ cpu: '1500m' })], node), undefined);
});

test('what does not fit names the resource, in the units of the scheduler', () => {
  assert.deepEqual(admitPod(asking({ cpu: '600m' }), [asking({ cpu: '1500m' })], node), {
    reason: 'OutOfcpu',
    message: "Pod was rejected: Node didn't have enough resource: cpu, requested: 600, used: 1500, capacity: 2000",
  });
  assert.equal(admitPod(asking({ memory: '2Gi' }), [], node)?.reason, 'OutOfmemory');
  assert.equal(admitPod(aPod(), [aPod(), aPod(), aPod()], node)?.reason, 'OutOfpods');
});

test('selectors and affinity', () => {
  assert.equal(admitPod(aPod({ nodeSelector: { zone: 'a' } }), [], node), undefined);
  assert.equal(admitPod(aPod({ nodeSelector: { zone: 'b' } }), [], node)?.reason, 'NodeAffinity');
  const required = (operator: 'In' | 'NotIn', values: string[]) => ({
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator, values }] }],
      },
    },
  });
  assert.equal(admitPod(aPod({ affinity: required('In', ['a', 'c']) }), [], node), undefined);
  assert.equal(admitPod(aPod({ affinity: required('NotIn', ['a']) }), [], node)?.reason, 'NodeAffinity');
});

test('a host port is given once for each protocol and address', () => {
  const withPort = (hostIP: string, protocol: 'TCP' | 'UDP' = 'TCP'): Pod =>
    aPod({ containers: [aContainer('main', { ports: [{ containerPort: 80, hostPort: 8080, hostIP, protocol }] })] });
  assert.equal(admitPod(withPort('10.0.0.1'), [withPort('')], node)?.reason, 'NodePorts');
  assert.equal(admitPod(withPort('10.0.0.1'), [withPort('10.0.0.2')], node), undefined);
  assert.equal(admitPod(withPort('', 'UDP'), [withPort('')], node), undefined);
});
