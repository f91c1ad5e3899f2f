import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Job, Pod } from '../api/generated/types.ts';
import { jobController } from './job.ts';
import { TRACKING } from './job-pods.ts';
import { judgeFailure, successPolicyMet } from './job-policy.ts';
import type { Controller, ControllerContext } from './runtime.ts';
import type { Running } from './test-controllers.ts';
import { finish, podsOf, settled, withWorkloads } from './test-workloads.ts';
import { ttlAfterFinishedController } from './ttl-after-finished.ts';

function jobOf(spec: Partial<Job['spec']> = {}): Job {
  const template = { spec: { restartPolicy: 'Never' as const, containers: [{ name: 'c', image: 'i' }] } };
  return { metadata: { name: 'work', namespace: 'default' }, spec: { template, ...spec } };
}

const ref = { namespace: 'default', name: 'work' };

async function start(cluster: Running, spec: Partial<Job['spec']>): Promise<void> {
  await cluster.client.resource('jobs.batch').create(jobOf(spec));
  await settled(cluster);
}

const statusOf = async (cluster: Running) => (await cluster.client.resource('jobs.batch').get(ref)).status;
const conditionsOf = async (cluster: Running): Promise<string[]> =>
  ((await statusOf(cluster))?.conditions ?? []).map((c) => `${c.type}: ${c.reason}: ${c.status}`);

test('a Job runs to its completions, counts its pods and lets them go', () =>
  withWorkloads([jobController()], async (cluster) => {
    await start(cluster, { completions: 3, parallelism: 2 });
    const first = await podsOf(cluster);
    assert.deepEqual(
      first.map((pod) => pod.metadata.finalizers),
      [[TRACKING], [TRACKING]],
    );
    assert.equal((await statusOf(cluster))?.active, 2);
    await finish(cluster, 'Succeeded');
    assert.equal((await podsOf(cluster)).length, 3);
    await finish(cluster, 'Succeeded');
    await settled(cluster);
    const status = await statusOf(cluster);
    assert.deepEqual([status?.succeeded, status?.active ?? 0, status?.ready ?? 0], [3, 0, 0]);
    assert.ok(status?.completionTime && status.startTime);
    assert.deepEqual(await conditionsOf(cluster), [
      'SuccessCriteriaMet: CompletionsReached: True',
      'Complete: CompletionsReached: True',
    ]);
    assert.ok((await podsOf(cluster)).every((pod) => (pod.metadata.finalizers ?? []).length === 0));
    assert.ok((await cluster.events()).includes('Completed: Job completed'));
  }));

test('failed pods are replaced after ten seconds, and too many failures end the Job', () =>
  withWorkloads([jobController()], async (cluster) => {
    await start(cluster, { backoffLimit: 1 });
    await finish(cluster, 'Failed');
    assert.equal((await podsOf(cluster)).length, 1);
    await cluster.pass(10_000);
    await settled(cluster);
    assert.equal((await podsOf(cluster)).length, 2);
    await finish(cluster, 'Failed');
    await settled(cluster);
    assert.deepEqual(await conditionsOf(cluster), [
      'FailureTarget: BackoffLimitExceeded: True',
      'Failed: BackoffLimitExceeded: True',
    ]);
    assert.equal((await statusOf(cluster))?.failed, 2);
    assert.ok((await cluster.events()).includes('BackoffLimitExceeded: Job has reached the specified backoff limit'));
  }));

