import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Container, Pod } from '../../api/generated/types.ts';
import { decide, type PodActions } from './decide.ts';
import { aContainer, aPod, aSandbox, NO_VERDICTS, observed, over, seen } from './fixtures.ts';
import type { ObservedContainer, ObservedPod, ObservedSandbox } from './observed.ts';

/** A runtime that does at once what it is told, and in which running containers end as the test says. */
class Runtime {
  sandboxes: ObservedSandbox[] = [];
  containers: ObservedContainer[] = [];
  #next = 0;
  readonly started: string[] = [];

  get pod(): ObservedPod {
    return observed(this.containers, this.sandboxes);
  }

  apply(actions: PodActions): void {
    if (actions.killPod) {
      this.containers = this.containers.map((c) =>
        c.state === 'running' ? { ...c, state: 'exited', exitCode: 137 } : c,
      );
      this.sandboxes = this.sandboxes.map((s) => ({ ...s, ready: false }));
    }
    if (actions.createSandbox) {
      this.sandboxes.unshift(aSandbox({ id: `s-${actions.attempt}`, attempt: actions.attempt }));
      return;
    }
    for (const { container } of actions.start) {
      const id = `id-${this.#next++}`;
      this.started.push(container.name);
      this.containers.unshift(seen(container.name, { id, sandboxId: this.sandboxes[0]!.id }));
    }
  }

  end(name: string, exitCode: number): void {
    const at = this.containers.findIndex((c) => c.name === name && c.state === 'running');
    if (at >= 0)
      this.containers[at] = over(name, exitCode, {
        id: this.containers[at]!.id,
        sandboxId: this.containers[at]!.sandboxId,
      });
  }
}

const pods = fc.record({
  restartPolicy: fc.constantFrom('Always' as const, 'OnFailure' as const, 'Never' as const),
  init: fc.array(fc.boolean(), { maxLength: 3 }),
  regular: fc.integer({ min: 1, max: 3 }),
});

function build({ restartPolicy, init, regular }: { restartPolicy: 'Always'; init: boolean[]; regular: number }): Pod {
  const initContainers: Container[] = init.map((sidecar, i) =>
    aContainer(`i${i}`, sidecar ? { restartPolicy: 'Always' } : {}),
  );
  const containers = Array.from({ length: regular }, (_, i) => aContainer(`c${i}`));
  return aPod({ restartPolicy, initContainers, containers });
}

const isRunning = (runtime: Runtime, name: string): boolean =>
  runtime.containers.some((c) => c.name === name && c.state === 'running');

test('init containers never run together or out of turn, and nothing starts twice', () => {
  const events = fc.array(fc.tuple(fc.constantFrom('i0', 'i1', 'i2', 'c0', 'c1', 'c2'), fc.constantFrom(0, 1)), {
    maxLength: 25,
  });
  fc.assert(
    fc.property(pods, events, (shape, endings) => {
      const pod = build(shape as Parameters<typeof build>[0]);
      const runtime = new Runtime();
      for (const [name, exitCode] of [...endings, ['none', 0] as const]) {
        for (let i = 0; i < 8; i++) {
          const actions = decide(pod, runtime.pod, NO_VERDICTS);
          for (const { container } of actions.start) {
            if (!actions.createSandbox)
              assert.ok(!isRunning(runtime, container.name), `${container.name} started twice`);
          }
          runtime.apply(actions);
          const plain = pod.spec.initContainers!.filter((c) => c.restartPolicy !== 'Always');
          const initRunning = plain.filter((c) => isRunning(runtime, c.name));
          assert.ok(initRunning.length <= 1, 'two init containers run');
          const regularRunning = pod.spec.containers.some((c) => isRunning(runtime, c.name));
          assert.ok(
            !(regularRunning && initRunning.length > 0),
            'a container runs before its init containers are done',
          );
        }
        runtime.end(name, exitCode);
      }
    }),
  );
});

test('what is left alone settles: after a few rounds nothing more is done', () => {
  fc.assert(
    fc.property(pods, (shape) => {
      const pod = build(shape as Parameters<typeof build>[0]);
      const runtime = new Runtime();
      for (let round = 0; round < 30; round++) {
        runtime.apply(decide(pod, runtime.pod, NO_VERDICTS));
        for (const c of pod.spec.initContainers!) if (c.restartPolicy !== 'Always') runtime.end(c.name, 0);
      }
      const actions = decide(pod, runtime.pod, NO_VERDICTS);
      assert.deepEqual([actions.killPod, actions.createSandbox, actions.kill, actions.start], [false, false, [], []]);
      for (const c of pod.spec.containers) assert.ok(isRunning(runtime, c.name));
    }),
  );
});
