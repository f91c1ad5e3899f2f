// What containers, their logs and their services notice of an agent, a containerd or a server that is killed: nothing.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { killProcess, passingCluster, pidOf } from './crash.ts';
import { eventually, must, REPOSITORY, requireBuilt, type TestCluster } from './harness.ts';
import { clientDuring, fetchOnce, WEB_1 } from './real-cluster.ts';

requireBuilt();

interface PodStatus {
  readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
  readonly status: {
    readonly phase: string;
    readonly podIP?: string;
    readonly containerStatuses?: readonly {
      readonly containerID: string;
      readonly restartCount: number;
      readonly ready: boolean;
      readonly state: { readonly running?: { readonly startedAt: string } };
    }[];
  };
}

/** What must not change of a pod while something beside it is killed. */
async function lives(c: TestCluster): Promise<Record<string, unknown>> {
  const { items } = await c.json<{ items: PodStatus[] }>(['get', 'pods']);
  return Object.fromEntries(
    items.map(({ metadata, status }) => {
      const [container] = status.containerStatuses ?? [];
      const { containerID, restartCount, ready, state } = container!;
      return [
        metadata.name,
        { containerID, restartCount, ready, startedAt: state.running?.startedAt, ip: status.podIP },
      ];
    }),
  );
}

async function loadImage(c: TestCluster): Promise<void> {
  const file = join(c.directory, 'web.tar');
  await must(process.execPath, [join(REPOSITORY, 'scripts', 'make-image.ts'), 'web', WEB_1, file]);
  await c.tsukube(['image', 'load', file]);
}

async function workload(c: TestCluster): Promise<{ url: string; pods: string[] }> {
  await loadImage(c);
  await c.kubectl(['create', 'deployment', 'web', `--image=${WEB_1}`, '--replicas=2']);
  await c.kubectl(['expose', 'deployment', 'web', '--port=80', '--type=NodePort']);
  const count = 'i=0; while true; do echo $i; i=$((i+1)); sleep 0.1; done';
  await c.kubectl(['run', 'counter', `--image=${WEB_1}`, '--command', '--', 'sh', '-c', count]);
  await c.kubectl(['rollout', 'status', 'deployment/web', '--timeout=120s']);
  await c.kubectl(['wait', '--for=condition=Ready', 'pod/counter', '--timeout=120s']);
  const port = await c.kubectl(['get', 'service', 'web', '-o', 'jsonpath={.spec.ports[0].nodePort}']);
  const { server } = JSON.parse(await c.tsukube(['status', '--json'])) as { server: string };
  const url = `http://${new URL(server).hostname}:${port}/`;
  await eventually('the service answers', () => fetchOnce(url));
  return { url, pods: Object.keys(await lives(c)) };
}

/** The counter's lines: every one, in order, from 0. Returns how many. */
async function countedWithoutGap(c: TestCluster): Promise<number> {
  const lines = (await c.kubectl(['logs', 'counter'])).split('\n').map(Number);
  assert.deepEqual(
    lines,
    lines.map((_, i) => i),
  );
  return lines.length;
}

async function execWorks(c: TestCluster, pods: readonly string[]): Promise<void> {
  for (const pod of pods) {
    await eventually(`exec in ${pod}`, async () => (await c.kubectl(['exec', pod, '--', 'hostname'])) === pod);
  }
}

async function containerdPid(c: TestCluster): Promise<number> {
  return Number(await readFile(join('/run/tsukube', c.name, 'containerd.pid'), 'utf8'));
}

interface Drill {
  readonly t: TestContext;
  readonly c: TestCluster;
  readonly url: string;
  readonly pods: readonly string[];
  readonly alive: Readonly<Record<string, unknown>>;
}

/** Breaks something under traffic: no request fails, no container changes, exec and logs work again. */
async function drill({ t, c, url, pods, alive }: Drill, what: string, breakIt: () => Promise<void>): Promise<void> {
  let recoveredMs = 0;
  const report = await clientDuring(url, async () => {
    const startMs = performance.now();
    await breakIt();
    await eventually('the cluster is ready', async () => c.tsukube(['status']));
    await execWorks(c, pods);
    recoveredMs = performance.now() - startMs;
  });
  const lines = await countedWithoutGap(c);
  assert.deepEqual(await lives(c), alive);
  assert.deepEqual([report.failed, report.retried], [[], 0], `${report.requests} requests`);
  t.diagnostic(
    `${what}: exec works again after ${Math.round(recoveredMs)} ms; ${report.requests} requests answered, none failed; ${lines} lines logged`,
  );
}

async function replaced(read: () => Promise<number>, old: number): Promise<void> {
  await eventually('it was started again', async () => (await read()) !== old);
}

for (const split of [false, true]) {
  test(`containers outlive ${split ? 'agent and server' : 'the one process'} and containerd`, async (t) => {
    const c = await passingCluster(t, split ? 'outlive-two' : 'outlive-one', { simulated: false });
    await c.tsukube(['up', '--port', '9202', '--kubelet-port', '9203', ...(split ? ['--split'] : [])]);
    await c.tsukube(['kubectl', 'version']);
    const { url, pods } = await workload(c);
    const d: Drill = { t, c, url, pods, alive: await lives(c) };
    const component = split ? 'agent' : 'server';
    const kill = async (name: string): Promise<void> => {
      const old = await killProcess(c, name);
      await replaced(() => pidOf(c, name), old);
    };
    const killContainerd = async (): Promise<void> => {
      const old = await containerdPid(c);
      process.kill(old, 'SIGKILL');
      await replaced(() => containerdPid(c), old);
    };
    await drill(d, `kill -9 of the ${component}`, () => kill(component));
    await drill(d, 'kill -9 of containerd', killContainerd);
    await drill(d, `kill -9 of both`, async () => {
      await Promise.all([kill(component), killContainerd()]);
    });
    if (split) await drill(d, 'kill -9 of the server', () => kill('server'));
    await drill(d, 'kill -9 of the guards, then up', async () => {
      const before = await pidOf(c, component);
      for (const name of split ? ['server', 'agent'] : ['server']) {
        process.kill(await pidOf(c, `${name}.supervisor`), 'SIGKILL');
      }
      await c.tsukube(['up']);
      assert.notEqual(await pidOf(c, component), before);
    });
    await drill(d, 'up while it runs', async () => {
      const answer = JSON.parse(await c.tsukube(['up', '--json'])) as { alreadyRunning: boolean };
      assert.equal(answer.alreadyRunning, true);
    });
    // The new agent looks after what the old one started.
    const web = pods.find((pod) => pod !== 'counter')!;
    await c.kubectl(['exec', web, '--', 'kill', '1']);
    await eventually('what ended is started again', async () => {
      const { status } = await c.json<PodStatus>(['get', 'pod', web]);
      const [container] = status.containerStatuses ?? [];
      return container?.restartCount === 1 && container.ready;
    });
    await c.tsukube(['down', '--keep-data']);
    await c.tsukube(['up']);
    // Objects are kept, images are not.
    await loadImage(c);
    await eventually('the service answers again', () => fetchOnce(url));
  });
}