test('an Indexed Job tells every pod its index', () =>
  withWorkloads([jobController()], async (cluster) => {
    await start(cluster, { completions: 3, parallelism: 3, completionMode: 'Indexed' });
    const pods = await podsOf(cluster);
    assert.deepEqual(
      pods.map((pod) => [pod.spec.hostname, pod.metadata.labels?.['batch.kubernetes.io/job-completion-index']]),
      [
        ['work-0', '0'],
        ['work-1', '1'],
        ['work-2', '2'],
      ],
    );
    assert.ok(pods[0]?.spec.containers[0]?.env?.some(({ name }) => name === 'JOB_COMPLETION_INDEX'));
    await finish(cluster, 'Succeeded', (pod) => pod.spec.hostname !== 'work-1');
    assert.equal((await statusOf(cluster))?.completedIndexes, '0,2');
    await finish(cluster, 'Succeeded');
    await settled(cluster);
    assert.equal((await statusOf(cluster))?.completedIndexes, '0-2');
    assert.ok((await conditionsOf(cluster)).includes('Complete: CompletionsReached: True'));
  }));

test('a deadline ends the Job and its pods', () =>
  withWorkloads([jobController()], async (cluster) => {
    await start(cluster, { activeDeadlineSeconds: 5 });
    await cluster.pass(5000);
    await settled(cluster);
    await settled(cluster);
    assert.equal((await podsOf(cluster)).length, 0);
    assert.ok((await conditionsOf(cluster)).includes('Failed: DeadlineExceeded: True'));
  }));

test('a suspended Job has no pods; a resumed one begins anew', () =>
  withWorkloads([jobController()], async (cluster) => {
    const jobs = cluster.client.resource('jobs.batch');
    await start(cluster, { suspend: true, parallelism: 2, completions: 2 });
    assert.equal((await podsOf(cluster)).length, 0);
    assert.deepEqual(await conditionsOf(cluster), ['Suspended: JobSuspended: True']);
    await jobs.patch(ref, { type: 'merge', body: { spec: { suspend: false } } });
    await settled(cluster);
    assert.equal((await podsOf(cluster)).length, 2);
    assert.deepEqual(await conditionsOf(cluster), ['Suspended: JobResumed: False']);
    await jobs.patch(ref, { type: 'merge', body: { spec: { suspend: true } } });
    await settled(cluster);
    assert.equal((await podsOf(cluster)).length, 0);
    assert.equal((await statusOf(cluster))?.failed ?? 0, 0);
    const events = await cluster.events();
    assert.ok(events.includes('Suspended: Job suspended') && events.includes('Resumed: Job resumed'));
  }));

test('pods of a deleted Job do not keep their finalizer', () =>
  withWorkloads([jobController()], async (cluster) => {
    await start(cluster, { parallelism: 2, completions: 2 });
    await cluster.client.resource('jobs.batch').delete(ref, { propagationPolicy: 'Background' });
    await settled(cluster);
    const pods = await podsOf(cluster);
    assert.equal(pods.length, 2);
    assert.ok(pods.every((pod) => (pod.metadata.finalizers ?? []).length === 0));
  }));

test('an ended Job goes when its time is over', () =>
  withWorkloads([jobController(), ttlAfterFinishedController()], async (cluster) => {
    await start(cluster, { ttlSecondsAfterFinished: 30 });
    await finish(cluster, 'Succeeded');
    await settled(cluster);
    const jobs = cluster.client.resource('jobs.batch');
    await cluster.pass(29_000);
    await settled(cluster);
    assert.equal((await jobs.get(ref)).metadata.deletionTimestamp, undefined);
    await cluster.pass(1000);
    await settled(cluster);
    // Foreground: its pods go first, which is the garbage collector's work.
    assert.ok((await jobs.get(ref)).metadata.deletionTimestamp);
  }));

