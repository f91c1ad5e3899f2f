import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Deployment, Pod, ReplicaSet } from '../api/generated/types.ts';
import { type DeploymentAction, decideDeployment, newestOf } from './deployment.ts';
import {
  DESIRED_REPLICAS,
  isComplete,
  MAX_REPLICAS,
  maxReplicas,
  REVISION,
  REVISION_HISTORY,
} from './deployment-rollout.ts';
import { deploymentStatus } from './deployment-status.ts';

const NOW = Date.UTC(2026, 0, 1);

function deploymentOf(image: string, spec: Partial<Deployment['spec']> = {}): Deployment {
  return {
    metadata: { name: 'web', namespace: 'default', uid: 'd', generation: 1 },
    spec: {
      replicas: 3,
      selector: { matchLabels: { app: 'web' } },
      template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'web', image }] } },
      ...spec,
    },
  };
}

/** A world that holds ReplicaSets whose pods become available when told. */
class World {
  deployment: Deployment;
  sets: { rs: ReplicaSet; available: number }[] = [];
  #serial = 0;

  constructor(deployment: Deployment) {
    this.deployment = deployment;
  }

  get replicaSets(): ReplicaSet[] {
    return this.sets.map(({ rs, available }) => ({
      ...rs,
      status: { replicas: rs.spec.replicas!, readyReplicas: available, availableReplicas: available },
    }));
  }

  get total(): number {
    return this.sets.reduce((n, { rs }) => n + rs.spec.replicas!, 0);
  }

  get available(): number {
    return this.sets.reduce((n, s) => n + s.available, 0);
  }

  step(): readonly DeploymentAction[] {
    const snapshot = { deployment: this.deployment, replicaSets: this.replicaSets, pods: [] as Pod[] };
    const actions = decideDeployment(snapshot);
    for (const action of actions) this.#apply(action);
    const current = this.replicaSets;
    const newest = newestOf({ ...snapshot, replicaSets: current });
    const old = current.filter((rs) => rs !== newest);
    this.deployment = { ...this.deployment, status: deploymentStatus(this.deployment, newest, old, NOW) };
    return actions;
  }

  #apply(action: DeploymentAction): void {
    if (action.type === 'create') this.#create(action);
    if (action.type === 'revise') {
      const annotations = { ...this.deployment.metadata.annotations, [REVISION]: action.revision };
      this.deployment = { ...this.deployment, metadata: { ...this.deployment.metadata, annotations } };
    }
    if (!('replicaSet' in action)) return;
    const entry = this.sets.find(({ rs }) => rs.metadata.name === action.replicaSet.metadata.name)!;
    if (action.type === 'remove') this.sets = this.sets.filter((s) => s !== entry);
    if (action.type === 'annotate') entry.rs = annotated(entry.rs, action.annotations);
    if (action.type === 'scale') {
      entry.rs = annotated(entry.rs, this.#sizes());
      // What is not available goes first, as the ReplicaSet controller does it.
      entry.available = Math.min(entry.available, action.replicas);
      entry.rs = { ...entry.rs, spec: { ...entry.rs.spec, replicas: action.replicas } };
    }
  }

  #create(action: Extract<DeploymentAction, { type: 'create' }>): void {
    const name = `web-${this.#serial++}`;
    const annotations = { [REVISION]: action.revision, ...this.#sizes() };
    const { template, selector } = this.deployment.spec;
    this.sets.push({
      rs: { metadata: { name, uid: name, annotations }, spec: { replicas: action.replicas, selector, template } },
      available: 0,
    });
  }

  #sizes(): { [key: string]: string } {
    const desired = String(this.deployment.spec.replicas);
    return { [DESIRED_REPLICAS]: desired, [MAX_REPLICAS]: String(maxReplicas(this.deployment)) };
  }

  becomeAvailable(pick: number): void {
    const waiting = this.sets.filter(({ rs, available }) => available < rs.spec.replicas!);
    const entry = waiting[pick % Math.max(1, waiting.length)];
    if (entry) entry.available++;
  }

  settle(): void {
    for (let i = 0; i < 500; i++) {
      const acted = this.step().length;
      const before = this.available;
      this.becomeAvailable(0);
      if (acted === 0 && this.available === before) return;
    }
    assert.fail('did not settle');
  }
}

function annotated(rs: ReplicaSet, annotations: { readonly [key: string]: string }): ReplicaSet {
  return { ...rs, metadata: { ...rs.metadata, annotations: { ...rs.metadata.annotations, ...annotations } } };
}

function rollTo(world: World, image: string): void {
  const { metadata, spec } = deploymentOf(image, world.deployment.spec);
  const template = { ...spec.template, spec: { containers: [{ name: 'web', image }] } };
  world.deployment = {
    ...world.deployment,
    metadata: { ...world.deployment.metadata, generation: (metadata.generation ?? 0) + 1 },
    spec: { ...spec, template },
  };
}

