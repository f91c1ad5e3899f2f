import assert from 'node:assert/strict';
import { lstat, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeKubeconfig, parseKubeconfig, printKubeconfig } from '../client/kubeconfig.ts';
import { mergeIntoUserKubeconfig, removeFromUserKubeconfig, userKubeconfigPath } from './kubeconfig-file.ts';

const ours = printKubeconfig(
  makeKubeconfig({ name: 'tsukube', user: 'tsukube-admin', server: 'https://127.0.0.1:6443', token: 't' }),
);

const THEIRS = `# mine
apiVersion: v1
kind: Config
current-context: work
clusters:
  - name: work # the big one
    cluster: {server: "https://work:6443"}
contexts:
  - name: work
    context: {cluster: work, user: me}
users:
  - name: me
    user: {token: abc}
preferences: {}
`;

async function inFolder(run: (file: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'kubeconfig-'));
  try {
    await run(join(folder, 'config'));
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('a context goes in and out without touching any other', () =>
  inFolder(async (file) => {
    await writeFile(file, THEIRS);
    await mergeIntoUserKubeconfig(file, ours);
    await mergeIntoUserKubeconfig(file, ours);
    const merged = parseKubeconfig(await readFile(file, 'utf8'));
    assert.deepEqual([...merged.contexts.keys()], ['work', 'tsukube']);
    assert.equal(merged.currentContext, 'work');
    assert.match(await readFile(file, 'utf8'), /# the big one/);
    await removeFromUserKubeconfig(file, ours);
    assert.deepEqual(parseKubeconfig(await readFile(file, 'utf8')), parseKubeconfig(THEIRS));
  }));

test('a file that is not there is made, with our context as the current one', () =>
  inFolder(async (file) => {
    await mergeIntoUserKubeconfig(file, ours);
    assert.deepEqual(parseKubeconfig(await readFile(file, 'utf8')), parseKubeconfig(ours));
    await removeFromUserKubeconfig(file, ours);
    assert.equal(parseKubeconfig(await readFile(file, 'utf8')).currentContext, '');
  }));

test('a file that cannot be read is refused and left as it is', () =>
  inFolder(async (file) => {
    await writeFile(file, 'a: [b');
    await assert.rejects(mergeIntoUserKubeconfig(file, ours), /left as it is/);
    assert.equal(await readFile(file, 'utf8'), 'a: [b');
  }));

test('the first path of KUBECONFIG is the file', () => {
  assert.equal(userKubeconfigPath({ KUBECONFIG: ':/a:/b', HOME: '/h' }), '/a');
  assert.equal(userKubeconfigPath({ HOME: '/h' }), '/h/.kube/config');
});

test('a link to a file that is kept elsewhere stays a link', () =>
  inFolder(async (file) => {
    const kept = `${file}.kept`;
    await writeFile(kept, THEIRS);
    await symlink(kept, file);
    await mergeIntoUserKubeconfig(file, ours);
    assert.ok((await lstat(file)).isSymbolicLink());
    assert.match(await readFile(kept, 'utf8'), /tsukube-admin/);
  }));
