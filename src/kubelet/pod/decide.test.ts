import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide, type PodActions, type Verdicts } from './decide.ts';
import { aContainer, aPod, aSandbox, NO_VERDICTS, observed, over, seen } from './fixtures.ts';

const starts = (actions: PodActions): string[] => actions.start.map((s) => s.container.name);
const verdicts = (more: Partial<Verdicts>): Verdicts => ({ ...NO_VERDICTS, ...more });

test('a new pod gets a sandbox, and its containers once that is there', () => {
  const first = decide(aPod(), observed([], []), NO_VERDICTS);
  assert.equal(first.createSandbox, true);
  assert.equal(first.attempt, 0);
  const second = decide(aPod(), observed([]), NO_VERDICTS);
  assert.equal(second.createSandbox, false);
  assert.equal(second.killPod, false);
  assert.deepEqual(starts(second), ['main']);
});

test('a pod whose containers all run is left alone', () => {
  const actions = decide(aPod(), observed([seen('main')]), NO_VERDICTS);
  assert.deepEqual([actions.killPod, actions.createSandbox, actions.kill, actions.start], [false, false, [], []]);
});

test('a sandbox that is lost, has no address or has the wrong network is replaced', () => {
  for (const sandbox of [aSandbox({ ready: false }), aSandbox({ ips: [] }), aSandbox({ hostNetwork: true })]) {
    const actions = decide(aPod(), observed([over('main', 255)], [sandbox]), NO_VERDICTS);
    assert.deepEqual([actions.killPod, actions.createSandbox, actions.attempt], [true, true, 1]);
  }
  const host = decide(
    aPod({ hostNetwork: true }),
    observed([], [aSandbox({ hostNetwork: true, ips: [] })]),
    NO_VERDICTS,
  );
  assert.equal(host.createSandbox, false);
});

test('a lost sandbox is not replaced for what is not to run again', () => {
  const lost = [aSandbox({ ready: false })];
  assert.equal(
    decide(aPod({ restartPolicy: 'Never' }), observed([over('main', 1)], lost), NO_VERDICTS).createSandbox,
    false,
  );
  assert.equal(
    decide(aPod({ restartPolicy: 'OnFailure' }), observed([over('main', 0)], lost), NO_VERDICTS).createSandbox,
    false,
  );
  assert.equal(
    decide(aPod({ restartPolicy: 'OnFailure' }), observed([over('main', 1)], lost), NO_VERDICTS).createSandbox,
    true,
  );
});

test('restart policies', () => {
  const again = (restartPolicy: 'Always' | 'OnFailure' | 'Never', exitCode: number): boolean => {
    const actions = decide(aPod({ restartPolicy }), observed([over('main', exitCode)]), NO_VERDICTS);
    // What is not started again ends the pod.
    assert.equal(actions.killPod, actions.start.length === 0);
    return actions.start.length > 0;
  };
  assert.deepEqual([again('Always', 0), again('Always', 1)], [true, true]);
  assert.deepEqual([again('OnFailure', 0), again('OnFailure', 1)], [false, true]);
  assert.deepEqual([again('Never', 0), again('Never', 1)], [false, false]);
});

test('a container may have a restart policy and rules of its own', () => {
  const rules = [{ action: 'Restart', exitCodes: { operator: 'In', values: [42] } }];
  const pod = aPod({
    restartPolicy: 'Never',
    containers: [aContainer('main', { restartPolicy: 'Never', restartPolicyRules: rules }), aContainer('other')],
  });
  assert.deepEqual(starts(decide(pod, observed([over('main', 42), seen('other')]), NO_VERDICTS)), ['main']);
  assert.deepEqual(starts(decide(pod, observed([over('main', 1), seen('other')]), NO_VERDICTS)), []);
});

test('init containers run one after the other', () => {
  const pod = aPod({ initContainers: [aContainer('a'), aContainer('b')] });
  assert.deepEqual(starts(decide(pod, observed([], []), NO_VERDICTS)), ['a']);
  assert.deepEqual(starts(decide(pod, observed([]), NO_VERDICTS)), ['a']);
  assert.deepEqual(starts(decide(pod, observed([seen('a')]), NO_VERDICTS)), []);
  assert.deepEqual(starts(decide(pod, observed([over('a', 0)]), NO_VERDICTS)), ['b']);
  assert.deepEqual(starts(decide(pod, observed([over('a', 1)]), NO_VERDICTS)), ['a']);
  assert.deepEqual(starts(decide(pod, observed([over('b', 0), over('a', 0)]), NO_VERDICTS)), ['main']);
  // The first may have been collected.
  assert.deepEqual(starts(decide(pod, observed([over('b', 0)]), NO_VERDICTS)), ['main']);
});

