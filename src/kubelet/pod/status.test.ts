import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod, PodStatus } from '../../api/generated/types.ts';
import { aContainer, aPod, aSandbox, NOW_MS, observed, over, seen } from './fixtures.ts';
import type { ObservedPod } from './observed.ts';
import { podStatus, type StatusFacts } from './status.ts';

function status(pod: Pod, found: ObservedPod, more: Partial<StatusFacts> = {}): PodStatus {
  return podStatus({
    pod,
    observed: found,
    previous: pod.status,
    ending: false,
    waiting: () => undefined,
    isStarted: () => true,
    isReady: () => true,
    hostIPs: ['192.168.0.1'],
    sandboxReady: found.sandboxes[0]?.ready ?? false,
    nowMs: NOW_MS,
    ...more,
  });
}

const condition = (s: PodStatus, type: string): string | undefined =>
  s.conditions?.find((c) => c.type === type)?.status;

test('a pod of which nothing runs yet', () => {
  const s = status(aPod(), observed([], []));
  assert.equal(s.phase, 'Pending');
  assert.equal(s.startTime, '2026-01-01T12:00:00Z');
  assert.deepEqual(s.containerStatuses?.[0]?.state, { waiting: { reason: 'ContainerCreating' } });
  assert.equal(s.hostIP, '192.168.0.1');
  assert.equal(s.podIP, undefined);
  assert.equal(condition(s, 'PodReadyToStartContainers'), 'False');
  assert.equal(condition(s, 'Initialized'), 'True');
  const ready = s.conditions?.find((c) => c.type === 'Ready');
  assert.deepEqual([ready?.reason, ready?.message], ['ContainersNotReady', 'containers with unready status: [main]']);
});

test('a running pod', () => {
  const s = status(aPod(), observed([seen('main')]));
  assert.deepEqual(
    [s.phase, s.podIP, s.podIPs, s.qosClass],
    ['Running', '10.0.0.7', [{ ip: '10.0.0.7' }], 'BestEffort'],
  );
  const c = s.containerStatuses![0]!;
  assert.deepEqual([c.ready, c.started, c.containerID, c.imageID], [true, true, 'containerd://id-main', 'sha256:main']);
  assert.deepEqual(c.state, { running: { startedAt: '2026-01-01T11:59:01Z' } });
  for (const type of ['PodReadyToStartContainers', 'Initialized', 'Ready', 'ContainersReady', 'PodScheduled']) {
    assert.equal(condition(s, type), 'True', type);
  }
  assert.equal(s.observedGeneration, 1);
});

test('a container that keeps ending waits, and tells how it ended', () => {
  const waiting = { reason: 'CrashLoopBackOff', message: 'back-off 10s' };
  const s = status(aPod(), observed([over('main', 1, { restartCount: 3 })]), { waiting: () => waiting });
  const c = s.containerStatuses![0]!;
  assert.deepEqual(c.state, { waiting });
  assert.equal(c.lastState?.terminated?.exitCode, 1);
  assert.equal(c.lastState?.terminated?.reason, 'Error');
  assert.deepEqual([c.restartCount, c.ready, s.phase], [3, false, 'Running']);
});

test('the state before the present one is the last state', () => {
  const found = observed([
    seen('main', { id: 'new', restartCount: 1 }),
    over('main', 137, { id: 'old', reason: 'OOMKilled' }),
  ]);
  const last = status(aPod(), found).containerStatuses![0]!.lastState?.terminated;
  assert.deepEqual([last?.exitCode, last?.reason, last?.containerID], [137, 'OOMKilled', 'containerd://old']);
});

test('phases of pods that end', () => {
  const phase = (restartPolicy: 'Always' | 'OnFailure' | 'Never', exitCode: number, ending = false) =>
    status(aPod({ restartPolicy }), observed([over('main', exitCode)]), { ending }).phase;
  assert.equal(phase('Never', 0), 'Succeeded');
  assert.equal(phase('Never', 1), 'Failed');
  assert.equal(phase('OnFailure', 0), 'Succeeded');
  assert.equal(phase('OnFailure', 1), 'Running');
  assert.equal(phase('Always', 0), 'Running');
  assert.equal(phase('Always', 0, true), 'Succeeded');
  assert.equal(phase('Always', 1, true), 'Failed');
});

