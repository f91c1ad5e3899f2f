// Clients that other people make, unchanged: kubectl of three ages, helm, the official JavaScript client, an operator. The
// nodes are simulated: what is tested is the API. Prometheus, which wants real kubelets, has a file of its own.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { CLIENTS, helmPath, installClientPackages, kubectls } from './client-programs.ts';
import { killProcess, passingCluster } from './crash.ts';
import { eventually, must, type Output, REPOSITORY, requireBuilt, run, type TestCluster } from './harness.ts';

requireBuilt();

const PORT = '9206';

test('clients as their makers ship them', async (t) => {
  await installClientPackages();
  const cluster = await passingCluster(t, 'clients', { simulated: true });
  await cluster.tsukube(['up', '--simulated', '3', '--port', PORT]);
  await cluster.tsukube(['kubectl', 'version']);
  await cluster.tsukube(['helm', 'version']);
  const outcomes = new Map<string, unknown>();
  for (const [version, path] of await kubectls()) {
    await t.test(`kubectl ${version}`, async (each) => {
      const kubectl = new Kubectl(cluster, version, path);
      await kubectl.must('create', 'namespace', kubectl.namespace);
      await each.test('apply and diff', () => applies(kubectl));
      await each.test('looking', () => looks(kubectl));
      await each.test('changing', () => changes(kubectl));
      outcomes.set(version, await outcomeOf(kubectl));
      await each.test('names that the server makes, waiting, deleting with what is owned', () => deletes(kubectl));
      await each.test('asking what there is and what is allowed', () => asks(kubectl));
      await each.test('server-side apply', () => appliesServerSide(kubectl));
      await each.test('a node is drained', () => drains(kubectl));
    });
  }
  await t.test('every kubectl comes to the same objects', () => {
    const [first, ...others] = outcomes.values();
    assert.ok(first !== undefined && others.length === 2);
    for (const other of others) assert.deepEqual(other, first);
  });
  await t.test('helm 4', () => helms(cluster));
  await t.test('@kubernetes/client-node', async () => {
    const { code, stdout, stderr } = await run(
      process.execPath,
      ['--test-reporter=tap', join(CLIENTS, 'client-node.ts')],
      // A test of its own, not one that reports to this one.
      { env: { KUBECONFIG: join(cluster.root, 'admin.kubeconfig'), NODE_TEST_CONTEXT: '' } },
    );
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /^# pass 7$/m);
  });
  await t.test('an operator on kubernetes-fluent-client', (each) => operates(each, cluster));
  await t.test('the programs of test/clients are well typed', async () => {
    await must(join(REPOSITORY, 'node_modules', '.bin', 'tsc'), ['-p', CLIENTS]);
  });
});

/** One kubectl in a namespace of its own. */
class Kubectl {
  readonly namespace: string;
  readonly minor: number;
  readonly #path: string;
  readonly #env: Readonly<Record<string, string>>;

  constructor(cluster: TestCluster, version: string, path: string) {
    this.minor = Number(version.split('.')[1]);
    this.namespace = `kubectl-${this.minor}`;
    this.#path = path;
    // What it caches of the API is its own, and gone with the cluster.
    this.#env = { KUBECONFIG: join(cluster.root, 'admin.kubeconfig'), HOME: join(cluster.directory, this.namespace) };
  }

