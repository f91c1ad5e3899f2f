import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aContainer, aPod, NOW_MS, observed, seen } from './fixtures.ts';
import { ResizeReport } from './resize-report.ts';
import { podStatus } from './status.ts';

const pod = (generation: number) =>
  aPod({ containers: [aContainer('main', { resources: { requests: { cpu: '1' } } })] }, { generation });
const DEFERRED = { reason: 'Deferred' as const, message: 'no room' };

function report() {
  const told: string[] = [];
  const made = new ResizeReport((type, reason, message) => told.push(`${type} ${reason} ${message.split(':')[0]}`));
  return { made, told: () => told.splice(0) };
}

test('a resize waits, begins, and is over; each is told once', () => {
  const { made, told } = report();
  assert.equal(made.refused(pod(2), DEFERRED), true);
  assert.equal(made.refused(pod(2), DEFERRED), false);
  assert.deepEqual(told(), ['Warning ResizeDeferred Pod resize Deferred']);
  assert.deepEqual(made.conditions(), [
    { type: 'PodResizePending', status: 'True', reason: 'Deferred', message: 'no room', observedGeneration: 2 },
  ]);
  assert.equal(made.refused(pod(3), DEFERRED), true);
  assert.equal(made.refused(pod(3), { ...DEFERRED, reason: 'Infeasible' }), true);
  told();
  made.accepted(pod(4));
  assert.deepEqual(made.conditions(), [{ type: 'PodResizeInProgress', status: 'True', observedGeneration: 4 }]);
  made.seen(pod(4), true);
  made.seen(pod(5), false);
  made.seen(pod(5), false);
  assert.deepEqual(told(), ['Normal ResizeStarted Pod resize started', 'Normal ResizeCompleted Pod resize completed']);
  assert.deepEqual(made.conditions(), []);
});

test('what fails says why until it is done, or something else is asked for', () => {
  const { made, told } = report();
  made.accepted(pod(2));
  made.failed(pod(2), 'in use');
  made.failed(pod(2), 'in use');
  made.seen(pod(2), true);
  const why = { reason: 'Error', message: 'in use', observedGeneration: 2 };
  assert.deepEqual(made.conditions(), [{ type: 'PodResizeInProgress', status: 'True', ...why }]);
  assert.equal(told().filter((t) => t.includes('ResizeError')).length, 1);
  made.accepted(pod(3));
  assert.equal(made.conditions()[0]?.reason, undefined);
});

test('what is asked for no more is not waited for; what an earlier kubelet began is seen', () => {
  const { made, told } = report();
  made.refused(pod(2), DEFERRED);
  made.withdrawn();
  assert.deepEqual(made.conditions(), []);
  told();
  made.seen(pod(3), true);
  assert.equal(made.conditions()[0]?.type, 'PodResizeInProgress');
  assert.deepEqual(told(), []);
});

test('the status says what a container has, as it was asked for where that is the same to the kernel', () => {
  const resources = { requests: { cpu: '1m', memory: '20Mi' }, limits: { cpu: '5m', memory: '30Mi' } };
  const resized = aPod({ containers: [aContainer('main', { resources })] });
  const statusOf = (cpuRequestMilli: number, cpuLimitMilli: number, memory: number, more: object = {}) =>
    podStatus({
      pod: resized,
      observed: observed([
        seen('main', { resources: { cpuRequestMilli, cpuLimitMilli, memoryLimitBytes: memory * 2 ** 20 }, ...more }),
      ]),
      previous: undefined,
      ending: false,
      waiting: () => undefined,
      isStarted: () => true,
      isReady: () => true,
      hostIPs: ['10.0.0.1'],
      sandboxReady: true,
      nowMs: NOW_MS,
    }).containerStatuses?.[0];
  assert.deepEqual(statusOf(2, 10, 30)?.resources, resources);
  const old = { requests: { cpu: '250m', memory: '20Mi' }, limits: { cpu: '1500m', memory: '40Mi' } };
  assert.deepEqual(statusOf(250, 1500, 40)?.resources, old);
  assert.deepEqual(statusOf(250, 1500, 40)?.allocatedResources, resources.requests);
  assert.deepEqual(statusOf(2, 0, 0)?.resources, { requests: resources.requests, limits: {} });
  assert.deepEqual(statusOf(250, 1500, 40, { state: 'exited', exitCode: 1 })?.resources, resources);
});
