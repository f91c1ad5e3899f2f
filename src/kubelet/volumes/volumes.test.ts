import assert from 'node:assert/strict';
import { lstat, mkdtemp, readdir, readFile, readlink, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { seededRandom } from '../../lib/random.ts';
import { aPod } from '../pod/fixtures.ts';
import { type Payload, writeAtomically } from './atomic-writer.ts';
import { checkHostPath } from './host-path.ts';
import { configMapPayload, downwardPayload, secretPayload } from './payload.ts';
import { tokenRefreshMs } from './tokens.ts';

let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'volumes-'));
});
after(() => rm(directory, { recursive: true }));

const files = (entries: { [path: string]: string }, mode = 0o644): Payload =>
  new Map(Object.entries(entries).map(([path, text]) => [path, { data: Buffer.from(text), mode }]));
const random = seededRandom(1);

test('files appear together, change together, and disappear', async () => {
  const volume = await mkdtemp(join(directory, 'v-'));
  const read = (name: string): Promise<string> => readFile(join(volume, name), 'utf8');
  assert.equal(await writeAtomically(volume, files({ a: '1', 'dir/b': '2' }), { random }), true);
  assert.deepEqual([await read('a'), await read('dir/b')], ['1', '2']);
  assert.equal(await readlink(join(volume, 'a')), '..data/a');
  const before = await readlink(join(volume, '..data'));
  assert.equal(await writeAtomically(volume, files({ a: '1', 'dir/b': '2' }), { random }), false);
  assert.equal(await readlink(join(volume, '..data')), before);
  assert.equal(await writeAtomically(volume, files({ a: '3', c: '4' }, 0o400), { random }), true);
  assert.deepEqual([await read('a'), await read('c')], ['3', '4']);
  assert.equal((await stat(join(volume, 'a'))).mode & 0o777, 0o400);
  const names = await readdir(volume);
  assert.deepEqual(names.filter((n) => !n.startsWith('..')).sort(), ['a', 'c']);
  assert.equal(names.length, 4, `one data directory is left: ${names}`);
});

test('a path out of the volume is refused', async () => {
  const volume = await mkdtemp(join(directory, 'v-'));
  for (const path of ['../x', '/x', 'a/../../x', '..x', '']) {
    await assert.rejects(writeAtomically(volume, files({ [path]: '' }), { random }), /must not contain '\.\.'/, path);
  }
  assert.deepEqual(await readdir(volume), []);
});

test('with a group, files belong to it and it may read them', async () => {
  const volume = await mkdtemp(join(directory, 'v-'));
  await writeAtomically(volume, files({ a: '1' }, 0o600), { random, gid: process.getgid!() });
  assert.equal((await stat(join(volume, 'a'))).mode & 0o777, 0o640);
});

const options = { items: undefined, defaultMode: 0o644, optional: false };

test('ConfigMaps and Secrets as files', () => {
  const map = {
    metadata: { name: 'cm' },
    data: { a: 'x' },
    binaryData: { b: Buffer.from([0, 255]).toString('base64') },
  };
  const payload = configMapPayload(map, 'cm', options);
  assert.deepEqual([...payload.keys()], ['a', 'b']);
  assert.deepEqual([...payload.get('b')!.data], [0, 255]);
  const items = [{ key: 'a', path: 'sub/a', mode: 0o600 }];
  assert.deepEqual(
    [...configMapPayload(map, 'cm', { ...options, items })],
    [['sub/a', { data: Buffer.from('x'), mode: 0o600 }]],
  );
  const secret = { metadata: { name: 's' }, data: { p: Buffer.from('hush').toString('base64') } };
  assert.equal(Buffer.from(secretPayload(secret, 's', options).get('p')!.data).toString(), 'hush');
});

test('what is missing is an error unless it is optional', () => {
  const items = [{ key: 'z', path: 'z' }];
  const map = { metadata: { name: 'cm' }, data: {} };
  assert.throws(() => configMapPayload(undefined, 'cm', options), { message: 'configmap "cm" not found' });
  assert.throws(() => secretPayload(undefined, 's', options), { message: 'secret "s" not found' });
  assert.throws(() => configMapPayload(map, 'cm', { ...options, items }), {
    message: 'configmap references non-existent config key: z',
  });
  assert.throws(() => secretPayload(map, 's', { ...options, items }), {
    message: 'references non-existent secret key: z',
  });
  assert.equal(configMapPayload(undefined, 'cm', { ...options, optional: true }).size, 0);
  assert.equal(secretPayload(map, 's', { ...options, items, optional: true }).size, 0);
});

test('the downward API as files', () => {
  const fields = { pod: aPod({}, { labels: { a: '1' } }), podIPs: [], hostIPs: [], nodeName: 'n' };
  const items = [
    { path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } },
    { path: 'cpu', resourceFieldRef: { containerName: 'main', resource: 'limits.cpu' }, mode: 0o400 },
  ];
  const payload = downwardPayload(items, 0o644, fields, { cpu: '8' });
  assert.deepEqual([payload.get('labels')?.data.toString(), payload.get('labels')?.mode], ['a="1"', 0o644]);
  assert.deepEqual([payload.get('cpu')?.data.toString(), payload.get('cpu')?.mode], ['8', 0o400]);
});

test('hostPath types are checked, and made where asked for', async () => {
  const path = join(directory, 'made');
  await assert.rejects(checkHostPath({ path, type: 'Directory' }), {
    message: `hostPath type check failed: ${path} is not a directory`,
  });
  await checkHostPath({ path, type: 'DirectoryOrCreate' });
  assert.ok((await lstat(path)).isDirectory());
  await checkHostPath({ path: join(path, 'f'), type: 'FileOrCreate' });
  await checkHostPath({ path: join(path, 'f'), type: 'File' });
  await assert.rejects(checkHostPath({ path, type: 'File' }), /is not a file$/);
  await assert.rejects(checkHostPath({ path, type: 'Socket' }), /is not a socket file$/);
  await checkHostPath({ path: '/dev/null', type: 'CharDevice' });
  await checkHostPath({ path: '/does/not/exist' });
});

test('tokens are renewed at 80 % of their life, and daily', () => {
  assert.equal(tokenRefreshMs({ issuedMs: 0, expiresMs: 3_600_000 }), 2_880_000);
  assert.equal(tokenRefreshMs({ issuedMs: 0, expiresMs: 1e12 }), 86_400_000);
});