  run(args: readonly string[], input?: object): Promise<Output> {
    const options = { env: this.#env, ...(input && { input: JSON.stringify(input) }) };
    return run(this.#path, ['--namespace', this.namespace, ...args], options);
  }

  must(...args: string[]): Promise<string> {
    return must(this.#path, ['--namespace', this.namespace, ...args], { env: this.#env });
  }

  /** Standard output of a command that reads this object, as lines. */
  async given(input: object, ...args: string[]): Promise<string[]> {
    const { code, stdout, stderr } = await this.run(args, input);
    assert.equal(code, 0, `${args.join(' ')}: ${stdout}${stderr}`);
    return stdout.trim().split('\n');
  }

  /** What a command that must fail says. */
  async refused(args: readonly string[], input?: object): Promise<string> {
    const { code, stdout, stderr } = await this.run(args, input);
    assert.equal(code, 1, `${args.join(' ')} did not fail:\n${stdout}${stderr}`);
    return stdout + stderr;
  }
}

const web = ({ replicas = 2, data = { a: '1', b: '2' } }: { replicas?: number; data?: object } = {}): object => {
  const labels = { app: 'web' };
  const container = {
    name: 'web',
    image: 'web:1',
    ports: [{ containerPort: 80 }],
    resources: { requests: { cpu: '10m' } },
  };
  return list(
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' }, spec: { selector: labels, ports: [{ port: 80 }] } },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web', labels },
      spec: {
        replicas,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [container] } },
      },
    },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings' }, data },
  );
};

function list(...items: object[]): object {
  return { apiVersion: 'v1', kind: 'List', items };
}

const NAMES = ['service/web', 'deployment.apps/web', 'configmap/settings'] as const;
const said = (...words: string[]): string[] => NAMES.map((name, i) => `${name} ${words[i] ?? words.at(-1)}`);

async function applies(k: Kubectl): Promise<void> {
  const changed = web({ replicas: 3, data: { a: '1', c: '3' } });
  assert.deepEqual(await k.given(web(), 'apply', '-f', '-'), said('created'));
  assert.deepEqual(await k.given(web(), 'apply', '-f', '-'), said('unchanged'));
  await k.must('rollout', 'status', 'deployment/web', '--timeout=60s');
  assert.equal((await k.run(['diff', '-f', '-'], web())).code, 0);
  const diff = await k.refused(['diff', '-f', '-'], changed);
  assert.match(diff, /^- {2}b: "2"$/m);
  assert.match(diff, /^\+ {2}c: "3"$/m);
  assert.match(diff, /^- {2}replicas: 2\n\+ {2}replicas: 3$/m);
  assert.deepEqual(await k.given(changed, 'apply', '-f', '-'), said('unchanged', 'configured'));
  assert.equal(await k.must('get', 'configmap', 'settings', '-o', 'jsonpath={.data}'), '{"a":"1","c":"3"}');
  await k.must('rollout', 'status', 'deployment/web', '--timeout=60s');
  const typo = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'typo' }, spec: { replicaz: 1 } };
  // Up to 1.24 the client itself looked for unknown fields, in the server's OpenAPI document.
  const told =
    k.minor < 25
      ? /unknown field "replicaz" in io\.k8s\.api\.apps\.v1\.DeploymentSpec/
      : /unknown field "spec\.replicaz"/;
  assert.match(await k.refused(['apply', '-f', '-'], typo), told);
  assert.match(
    await k.refused(['create', '-f', '-'], web()),
    /\(AlreadyExists\): .*deployments\.apps "web" already exists/,
  );
}