test('a rolling update never has more pods than replicas + surge nor fewer available than replicas - unavailable', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 12 }),
      fc.oneof(fc.integer({ min: 0, max: 4 }), fc.constantFrom('0%', '25%', '60%', '100%')),
      fc.oneof(fc.integer({ min: 0, max: 4 }), fc.constantFrom('0%', '25%', '60%', '100%')),
      fc.array(fc.nat(10), { maxLength: 60 }),
      (replicas, maxSurge, maxUnavailable, picks) => {
        fc.pre(!/^0%?$/.test(String(maxSurge)) || !/^0%?$/.test(String(maxUnavailable)));
        const strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge, maxUnavailable } } as const;
        const world = new World(deploymentOf('a', { replicas, strategy }));
        world.settle();
        assert.equal(world.available, replicas);
        rollTo(world, 'b');
        const surge = maxReplicas(world.deployment);
        const gone =
          typeof maxUnavailable === 'number'
            ? maxUnavailable
            : Math.floor((Number.parseInt(maxUnavailable, 10) * replicas) / 100);
        const floor = replicas - Math.max(gone, surge === replicas ? Math.max(1, gone) : gone);
        for (const pick of picks) {
          world.step();
          assert.ok(world.total <= surge, `${world.total} pods where ${surge} may be`);
          assert.ok(world.available >= floor, `${world.available} available where ${floor} must be`);
          world.becomeAvailable(pick);
        }
        world.settle();
        assert.ok(isComplete(world.deployment, world.deployment.status!));
        assert.equal(
          newestOf({ deployment: world.deployment, replicaSets: world.replicaSets, pods: [] })?.spec.replicas,
          replicas,
        );
        assert.equal(world.total, replicas);
      },
    ),
  );
});

test('a rollback takes the old ReplicaSet up again, with a new revision and a history', () => {
  const world = new World(deploymentOf('a'));
  world.settle();
  rollTo(world, 'b');
  world.settle();
  rollTo(world, 'a');
  world.settle();
  assert.equal(world.sets.length, 2);
  const newest = newestOf({ deployment: world.deployment, replicaSets: world.replicaSets, pods: [] })!;
  assert.equal(newest.metadata.name, 'web-0');
  assert.equal(newest.metadata.annotations?.[REVISION], '3');
  assert.equal(newest.metadata.annotations?.[REVISION_HISTORY], '1');
  assert.equal(world.deployment.metadata.annotations?.[REVISION], '3');
});

test('revisions beyond 2^53 are counted exactly', () => {
  const world = new World(deploymentOf('a'));
  world.settle();
  rollTo(world, 'b');
  const [old] = world.replicaSets;
  const metadata = { ...old!.metadata, annotations: { [REVISION]: '3546343826724305832' } };
  const replicaSets = [{ ...old!, metadata }];
  const [made] = decideDeployment({ deployment: world.deployment, replicaSets, pods: [] });
  assert.deepEqual(made, { type: 'create', replicas: 1, revision: '3546343826724305833' });
});

test('a template that never becomes available leaves what serves in place', () => {
  const world = new World(deploymentOf('a', { replicas: 4 }));
  world.settle();
  rollTo(world, 'broken');
  for (let i = 0; i < 20; i++) world.step();
  assert.equal(world.available, 3);
  assert.equal(world.total, 5);
});

test('old ReplicaSets beyond the history limit go, lowest revision first', () => {
  const world = new World(deploymentOf('a', { revisionHistoryLimit: 1 }));
  world.settle();
  for (const image of ['b', 'c']) {
    rollTo(world, image);
    world.settle();
  }
  assert.deepEqual(
    world.sets.map(({ rs }) => rs.metadata.annotations?.[REVISION]),
    ['2', '3'],
  );
});

test('scaling in the middle of a rollout is spread in proportion', () => {
  const strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } } as const;
  const world = new World(deploymentOf('a', { replicas: 10, strategy }));
  world.settle();
  rollTo(world, 'b');
  for (let i = 0; i < 5; i++) world.step();
  assert.deepEqual(
    world.sets.map(({ rs }) => rs.spec.replicas),
    [8, 5],
  );
  world.deployment = { ...world.deployment, spec: { ...world.deployment.spec, replicas: 15 } };
  world.step();
  assert.deepEqual(
    world.sets.map(({ rs }) => rs.spec.replicas),
    [11, 7],
  );
});

test('a paused deployment creates nothing', () => {
  const { deployment } = new World(deploymentOf('a', { paused: true }));
  assert.deepEqual(decideDeployment({ deployment, replicaSets: [], pods: [] }), []);
});

test('Recreate makes the first new pod only when the last old one is gone', () => {
  const world = new World(deploymentOf('a', { strategy: { type: 'Recreate' } }));
  world.settle();
  rollTo(world, 'b');
  assert.deepEqual(
    world.step().map((a) => a.type),
    ['scale'],
  );
  const replicaSets = world.replicaSets;
  const pod: Pod = {
    metadata: {
      name: 'x',
      ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-0', uid: 'web-0', controller: true }],
    },
    spec: { containers: [] },
  };
  assert.deepEqual(decideDeployment({ deployment: world.deployment, replicaSets, pods: [pod] }), []);
  const actions = decideDeployment({ deployment: world.deployment, replicaSets, pods: [] });
  assert.deepEqual(actions, [{ type: 'create', replicas: 3, revision: '2' }]);
});

test('the progress deadline turns Progressing to False once, and progress turns it back', () => {
  const base = deploymentOf('a', { progressDeadlineSeconds: 60 });
  const started = {
    type: 'Progressing',
    status: 'True',
    reason: 'NewReplicaSetCreated',
    lastUpdateTime: '2026-01-01T00:00:00Z',
  };
  const deployment: Deployment = { ...base, status: { conditions: [started] } };
  const rs: ReplicaSet = {
    metadata: { name: 'web-1' },
    spec: { replicas: 3, selector: base.spec.selector, template: base.spec.template },
  };
  const reasonAt = (seconds: number, of = deployment, set = rs): string | undefined =>
    deploymentStatus(of, set, [], NOW + seconds * 1000).conditions?.find((c) => c.type === 'Progressing')?.reason;
  assert.equal(reasonAt(59), 'NewReplicaSetCreated');
  assert.equal(reasonAt(61), 'ProgressDeadlineExceeded');
  const moved: ReplicaSet = { ...rs, status: { replicas: 3, readyReplicas: 1, availableReplicas: 1 } };
  assert.equal(reasonAt(61, deployment, moved), 'ReplicaSetUpdated');
});
