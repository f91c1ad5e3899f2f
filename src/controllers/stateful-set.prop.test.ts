import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Pod, StatefulSet } from '../api/generated/types.ts';
import { rfc3339 } from '../lib/clock.ts';
import { REVISION_HASH } from './controller-history.ts';
import { decideStatefulPods, statefulStatus } from './stateful-decision.ts';
import { ordinalOf, podName, statefulPod } from './stateful-identity.ts';

const NOW = Date.UTC(2026, 0, 1);

/** Pods that become ready, fail and vanish when the world is told so; a deleted one lingers for a step. */
class World {
  set: StatefulSet;
  pods = new Map<string, Pod>();
  update = 'one';

  constructor(spec: Partial<StatefulSet['spec']>) {
    this.set = {
      metadata: { name: 'db', namespace: 'default', uid: 'u', generation: 1 },
      spec: {
        selector: { matchLabels: { app: 'db' } },
        template: { metadata: { labels: { app: 'db' } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
        ...spec,
      },
    };
  }

  get snapshot() {
    const currentRevision = this.set.status?.currentRevision ?? this.update;
    return { set: this.set, pods: [...this.pods.values()], currentRevision, updateRevision: this.update, nowMs: NOW };
  }

  step(): number {
    const { create, remove } = decideStatefulPods(this.snapshot);
    for (const { ordinal, revision } of create) {
      const name = podName(this.set, ordinal);
      assert.ok(!this.pods.has(name), `a second pod of the name ${name}`);
      const pod = statefulPod(this.set, ordinal, { template: this.set.spec.template, revision });
      this.pods.set(name, { ...pod, status: { phase: 'Pending' } });
    }
    assert.equal(new Set(remove).size, remove.length);
    for (const pod of remove) {
      assert.ok(!pod.metadata.deletionTimestamp, 'deleted twice');
      const metadata = { ...pod.metadata, deletionTimestamp: rfc3339(NOW) };
      this.pods.set(pod.metadata.name, { ...pod, metadata });
    }
    this.set = { ...this.set, status: statefulStatus(this.snapshot, undefined) };
    return create.length + remove.length;
  }

  /** Whatever is under way goes on: for each pod that moves the dice say whether it gets on. */
  turn(dice: () => boolean): void {
    const conditions = [{ type: 'Ready', status: 'True' as const, lastTransitionTime: rfc3339(NOW - 1000) }];
    for (const [name, pod] of this.pods) {
      if (!dice()) continue;
      if (pod.metadata.deletionTimestamp) this.pods.delete(name);
      else if (pod.status?.phase === 'Pending')
        this.pods.set(name, { ...pod, status: { phase: 'Running', conditions } });
    }
  }

  get busy(): boolean {
    return [...this.pods.values()].some((pod) => pod.metadata.deletionTimestamp || pod.status?.phase !== 'Running');
  }

  /** Runs until nothing moves. */
  settle(dice: () => boolean, check?: () => void): void {
    for (let steps = 0; ; steps++) {
      assert.ok(steps < 1000, 'it does not end');
      const moved = this.step();
      check?.();
      if (moved === 0 && !this.busy) return;
      this.turn(dice);
    }
  }
}

const dice = fc.infiniteStream(fc.boolean());
const roll =
  (stream: Stream): (() => boolean) =>
  () =>
    stream.next().value as boolean;
type Stream = { next(): { value: unknown } };

test('scaling: exactly the declared ordinals run at the end, made and deleted in order', () => {
  const sizes = fc.array(fc.nat(7), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(sizes, fc.boolean(), fc.nat(3), dice, (replicas, parallel, start, stream) => {
      const world = new World({ podManagementPolicy: parallel ? 'Parallel' : 'OrderedReady', ordinals: { start } });
      for (const count of replicas) {
        world.set = { ...world.set, spec: { ...world.set.spec, replicas: count } };
        world.settle(roll(stream), () => {
          const moving = [...world.pods.values()].filter((p) => p.metadata.deletionTimestamp || !p.status?.conditions);
          if (!parallel) assert.ok(moving.length <= 1, 'more than one pod moves');
        });
        const found = [...world.pods.values()].map((pod) => ordinalOf(world.set, pod)).sort();
        assert.deepEqual(found, Array.from({ length: count }, (_, i) => start + i).sort());
      }
    }),
    { numRuns: 200 },
  );
});

test('an update replaces what lies above the partition, and no more at once than may be unavailable', () => {
  const shape = fc.record({
    replicas: fc.integer({ min: 1, max: 8 }),
    partition: fc.nat(9),
    maxUnavailable: fc.integer({ min: 1, max: 3 }),
    parallel: fc.boolean(),
  });
  fc.assert(
    fc.property(shape, dice, ({ replicas, partition, maxUnavailable, parallel }, stream) => {
      const updateStrategy = { type: 'RollingUpdate' as const, rollingUpdate: { partition, maxUnavailable } };
      const policy = parallel ? ('Parallel' as const) : ('OrderedReady' as const);
      const world = new World({ replicas, updateStrategy, podManagementPolicy: policy });
      world.settle(roll(stream));
      world.update = 'two';
      world.settle(roll(stream), () => {
        const healthy = [...world.pods.values()].filter((p) => !p.metadata.deletionTimestamp && p.status?.conditions);
        assert.ok(replicas - healthy.length <= maxUnavailable, 'too many are unavailable');
      });
      for (const pod of world.pods.values()) {
        const updated = ordinalOf(world.set, pod)! >= partition;
        assert.equal(pod.metadata.labels?.[REVISION_HASH], updated ? 'two' : 'one');
      }
      const { status } = world.set;
      assert.equal(status?.updatedReplicas, Math.max(0, replicas - partition));
      assert.equal(status?.currentRevision, partition === 0 ? 'two' : 'one');
    }),
    { numRuns: 200 },
  );
});

test('pods that fail or are deleted come back under their names, at the revision that they should have', () => {
  const accident = fc.record({ ordinal: fc.nat(4), failed: fc.boolean() });
  fc.assert(
    fc.property(fc.array(accident, { maxLength: 5 }), fc.nat(5), dice, (accidents, partition, stream) => {
      const rollingUpdate = { partition };
      const world = new World({ replicas: 5, updateStrategy: { type: 'RollingUpdate', rollingUpdate } });
      world.settle(roll(stream));
      world.update = 'two';
      for (const { ordinal, failed } of accidents) {
        const name = podName(world.set, ordinal);
        const pod = world.pods.get(name);
        if (pod && failed) world.pods.set(name, { ...pod, status: { phase: 'Failed' } });
        else world.pods.delete(name);
        world.step();
      }
      world.settle(roll(stream));
      assert.deepEqual([...world.pods.keys()].sort(), ['db-0', 'db-1', 'db-2', 'db-3', 'db-4']);
      for (const pod of world.pods.values()) {
        const updated = ordinalOf(world.set, pod)! >= partition;
        assert.equal(pod.metadata.labels?.[REVISION_HASH], updated ? 'two' : 'one');
      }
    }),
    { numRuns: 200 },
  );
});
