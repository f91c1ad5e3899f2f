import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Pod } from '../api/generated/types.ts';
import { heldRequests } from '../machinery/pods.ts';
import { milliValue } from '../machinery/quantity.ts';
import { podAmounts } from './resources.ts';

const milli = fc.option(fc.integer({ min: 1, max: 4000 }), { nil: undefined });
const container = fc.record({
  asked: milli,
  allocated: milli,
  actual: milli,
  sidecar: fc.boolean(),
  init: fc.boolean(),
});
const pods = fc.record({
  containers: fc.array(container, { minLength: 1, maxLength: 4 }),
  reason: fc.constantFrom(undefined, 'Deferred', 'Infeasible'),
  level: fc.option(fc.record({ asked: fc.integer({ min: 1, max: 9000 }), allocated: milli, actual: milli })),
});

const cpu = (amount: number | undefined): { cpu: string } | undefined =>
  amount === undefined ? undefined : { cpu: `${amount}m` };

test('the scheduler counts of a pod that is resized what quotas count of it', () => {
  fc.assert(
    fc.property(pods, ({ containers, reason, level }) => {
      const named = containers.map((c, i) => ({ ...c, name: `c${i}` }));
      const of = (init: boolean) => named.filter((c, i) => i > 0 === init || c.init === init);
      const spec = (init: boolean) =>
        of(init).map(({ name, asked, sidecar }) => ({
          name,
          resources: asked === undefined ? {} : { requests: cpu(asked) },
          ...(init && sidecar && { restartPolicy: 'Always' }),
        }));
      const status = (init: boolean) =>
        of(init).map(({ name, allocated, actual }) => ({
          name,
          ...(allocated !== undefined && { allocatedResources: cpu(allocated) }),
          ...(actual !== undefined && { resources: { requests: cpu(actual) } }),
        }));
      const pod = {
        metadata: { name: 'p' },
        spec: {
          containers: spec(false),
          initContainers: spec(true),
          ...(level && { resources: { requests: cpu(level.asked) } }),
        },
        status: {
          ...(reason && { conditions: [{ type: 'PodResizePending', status: 'True', reason }] }),
          containerStatuses: status(false),
          initContainerStatuses: status(true),
          ...(level?.allocated !== undefined && level && { allocatedResources: cpu(level.allocated) }),
          ...(level?.actual !== undefined && level && { resources: { requests: cpu(level.actual) } }),
        },
      } as unknown as Pod;
      assert.equal(podAmounts(pod).get('cpu') ?? 0, milliValue(heldRequests(pod).cpu ?? '0'));
    }),
  );
});

test('an infeasible resize takes nothing from the node, a deferred one keeps what it waits for', () => {
  const pod = (reason: string): Pod => ({
    metadata: { name: 'p' },
    spec: { containers: [{ name: 'c', resources: { requests: { cpu: '9' } } }] },
    status: {
      conditions: [{ type: 'PodResizePending', status: 'True', reason }],
      containerStatuses: [
        { name: 'c', ready: true, restartCount: 0, image: '', imageID: '', allocatedResources: { cpu: '1' } },
      ],
    },
  });
  assert.equal(podAmounts(pod('Infeasible')).get('cpu'), 1000);
  assert.equal(podAmounts(pod('Deferred')).get('cpu'), 9000);
});