async function looks(k: Kubectl): Promise<void> {
  const wide = await k.must('get', 'deployments,services', '-o', 'wide');
  assert.match(wide, /deployment\.apps\/web +3\/3 +3 +3 +\S+ +web +web:1 +app=web/);
  assert.match(wide, /service\/web +ClusterIP +10\.96\.\S+ +<none> +80\/TCP +\S+ +app=web/);
  const pods = await k.must('get', 'pods', '-o', 'wide', '--no-headers');
  assert.equal(pods.match(/^web-\S+ +1\/1 +Running +0 +\S+ +10\.\S+ +node-\d +<none> +<none>$/gm)?.length, 3);
  assert.match(await k.must('get', 'deployment', 'web', '-o', 'yaml'), /^apiVersion: apps\/v1\nkind: Deployment\n/);
  assert.equal(
    await k.must('get', 'deployment', 'web', '-o', 'jsonpath={.spec.template.spec.containers[*].image}'),
    'web:1',
  );
  assert.equal(await k.must('get', 'deployment', 'web', '-o', 'go-template={{.spec.replicas}}'), '3');
  const described = await k.must('describe', 'deployment', 'web');
  assert.match(described, /Replicas: +3 desired \| 3 updated \| 3 total \| 3 available \| 0 unavailable/);
  assert.match(described, /Normal +ScalingReplicaSet .*Scaled up replica set web-\S+ from 2 to 3/);
  const pod = pods.split(' ')[0]!;
  assert.match(await k.must('describe', 'pod', pod), /Normal +Scheduled .*Successfully assigned \S+ to node-\d/);
  assert.match(await k.must('describe', 'node', 'node-0'), /Non-terminated Pods: +\(\d+ in total\)/);
  const strategy = await k.must('explain', 'deployment.spec.strategy');
  assert.match(strategy, /The deployment strategy to use to replace existing pods with new ones\./);
  assert.match(strategy, /rollingUpdate\s<\w+>/);
  const kind = await k.must('explain', 'deployment');
  assert.match(kind, /Deployment enables declarative updates for Pods and ReplicaSets\./);
  assert.match(kind, /APIVersion defines the versioned schema/);
  assert.equal(await k.refused(['get', 'pods', 'none']), 'Error from server (NotFound): pods "none" not found\n');
  const components = await k.must('get', 'componentstatuses', '--no-headers');
  assert.match(
    (await k.run(['get', 'endpoints'])).stderr,
    /Warning: v1 Endpoints is deprecated in v1\.33\+; use discovery/,
  );
  assert.match(components, /^controller-manager +Healthy +ok.*\netcd-0 +Healthy +ok.*\nscheduler +Healthy +ok/);
}

async function changes(k: Kubectl): Promise<void> {
  const rolledOut = (): Promise<string> => k.must('rollout', 'status', 'deployment/web', '--timeout=60s');
  assert.equal(await k.must('scale', 'deployment/web', '--replicas=4'), 'deployment.apps/web scaled');
  await k.must('set', 'image', 'deployment/web', 'web=web:2');
  assert.match(await rolledOut(), /successfully rolled out$/);
  assert.match(await k.must('rollout', 'history', 'deployment/web'), /^1 +<none>\n2 +<none>$/m);
  assert.equal(await k.must('rollout', 'undo', 'deployment/web'), 'deployment.apps/web rolled back');
  assert.match(await rolledOut(), /successfully rolled out$/);
  assert.equal(await k.must('rollout', 'pause', 'deployment/web'), 'deployment.apps/web paused');
  assert.equal(await k.must('rollout', 'resume', 'deployment/web'), 'deployment.apps/web resumed');

  assert.equal(await k.must('label', 'deployment', 'web', 'colour=red'), 'deployment.apps/web labeled');
  assert.match(await k.refused(['label', 'deployment', 'web', 'colour=blue']), /'colour' already has a value \(red\)/);
  assert.equal(await k.must('annotate', 'deployment', 'web', 'note=1'), 'deployment.apps/web annotated');
  const patch = (type: string, body: unknown): readonly string[] => [
    ...['patch', 'deployment', 'web', '--type', type, '-p', JSON.stringify(body)],
  ];
  const env = { template: { spec: { containers: [{ name: 'web', env: [{ name: 'A', value: '1' }] }] } } };
  assert.equal(await k.must(...patch('strategic', { spec: env })), 'deployment.apps/web patched');
  assert.equal(
    await k.must(...patch('merge', { metadata: { labels: { x: 'y', colour: null } } })),
    'deployment.apps/web patched',
  );
  const replace = [{ op: 'replace', path: '/spec/replicas', value: 2 }];
  assert.equal(await k.must(...patch('json', replace)), 'deployment.apps/web patched');
  assert.match(
    await k.refused(patch('json', [{ op: 'test', path: '/spec/replicas', value: 7 }])),
    /^The request is invalid(: the server rejected our request due to an error in our request)?\n$/,
  );
  await rolledOut();
}

