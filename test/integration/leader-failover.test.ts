// Two server processes over one etcd: the one that leads is killed, and another time stopped for a while and continued.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Tables } from '../../src/api/tables.ts';
import type { HttpsClient } from '../../src/client/https.ts';
import { httpsClient } from '../../src/client/https.ts';
import { accessFrom, readKubeconfig } from '../../src/client/kubeconfig.ts';
import { layoutOf } from '../../src/cluster/layout.ts';
import { ensureClusterPki } from '../../src/cluster/pki.ts';
import { PROFILES } from '../../src/cluster/profiles.ts';
import { DEFAULTS, type Settings } from '../../src/cluster/settings.ts';
import { rfc3339Micro } from '../../src/lib/clock.ts';
import { realClock, realEnvironment } from '../../src/platform/environment.ts';
import { Members } from './etcd-members.ts';
import { BUNDLE, eventually, requireBuilt } from './harness.ts';
import { freePort } from './relay.ts';

const NODE = 'worker';
const PROFILE = process.env.TSUKUBE_FAILOVER_PROFILE === 'default' ? 'default' : 'fast';
const REPETITIONS = Number(process.env.TSUKUBE_FAILOVER_REPETITIONS ?? 2);

class Server {
  readonly name: string;
  readonly settings: Settings;
  readonly #directory: string;
  readonly #flags: readonly string[];
  process: ChildProcess | undefined;
  output = '';

  constructor(name: string, port: number, directory: string, flags: readonly string[]) {
    this.name = name;
    this.#directory = directory;
    this.#flags = flags;
    const { port: _, kubeletPort, ...ranges } = DEFAULTS;
    const own = { name, nodeName: name, port, advertiseAddress: '127.0.0.1' };
    this.settings = { ...ranges, ...own, kubeletPort, split: true, simulatedNodes: 0, profile: PROFILE };
  }

