import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Pod, ResourceRequirements } from '../api/generated/types.ts';
import {
  allocationOf,
  isResized,
  judgeResize,
  resizeMessage,
  resizeOrder,
  shortage,
  type Waiting,
  withAllocation,
} from './pod-resize.ts';
import { podRequestNumbers } from './pods.ts';

const asking = (cpu: string, memory: string): ResourceRequirements => ({ requests: { cpu, memory } });

function pod(name: string, resources: ResourceRequirements, more: Partial<Pod['spec']> = {}): Pod {
  return { metadata: { name, uid: name, generation: 3 }, spec: { containers: [{ name: 'c', resources }], ...more } };
}

describe('what is set aside', () => {
  const init = [
    { name: 'i', resources: asking('1', '1Gi') },
    { name: 's', restartPolicy: 'Always' as const, resources: asking('1', '1Gi') },
  ];
  const small = pod('p', asking('100m', '10Mi'), { initContainers: init });
  const big: Pod = {
    ...small,
    metadata: { ...small.metadata, labels: { a: 'b' } },
    spec: {
      ...small.spec,
      containers: [{ name: 'c', resources: asking('200m', '20Mi') }],
      initContainers: init.map((c) => ({ ...c, resources: asking('2', '2Gi') })),
    },
  };

  test('takes the place of what is asked for, in containers and sidecars, and in nothing else', () => {
    const laid = withAllocation(big, allocationOf(small));
    assert.deepEqual(laid.spec.containers[0]!.resources, asking('100m', '10Mi'));
    assert.deepEqual(
      laid.spec.initContainers!.map((c) => c.resources?.requests?.cpu),
      ['2', '1'],
    );
    assert.deepEqual(laid.metadata.labels, { a: 'b' });
    const { containers } = allocationOf(small);
    const others = withAllocation(big, { containers: { ...containers, i: asking('7', '7Gi') } });
    assert.equal(others.spec.initContainers![0]!.resources?.requests?.cpu, '2');
    assert.ok(isResized(big, allocationOf(small)));
  });

  test('is the pod itself when it asks for the same, however that is written', () => {
    const same = pod('p', asking('0.1', '10240Ki'), { initContainers: init });
    assert.equal(withAllocation(same, allocationOf(small)), same);
    assert.notEqual(
      withAllocation(pod('p', { ...asking('100m', '10Mi'), limits: { cpu: '1' } }), allocationOf(small)),
      same,
    );
  });

  test('survives a file', () => {
    const read = JSON.parse(JSON.stringify(allocationOf(small)));
    assert.deepEqual(withAllocation(big, read), withAllocation(big, allocationOf(small)));
  });

  test('resources of the pod as a whole are set aside with the rest', () => {
    const whole = pod('p', {}, { resources: { limits: { cpu: '1' } } });
    const more = pod('p', {}, { resources: { limits: { cpu: '2' } } });
    assert.deepEqual(withAllocation(more, allocationOf(whole)).spec.resources, { limits: { cpu: '1' } });
  });
});

