import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Job, JobStatus, Pod } from '../api/generated/types.ts';
import { validateJobStatusUpdate } from '../apiserver/strategies/job-status.ts';
import { decideJob, type Failures, isFinished, settleStatus } from './job-decision.ts';
import { completionIndex, formatIndexes, parseIndexes } from './job-indexes.ts';
import { isTracked, jobPod, TRACKING } from './job-pods.ts';

/** Pods that end when the world is told so; what loses its finalizer while it is deleted is gone. */
class World {
  job: Job;
  pods: Pod[] = [];
  nowMs = Date.UTC(2026, 0, 1);
  failures: Failures | undefined;
  ended = { succeeded: 0, failed: 0 };
  #serial = 0;

  constructor(spec: Partial<Job['spec']>) {
    const template = { metadata: { labels: { app: 'j' } }, spec: { containers: [{ name: 'c', image: 'i' }] } };
    this.job = { metadata: { name: 'j', namespace: 'default', uid: 'u' }, spec: { template, ...spec } };
  }

  get active(): readonly Pod[] {
    return this.pods.filter((pod) => pod.status?.phase === 'Running' && !pod.metadata.deletionTimestamp);
  }

  step(): void {
    const { job, pods, nowMs, failures } = this;
    if (isFinished(job)) return;
    const decision = decideJob({ job, pods, nowMs, failures });
    const counting = this.#write(job, decision.status);
    for (const one of decision.create) {
      const pod = jobPod(job, one);
      const name = `p${this.#serial++}`;
      const creationTimestamp = new Date(nowMs).toISOString();
      const metadata = { ...pod.metadata, name, uid: name, creationTimestamp };
      this.pods.push({ ...pod, metadata, status: { phase: 'Running' } });
    }
    this.failures = decision.failures;
    this.#change(decision.remove, (pod) => this.#deleting(this.#untracked(pod)));
    this.#change(decision.stop, (pod) => this.#deleting(pod));
    // A pod that ends by being stopped has failed, unless the Job had succeeded.
    if (decision.outcome?.type === 'Failed') this.ended.failed += decision.stop.length;
    this.#change(decision.untrack, (pod) => this.#untracked(pod));
    const tracked = new Set(this.pods.filter(isTracked).map((pod) => pod.metadata.uid!));
    this.job = this.#write(counting, settleStatus(decision.status, tracked, decision.outcome, nowMs));
  }

  /** As the API takes it. */
  #write(before: Job, status: JobStatus): Job {
    const job = { ...before, status };
    assert.deepEqual(validateJobStatusUpdate(job, before), []);
    return job;
  }

  #change(which: readonly Pod[], how: (pod: Pod) => Pod): void {
    const uids = new Set(which.map((pod) => pod.metadata.uid));
    this.pods = this.pods.map((pod) => (uids.has(pod.metadata.uid) ? how(pod) : pod));
  }

  #untracked(pod: Pod): Pod {
    const finalizers = (pod.metadata.finalizers ?? []).filter((one) => one !== TRACKING);
    return { ...pod, metadata: { ...pod.metadata, finalizers } };
  }

  #deleting(pod: Pod): Pod {
    return { ...pod, metadata: { ...pod.metadata, deletionTimestamp: new Date(this.nowMs).toISOString() } };
  }

  /** Some running pods end, and what is deleted and counted vanishes. */
  turn(dice: () => number): void {
    this.nowMs += 600_000;
    this.pods = this.pods
      .filter((pod) => !(pod.metadata.deletionTimestamp && !isTracked(pod)))
      .map((pod) => {
        if (pod.status?.phase !== 'Running' || pod.metadata.deletionTimestamp) return pod;
        const roll = dice();
        if (roll === 0) return pod;
        const phase = roll === 1 ? ('Failed' as const) : ('Succeeded' as const);
        this.ended[roll === 1 ? 'failed' : 'succeeded']++;
        return { ...pod, status: { phase } };
      });
  }
}

const dice = fc.infiniteStream(fc.nat(3));

