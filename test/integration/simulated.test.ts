// A cluster of simulated nodes: a hundred of them, and what somebody gets who is not root.
import assert from 'node:assert/strict';
import { chmod, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { passingCluster } from './crash.ts';
import { BUNDLE, eventually, must, requireBuilt, run, type TestCluster } from './harness.ts';

const NODES = 100;
const REPLICAS = 500;
/** Many times what it takes: a hanging cluster fails, a slow machine does not. */
const GENEROUS_MS = 120_000;

requireBuilt();

interface Deployment {
  readonly metadata: { readonly generation: number };
  readonly status: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly availableReplicas?: number;
  };
}

interface Pod {
  readonly metadata: { readonly deletionTimestamp?: string };
  readonly spec: { readonly nodeName?: string; readonly containers: readonly { readonly image: string }[] };
  readonly status: { readonly phase: string; readonly podIP?: string };
}

async function timed(t: TestContext, what: string, work: () => Promise<unknown>): Promise<void> {
  const startMs = performance.now();
  await work();
  t.diagnostic(`${what}: ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
}

function rolledOut(c: TestCluster, replicas: number): Promise<boolean> {
  return eventually(
    `${replicas} replicas are available`,
    async () => {
      const { metadata, status } = await c.json<Deployment>(['get', 'deployment', 'web']);
      const counts = [status.replicas ?? 0, status.updatedReplicas ?? 0, status.availableReplicas ?? 0];
      return status.observedGeneration === metadata.generation && counts.every((count) => count === replicas);
    },
    GENEROUS_MS,
  );
}

async function pods(c: TestCluster): Promise<Pod[]> {
  const { items } = await c.json<{ items: Pod[] }>(['get', 'pods']);
  return items.filter((pod) => !pod.metadata.deletionTimestamp);
}

test(`a Deployment of ${REPLICAS} on ${NODES} simulated nodes`, async (t) => {
  const c = await passingCluster(t, 'simulated', { simulated: true });
  await timed(t, `up with ${NODES} nodes`, () => c.tsukube(['up', '--simulated', String(NODES), '--port', '9204']));
  // The client runs by the path that the kubectl command unpacks it to.
  await c.tsukube(['kubectl', 'version']);
  const nodes = await c.kubectl(['get', 'nodes', '--no-headers']);
  assert.equal(nodes.match(/ Ready /g)?.length, NODES);

  await timed(t, `${REPLICAS} replicas roll out`, async () => {
    await c.kubectl(['create', 'deployment', 'web', '--image=web:1', `--replicas=${REPLICAS}`]);
    await rolledOut(c, REPLICAS);
  });
  const running = await pods(c);
  assert.equal(running.length, REPLICAS);
  assert.ok(running.every(({ status }) => status.phase === 'Running' && status.podIP));
  assert.equal(new Set(running.map(({ status }) => status.podIP)).size, REPLICAS, 'every pod has its own address');
  const perNode = Map.groupBy(running, ({ spec }) => spec.nodeName);
  assert.equal(perNode.size, NODES, 'every node runs some');
  const most = Math.max(...[...perNode.values()].map((list) => list.length));
  assert.ok(most <= (2 * REPLICAS) / NODES, `a node runs ${most}`);

  await timed(t, 'rolling update of all', async () => {
    await c.kubectl(['set', 'image', 'deployment/web', 'web=web:2']);
    await rolledOut(c, REPLICAS);
  });
  const updated = await pods(c);
  assert.ok(updated.every(({ spec }) => spec.containers[0]!.image === 'web:2'));
  await timed(t, 'scale to 50', async () => {
    await c.kubectl(['scale', 'deployment/web', '--replicas=50']);
    await rolledOut(c, 50);
    await eventually('50 pods are left', async () => (await pods(c)).length === 50, GENEROUS_MS);
  });
  await timed(t, 'delete', async () => {
    await c.kubectl(['delete', 'deployment/web', '--wait=false']);
    await eventually(
      'no pod and no replica set is left',
      async () => (await c.kubectl(['get', 'pods,replicasets', '-o', 'name'])) === '',
      GENEROUS_MS,
    );
  });
});

test('somebody who is not root is told so, and gets simulated nodes', async (t) => {
  const c = await passingCluster(t, 'nobody', { simulated: true });
  // Nobody needs a directory of theirs, and to read the program.
  const home = join(c.directory, 'home');
  await mkdir(home);
  await chmod(c.directory, 0o755);
  await must('chown', ['nobody', home]);
  const env = {
    HOME: home,
    TSUKUBE_NAME: c.name,
    TSUKUBE_DATA_DIR: join(home, 'clusters'),
    KUBECONFIG: join(home, 'k'),
  };
  const asNobody = (...args: string[]) =>
    run('setpriv', ['--reuid=nobody', '--regid=nogroup', '--clear-groups', process.execPath, BUNDLE, ...args], {
      env,
      timeoutMs: GENEROUS_MS,
    });
  let code: number;
  try {
    const up = await asNobody('up', '--port', '9205');
    assert.equal(up.code, 0, up.stderr);
    assert.match(up.stderr, /Containers need Linux and root; you are not root, so the nodes are simulated/);
    assert.match(up.stdout, /is ready at https:\/\/\S+:9205 with 3 nodes/);
    assert.equal((await asNobody('status')).code, 0);
  } finally {
    ({ code } = await asNobody('down'));
  }
  assert.equal(code, 0);
  assert.deepEqual(await readdir(home), ['k'], 'only their own kubeconfig is left');
});
