import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { DaemonSet, Node, Pod } from '../api/generated/types.ts';
import { rfc3339 } from '../lib/clock.ts';
import { daemonStatus, decideDaemonPods } from './daemon-decision.ts';
import { daemonPod, placementOn, targetNode } from './daemon-placement.ts';

const NOW = Date.UTC(2026, 0, 1);

function nodeOf(index: number, taint: string): Node {
  const taints = taint ? [{ key: 'k', effect: taint as 'NoSchedule' }] : [];
  return { metadata: { name: `n${index}`, labels: { zone: index % 2 ? 'a' : 'b' } }, spec: { taints } };
}

function setOf(strategy: DaemonSet['spec']['updateStrategy']): DaemonSet {
  return {
    metadata: { name: 'ds', namespace: 'default', uid: 'u' },
    spec: {
      selector: { matchLabels: { app: 'ds' } },
      template: { metadata: { labels: { app: 'ds' } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
      updateStrategy: strategy,
    },
  };
}

/** Pods that come and go as told; one becomes ready when the world is told so. */
class World {
  pods: Pod[] = [];
  #serial = 0;
  readonly daemonSet: DaemonSet;
  readonly nodes: readonly Node[];

  constructor(daemonSet: DaemonSet, nodes: readonly Node[]) {
    this.daemonSet = daemonSet;
    this.nodes = nodes;
  }

  step(hash: string): number {
    const { create, remove } = decideDaemonPods({ ...this.snapshot(hash), failedDelayMs: () => 0 });
    for (const node of create) {
      const pod = daemonPod(this.daemonSet, hash, node);
      const name = `p${this.#serial++}`;
      this.pods.push({ ...pod, metadata: { ...pod.metadata, name, uid: name }, status: { phase: 'Pending' } });
    }
    this.pods = this.pods.filter((pod) => !remove.includes(pod));
    return create.length + remove.length;
  }

  snapshot(hash: string) {
    return { daemonSet: this.daemonSet, nodes: this.nodes, pods: this.pods, hash, nowMs: NOW };
  }

  ready(which: (pod: Pod, index: number) => boolean): void {
    const conditions = [{ type: 'Ready', status: 'True' as const, lastTransitionTime: rfc3339(NOW - 1000) }];
    this.pods = this.pods.map((pod, i) => {
      if (!which(pod, i)) return pod;
      const nodeName = targetNode(pod)!;
      return { ...pod, spec: { ...pod.spec, nodeName }, status: { phase: 'Running', conditions } };
    });
  }

  get availableNodes(): number {
    return new Set(this.pods.filter((pod) => pod.status?.conditions).map(targetNode)).size;
  }
}

const strategies = fc.record({
  maxUnavailable: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.constantFrom('10%', '50%', '100%')),
  surge: fc.boolean(),
});
const taints = fc.array(fc.constantFrom('', '', '', 'NoSchedule', 'NoExecute'), { minLength: 1, maxLength: 12 });

test('an update ends with one new pod on every suitable node, and stays within its bounds on the way', () => {
  fc.assert(
    fc.property(taints, strategies, fc.infiniteStream(fc.boolean()), (effects, { maxUnavailable, surge }, dice) => {
      const bounds = surge ? { maxSurge: maxUnavailable, maxUnavailable: 0 } : { maxUnavailable, maxSurge: 0 };
      const world = new World(
        setOf({ type: 'RollingUpdate', rollingUpdate: bounds }),
        effects.map((effect, i) => nodeOf(i, effect)),
      );
      const suitable = world.nodes.filter((node) => placementOn(world.daemonSet)(node).shouldRun).length;
      while (world.step('old') > 0) world.ready(() => true);
      assert.equal(world.pods.length, suitable);
      const share = typeof maxUnavailable === 'string' ? (Number.parseInt(maxUnavailable, 10) * suitable) / 100 : 0;
      const allowed = typeof maxUnavailable === 'number' ? maxUnavailable : Math.ceil(share);
      for (let steps = 0; ; steps++) {
        assert.ok(steps < 200, 'the update does not end');
        const moved = world.step('new');
        assert.ok(suitable - world.availableNodes <= (surge ? 0 : allowed), 'too few are available');
        assert.ok(world.pods.length - suitable <= (surge ? allowed : 0), 'too many pods');
        const waiting = world.pods.filter((pod) => !pod.status?.conditions).length;
        if (moved === 0 && waiting === 0) break;
        world.ready(() => dice.next().value);
      }
      assert.deepEqual(
        world.pods.map(targetNode).sort(),
        world.nodes
          .filter((n) => placementOn(world.daemonSet)(n).shouldRun)
          .map((n) => n.metadata.name)
          .sort(),
      );
      const status = daemonStatus(world.snapshot('new'));
      assert.equal(status.updatedNumberScheduled, suitable);
      assert.equal(status.numberAvailable, suitable);
      assert.equal(status.numberMisscheduled, 0);
    }),
    { numRuns: 200 },
  );
});

test('whatever pods there are, what is decided leads to one a node, and then nothing more is decided', () => {
  const stray = fc.record({ node: fc.nat(7), hash: fc.constantFrom('old', 'new'), failed: fc.boolean() });
  fc.assert(
    fc.property(taints, fc.array(stray, { maxLength: 20 }), fc.boolean(), (effects, strays, surge) => {
      const bounds = surge ? { maxSurge: 1, maxUnavailable: 0 } : { maxUnavailable: 1, maxSurge: 0 };
      const world = new World(
        setOf({ type: 'RollingUpdate', rollingUpdate: bounds }),
        effects.map((effect, i) => nodeOf(i, effect)),
      );
      world.pods = strays.map(({ node, hash, failed }, i) => {
        const pod = daemonPod(world.daemonSet, hash, `n${node}`);
        const phase = failed ? ('Failed' as const) : ('Pending' as const);
        return { ...pod, metadata: { ...pod.metadata, name: `s${i}` }, status: { phase } };
      });
      for (let steps = 0; world.step('new') > 0; steps++) {
        assert.ok(steps < 200);
        world.ready((pod) => pod.status?.phase !== 'Failed');
      }
      const placement = placementOn(world.daemonSet);
      for (const node of world.nodes) {
        const here = world.pods.filter((pod) => targetNode(pod) === node.metadata.name);
        const { shouldRun, mayStay } = placement(node);
        assert.ok(here.length <= 1);
        if (shouldRun) assert.equal(here.length, 1);
        if (!mayStay) assert.equal(here.length, 0);
      }
    }),
    { numRuns: 200 },
  );
});