/** What is left of the Deployment, without what differs from one run to the next. */
async function outcomeOf(k: Kubectl): Promise<unknown> {
  const { metadata, spec } = JSON.parse(await k.must('get', 'deployment', 'web', '-o', 'json')) as {
    metadata: { labels: object; annotations: Record<string, string>; generation: number };
    spec: object;
  };
  const { 'kubectl.kubernetes.io/last-applied-configuration': _, ...annotations } = metadata.annotations;
  return { labels: metadata.labels, annotations, generation: metadata.generation, spec };
}

async function deletes(k: Kubectl): Promise<void> {
  const container = { name: 't', image: 't:1', command: ['sleep', '0'] };
  const job = {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { generateName: 'task-' },
    spec: { template: { spec: { restartPolicy: 'Never', containers: [container] } } },
  };
  const [created = ''] = await k.given(job, 'create', '-f', '-');
  assert.match(created, /^job\.batch\/task-[a-z0-9]{5} created$/);
  const name = created.split(' ')[0]!;
  assert.equal(await k.must('wait', '--for=condition=complete', name, '--timeout=60s'), `${name} condition met`);
  const late = await k.refused(['wait', '--for=condition=failed', name, '--timeout=1s']);
  assert.match(late, /timed out waiting for the condition/);

  assert.match(await k.must('delete', name), /^job\.batch "task-\w+" deleted/);
  await eventually(
    'the pod of the job is gone',
    async () => (await k.must('get', 'pods', '-l', 'job-name', '-o', 'name')) === '',
  );
  const foreground = k.minor < 20 ? [] : ['--cascade=foreground'];
  await k.must('create', 'deployment', 'owner', '--image=x:1');
  await eventually(
    'its ReplicaSet is there',
    async () => (await k.must('get', 'rs', '-l', 'app=owner', '-o', 'name')) !== '',
  );
  await k.must('delete', 'deployment', 'owner', ...foreground);
  assert.equal(await k.must('get', 'rs', '-l', 'app=owner', '-o', 'name'), '', 'foreground: what is owned goes first');
  await k.must('delete', 'deployment', 'web', '--cascade=orphan');
  assert.notEqual(await k.must('get', 'rs', '-l', 'app=web', '-o', 'name'), '');
  await k.must('delete', 'rs', '--all');
  await eventually('no pod is left', async () => (await k.must('get', 'pods', '-o', 'name')) === '');
}

async function asks(k: Kubectl): Promise<void> {
  assert.equal(await k.must('auth', 'can-i', 'create', 'pods'), 'yes');
  assert.equal(await k.refused(['auth', 'can-i', 'get', 'pods', '--as=bob']), 'no\n');
  await k.must('create', 'role', 'reader', '--verb=get', '--resource=pods');
  await k.must('create', 'rolebinding', 'reader', '--role=reader', '--user=bob');
  await eventually('bob may', async () => (await k.run(['auth', 'can-i', 'get', 'pods', '--as=bob'])).code === 0);
  assert.match(await k.must('auth', 'can-i', '--list', '--as=bob'), /^pods +\[\] +\[\] +\[get\]$/m);
  const resources = await k.must('api-resources');
  for (const line of [/^pods +po +v1 +true +Pod$/m, /^deployments +deploy +apps\/v1 +true +Deployment$/m]) {
    assert.match(resources, line);
  }
  assert.match(await k.must('api-versions'), /^apps\/v1$/m);
  assert.equal(await k.refused(['top', 'pods']), 'error: Metrics API not available\n');
  await k.must('run', 'alone', '--image=x:1', '--restart=Never');
  await k.must('wait', '--for=condition=Ready', 'pod/alone', '--timeout=60s');
  const simulated = /error trying to reach service: node node-\d is simulated: its pods have no containers/;
  assert.match(await k.refused(['exec', 'alone', '--', 'ls']), simulated);
  assert.match(await k.refused(['logs', 'alone']), simulated);
}

