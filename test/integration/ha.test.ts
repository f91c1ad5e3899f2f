// Three control planes and three workers as hosts of this machine: what works across them, and what a loss costs.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { Node } from '../../src/api/generated/types.ts';
import type { HttpsClient } from '../../src/client/https.ts';
import { accessFrom, readKubeconfig } from '../../src/client/kubeconfig.ts';
import { Hosts } from '../../src/cluster/ha/hosts.ts';
import type { HaStatus } from '../../src/cluster/ha/status.ts';
import { layoutOf } from '../../src/cluster/layout.ts';
import { Load } from '../../src/drills/failover/load.ts';
import { Connection } from '../../src/drills/probes/connection.ts';
import { isReason, StatusError } from '../../src/machinery/status.ts';
import { realClock, realEnvironment } from '../../src/platform/environment.ts';
import { BUNDLE, eventually, run } from './harness.ts';
import { CLIENT, clientDuring, fetchOnce, RealCluster, WEB_1 } from './real-cluster.ts';
import { adminClient, WriteLoad } from './write-load.ts';

const { signal } = new AbortController();
const POLICY =
  'apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: Metadata\n  verbs: [create]\n' +
  '  resources: [{group: "", resources: [configmaps]}]\n';
/** With the audit's flags, once the directory is known. */
let UP = ['up', '--ha', '--profile', 'fast', '--json'];
const WORKERS = ['worker-1', 'worker-2', 'worker-3'];

let cluster: RealCluster;
let hosts: Hosts;
let nodeUrl: (host: string) => Promise<string>;

async function status(): Promise<HaStatus> {
  const { stdout } = await run(process.execPath, [BUNDLE, 'status', '--json'], { env: cluster.env });
  return (JSON.parse(stdout) as { ha: HaStatus }).ha;
}

/** Everything is as it was asked for again. */
async function allWell(): Promise<HaStatus> {
  return eventually('the cluster is whole', async () => {
    const now = await status();
    assert.deepEqual(now.problems, []);
    return now;
  });
}

async function addressOf(name: string): Promise<string> {
  return (await hosts.hosts()).find((host) => host.name === name)!.address;
}

before(async () => {
  cluster = await RealCluster.prepare('ha');
  const policyFile = join(cluster.directory, 'audit-policy.yaml');
  await writeFile(policyFile, POLICY);
  UP = [...UP, '--audit-policy-file', policyFile, '--audit-log-path', 'audit.log'];
  hosts = new Hosts({ layout: layoutOf(cluster.directory, cluster.name), env: realEnvironment('silent') });
});

after(() => cluster.stop());

