import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { access, readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import type { ConfigMap, Deployment } from '../api/generated/types.ts';
import { Tables } from '../api/tables.ts';
import type { Client } from '../client/contract.ts';
import { httpsClient } from '../client/https.ts';
import { accessFrom, parseKubeconfig } from '../client/kubeconfig.ts';
import { startCluster, WaitTimeoutError } from '../index.ts';
import type { Clock } from '../lib/clock.ts';
import { until } from '../lib/test-until.ts';
import { isReason } from '../machinery/status.ts';
import { realClock, realEnvironment } from '../platform/environment.ts';
import { startEmbeddedCluster } from './embedded-cluster.ts';
import type { EmbeddedCluster } from './embedded-contract.ts';

const DEPLOYMENT = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: nginx, resources: {requests: {cpu: 1}}}]
`;
const configMap = (name: string, value: string): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\ndata: {key: "${value}"}\n`;
const refused = (reason: Parameters<typeof isReason>[1], message: RegExp) => (error: unknown) =>
  isReason(error, reason) && message.test(error.message);

/** What keeps a process alive: sockets, timers. */
const handles = (): string[] => process.getActiveResourcesInfo().filter((name) => /TCP|TLS|Timeout/.test(name));

/** What is closed goes with some later turn of the event loop: of this test, and of those before it. */
const noHandles = (): Promise<unknown> =>
  until(`no handle is left of ${handles().join(', ')}`, () => handles().length === 0);

async function remoteClient(kubeconfig: string): Promise<Client & { close(): void }> {
  return httpsClient({ access: await accessFrom(parseKubeconfig(kubeconfig)), tables: new Tables(), clock: realClock });
}

