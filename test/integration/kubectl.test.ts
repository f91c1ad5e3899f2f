// What a person does with kubectl, on a real cluster: look, stream, run commands in containers, change objects.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { eventually, kubectlPath, run } from './harness.ts';
import { fetchOnce, RealCluster, WEB_1 } from './real-cluster.ts';

let cluster: RealCluster;
const kubectl = (...args: string[]): Promise<string> => cluster.kubectl(args);

before(async () => {
  cluster = await RealCluster.start('kubectl');
  await kubectl('create', 'deployment', 'web', `--image=${WEB_1}`, '--replicas=2');
  await kubectl(
    'run',
    'shell',
    `--image=${WEB_1}`,
    '--command',
    '--',
    'sh',
    '-c',
    'trap exit TERM; while :; do date; sleep 0.2; done',
  );
  await cluster.rolledOut('web');
  await cluster.ready('shell');
});
after(() => cluster?.stop());

/** Runs what prints until its output matches, then ends it. `meanwhile` begins with the first output. Returns the output. */
async function streamed(args: string[], pattern: RegExp, meanwhile?: () => Promise<unknown>): Promise<string> {
  const child = cluster.kubectlStart(args);
  try {
    await eventually(`${args.join(' ')} prints`, async () => !meanwhile || child.output() !== '');
    await meanwhile?.();
    await eventually(`${args.join(' ')} prints ${pattern}`, async () => pattern.test(child.output()));
    assert.equal(child.exitCode, null, `it ended by itself: ${child.output()}`);
    return child.output();
  } finally {
    child.kill();
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
}

test('explain tells what fields are for', async () => {
  assert.match(await kubectl('explain', 'pod.spec.containers.image'), /Container image name/);
  assert.match(await kubectl('explain', 'deployment.spec', '--recursive'), /strategy\t<DeploymentStrategy>/);
});

describe('commands in containers', () => {
  const sh = (line: string): string[] => ['exec', '-i', 'shell', '--', 'sh', '-c', line];

  test('standard output and error stay apart, and the exit code comes back', async () => {
    const { code, stdout, stderr } = await cluster.kubectlRun(sh('echo out; echo err >&2; exit 7'));
    assert.deepEqual([code, stdout], [7, 'out\n']);
    assert.equal(stderr, 'err\ncommand terminated with exit code 7\n');
    const missing = await cluster.kubectlRun(['exec', 'shell', '--', '/no/such/program']);
    assert.notEqual(missing.code, 0);
    assert.match(missing.stderr, /no such file or directory/);
  });

  test('standard input ends where it ends', async () => {
    const input = 'line\n'.repeat(100_000);
    assert.equal(await cluster.kubectl(sh('md5sum; echo ended'), { input }), `${await md5(input)}  -\nended`);
    assert.equal(await cluster.kubectl(sh('cat | wc -c'), { input: '' }), '0');
  });

  test('much output arrives whole', async () => {
    const { stdout } = await cluster.kubectlRun(sh('seq 200000'));
    assert.equal(stdout.split('\n').length, 200_001);
    assert.ok(stdout.endsWith('\n200000\n'));
  });

  test('a terminal', async () => {
    const line = `${kubectlPath()} exec -it shell -- sh -c "tty; sleep 1; stty size; read x; echo got \\$x; exit 5"`;
    const child = run('script', ['-qec', `stty cols 91 rows 37; ${line}`, '/dev/null'], {
      env: { KUBECONFIG: join(cluster.root, 'admin.kubeconfig'), TERM: 'xterm' },
      input: 'typed\n',
    });
    const { code, stdout } = await child;
    assert.match(stdout, /\/dev\/pts\/\d+\r\n(typed\r\n)?37 91\r\n/);
    assert.match(stdout, /got typed\r\n/);
    assert.equal(code, 5);
  });

  test('a pod that runs once with this input', async () => {
    const once = ['run', 'once', `--image=${WEB_1}`, '--rm', '-i', '--restart=Never', '--command', '--'];
    const { code, stdout } = await cluster.kubectlRun([...once, 'sh', '-c', 'cat; exit 3'], { input: 'data\n' });
    assert.equal(code, 3);
    assert.match(stdout, /^data\n[\s\S]*pod "once" deleted/);
  });

  test('files are copied both ways', async () => {
    const file = join(cluster.directory, 'file');
    await writeFile(file, 'copied\n');
    await kubectl('cp', file, 'shell:/tmp/file');
    assert.equal(await cluster.shell('shell', 'cat /tmp/file'), 'copied');
    await kubectl('cp', 'shell:/tmp/file', `${file}.back`);
    assert.equal((await run('cat', [`${file}.back`])).stdout, 'copied\n');
  });
});

async function md5(text: string): Promise<string> {
  return (await run('md5sum', [], { input: text })).stdout.slice(0, 32);
}

describe('streams', () => {
  test('logs of a running container are followed', async () => {
    const tail = await kubectl('logs', 'shell', '--tail=1', '--timestamps');
    assert.match(tail, /^\d{4}-\d\d-\d\dT\S+Z \w{3} \w{3} .*\d{4}$/);
    const text = await streamed(['logs', '-f', '--tail=0', 'shell'], /(.*\d{4}\n){4}/);
    assert.ok(!text.includes('error'));
    const [pod = ''] = await cluster.pods('app=web');
    const all = cluster.kubectlStart(['logs', '-f', pod, '--tail=0']);
    await cluster.shell(
      'shell',
      `wget -qO- http://${await cluster.field(`pod ${pod}`, '{.status.podIP}')}/version?seen`,
    );
    await eventually('the request is logged', async () => all.output().includes('GET /version?seen'));
    await kubectl('delete', 'pod', pod);
    await eventually('following ends with the container', async () => all.exitCode === 0);
    await cluster.rolledOut('web');
  });

  test('port-forward to a deployment', async () => {
    const child = cluster.kubectlStart(['port-forward', 'deployment/web', ':80']);
    try {
      const port = await eventually('it listens', async () => /127\.0\.0\.1:(\d+) -> 80/.exec(child.output())?.[1]);
      const names = await Promise.all(Array.from({ length: 8 }, () => fetchOnce(`http://127.0.0.1:${port}/`)));
      assert.equal(new Set(names).size, 1);
      assert.match(names[0]!, /^web-/);
    } finally {
      child.kill();
    }
  });

  test('get -w shows what happens', async () => {
    const args = ['get', 'deployment', 'web', '-w', '--no-headers'];
    const text = await streamed(args, /web +4\/4 +4 +4/, () => kubectl('scale', 'deployment/web', '--replicas=4'));
    assert.match(text, /^web +2\/2 +2 +2/);
    await streamed(['get', 'pods', '-w', '-o', 'name'], /(pod\/web-\S+\n)+/, () =>
      kubectl('scale', 'deployment/web', '--replicas=2'),
    );
    await cluster.rolledOut('web');
  });
});

describe('looking', () => {
  test('get in every form', async () => {
    assert.match(
      await kubectl('get', 'deployments'),
      /^NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nweb +2\/2 +2 +2 +\d+s/,
    );
    const wide = await kubectl('get', 'deployments', '-o', 'wide');
    assert.match(wide, /CONTAINERS +IMAGES +SELECTOR\n.* web +docker.io\/library\/web:1 +app=web$/);
    const pods = await kubectl('get', 'pods', '-l', 'app=web', '-o', 'wide');
    assert.match(pods, /^NAME +READY +STATUS +RESTARTS +AGE +IP +NODE +NOMINATED NODE +READINESS GATES\n/);
    assert.match(pods, /web-\S+ +1\/1 +Running +0 +\d+s +10\.244\.\d+\.\d+ +\S+ +<none> +<none>/);
    assert.match(
      await kubectl('get', 'deployment', 'web', '-o', 'yaml'),
      /^apiVersion: apps\/v1\nkind: Deployment\nmetadata:\n/,
    );
    assert.equal(await kubectl('get', 'deployment', 'web', '-o', 'name'), 'deployment.apps/web');
    assert.equal(await cluster.field('deployment web', '{.spec.template.spec.containers[*].image}'), WEB_1);
    const columns = 'custom-columns=N:.metadata.name,R:.spec.replicas';
    assert.match(await kubectl('get', 'deployment', 'web', '-o', columns), /^N +R\nweb +2$/);
    assert.match(
      await kubectl('get', 'all'),
      /pod\/shell[\s\S]*service\/kubernetes[\s\S]*deployment.apps\/web[\s\S]*replicaset.apps\/web-/,
    );
    const sorted = await kubectl('get', 'pods', '-A', '--sort-by=.metadata.name', '-o', 'name');
    assert.deepEqual(sorted.split('\n'), sorted.split('\n').toSorted());
    const { code, stderr } = await cluster.kubectlRun(['get', 'pods', 'none']);
    assert.deepEqual([code, stderr], [1, 'Error from server (NotFound): pods "none" not found\n']);
  });

  test('describe', async () => {
    const deployment = await kubectl('describe', 'deployment', 'web');
    assert.match(deployment, /Replicas: +2 desired \| 2 updated \| 2 total \| 2 available \| 0 unavailable/);
    assert.match(
      deployment,
      /Normal +ScalingReplicaSet .* deployment-controller +Scaled up replica set web-\S+ from 0 to 2/,
    );
    const pod = await kubectl('describe', 'pod', 'shell');
    assert.match(pod, /State: +Running[\s\S]*Ready: +True\n +Restart Count: +0/);
    assert.match(pod, /Normal +Scheduled +\S+ +default-scheduler +Successfully assigned default\/shell to/);
    assert.match(pod, /Normal +Started +\S+ +kubelet +spec.containers\{shell\}: Container started/);
    const node = await kubectl('describe', 'nodes');
    assert.match(node, /Container Runtime Version: +containerd:\/\//);
    assert.match(node, /Non-terminated Pods: +\(3 in total\)/);
    assert.match(await kubectl('describe', 'service', 'kubernetes'), /Endpoints: +\d+\.\d+\.\d+\.\d+:7443/);
  });

  test('wait, explain, api-resources, auth can-i', async () => {
    assert.match(
      await kubectl('wait', 'deployment/web', '--for=condition=Available', '--timeout=120s'),
      /deployment.apps\/web condition met/,
    );
    const late = await cluster.kubectlRun(['wait', 'pod/shell', '--for=condition=Nothing', '--timeout=1s']);
    assert.deepEqual([late.code, late.stderr], [1, 'error: timed out waiting for the condition on pods/shell\n']);
    assert.match(
      await kubectl('explain', 'deployment.spec.replicas'),
      /GROUP: +apps\nKIND: +Deployment\nVERSION: +v1\n\nFIELD: replicas <integer>/,
    );
    assert.match(
      await kubectl('explain', 'pod.spec', '--recursive'),
      /FIELDS:\n[\s\S]*containers\t<\[\]Container> -required-\n/,
    );
    const resources = await kubectl('api-resources');
    assert.match(resources, /^NAME +SHORTNAMES +APIVERSION +NAMESPACED +KIND\n/);
    for (const line of [
      /^pods +po +v1 +true +Pod$/m,
      /^deployments +deploy +apps\/v1 +true +Deployment$/m,
      /^nodes +no +v1 +false +Node$/m,
    ]) {
      assert.match(resources, line);
    }
    assert.match(await kubectl('api-versions'), /^apps\/v1$/m);
    assert.equal(await kubectl('auth', 'can-i', 'create', 'pods'), 'yes');
    const asAccount = ['auth', 'can-i', 'list', 'secrets', '--as=system:serviceaccount:default:default'];
    assert.deepEqual(await cluster.kubectlRun(asAccount), { code: 1, stdout: 'no\n', stderr: '' });
    assert.match(await kubectl('auth', 'can-i', '--list'), /^Resources +Non-Resource URLs/);
    assert.match(await kubectl('auth', 'whoami'), /Groups +\[?.*system:masters.*system:authenticated/);
  });
});

describe('changing', () => {
  const settings = (data: object) =>
    JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings' }, data });
  const withInput = (input: string, ...args: string[]) => cluster.kubectlRun(args, { input });

  test('apply, diff, apply again', async () => {
    assert.equal(
      await cluster.kubectl(['apply', '-f', '-'], { input: settings({ a: '1', b: '2' }) }),
      'configmap/settings created',
    );
    assert.equal(
      (await withInput(settings({ a: '1', b: '2' }), 'apply', '-f', '-')).stdout,
      'configmap/settings unchanged\n',
    );
    assert.equal((await withInput(settings({ a: '1', b: '2' }), 'diff', '-f', '-')).code, 0);
    const diff = await withInput(settings({ a: '3' }), 'diff', '-f', '-');
    assert.equal(diff.code, 1);
    assert.match(diff.stdout, /^-\s+a: "1"\n-\s+b: "2"\n\+\s+a: "3"$/m);
    assert.equal((await withInput(settings({ a: '3' }), 'apply', '-f', '-')).stdout, 'configmap/settings configured\n');
    assert.equal(await cluster.field('configmap settings', '{.data}'), '{"a":"3"}');
    const typo = settings({ a: '3' }).replace('"data"', '"dat"');
    const { code, stderr } = await withInput(typo, 'apply', '-f', '-');
    assert.equal(code, 1);
    assert.match(stderr, /strict decoding error: unknown field "dat"/);
    const pruned = await withInput(
      settings({ a: '4' }),
      'apply',
      '-f',
      '-',
      '--dry-run=server',
      '-o',
      'jsonpath={.data.a}',
    );
    assert.equal(pruned.stdout, '4');
  });

  test('a list with one thing of each kind is applied and deleted', async () => {
    const list = [
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'other' } },
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's', namespace: 'other' }, stringData: { k: 'v' } },
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'x', namespace: 'other' },
        spec: { ports: [{ port: 1 }] },
      },
    ];
    assert.equal(await cluster.apply(...list), 'namespace/other created\nsecret/s created\nservice/x created');
    assert.equal(await cluster.field('-n other secret s', '{.data.k}'), 'dg==');
    assert.match(await kubectl('delete', 'namespace', 'other'), /namespace "other" deleted/);
    const { code } = await cluster.kubectlRun(['get', 'namespace', 'other']);
    assert.equal(code, 1);
  });

  test('edit, label, annotate, patch, replace, set env', async () => {
    const editor = join(cluster.directory, 'editor.sh');
    await writeFile(editor, '#!/bin/sh\nexec sed -i "s/replicas: 2/replicas: 3/" "$1"\n', { mode: 0o755 });
    const edited = await cluster.kubectl(['edit', 'deployment', 'web'], { env: { KUBE_EDITOR: editor } });
    assert.equal(edited, 'deployment.apps/web edited');
    await cluster.rolledOut('web');
    assert.equal((await cluster.pods('app=web')).length, 3);

    assert.equal(await kubectl('label', 'pod', 'shell', 'colour=red'), 'pod/shell labeled');
    const again = await cluster.kubectlRun(['label', 'pod', 'shell', 'colour=blue']);
    assert.match(again.stderr, /'colour' already has a value \(red\), and --overwrite is false/);
    await kubectl('label', 'pod', 'shell', 'colour=blue', '--overwrite');
    assert.equal(await kubectl('get', 'pods', '-l', 'colour in (blue,green),!app', '-o', 'name'), 'pod/shell');
    assert.equal(await kubectl('label', 'pod', 'shell', 'colour-'), 'pod/shell unlabeled');
    assert.equal(await kubectl('annotate', 'pod', 'shell', 'note=seen'), 'pod/shell annotated');
    assert.equal(await cluster.field('pod shell', '{.metadata.annotations.note}'), 'seen');
    const bad = await cluster.kubectlRun(['label', 'pod', 'shell', 'colour=not valid']);
    assert.equal(bad.code, 1);

    const patch = ['patch', 'deployment', 'web'];
    assert.equal(await kubectl(...patch, '-p', '{"spec":{"replicas":2}}'), 'deployment.apps/web patched');
    assert.equal(
      await kubectl(...patch, '--type=json', '-p', '[{"op":"test","path":"/spec/replicas","value":2}]'),
      'deployment.apps/web patched (no change)',
    );
    await kubectl('set', 'env', 'deployment/web', 'COLOUR=green');
    await cluster.rolledOut('web');
    const [pod = ''] = await cluster.pods('app=web');
    assert.equal(await cluster.shell(pod, 'echo $COLOUR'), 'green');
  });

  test('delete with and without what an object owns', async () => {
    const sets = () => kubectl('get', 'replicasets', '-l', 'app=web', '-o', 'name');
    const owned = await sets();
    const pods = await cluster.pods('app=web');
    assert.match(await kubectl('delete', 'deployment', 'web', '--cascade=orphan'), /deployment.apps "web" deleted/);
    assert.equal(await sets(), owned);
    const owners = await cluster.field('replicasets -l app=web', '{.items[*].metadata.ownerReferences}');
    assert.equal(owners, '');
    assert.deepEqual(await cluster.pods('app=web'), pods);
    await kubectl('create', 'deployment', 'web', `--image=${WEB_1}`, '--replicas=2');
    await cluster.rolledOut('web');
    assert.match(await kubectl('delete', 'deployment', 'web', '--cascade=foreground'), /deleted/);
    assert.equal(
      (await cluster.pods('app=web')).some((name) => !pods.includes(name)),
      false,
    );
    await kubectl('delete', 'replicasets', '-l', 'app=web');
    await eventually('its pods are gone', async () => (await cluster.pods('app=web')).length === 0);
    assert.match(await kubectl('delete', 'pod', 'shell', '--grace-period=0', '--force'), /pod "shell" force deleted/);
  });
});

test('down leaves nothing behind', () => cluster.downLeavesNothing());