test('the first rule that a failed pod matches decides', () => {
  const rules = [
    { action: 'Ignore' as const, onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
    { action: 'FailJob' as const, onExitCodes: { containerName: 'c', operator: 'In' as const, values: [42] } },
    { action: 'Count' as const, onExitCodes: { operator: 'NotIn' as const, values: [1] } },
  ];
  const job = jobOf({ podFailurePolicy: { rules } });
  const failed = (exitCode: number, conditions: Pod['status'] = {}): Pod => ({
    metadata: { name: 'p', namespace: 'default' },
    spec: { containers: [] },
    status: {
      ...conditions,
      containerStatuses: [
        { name: 'c', image: '', imageID: '', ready: false, restartCount: 0, state: { terminated: { exitCode } } },
      ],
    },
  });
  assert.deepEqual(judgeFailure(job, failed(42)), {
    action: 'FailJob',
    message: 'Container c for pod default/p failed with exit code 42 matching FailJob rule at index 1',
  });
  assert.equal(
    judgeFailure(job, failed(42, { conditions: [{ type: 'DisruptionTarget', status: 'True' }] })).action,
    'Ignore',
  );
  assert.equal(judgeFailure(job, failed(3)).action, 'Count');
  assert.equal(judgeFailure(job, failed(1)).action, undefined);
});

test('a success policy is met by named indexes, by a count, or by a count of named ones', () => {
  const met = (rule: object, succeeded: number[]): string | undefined =>
    successPolicyMet(jobOf({ completions: 6, successPolicy: { rules: [rule] } }), new Set(succeeded));
  assert.equal(met({ succeededIndexes: '0,2-3' }, [0, 2]), undefined);
  assert.equal(met({ succeededIndexes: '0,2-3' }, [0, 2, 3]), 'Matched rules at index 0');
  assert.equal(met({ succeededCount: 2 }, [4, 5]), 'Matched rules at index 0');
  assert.equal(met({ succeededIndexes: '0-3', succeededCount: 2 }, [0, 5]), undefined);
});

/** The controller with a cache of Jobs that shows `held()` when there is one, as one does whose watch is behind. */
function behind(held: () => Job | undefined): Controller {
  const controller = jobController();
  const wrap = (ctx: ControllerContext): ControllerContext => {
    const jobs = ctx.informers.for('jobs.batch');
    const late: typeof jobs = {
      get: (key) => held() ?? jobs.get(key),
      list: (namespace) => jobs.list(namespace),
      byIndex: (index, value) => jobs.byIndex(index, value),
      addIndex: (index, values) => jobs.addIndex(index, values),
      subscribe: (handlers, signal) => jobs.subscribe(handlers, signal),
      synced: true,
      resourceVersion: '',
    };
    const informersFor = (resource: string) =>
      resource === 'jobs.batch' ? late : ctx.informers.for(resource as 'pods');
    return { ...ctx, informers: { ...ctx.informers, for: informersFor as typeof ctx.informers.for } };
  };
  return {
    ...controller,
    watches: (ctx) => controller.watches(ctx),
    reconcile: (ctx, key, signal) => controller.reconcile(wrap(ctx), key, signal),
  };
}

test('a cache that does not show yet what was counted has no pods made for it', async () => {
  let held: Job | undefined;
  await withWorkloads([behind(() => held)], async (cluster) => {
    await start(cluster, { completions: 2, parallelism: 2 });
    held = await cluster.client.resource('jobs.batch').get(ref);
    await finish(cluster, 'Succeeded');
    await cluster.pass(20_000);
    assert.equal((await podsOf(cluster)).length, 2);
    held = undefined;
    await cluster.pass(20_000);
    assert.equal((await statusOf(cluster))?.succeeded, 2);
  });
});

test('a pod that a Job has left behind when it ended can go', () =>
  withWorkloads([jobController()], async (cluster) => {
    await start(cluster, { completions: 1 });
    await finish(cluster, 'Succeeded');
    await settled(cluster);
    const [counted] = await podsOf(cluster);
    const { ownerReferences, labels } = counted!.metadata;
    const metadata = { namespace: 'default', name: 'extra', ownerReferences, labels, finalizers: [TRACKING] };
    const spec = { restartPolicy: 'Never' as const, containers: [{ name: 'c', image: 'i' }] };
    await cluster.client.resource('pods').create({ metadata, spec });
    await settled(cluster);
    const extra = (await podsOf(cluster)).find((pod) => pod.metadata.name === 'extra');
    assert.deepEqual(extra?.metadata.finalizers ?? [], []);
    assert.equal((await statusOf(cluster))?.succeeded, 1);
  }));
