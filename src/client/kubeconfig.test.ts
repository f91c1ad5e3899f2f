import assert from 'node:assert/strict';
import { it } from 'node:test';
import { accessFrom, makeKubeconfig, mergeKubeconfigs, parseKubeconfig, printKubeconfig } from './kubeconfig.ts';

const OTHER = `
apiVersion: v1
kind: Config
current-context: theirs
clusters: [{name: c, cluster: {server: "https://other:6443", certificate-authority: pki/ca.crt}}]
users: [{name: u, user: {tokenFile: token}}]
contexts: [{name: theirs, context: {cluster: c, user: u}}]
`;

it('what is made is read back, and resolves to an access', async () => {
  const made = makeKubeconfig({
    name: 'mine',
    server: 'https://x:1',
    ca: 'CA',
    certificate: 'CRT',
    key: 'KEY',
    namespace: 'n',
  });
  const read = parseKubeconfig(printKubeconfig(made));
  assert.deepEqual(read, made);
  assert.deepEqual(await accessFrom(read), {
    servers: ['https://x:1'],
    ca: 'CA',
    certificate: 'CRT',
    key: 'KEY',
    tlsServerName: undefined,
    token: undefined,
    tokenFile: undefined,
    namespace: 'n',
  });
});

it('relative paths are the file’s own', () => {
  const read = parseKubeconfig(OTHER, '/etc/k');
  assert.equal(read.clusters.get('c')?.['certificate-authority'], '/etc/k/pki/ca.crt');
  assert.equal(read.users.get('u')?.tokenFile, '/etc/k/token');
});

it('of several the first to name a thing wins', () => {
  const mine = makeKubeconfig({ name: 'c', user: 'me', server: 'https://mine:1', token: 't' });
  const merged = mergeKubeconfigs(mine, parseKubeconfig(OTHER));
  assert.equal(merged.currentContext, 'c');
  assert.equal(merged.clusters.get('c')?.server, 'https://mine:1');
  assert.deepEqual([...merged.contexts.keys()].sort(), ['c', 'theirs']);
  assert.deepEqual([...merged.users.keys()].sort(), ['me', 'u']);
});

it('says what is missing, and refuses what it does not do', async () => {
  await assert.rejects(
    accessFrom(parseKubeconfig(OTHER), 'nobody'),
    /context was not found for specified context: nobody/,
  );
  const exec = OTHER.replace('{tokenFile: token}', '{exec: {command: x}}');
  await assert.rejects(
    accessFrom(parseKubeconfig(exec.replace(', certificate-authority: pki/ca.crt', ''))),
    /exec is not supported/,
  );
  assert.throws(() => parseKubeconfig('kind: Pod'), /kind is Pod/);
});