describe('the verdict', () => {
  const allocatable = { cpu: '2', memory: '1Gi', pods: '10' };
  const judge = (to: ResourceRequirements, from: ResourceRequirements, others: readonly Pod[] = []) =>
    judgeResize({ pod: pod('p', to), allocated: pod('p', from), others, allocatable });

  test('never, not now, and yes', () => {
    const other = pod('o', asking('1500m', '1Mi'));
    assert.deepEqual(judge(asking('2001m', '1Mi'), asking('1m', '1Mi')), {
      reason: 'Infeasible',
      message: "Node didn't have enough capacity: cpu, requested: 2001, capacity: 2000",
    });
    assert.deepEqual(judge(asking('1m', '2Gi'), asking('1m', '1Mi'), [other]), {
      reason: 'Infeasible',
      message: `Node didn't have enough capacity: memory, requested: ${2 ** 31}, capacity: ${2 ** 30}`,
    });
    assert.deepEqual(judge(asking('600m', '1Mi'), asking('1m', '1Mi'), [other]), {
      reason: 'Deferred',
      message: "Node didn't have enough resource: cpu, requested: 600, used: 1500, capacity: 2000",
    });
    assert.equal(judge(asking('500m', '1Mi'), asking('1m', '1Mi'), [other]), undefined);
    const file = { ...pod('p', asking('2m', '1Mi')) };
    const fixed = { ...file, metadata: { ...file.metadata, annotations: { 'kubernetes.io/config.source': 'file' } } };
    const answer = judgeResize({ pod: fixed, allocated: pod('p', asking('1m', '1Mi')), others: [], allocatable });
    assert.equal(answer?.message, 'In-place resize of static-pods is not supported');
  });

  test('what is accepted fits, and what only gives back is accepted', () => {
    const amount = fc.record({ cpu: fc.integer({ min: 1, max: 2500 }), memory: fc.integer({ min: 1, max: 1200 }) });
    const of = ({ cpu, memory }: { cpu: number; memory: number }) => asking(`${cpu}m`, `${memory}Mi`);
    fc.assert(
      fc.property(amount, amount, fc.array(amount, { maxLength: 4 }), (to, from, there) => {
        const others = there.map((a, i) => pod(`o${i}`, of(a)));
        const refusal = judge(of(to), of(from), others);
        if (to.cpu <= from.cpu && to.memory <= from.memory) assert.equal(refusal, undefined);
        else assert.equal(refusal === undefined, shortage(pod('p', of(to)), others, allocatable) === undefined);
        if (refusal?.reason !== 'Deferred') return;
        for (const [name, value] of podRequestNumbers(pod('p', of(to)))) {
          assert.ok(value <= (name === 'cpu' ? 2000 : 2 ** 30));
        }
      }),
    );
  });
});

test('those that give back come first, then priority, class, and who waits longest', () => {
  const waiting = (name: string, to: ResourceRequirements, priority?: number, since?: string): Waiting => {
    const asked = pod(name, to, { ...(priority !== undefined && { priority }) });
    const conditions = [{ type: 'PodResizePending', status: 'True', lastTransitionTime: since ?? '' }];
    return { pod: { ...asked, ...(since && { status: { conditions } }) }, allocated: pod(name, asking('10m', '10Mi')) };
  };
  const all = [
    waiting('late', asking('20m', '10Mi'), 0, '2026-01-02T00:00:00Z'),
    waiting('early', asking('20m', '10Mi'), 0, '2026-01-01T00:00:00Z'),
    waiting('new', asking('20m', '10Mi'), 0),
    waiting('guaranteed', { requests: { cpu: '20m', memory: '10Mi' }, limits: { cpu: '20m', memory: '10Mi' } }),
    waiting('important', asking('20m', '10Mi'), 5),
    waiting('gives', asking('5m', '10Mi'), -1),
  ];
  const order = ['gives', 'important', 'guaranteed', 'early', 'late', 'new'];
  assert.deepEqual(
    all.toSorted(resizeOrder).map((w) => w.pod.metadata.name),
    order,
  );
  assert.deepEqual(
    all
      .toReversed()
      .toSorted(resizeOrder)
      .map((w) => w.pod.metadata.name),
    order,
  );
});

test('an event tells what is asked for as JSON', () => {
  const resources = { requests: { memory: '1', cpu: '50m' }, limits: { memory: '2', cpu: '100m' } };
  const text = resizeMessage('Pod resize Deferred', pod('p', resources), 1, "Node didn't have enough resource: memory");
  const details =
    '{"containers":[{"name":"c","resources":{"limits":{"cpu":"100m","memory":"2"},"requests":{"cpu":"50m","memory":"1"}}}],' +
    '"generation":1,"error":"Node didn\'t have enough resource: memory"}';
  assert.equal(text, `Pod resize Deferred: ${details}`);
});