describe('up --ha', () => {
  test('up that is killed in the middle is taken up by the next', async (t) => {
    const first = spawn(process.execPath, [BUNDLE, ...UP], {
      env: { ...process.env, ...cluster.env },
      stdio: 'ignore',
    });
    const ended = once(first, 'exit');
    await eventually('some host is on', async () => {
      if (!existsSync(join(cluster.root, 'settings.json'))) return false;
      return (await hosts.hosts()).some((host) => host.isOn);
    });
    first.kill('SIGKILL');
    await ended;
    const began = performance.now();
    await cluster.tsukube(UP);
    t.diagnostic(`ready after ${((performance.now() - began) / 1000).toFixed(1)} s`);
    const now = await allWell();
    assert.deepEqual(now.warnings, []);
    assert.deepEqual([now.tolerates.all, now.holders.length], [1, 1]);
    assert.equal(now.hosts.length, 6);
  });

  test('each server tells of what it was asked in a log of its own', async () => {
    const names = ['cp-1', 'cp-2', 'cp-3'];
    for (const name of names) {
      const url = `https://${await addressOf(name)}:6444`;
      await cluster.kubectl(['--server', url, 'create', 'configmap', `asked-of-${name}`]);
    }
    for (const name of names) {
      const file = join(cluster.root, 'hosts', name, 'audit', 'audit.log');
      await eventually(`${name} has told`, async () => {
        const lines = (await readFile(file, 'utf8')).trim().split('\n');
        const told = lines.map((line) => JSON.parse(line).objectRef.name as string);
        assert.deepEqual(
          told.filter((one) => one.startsWith('asked-of-')),
          [`asked-of-${name}`],
        );
        return true;
      });
    }
  });

  test('at least two nodes are ready and take any pod', async () => {
    const { items } = await cluster.json<{ items: readonly Node[] }>(['get', 'nodes']);
    const free = items.filter(({ spec, status }) => {
      const ready = status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True');
      return ready && !spec.unschedulable && (spec.taints ?? []).every((t) => t.effect === 'PreferNoSchedule');
    });
    assert.deepEqual(free.map((node) => node.metadata.name).sort(), WORKERS);
  });

  test('control planes take no pods that do not ask for it; three replicas answer across hosts', async () => {
    await cluster.loadImages(WEB_1, CLIENT);
    const labels = { app: 'web' };
    const spread = { maxSkew: 1, topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'DoNotSchedule' };
    await cluster.apply(
      {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'web' },
        spec: {
          replicas: 3,
          selector: { matchLabels: labels },
          template: {
            metadata: { labels },
            spec: {
              topologySpreadConstraints: [
                { ...spread, labelSelector: { matchLabels: labels }, nodeTaintsPolicy: 'Honor' },
              ],
              containers: [{ name: 'web', image: WEB_1, readinessProbe: { httpGet: { path: '/', port: 80 } } }],
            },
          },
        },
      },
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'web' },
        spec: { type: 'NodePort', selector: labels, ports: [{ port: 80 }] },
      },
    );
    await cluster.rolledOut('web');
    const { items } = await cluster.json<{ items: { spec: { nodeName: string } }[] }>(['get', 'pods', '-l', 'app=web']);
    assert.deepEqual(items.map((pod) => pod.spec.nodeName).sort(), WORKERS);
    const port = await cluster.field('service web', '{.spec.ports[0].nodePort}');
    nodeUrl = async (host) => `http://${await addressOf(host)}:${port}/`;
    const clusterIp = await cluster.field('service web', '{.spec.clusterIP}');
    const all = (await cluster.pods('app=web')).sort();
    // Node ports on every host, and the service's own address from this machine.
    for (const url of [await nodeUrl('worker-1'), await nodeUrl('cp-2'), `http://${clusterIp}/`]) {
      const seen = new Set<string>();
      await eventually(`all pods answer at ${url}`, async () => {
        seen.add(await fetchOnce(url));
        return seen.size === all.length;
      });
      assert.deepEqual([...seen].sort(), all);
    }
    await cluster.kubectl(['run', 'client', `--image=${CLIENT}`]);
    await cluster.ready('client');
    for (const name of ['web.default.svc.cluster.local', clusterIp]) {
      const line = `for i in $(seq 40); do curl -s -m 5 http://${name}/ || echo failed; done`;
      assert.deepEqual([...new Set((await cluster.shell('client', line)).split('\n'))].sort(), all);
    }
    // What the API server itself reaches on another host's kubelet.
    assert.match(await cluster.kubectl(['logs', `pod/${all[0]}`]), /GET \//);
  });
});