async function appliesServerSide(k: Kubectl): Promise<void> {
  const apply = ['apply', '--server-side', '-f', '-'];
  await k.must('delete', 'configmap', 'settings');
  await k.must('delete', 'service', 'web');
  assert.deepEqual(await k.given(web(), ...apply), said('serverside-applied'));
  assert.deepEqual(await k.given(web(), ...apply, '--field-manager=other'), said('serverside-applied'));
  const more = web({ replicas: 3 });
  const conflict = await k.refused([...apply, '--field-manager=other'], more);
  assert.match(conflict, /Apply failed with 1 conflict: conflict with "kubectl": \.spec\.replicas/);
  assert.deepEqual(
    await k.given(more, ...apply, '--field-manager=other', '--force-conflicts'),
    said('serverside-applied'),
  );
  assert.equal(await k.must('get', 'deployment', 'web', '-o', 'jsonpath={.spec.replicas}'), '3');
  await k.must('rollout', 'status', 'deployment/web', '--timeout=60s');
}

async function drains(k: Kubectl): Promise<void> {
  const on = (node: string): Promise<string> =>
    k.must('get', 'pods', '-l', 'app=web', `--field-selector=spec.nodeName=${node}`, '-o', 'name');
  assert.notEqual(await on('node-1'), '');
  assert.match(
    await k.must('drain', 'node-1', '--force', '--timeout=60s'),
    /evicting pod \S+\/web-[\s\S]*node\/node-1 (drained|evicted)/,
  );
  assert.equal(await on('node-1'), '');
  assert.equal(await k.must('uncordon', 'node-1'), 'node/node-1 uncordoned');
  await k.must('rollout', 'status', 'deployment/web', '--timeout=60s');
  assert.match(await k.must('delete', 'namespace', k.namespace), /^namespace "\S+" deleted/);
}

interface Revision {
  readonly revision: number;
  readonly status: string;
  readonly description: string;
}

async function helms(cluster: TestCluster): Promise<void> {
  const env = {
    KUBECONFIG: join(cluster.root, 'admin.kubeconfig'),
    HELM_CACHE_HOME: join(cluster.directory, 'helm', 'cache'),
    HELM_CONFIG_HOME: join(cluster.directory, 'helm', 'config'),
    HELM_DATA_HOME: join(cluster.directory, 'helm', 'data'),
  };
  const helm = (...args: string[]): Promise<string> => must(helmPath(), args, { env });
  const history = async (): Promise<readonly Revision[]> =>
    JSON.parse(await helm('history', 'shop', '-o', 'json')) as Revision[];
  const field = (what: string, jsonpath: string): Promise<string> =>
    cluster.kubectl(['get', ...what.split(' '), '-o', `jsonpath=${jsonpath}`]);
  const image = (): Promise<string> =>
    field('deployment shop', '{.spec.replicas} {.spec.template.spec.containers[0].image}');
  const chart = join(CLIENTS, 'chart');

  assert.match(await helm('install', 'shop', chart, '--wait', '--timeout', '60s'), /STATUS: deployed/);
  const jobs = await field('jobs --sort-by=.metadata.name', '{.items[*].metadata.name} {.items[*].status.succeeded}');
  assert.equal(jobs, 'shop-post-install shop-pre-install 1 1');
  assert.equal(await field('secret shop', '{.data.password}'), Buffer.from('secret').toString('base64'));
  const listed = JSON.parse(await helm('list', '-o', 'json')) as { name: string; status: string; chart: string }[];
  assert.deepEqual(
    listed.map(({ name, status, chart: of }) => [name, status, of]),
    [['shop', 'deployed', 'shop-1.0.0']],
  );
  await helm('upgrade', 'shop', chart, '--set', 'replicas=3', '--wait', '--timeout', '60s');
  assert.equal(await image(), '3 shop:1');

  const failing = ['upgrade', 'shop', chart, '--set', 'tag=nonexistent', '--wait', '--timeout', '30s'];
  const failed = await run(helmPath(), [...failing, '--rollback-on-failure'], { env });
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /release shop failed, and has been rolled back .*Progress deadline exceeded/);
  assert.equal(await image(), '3 shop:1');
  assert.deepEqual(
    (await history()).map(({ revision, status, description }) => [revision, status, description.split(':')[0]]),
    [
      [1, 'superseded', 'Install complete'],
      [2, 'superseded', 'Upgrade complete'],
      [3, 'failed', 'Upgrade "shop" failed'],
      [4, 'deployed', 'Rollback to 2'],
    ],
  );
  await helm('rollback', 'shop', '1', '--wait', '--timeout', '60s');
  assert.equal(await image(), '2 shop:1');
  assert.equal((await history()).at(-1)?.description, 'Rollback to 1');
  assert.match(await helm('uninstall', 'shop', '--wait', '--timeout', '60s'), /release "shop" uninstalled/);
  // Hooks outlive their release; what the chart says otherwise does not.
  const left = await cluster.kubectl([
    'get',
    'deployments,services,secrets,roles,rolebindings,serviceaccounts,jobs',
    '-o',
    'name',
  ]);
  assert.deepEqual(left.split('\n'), [
    'service/kubernetes',
    'serviceaccount/default',
    ...['post-delete', 'post-install', 'pre-install', 'pre-rollback', 'pre-upgrade'].map(
      (hook) => `job.batch/shop-${hook}`,
    ),
  ]);
}