  get layout() {
    return layoutOf(this.#directory, this.name);
  }

  start(): void {
    const args = ['server', '--name', this.name, '--data-dir', this.#directory, ...this.#flags];
    const child = spawn(process.execPath, [BUNDLE, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr.on('data', (chunk: Buffer) => {
      this.output = (this.output + chunk.toString()).slice(-20_000);
    });
    this.process = child;
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }
}

describe('two servers over one etcd', () => {
  let directory: string;
  let members: Members;
  let servers: Server[] = [];
  let client: HttpsClient;
  let serial = 0;
  const stop = new AbortController();
  let alive: Promise<void> = Promise.resolve();

  before(async () => {
    requireBuilt();
    const env = realEnvironment('silent');
    directory = await mkdtemp(join(tmpdir(), 'tsukube-failover-'));
    members = await Members.start({ env, count: 1 });
    const file = (name: string): string => join(directory, name);
    await writeFile(file('etcd-ca.crt'), members.tls.ca);
    await writeFile(file('etcd.crt'), members.tls.certificate ?? '');
    await writeFile(file('etcd.key'), members.tls.key ?? '', { mode: 0o600 });
    const tls = [
      '--etcd-cafile',
      file('etcd-ca.crt'),
      '--etcd-certfile',
      file('etcd.crt'),
      '--etcd-keyfile',
      file('etcd.key'),
    ];
    const flags = ['--etcd-servers', members.endpoints.join(','), ...tls, '--shutdown-delay-duration', '0'];
    servers = [
      new Server('one', await freePort(), directory, flags),
      new Server('two', await freePort(), directory, flags),
    ];
    const [first] = servers as [Server, Server];
    for (const server of servers) {
      await mkdir(server.layout.root, { recursive: true });
      await writeFile(server.layout.settings, JSON.stringify(server.settings));
    }
    // One authority for both, as the servers of a cluster have.
    await mkdir(first.layout.pki, { recursive: true });
    await ensureClusterPki(first.layout, first.settings, env);
    await cp(first.layout.pki, servers[1]!.layout.pki, { recursive: true });
    for (const server of servers) server.start();
    const access = await accessFrom(await readKubeconfig(first.layout.adminKubeconfig));
    const urls = servers.map(({ settings }) => `https://127.0.0.1:${settings.port}`);
    const { balancer: timings, connection } = PROFILES.fast;
    client = httpsClient({
      access: { ...access, servers: urls },
      tables: new Tables(),
      clock: realClock,
      ...connection,
      balancer: { timings },
    });
    await eventually('both are ready', async () => (await ready()) === 2);
    await joinNode(client);
    alive = stayAlive(client, stop.signal);
  });
  after(async () => {
    stop.abort();
    await alive;
    client?.close();
    for (const server of servers) await server.end('SIGKILL');
    await members?.stop();
    await rm(directory, { recursive: true, force: true });
  });

  async function ready(): Promise<number> {
    const { items } = await client.resource('leases.coordination.k8s.io').list({
      namespace: 'kube-system',
      labelSelector: 'apiserver.kubernetes.io/identity=kube-apiserver',
    });
    return client.servers().every(({ isHealthy }) => isHealthy) ? items.length : 0;
  }
  async function leader(of: string): Promise<Server | undefined> {
    const lease = await client.resource('leases.coordination.k8s.io').get({ namespace: 'kube-system', name: of });
    return servers.find(({ name }) => lease.spec.holderIdentity?.startsWith(`${name}_`));
  }
  /** Makes a pod; answers how long it waited for its node. */
  async function scheduled(): Promise<number> {
    const begunMs = performance.now();
    const name = `pod-${serial++}`;
    const pod = { metadata: { namespace: 'default', name }, spec: { containers: [{ name: 'c', image: 'i' }] } };
    await eventually('a pod is taken', () => client.resource('pods').create(pod).catch(existing));
    await eventually(
      'a pod gets its node',
      async () => (await client.resource('pods').get(pod.metadata)).spec.nodeName,
    );
    return performance.now() - begunMs;
  }

  it('a leader that is killed is followed; the next pod waits no longer than the profile says', async (t) => {
    await scheduled();
    const waits: number[] = [];
    for (let i = 0; i < REPETITIONS; i++) {
      const old = (await leader('kube-scheduler'))!;
      // Somewhere between two renewals.
      await pause(137 * (i % 4));
      await old.end('SIGKILL');
      waits.push(Math.round(await scheduled()));
      old.start();
      await eventually('the killed one is back', async () => client.servers().every(({ isHealthy }) => isHealthy));
    }
    t.diagnostic(`kill -9 of the leader to the next pod bound, ${PROFILE} profile: ${waits.join(', ')} ms`);
    // The budget says 2 s and is measured by drills on a quiet machine; here only that it is the lease that was waited for.
    const { leaseDurationMs } = PROFILES[PROFILE].election;
    for (const ms of waits) assert.ok(ms < leaseDurationMs + 10_000, `${ms} ms`);
  });

  it('a leader that ends in order is followed at once', async (t) => {
    const old = (await leader('kube-scheduler'))!;
    await old.end('SIGTERM');
    const ms = Math.round(await scheduled());
    t.diagnostic(`SIGTERM of the leader has ended to the next pod bound: ${ms} ms`);
    old.start();
    await eventually('it is back', async () => client.servers().every(({ isHealthy }) => isHealthy));
  });

  it('a leader that was stopped in the middle of its work and continued writes nothing late', async () => {
    const old = (await leader('kube-controller-manager'))!;
    const labels = { app: 'many' };
    const template = { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'i' }] } };
    const spec = { replicas: 40, selector: { matchLabels: labels }, template };
    await client.resource('replicasets.apps').create({ metadata: { namespace: 'default', name: 'many' }, spec });
    const pods = async (): Promise<number> =>
      (await client.resource('pods').list({ namespace: 'default', labelSelector: 'app=many' })).items.length;
    await eventually('it is at work', async () => (await pods()) > 0);
    old.process!.kill('SIGSTOP');
    try {
      await eventually('another leads', async () => (await leader('kube-controller-manager')) !== old);
      await eventually('and has done the work', async () => (await pods()) === 40);
    } finally {
      old.process!.kill('SIGCONT');
    }
    await eventually('the old one knows', async () => old.output.includes('lost the lease'));
    assert.equal(await pods(), 40);
    assert.notEqual(await leader('kube-controller-manager'), old);
  });
});

function existing(error: unknown): true {
  if ((error as { reason?: string }).reason !== 'AlreadyExists') throw error;
  return true;
}

/** A node without a kubelet. */
async function joinNode(client: HttpsClient): Promise<void> {
  const nodes = client.resource('nodes');
  const resources = { cpu: '64', memory: '64Gi', pods: '500' };
  const conditions = [{ type: 'Ready', status: 'True', reason: 'KubeletReady' }];
  const status = { conditions, capacity: resources, allocatable: resources };
  await nodes.create({ metadata: { name: NODE }, spec: {} });
  await nodes.patch({ name: NODE }, { type: 'merge', body: { status } }, { subresource: 'status' });
  await eventually('it takes pods', async () => ((await nodes.get({ name: NODE })).spec.taints ?? []).length === 0);
  await eventually('pods can be made', async () => {
    const { items } = await client.resource('serviceaccounts').list({ namespace: 'default' });
    return items.length > 0;
  });
}

async function stayAlive(client: HttpsClient, signal: AbortSignal): Promise<void> {
  const leases = client.resource('leases.coordination.k8s.io');
  const metadata = { namespace: 'kube-node-lease', name: NODE };
  while (!signal.aborted) {
    const spec = { holderIdentity: NODE, leaseDurationSeconds: 3, renewTime: rfc3339Micro(realClock.now()) };
    await leases
      .patch(metadata, { type: 'merge', body: { spec } })
      .catch(() => leases.create({ metadata, spec }))
      .catch(() => undefined);
    await pause(500, undefined, { signal }).catch(() => undefined);
  }
}