describe('losses', () => {
  test('API servers killed under load: no write is lost, and a client that retries once never fails', async (t) => {
    const load = new WriteLoad(cluster, 'default');
    const retrying = await RetryingClient.start(cluster);
    t.after(async () => {
      await load.abandon();
      await retrying.stop();
    });
    const watched = await watchedLoad(t, 'killed');
    await load.start(2, 2);
    await load.reached(20);
    for (const name of ['cp-1', 'cp-2', 'cp-3']) {
      const serving = (await hosts.processes(name)).find(({ component }) => component === 'server')!.pid;
      assert.equal(await hosts.kill(name, 'server'), 1);
      await load.reached(load.acknowledged + 20);
      await allWell();
      const now = (await hosts.processes(name)).find(({ component }) => component === 'server')!.pid;
      assert.notEqual(now, serving);
    }
    await load.stop();
    await load.checkPresent();
    assert.deepEqual(await watched.judge(signal), []);
    const { requests, retried, failed, longestMs } = await retrying.stop();
    t.diagnostic(
      `${load.acknowledged} writes acknowledged; ${requests} requests, ${retried} retried, longest ${longestMs} ms`,
    );
    assert.deepEqual(failed, []);
    assert.ok(requests > 50, `${requests} requests`);
  });

  test('the host with the address loses its power: the address moves, services and writes go on', async (t) => {
    const [holder = ''] = (await status()).holders;
    const client = await adminClient(cluster);
    t.after(() => client.close());
    const load = await watchedLoad(t, 'off');
    const offMs = performance.now();
    const report = await clientDuring(await nodeUrl('worker-2'), async () => {
      await hosts.powerOff(holder, signal);
      await eventually('a write is taken', () => write(client, `moved-${holder}`));
    });
    assert.deepEqual(report.failed, []);
    const now = await status();
    assert.equal(now.holders.length, 1);
    assert.notEqual(now.holders[0], holder);
    assert.deepEqual([now.tolerates.all, now.isAvailable], [0, true]);
    assert.ok(now.problems.includes(`host ${holder} is off`));
    await hosts.powerOn(holder, signal);
    assert.equal((await allWell()).tolerates.all, 1);
    assert.notEqual((await status()).holders[0], holder, 'the address stays where it is');
    const { writesGoneMs, readsGoneMs, failed, asked } = load.seen(offMs, performance.now());
    const gone = `gone: writes ${Math.round(writesGoneMs)} ms, reads ${Math.round(readsGoneMs)} ms`;
    t.diagnostic(`${gone}; ${failed} of ${asked} requests failed twice`);
    assert.deepEqual(await load.judge(signal), []);
  });

  test('without a quorum writes are refused clearly, and what is known can be read', async (t) => {
    const client = await adminClient(cluster);
    t.after(() => client.close());
    await write(client, 'before');
    const [holder = ''] = (await status()).holders;
    const lost = ['cp-1', 'cp-2', 'cp-3'].filter((name) => name !== holder);
    await Promise.all(lost.map((name) => hosts.powerOff(name, signal)));
    t.after(() => Promise.all(lost.map((name) => hosts.powerOn(name, signal))));
    await eventually('a read of what is known is answered', async () => {
      const path = '/api/v1/namespaces/default/configmaps?resourceVersion=0';
      const { items } = (await client.request('GET', path)) as { items: { metadata: { name: string } }[] };
      return items.some((item) => item.metadata.name === 'before');
    });
    // Connections to servers that are gone break at first.
    const refusal = await eventually('a write is refused', () =>
      write(client, 'refused').then(
        () => assert.fail('a write was taken without a quorum'),
        (error: unknown) => error instanceof StatusError && error,
      ),
    );
    assert.ok([503, 504].includes(refusal.code), String(refusal));
    t.diagnostic(`a write is refused with: ${refusal.code} ${refusal.message}`);
    const now = await status();
    assert.deepEqual([now.isAvailable, now.tolerates.etcd], [false, -1]);
    await fetchOnce(await nodeUrl('worker-3'));
    await hosts.powerOn(lost[0]!, signal);
    const backMs = performance.now();
    await eventually('a write is taken again', () => write(client, 'again'));
    t.diagnostic(`writes again ${Math.round(performance.now() - backMs)} ms after the second control plane's start`);
    await hosts.powerOn(lost[1]!, signal);
    await allWell();
  });

  test('a worker loses its power and comes back with its pods, and nothing stale', async () => {
    await hosts.powerOff('worker-1', signal);
    await eventually('its node is seen to be lost', async () => {
      return (await cluster.field('node worker-1', '{.status.conditions[?(@.type=="Ready")].status}')) === 'Unknown';
    });
    await hosts.powerOn('worker-1', signal);
    await allWell();
    await cluster.rolledOut('web');
    await eventually('its service answers there', async () => fetchOnce(await nodeUrl('worker-1')));
  });

  test('the first control plane is destroyed for good and replaced', async (t) => {
    const client = await adminClient(cluster);
    t.after(() => client.close());
    await cluster.tsukube(['host', 'destroy', 'cp-1']);
    await eventually('a write is taken', () => write(client, 'without-the-first'));
    const before = await status();
    assert.match(before.warnings.join(), /etcd counts on member cp-1, whose host was destroyed/);
    await cluster.tsukube(['server', 'join', 'cp-4']);
    const now = await allWell();
    assert.deepEqual([now.warnings, now.tolerates.all], [[], 1]);
    assert.deepEqual(now.members!.map((member) => member.name).sort(), ['cp-2', 'cp-3', 'cp-4']);
    await client.resource('configmaps').get({ namespace: 'default', name: 'before' });
  });

  test('down leaves nothing on the machine', () => cluster.downLeavesNothing());
});