async function operates(t: TestContext, cluster: TestCluster): Promise<void> {
  const kubectl = (...args: string[]): Promise<string> => cluster.kubectl(args);
  const operator = start(join(CLIENTS, 'operator.ts'), join(cluster.root, 'admin.kubeconfig'));
  t.after(() => operator.stop());
  await eventually('the operator operates', async () => {
    assert.equal(operator.process.exitCode, null, operator.output());
    return operator.output().includes('operating');
  });
  const shop = (name: string, spec: object): Promise<Output> => {
    const input = JSON.stringify({ apiVersion: 'example.com/v1', kind: 'Shop', metadata: { name }, spec });
    return cluster.kubectlRun(['create', '-f', '-'], { input });
  };
  const available = (name: string, count: number): Promise<boolean> =>
    eventually(`${name} has ${count}: ${operator.output()}`, async () => {
      const jsonpath = '{.metadata.generation} {.status.observedGeneration} {.status.availableReplicas}';
      const [generation, observed, replicas] = (await kubectl('get', 'shop', name, '-o', `jsonpath=${jsonpath}`)).split(
        ' ',
      );
      return generation === observed && Number(replicas) === count;
    });
  assert.equal((await shop('one', { image: 'x:1', replicas: 2 })).code, 0);
  await available('one', 2);
  const refused = await shop('two', { image: 'forbidden' });
  assert.match(refused.stderr, /The Shop "two" is invalid: spec: Invalid value: .*image is forbidden/);

  await killProcess(cluster, 'server');
  await eventually(
    'the API server is back',
    async () => (await cluster.kubectlRun(['get', '--raw', '/readyz'])).code === 0,
  );
  await kubectl('patch', 'shop', 'one', '--type=merge', '-p', '{"spec":{"replicas":3}}');
  await available('one', 3);
  assert.equal((await shop('three', { image: 'x:2' })).code, 0);
  await available('three', 1);
  assert.equal(operator.process.exitCode, null, 'the same process, all along');
  await kubectl('delete', 'shop', 'one');
  await eventually(
    'its Deployment goes with it',
    async () => (await kubectl('get', 'deploy', '-l', 'shop=one', '-o', 'name')) === '',
  );
}

interface Started {
  readonly process: ChildProcess;
  output(): string;
  stop(): Promise<void>;
}

function start(program: string, kubeconfig: string): Started {
  const child = spawn(process.execPath, [program], {
    env: { ...process.env, KUBECONFIG: kubeconfig },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
  }
  return {
    process: child,
    output: () => text,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill();
      await once(child, 'exit');
    },
  };
}