describe('an embedded cluster', () => {
  let cluster: EmbeddedCluster;
  before(async () => {
    cluster = await startCluster({ nodes: 2, name: 'unit' });
  });
  after(() => cluster.dispose());
  const dataOf = async (name: string, namespace = 'default'): Promise<ConfigMap['data']> =>
    (await cluster.client.resource('configmaps').get({ namespace, name })).data;

  it('is reached over HTTPS with its kubeconfig, as text and as a file', async () => {
    assert.match(cluster.url, /^https:\/\/127\.0\.0\.1:\d+$/);
    const remote = await remoteClient(cluster.kubeconfig);
    try {
      const nodes = await remote.resource('nodes').list();
      assert.deepEqual(nodes.items.map((node) => node.metadata.name).sort(), ['node-0', 'node-1']);
    } finally {
      remote.close();
    }
    const file = await cluster.kubeconfigFile();
    assert.equal(await readFile(file, 'utf8'), cluster.kubeconfig);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.equal(await cluster.kubeconfigFile(), file);
  });

  it('rolls out a deployment, and waits for it', async () => {
    const [applied] = await cluster.apply(DEPLOYMENT);
    assert.equal(applied?.metadata.namespace, 'default');
    const available = await cluster.waitFor('deployments.apps', 'web', 'Available');
    assert.equal(available.status?.availableReplicas ?? 0, available.spec?.replicas);
    const scaled = await cluster.apply(DEPLOYMENT.replace('replicas: 3', 'replicas: 1'));
    assert.equal((scaled[0] as Deployment).spec?.replicas, 1);
    const isOne = (deployment: Deployment): boolean => deployment.status?.replicas === 1;
    assert.equal((await cluster.waitFor('deployments.apps', 'default/web', isOne)).metadata.name, 'web');
  });

  it('applies what is new and what is there, in order, and lists as their items', async () => {
    const first = await cluster.apply(`${configMap('one', 'a')}---\n${configMap('two', 'a')}`);
    assert.deepEqual(
      first.map((object) => object.metadata.name),
      ['one', 'two'],
    );
    const items = [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'one' }, data: { more: 'b' } }];
    const second = await cluster.apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
    assert.equal(second[0]?.metadata.uid, first[0]?.metadata.uid);
    assert.deepEqual(await dataOf('one'), { key: 'a', more: 'b' });
    const again = await cluster.apply(configMap('two', 'a'));
    assert.equal(again[0]?.metadata.resourceVersion, first[1]?.metadata.resourceVersion, 'nothing changed');
  });

  it('makes a new object of a generated name each time', async () => {
    const text = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: made-}\n';
    const [a, b] = [(await cluster.apply(text))[0], (await cluster.apply(text))[0]];
    assert.match(a?.metadata.name ?? '', /^made-.{5}$/);
    assert.notEqual(a?.metadata.name, b?.metadata.name);
  });

  it('takes a namespace and a pod in it at once, before its service account is there', async () => {
    await cluster.apply(`
apiVersion: v1
kind: Namespace
metadata: {name: fresh}
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: fresh}
spec: {containers: [{name: c, image: nginx}]}
`);
    const pod = await cluster.waitFor('pods', 'fresh/p', 'Ready');
    assert.equal(pod.status?.phase, 'Running');
    assert.equal(pod.spec.serviceAccountName, 'default');
  });

  it('writes nothing of a manifest that has an error anywhere', async () => {
    const wrong: [document: string, reason: Parameters<typeof isReason>[1], message: RegExp][] = [
      ['apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\nspec: {a: 1}', 'BadRequest', /unknown field "spec"/],
      [
        'apiVersion: v1\nkind: Nothing\nmetadata: {name: x}',
        'NotFound',
        /no matches for kind "Nothing" in version "v1"/,
      ],
      ['apiVersion: v1\nkind: ConfigMap', 'BadRequest', /document 2: resource name may not be empty/],
      ['kind: ConfigMap', 'BadRequest', /document 2: apiVersion not set/],
      ['apiVersion: v1', 'BadRequest', /document 2: kind not set/],
      ['- 1', 'BadRequest', /document 2 is not an object/],
    ];
    for (const [document, reason, message] of wrong) {
      await assert.rejects(cluster.apply(`${configMap('never', 'a')}---\n${document}\n`), refused(reason, message));
    }
    await assert.rejects(cluster.apply('a: b: c'), { name: 'YamlError' });
    await assert.rejects(dataOf('never'), refused('NotFound', /"never" not found/));
  });

  it("passes on the server's refusals", async () => {
    await assert.rejects(cluster.apply(configMap('Not_A_Name', 'a')), refused('Invalid', /metadata\.name/));
    const elsewhere = configMap('x', 'a').replace('{name: x}', '{name: x, namespace: nowhere}');
    await assert.rejects(cluster.apply(elsewhere), refused('NotFound', /namespaces "nowhere" not found/));
  });

  it('a wait that takes too long says what was there', async () => {
    const text =
      'apiVersion: v1\nkind: Pod\nmetadata: {name: big}\nspec: {containers: [{name: c, image: i, resources: {requests: {cpu: 99}}}]}';
    await cluster.apply(text);
    await cluster.waitFor('pods', 'big', 'PodScheduled=False');
    await assert.rejects(cluster.waitFor('pods', 'big', 'Ready', { timeoutMs: 2_000 }), (error) => {
      assert.ok(error instanceof WaitTimeoutError);
      assert.match(
        error.message,
        /^pods default\/big: not "Ready" within 2 s; it has phase Pending, PodScheduled=False/,
      );
      assert.match(error.message, /Unschedulable: 0\/2 nodes are available: 2 Insufficient cpu/);
      return true;
    });
    await assert.rejects(
      cluster.waitFor('nodes', 'nobody', 'create', { timeoutMs: 1 }),
      /^WaitTimeoutError: nodes nobody: not "create" within 0\.001 s; it does not exist$/,
    );
  });

  it('a wait ends with its signal, and leaves no listener on it', async () => {
    const stop = new AbortController();
    const waiting = cluster.waitFor('configmaps', 'later', 'create', { signal: stop.signal });
    stop.abort(new Error('enough'));
    await assert.rejects(waiting, /enough/);
    const open = new AbortController();
    await cluster.apply(configMap('later', 'a'));
    await cluster.waitFor('configmaps', 'later', 'create', { signal: open.signal });
    await cluster.client.resource('configmaps').delete({ namespace: 'default', name: 'later' });
    assert.equal(await cluster.waitFor('configmaps', 'later', 'delete'), undefined);
    assert.equal(getEventListeners(open.signal, 'abort').length, 0);
  });

  it('waits on resources by their coordinates', async () => {
    const coordinates = { group: 'apps', version: 'v1', resource: 'deployments', namespaced: true };
    await cluster.apply(DEPLOYMENT);
    const found = await cluster.waitFor(coordinates, { name: 'web' }, 'Available');
    assert.equal(found.kind, 'Deployment');
  });

  it('others have the rights that RBAC gives them, with and without a connection', async () => {
    const user = { username: 'jane', groups: ['developers'] };
    const forbidden = refused('Forbidden', /User "jane" cannot list resource "pods"/);
    const remote = await remoteClient(cluster.kubeconfigFor(user));
    try {
      await assert.rejects(cluster.clientFor(user).resource('pods').list({ namespace: 'default' }), forbidden);
      await assert.rejects(remote.resource('pods').list({ namespace: 'default' }), forbidden);
      await cluster.apply(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: readers}
rules: [{apiGroups: [""], resources: [pods], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: developers}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: readers}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: developers}]
`);
      // The authorizer hears of a role as any watcher does: soon.
      const list = () => cluster.clientFor(user).resource('pods').list({ namespace: 'default' });
      const allowed = async (): Promise<boolean> => (await list().catch(() => undefined)) !== undefined;
      await until('jane may list', allowed);
      assert.ok((await list()).items.length > 0);
      assert.ok((await remote.resource('pods').list({ namespace: 'default' })).items.length > 0);
    } finally {
      remote.close();
    }
  });
});

describe('nodes of an embedded cluster', () => {
  it('come and go, fail and recover', async () => {
    // Five times as fast as the world, so that a node's grace period passes in a second; but not while the cluster starts, which
    // has its own limits.
    let speed = 1;
    let since = { realMs: realClock.monotonic(), ownMs: realClock.monotonic() };
    const hurry = (by: number): void => {
      since = { realMs: realClock.monotonic(), ownMs: clock.monotonic() };
      speed = by;
    };
    const clock: Clock = {
      now: () => realClock.now() + clock.monotonic() - realClock.monotonic(),
      monotonic: () => since.ownMs + (realClock.monotonic() - since.realMs) * speed,
      timer: (delayMs, fire) => realClock.timer(delayMs / speed, fire),
    };
    const patient = { timeoutMs: 60_000 * 5 };
    const env = { ...realEnvironment('silent'), clock };
    const cluster = await startEmbeddedCluster(env, {
      profile: 'fast',
      nodes: { count: 1, namePrefix: 'n', labels: { pool: 'a' }, zones: ['z'] },
    });
    try {
      hurry(5);
      assert.deepEqual(cluster.nodes.list(), ['n-0']);
      assert.equal(await cluster.nodes.add({ labels: { pool: 'b' } }), 'n-1');
      assert.equal(await cluster.nodes.add({ name: 'own' }), 'own');
      const added = await cluster.waitFor('nodes', 'n-1', 'Ready', patient);
      assert.equal(added.metadata.labels?.pool, 'b');
      assert.equal(added.metadata.labels?.['topology.kubernetes.io/zone'], 'z');

      await cluster.waitFor('nodes', 'own', 'Ready', patient);
      cluster.nodes.fail('own');
      const silent = await cluster.waitFor('nodes', 'own', 'Ready=Unknown', patient);
      assert.ok(silent.spec?.taints?.length ?? silent.status);
      cluster.nodes.recover('own');
      await cluster.waitFor('nodes', 'own', 'Ready', patient);

      await cluster.nodes.remove('n-0');
      await cluster.waitFor('nodes', 'n-0', 'delete', patient);
      assert.deepEqual(cluster.nodes.list(), ['n-1', 'own']);
      await assert.rejects(cluster.nodes.remove('n-0'), /there is no simulated node "n-0"; there are: n-1, own/);
      assert.throws(() => cluster.nodes.fail('other'), /there is no simulated node "other"/);
    } finally {
      await cluster.dispose();
    }
  });
});

describe('clusters of one process', () => {
  it('share nothing: objects, addresses, certificates, metrics', async (t) => {
    const [a, b] = await Promise.all([startCluster({ name: 'a' }), startCluster({ name: 'b', nodes: 0 })]);
    t.after(() => b.dispose());
    const remoteA = await remoteClient(a.kubeconfig);
    const remoteB = await remoteClient(b.kubeconfig);
    t.after(() => remoteB.close());
    assert.notEqual(a.url, b.url);
    assert.notEqual(a.caCertificate, b.caCertificate);
    await a.apply(configMap('mine', 'a'));
    await remoteB.resource('configmaps').create({
      metadata: { namespace: 'default', name: 'mine' },
      data: { key: 'b' },
    });
    const ofA = await remoteA.resource('configmaps').get({ namespace: 'default', name: 'mine' });
    const ofB = await b.client.resource('configmaps').get({ namespace: 'default', name: 'mine' });
    assert.deepEqual([ofA.data, ofB.data], [{ key: 'a' }, { key: 'b' }]);
    assert.deepEqual([a.nodes.list(), b.nodes.list()], [['node-0'], []]);
    // A's credentials are nobody's at B.
    const foreign = parseKubeconfig(a.kubeconfig);
    const access = { ...(await accessFrom(foreign)), servers: [b.url], ca: b.caCertificate };
    const stranger = httpsClient({ access, tables: new Tables(), clock: realClock });
    await assert.rejects(stranger.resource('secrets').list(), (error) => isReason(error, 'Unauthorized', 'Forbidden'));
    stranger.close();

    remoteA.close();
    await a.dispose();
    await assert.rejects(
      a.client.resource('configmaps').get({ namespace: 'default', name: 'mine' }, AbortSignal.abort()),
    );
    assert.equal((await remoteB.resource('configmaps').get({ namespace: 'default', name: 'mine' })).data?.key, 'b');
    await b.apply(configMap('still', 'b'));
  });

  it('count their own requests', async (t) => {
    const environments = [realEnvironment('silent'), realEnvironment('silent')] as const;
    const [a, b] = await Promise.all(environments.map((env) => startEmbeddedCluster(env, { nodes: 0 })));
    t.after(() => Promise.all([a!.dispose(), b!.dispose()]));
    const remote = await remoteClient(a!.kubeconfig);
    t.after(() => remote.close());
    for (let i = 0; i < 3; i++) await remote.resource('configmaps').list({ namespace: 'default' });
    const counted = async (env: (typeof environments)[number]): Promise<number> => {
      const { values } = await env.metrics.getSingleMetric('apiserver_request_total')!.get();
      return values.reduce((sum, { labels, value }) => sum + (labels.resource === 'configmaps' ? value : 0), 0);
    };
    assert.deepEqual([await counted(environments[0]), await counted(environments[1])], [3, 0]);
  });
});

describe('the end of an embedded cluster', () => {
  it('leaves no handle, no timer, no listener and no file, with clients and waits under way', async () => {
    await noHandles();
    const stop = new AbortController();
    const cluster = await startCluster({ nodes: 3, signal: stop.signal });
    assert.equal(getEventListeners(stop.signal, 'abort').length, 0);
    const file = await cluster.kubeconfigFile();
    const remote = await remoteClient(cluster.kubeconfig);
    await cluster.apply(DEPLOYMENT);
    const waiting = cluster.waitFor('configmaps', 'never', 'create', { signal: stop.signal });
    const ended = assert.rejects(waiting, /the cluster has been disposed of/);
    const watch = remote.resource('pods').watch({ namespace: 'default' }, stop.signal)[Symbol.asyncIterator]();
    await watch.next();
    assert.notDeepEqual(handles(), []);

    await Promise.all([cluster.dispose(), cluster.dispose()]);
    await ended;
    stop.abort();
    remote.close();
    await watch.return?.(undefined);
    await noHandles();
    await assert.rejects(access(file), { code: 'ENOENT' });
    await assert.rejects(cluster.kubeconfigFile(), /disposed of/);
    await assert.rejects(cluster.apply(configMap('late', 'a')), /disposed of/);
  });

  it('comes with the block that it was declared in', async () => {
    let ended: EmbeddedCluster;
    {
      await using cluster = await startCluster({ nodes: 0 });
      ended = cluster;
      await cluster.apply(configMap('a', 'b'));
    }
    await assert.rejects(ended.waitFor('configmaps', 'a', 'create'), /disposed of/);
  });

  it('a start that fails or is given up leaves nothing', async () => {
    await noHandles();
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as { port: number };
    await assert.rejects(startCluster({ port }), /EADDRINUSE|in use/);
    await new Promise((resolve) => taken.close(resolve));
    await assert.rejects(startCluster({ signal: AbortSignal.abort(new Error('no time')) }), /no time/);
    const soon = new AbortController();
    const starting = startCluster({ signal: soon.signal });
    setImmediate(() => soon.abort(new Error('changed my mind')));
    await assert.rejects(starting, /changed my mind/);
    await noHandles();
  });

  it('measures a start in a warm process', async (t) => {
    const began = performance.now();
    await using cluster = await startCluster();
    await cluster.client.resource('configmaps').create({ metadata: { namespace: 'default', name: 'first' } });
    t.diagnostic(`startCluster() to first create: ${(performance.now() - began).toFixed(0)} ms (target 300 ms)`);
  });
});