/** Clients that write, read and watch all the time, and whose histories can be judged. Ends with the test. */
async function watchedLoad(t: TestContext, name: string): Promise<Load> {
  const access = await accessFrom(await readKubeconfig(join(cluster.root, 'admin.kubeconfig')));
  const connect = async (pingMs?: number) =>
    new Connection({ access, clock: realClock, connectTimeoutMs: 500, ...(pingMs !== undefined && { pingMs }) });
  const place = { env: { clock: realClock }, namespace: 'default', connect, serviceUrl: nodeUrl };
  const load = await Load.start(place, name, 'worker-2', signal);
  t.after(() => load.close());
  return load;
}

async function write(client: HttpsClient, name: string): Promise<boolean> {
  try {
    await client.resource('configmaps').create({ metadata: { namespace: 'default', name } });
  } catch (error) {
    // An answer that was lost on its way.
    if (!isReason(error, 'AlreadyExists')) throw error;
  }
  return true;
}

interface RetryReport {
  readonly requests: number;
  readonly retried: number;
  readonly failed: readonly string[];
  readonly longestMs: number;
}

/** Patches and reads one object, and asks a second time when a request fails. */
class RetryingClient {
  readonly #client: HttpsClient;
  readonly #stop = new AbortController();
  readonly #done: Promise<RetryReport>;

  private constructor(client: HttpsClient) {
    this.#client = client;
    this.#done = this.#loop();
  }

  static async start(of: RealCluster): Promise<RetryingClient> {
    const client = await adminClient(of);
    await client.resource('configmaps').create({ metadata: { namespace: 'default', name: 'retrying' } });
    return new RetryingClient(client);
  }

  /** Also a second time. */
  async stop(): Promise<RetryReport> {
    this.#stop.abort();
    return this.#done.finally(() => this.#client.close());
  }

  async #loop(): Promise<RetryReport> {
    const failed: string[] = [];
    let [requests, retried, longestMs] = [0, 0, 0];
    const ref = { namespace: 'default', name: 'retrying' };
    const configmaps = this.#client.resource('configmaps');
    while (!this.#stop.signal.aborted) {
      const body = { data: { at: String(requests) } };
      const ask = () => (requests % 2 === 0 ? configmaps.patch(ref, { type: 'merge', body }) : configmaps.get(ref));
      const began = performance.now();
      try {
        await ask().catch((error: unknown) => {
          retried++;
          assert.ok(error);
          return ask();
        });
      } catch (error) {
        failed.push(String(error));
      }
      longestMs = Math.max(longestMs, Math.round(performance.now() - began));
      requests++;
      await pause(20);
    }
    return { requests, retried, failed, longestMs };
  }
}