test('a terminal phase is never left, and its conditions say so', () => {
  const pod = { ...aPod({ restartPolicy: 'Never' }), status: { phase: 'Succeeded' as const } };
  const s = status(pod, observed([seen('main')]));
  assert.equal(s.phase, 'Succeeded');
  const ready = s.conditions?.find((c) => c.type === 'Ready');
  assert.deepEqual([ready?.status, ready?.reason], ['False', 'PodCompleted']);
});

test('a pod that was given up has failed for that reason', () => {
  const failure = { reason: 'DeadlineExceeded', message: 'too long' };
  const s = status(aPod(), observed([seen('main')]), { failure });
  assert.deepEqual([s.phase, s.reason, s.message], ['Failed', 'DeadlineExceeded', 'too long']);
});

test('init containers hold the pod back, failed ones fail it where nothing is retried', () => {
  const spec = { initContainers: [aContainer('a'), aContainer('b')] };
  const s = status(aPod(spec), observed([seen('a')]));
  assert.equal(s.phase, 'Pending');
  assert.equal(condition(s, 'Initialized'), 'False');
  assert.match(
    s.conditions?.find((c) => c.type === 'Initialized')?.message ?? '',
    /^containers with incomplete status: \[a b\]$/,
  );
  assert.deepEqual(s.containerStatuses?.[0]?.state, { waiting: { reason: 'PodInitializing' } });
  assert.equal(status(aPod({ ...spec, restartPolicy: 'Never' }), observed([over('a', 1)])).phase, 'Failed');
  assert.equal(status(aPod(spec), observed([over('a', 1)])).phase, 'Pending');
  const done = status(aPod(spec), observed([seen('main'), over('b', 0), over('a', 0)]));
  assert.deepEqual([done.phase, condition(done, 'Initialized')], ['Running', 'True']);
});

test('a restarting sidecar makes the pod unready, not pending', () => {
  const spec = { initContainers: [aContainer('side', { restartPolicy: 'Always' })] };
  const s = status(aPod(spec), observed([seen('main'), over('side', 1)]));
  assert.deepEqual([s.phase, condition(s, 'Initialized'), condition(s, 'Ready')], ['Running', 'True', 'False']);
});

test('readiness gates', () => {
  const gated = aPod({ readinessGates: [{ conditionType: 'lb.example/attached' }] });
  const s = status(gated, observed([seen('main')]));
  const ready = s.conditions?.find((c) => c.type === 'Ready');
  assert.equal(ready?.reason, 'ReadinessGatesNotReady');
  assert.equal(ready?.message, 'corresponding condition of pod readiness gate "lb.example/attached" does not exist.');
  const open = { ...gated, status: { conditions: [{ type: 'lb.example/attached', status: 'True' }] } };
  const opened = status(open, observed([seen('main')]));
  assert.equal(condition(opened, 'Ready'), 'True');
  assert.equal(condition(opened, 'lb.example/attached'), 'True');
});

test('times of conditions stay while their status stays', () => {
  const first = status(aPod(), observed([seen('main')]));
  const later = status(aPod(), observed([seen('main')]), { previous: first, nowMs: NOW_MS + 60_000 });
  assert.deepEqual(later.conditions, first.conditions);
  const changed = status(aPod(), observed([seen('main')]), {
    previous: first,
    nowMs: NOW_MS + 60_000,
    isReady: () => false,
  });
  const at = (type: string): string | undefined => changed.conditions?.find((c) => c.type === type)?.lastTransitionTime;
  assert.deepEqual([at('Ready'), at('Initialized')], ['2026-01-01T12:01:00Z', '2026-01-01T12:00:00Z']);
});

test('a container that was running and is nowhere any more has ended', () => {
  const before = status(aPod({ restartPolicy: 'Never' }), observed([seen('main')]));
  const s = status(aPod({ restartPolicy: 'Never' }), observed([], [aSandbox()]), { previous: before });
  const last = s.containerStatuses![0]!.lastState?.terminated;
  assert.deepEqual([last?.exitCode, last?.reason], [137, 'ContainerStatusUnknown']);
  assert.equal(s.phase, 'Failed');
});

test("on the host network the pod has the node's addresses", () => {
  const s = status(aPod({ hostNetwork: true }), observed([seen('main')], [aSandbox({ hostNetwork: true, ips: [] })]));
  assert.equal(s.podIP, '192.168.0.1');
});