test('a failed init container ends a pod that is not restarted', () => {
  const pod = aPod({ restartPolicy: 'Never', initContainers: [aContainer('a')] });
  const actions = decide(pod, observed([over('a', 1)]), NO_VERDICTS);
  assert.deepEqual([actions.killPod, actions.start], [true, []]);
});

test('init containers run again in a new sandbox', () => {
  const pod = aPod({ initContainers: [aContainer('a')] });
  const old = [over('main', 255), over('a', 0)];
  const actions = decide(
    pod,
    observed(old, [aSandbox({ id: 's-1', attempt: 1 }), aSandbox({ ready: false })]),
    NO_VERDICTS,
  );
  assert.deepEqual(starts(actions), ['a']);
});

test('a sidecar lets the next one start once it has started, and is always restarted', () => {
  const startupProbe = { exec: { command: ['true'] } };
  const side = aContainer('side', { restartPolicy: 'Always', startupProbe });
  const pod = aPod({ restartPolicy: 'Never', initContainers: [side, aContainer('b')] });
  assert.deepEqual(starts(decide(pod, observed([seen('side')]), NO_VERDICTS)), []);
  const up = verdicts({ startup: () => 'success' });
  assert.deepEqual(starts(decide(pod, observed([seen('side')]), up)), ['b']);
  assert.deepEqual(starts(decide(pod, observed([over('b', 0), seen('side')]), up)), ['main']);
  assert.deepEqual(starts(decide(pod, observed([seen('main'), over('b', 0), over('side', 1)]), up)), ['side']);
});

test('a sidecar ends with the containers that it serves', () => {
  const pod = aPod({ restartPolicy: 'Never', initContainers: [aContainer('side', { restartPolicy: 'Always' })] });
  const actions = decide(pod, observed([over('main', 0), seen('side')]), NO_VERDICTS);
  assert.equal(actions.killPod, true);
});

test('liveness and startup failures kill, and restart where the policy says so', () => {
  const livenessProbe = { tcpSocket: { port: 80 } };
  const failing = verdicts({ liveness: (id) => (id === 'id-main' ? 'failure' : 'success') });
  const always = aPod({ containers: [aContainer('main', { livenessProbe })] });
  const actions = decide(always, observed([seen('main')]), failing);
  assert.deepEqual(actions.kill, [
    {
      id: 'id-main',
      name: 'main',
      reason: 'livenessProbe',
      message: 'Container main failed liveness probe, will be restarted',
    },
  ]);
  assert.deepEqual(starts(actions), ['main']);
  const never = aPod({
    restartPolicy: 'Never',
    containers: [aContainer('main', { livenessProbe }), aContainer('other')],
  });
  const once = decide(never, observed([seen('main'), seen('other')]), failing);
  assert.deepEqual([once.kill[0]?.message, once.start], ['Container main failed liveness probe', []]);
});

test('a changed image means a new container, even where nothing is restarted', () => {
  const pod = aPod({ restartPolicy: 'Never', containers: [aContainer('main', { image: 'main:2' })] });
  const actions = decide(pod, observed([seen('main')]), NO_VERDICTS);
  assert.equal(actions.kill[0]?.message, 'Container main definition changed, will be restarted');
  assert.deepEqual(starts(actions), ['main']);
});

test('ephemeral containers start once', () => {
  const pod = aPod({ ephemeralContainers: [{ name: 'debug', image: 'debug:1' }] });
  assert.deepEqual(starts(decide(pod, observed([seen('main')]), NO_VERDICTS)), ['debug']);
  assert.deepEqual(starts(decide(pod, observed([seen('main'), over('debug', 0)]), NO_VERDICTS)), []);
});

test('a pod that is being deleted starts nothing', () => {
  const pod = aPod({}, { deletionTimestamp: '2026-01-01T00:00:00Z' });
  assert.deepEqual(starts(decide(pod, observed([over('main', 1)]), NO_VERDICTS)), []);
});