test('a Job ends with every pod counted once, and never runs more than it may', () => {
  const shape = fc.record({
    parallelism: fc.integer({ min: 1, max: 5 }),
    completions: fc.integer({ min: 1, max: 9 }),
    backoffLimit: fc.nat(6),
    indexed: fc.boolean(),
  });
  fc.assert(
    fc.property(shape, dice, ({ indexed, ...spec }, stream) => {
      const world = new World({ ...spec, completionMode: indexed ? 'Indexed' : 'NonIndexed' });
      for (let steps = 0; !isFinished(world.job); steps++) {
        assert.ok(steps < 500, 'it does not end');
        world.step();
        assert.ok(world.active.length <= spec.parallelism);
        const indexes = world.active.map(completionIndex);
        if (indexed) assert.equal(new Set(indexes).size, indexes.length, 'two pods of an index');
        world.turn(() => stream.next().value as number);
      }
      const { status } = world.job;
      const complete = status?.conditions?.some((c) => c.type === 'Complete');
      assert.deepEqual(status?.uncountedTerminatedPods, {});
      assert.equal(world.pods.filter(isTracked).length, 0);
      assert.equal(complete, (status?.succeeded ?? 0) >= spec.completions);
      if (!complete) assert.ok((status?.failed ?? 0) > spec.backoffLimit);
      if (complete) assert.equal(status?.succeeded, spec.completions);
      if (complete) assert.equal(status?.failed, world.ended.failed);
      if (indexed && complete)
        assert.equal(status?.completedIndexes, formatIndexes([...Array(spec.completions).keys()]));
    }),
    { numRuns: 300 },
  );
});

test('with a limit for every index each index fails by itself, after as many tries as it has', () => {
  const shape = fc.record({ completions: fc.integer({ min: 1, max: 6 }), limit: fc.nat(2), bad: fc.nat(63) });
  fc.assert(
    fc.property(shape, ({ completions, limit, bad }) => {
      const isBad = (index: number): boolean => (bad & (1 << index)) !== 0;
      const spec = { completions, parallelism: completions, backoffLimitPerIndex: limit, backoffLimit: 2147483647 };
      const world = new World({ ...spec, completionMode: 'Indexed' });
      for (let steps = 0; !isFinished(world.job); steps++) {
        assert.ok(steps < 100, 'it does not end');
        world.step();
        const order = world.active.map((pod) => (isBad(completionIndex(pod)!) ? 1 : 2));
        world.turn(() => order.shift()!);
      }
      const indexes = [...Array(completions).keys()];
      const failed = indexes.filter(isBad);
      assert.equal(world.job.status?.failedIndexes, formatIndexes(failed));
      assert.equal(world.job.status?.completedIndexes, formatIndexes(indexes.filter((index) => !isBad(index))));
      assert.equal(world.job.status?.failed ?? 0, failed.length * (limit + 1));
      assert.equal(world.job.status?.conditions?.at(-1)?.type, failed.length > 0 ? 'Failed' : 'Complete');
    }),
    { numRuns: 200 },
  );
});

test('an index of which another pod has failed for good has succeeded when it has', () => {
  const spec = { completions: 2, parallelism: 2, backoffLimitPerIndex: 0, backoffLimit: 2147483647 };
  const world = new World({ ...spec, completionMode: 'Indexed' });
  world.step();
  // A second pod of the first index, as a controller makes it that has not seen the first one yet.
  const [first] = world.pods;
  world.pods.push({ ...first!, metadata: { ...first!.metadata, name: 'again', uid: 'again' } });
  const order = [1, 0, 2];
  world.turn(() => order.shift()!);
  world.step();
  assert.deepEqual([world.job.status?.completedIndexes, world.job.status?.failedIndexes], ['0', '']);
});

test('index sets survive being written down', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(40)), (indexes) => {
      assert.deepEqual(parseIndexes(formatIndexes(indexes), 41), new Set(indexes.toSorted((a, b) => a - b)));
    }),
  );
  assert.equal(formatIndexes([7, 1, 3, 4, 5, 9, 10]), '1,3-5,7,9,10');
});
