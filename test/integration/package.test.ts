// The package as its users get it: packed, installed by npm into an empty folder, run there.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { must, REPOSITORY, run } from './harness.ts';

/** This Node.js first on the PATH, and none of the variables that npm or a test runner passes on to its children. */
const env = {
  PATH: `${join(REPOSITORY, 'node_modules', '.bin')}:${process.env.PATH}`,
  NODE_TEST_CONTEXT: '',
  NODE_OPTIONS: '',
  // A registry's certificate may be known to this machine only.
  NODE_USE_SYSTEM_CA: '1',
};
const timeoutMs = 180_000;

const CONSUMER = `
import { type Deployment, draft, isReason, type KubeObject, startCluster, StatusError } from 'tsukube';

export async function check(): Promise<number> {
  await using cluster = await startCluster({ nodes: { count: 2, zones: ['a', 'b'] }, log: 'warn' });
  const objects: readonly KubeObject[] = await cluster.apply('apiVersion: v1');
  const web: Deployment = await cluster.waitFor('deployments.apps', 'web', (d) => (d.status?.replicas ?? 0) > 1);
  const gone: undefined = await cluster.waitFor('pods', 'x', 'delete', { timeoutMs: 1000 });
  const copy = draft(web);
  copy.metadata.labels = { a: 'b' };
  // @ts-expect-error objects that come from the cluster are readonly
  web.metadata.name = 'other';
  // @ts-expect-error there is no such resource
  await cluster.waitFor('depolyments', 'web', 'Available');
  try {
    await cluster.client.resource('deployments.apps').update(copy);
  } catch (error) {
    if (!isReason(error, 'Conflict')) throw error instanceof StatusError ? error.cause : error;
  }
  return objects.length + (web.spec?.replicas ?? 0) + (gone ?? 0) + cluster.nodes.list().length;
}
`;

describe('the npm package', () => {
  let directory: string;
  let tarball: string;
  /** Empty but for the installed package. */
  let consumer: string;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tsukube-package-'));
    const packed = await must('npm', ['pack', '--silent', '--pack-destination', directory, REPOSITORY], {
      env,
      timeoutMs,
    });
    tarball = join(directory, packed.split('\n').at(-1)!);
    consumer = await installed('consumer', { 'package.json': '{ "private": true, "type": "module" }' }, [
      'typescript',
      '@types/node',
    ]);
  });
  after(() => rm(directory, { recursive: true, force: true }));

  /** A folder with these files, and the package and others installed from the registry. */
  async function installed(
    name: string,
    files: { readonly [file: string]: string },
    more: readonly string[] = [],
  ): Promise<string> {
    const folder = join(directory, name);
    await mkdir(folder);
    if (existsSync(join(REPOSITORY, 'examples', name))) {
      await cp(join(REPOSITORY, 'examples', name), folder, { recursive: true });
    }
    for (const [file, text] of Object.entries(files)) await writeFile(join(folder, file), text);
    const install = ['install', '--no-audit', '--no-fund', '--prefix', folder, tarball, ...more];
    // A registry that stalls is asked once more.
    const { code } = await run('npm', install, { env, timeoutMs: 90_000 });
    if (code !== 0) await must('npm', install, { env, timeoutMs });
    return folder;
  }

  const node = (script: string, name: string): Promise<string> =>
    writeFile(join(consumer, name), script).then(() => must('node', [join(consumer, name)], { env, timeoutMs }));

  it('brings its code, types and licences, and the native store as its one dependency', async () => {
    const root = join(consumer, 'node_modules', 'tsukube');
    const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
    assert.deepEqual(Object.keys(manifest.dependencies), ['lmdb']);
    assert.deepEqual((await readdir(root)).sort(), ['LICENSE', 'README.md', 'dist', 'docs', 'package.json']);
    const licences = await readFile(join(root, 'dist', 'npm', 'THIRD-PARTY-LICENSES.txt'), 'utf8');
    assert.match(licences, /^yaml \d/m);
    assert.match(licences, /^@grpc\/grpc-js \d/m);
  });

  it('starts a cluster whose process ends by itself', async () => {
    const script = `
      import { startCluster } from 'tsukube';
      const began = performance.now();
      const cluster = await startCluster();
      await cluster.client.resource('configmaps').create({ metadata: { namespace: 'default', name: 'a' } });
      console.log('cold ' + Math.round(performance.now() - began) + ' ms');
      await cluster.dispose();
    `;
    const output = await node(script, 'ends.js');
    assert.match(output, /^cold \d+ ms$/);
    process.stderr.write(`startCluster() to first create in a fresh process: ${output}\n`);
  });

  it('can be required from CommonJS', async () => {
    const script =
      "require('tsukube').startCluster({ nodes: 0 }).then((c) => c.dispose()).then(() => console.log('done'));";
    assert.equal(await node(script, 'common.cjs'), 'done');
  });

  it('has types that compile strictly, without skipping the check of libraries', async () => {
    await writeFile(join(consumer, 'check.ts'), CONSUMER);
    const compilerOptions = {
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
      noEmit: true,
      target: 'es2022',
      module: 'nodenext',
      types: ['node'],
    };
    await writeFile(join(consumer, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['check.ts'] }));
    await must(join(consumer, 'node_modules', '.bin', 'tsc'), ['-p', consumer], { env, timeoutMs });
  });

  it('has the command', async () => {
    const command = join(consumer, 'node_modules', '.bin', 'tsukube');
    const { version } = JSON.parse(await readFile(join(REPOSITORY, 'package.json'), 'utf8')) as { version: string };
    assert.match(await must(command, ['version'], { env }), new RegExp(`^tsukube ${version.replaceAll('.', '\\.')} `));
    const own = {
      ...env,
      TSUKUBE_NAME: 'packed',
      TSUKUBE_DATA_DIR: join(directory, 'data'),
      KUBECONFIG: join(directory, 'user-kubeconfig'),
    };
    try {
      await must(command, ['up', '--simulated', '2', '--port', '9543'], { env: own, timeoutMs });
      const status = JSON.parse(await must(command, ['status', '--json'], { env: own })) as { ready: boolean };
      assert.equal(status.ready, true);
    } finally {
      const { code, stderr } = await run(command, ['down'], { env: own, timeoutMs });
      assert.equal(code, 0, stderr);
    }
  });

  for (const example of ['node-test', 'vitest', 'kubernetes-client-node', 'recovery']) {
    it(`runs the example ${example}`, async () => {
      const folder = await installed(example, {});
      await must('npm', ['test', '--prefix', folder], { env, timeoutMs });
    });
  }
});
