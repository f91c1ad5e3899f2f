import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CriClient } from '../cri/client.ts';
import type { Image } from '../cri/types.ts';
import { pauseImageArchive } from '../pause-image.ts';
import { credentialsFor, imageRegistry } from './credentials.ts';
import { ImageGarbageCollector, imagesToRemove } from './garbage.ts';

test('registries of image names', () => {
  assert.deepEqual(imageRegistry('nginx'), { host: 'docker.io', path: 'library/nginx' });
  assert.deepEqual(imageRegistry('me/app:1'), { host: 'docker.io', path: 'me/app' });
  assert.deepEqual(imageRegistry('localhost:5000/a/b@sha256:0'), { host: 'localhost:5000', path: 'a/b' });
});

test('credentials: the most specific entry first, wildcards, docker hub by any name, unreadable ones passed over', () => {
  const secret = (auths: object, type = 'kubernetes.io/dockerconfigjson') => ({
    metadata: { name: 's' },
    type,
    data: { '.dockerconfigjson': Buffer.from(JSON.stringify({ auths })).toString('base64') },
  });
  const auth = Buffer.from('user:pass:word').toString('base64');
  const secrets = [
    secret({ 'https://index.docker.io/v1/': { auth }, '*.example.com': { username: 'wild', password: 'w' } }),
    secret({
      'r.example.com/team': { username: 'team', password: 't' },
      'r.example.com': { username: 'host', password: 'h' },
    }),
    { metadata: { name: 'broken' }, type: 'kubernetes.io/dockerconfigjson', data: { '.dockerconfigjson': 'e30x' } },
  ];
  const names = (image: string): (string | undefined)[] => credentialsFor(image, secrets).map((a) => a.username);
  assert.deepEqual(names('r.example.com/team/app:1'), ['team', 'host', 'wild']);
  assert.deepEqual(names('r.example.com/teams/app:1'), ['host', 'wild']);
  assert.deepEqual(names('a.r.example.com/app'), []);
  assert.deepEqual(credentialsFor('nginx', secrets), [
    { serverAddress: 'https://index.docker.io/v1/', username: 'user', password: 'pass:word' },
  ]);
});

test('images go in the order of their last use, as many as needed; never used ones, pinned ones and new ones stay as they must', () => {
  const image = (id: string, more = {}) => ({
    id,
    repoTags: [],
    repoDigests: [],
    size: '100',
    uid: null,
    username: '',
    pinned: false,
    ...more,
  });
  const images = ['a', 'b', 'c', 'used', 'new'].map((id) => image(id)).concat(image('pinned', { pinned: true }));
  const uses = new Map([
    ['a', { firstSeenMs: 0, lastUsedMs: 50 }],
    ['b', { firstSeenMs: 0, lastUsedMs: 10 }],
    ['c', { firstSeenMs: 0, lastUsedMs: 90 }],
    ['used', { firstSeenMs: 0, lastUsedMs: 0 }],
    ['new', { firstSeenMs: 950, lastUsedMs: 0 }],
    ['pinned', { firstSeenMs: 0, lastUsedMs: 0 }],
  ]);
  const chosen = (bytes: number): string[] =>
    imagesToRemove(images, { inUse: new Set(['used']), uses, bytes, nowMs: 1000, minAgeMs: 100 }).map((i) => i.id);
  assert.deepEqual(chosen(150), ['b', 'a']);
  assert.deepEqual(chosen(10_000), ['b', 'a', 'c']);
  assert.deepEqual(chosen(0), []);
});

test('an image of which there is only a volume stays, whatever its pod calls it', async (t) => {
  const image = (name: string): Image => {
    return { id: `sha256:${name}`, repoTags: [`docker.io/library/${name}:1`], repoDigests: [], size: '9' } as never;
  };
  const images = ['model', 'run', 'old'].map(image);
  const removed: string[] = [];
  const cri = {
    listImages: async () => images,
    listContainers: async () => [{ imageRef: 'sha256:run' }],
    imageStatus: async (name: string) => {
      if (name.includes('::')) throw new Error('invalid reference format');
      return images.find((one) => one.repoTags[0] === `docker.io/library/${name}`);
    },
    imageFsInfo: async () => [{ fsId: { mountpoint: '/' } }],
    removeImage: async (id: string) => void removed.push(id),
  } as unknown as CriClient;
  const collector = new ImageGarbageCollector(cri, new Set(), { highShare: 0, lowShare: 0, minAgeMs: 0 });
  const chosen = await collector.collect(1000, t.signal, new Set(['model:1', 'no::name']));
  assert.deepEqual([removed, chosen.map(({ id }) => id)], [['sha256:old'], ['sha256:old']]);
});

test('the pause image is the same bytes every time, for each architecture', () => {
  assert.deepEqual(pauseImageArchive('x64'), pauseImageArchive('x64'));
  assert.notDeepEqual(pauseImageArchive('x64'), pauseImageArchive('arm64'));
  assert.throws(() => pauseImageArchive('s390x'), /no pause program/);
});

test("layers of different images have names of their own, so that an import broken off is in no other one's way", () => {
  const layers = (['x64', 'arm64'] as const).map(
    (arch) => /"Layers":\["([^"]+)"\]/.exec(`${pauseImageArchive(arch)}`)?.[1],
  );
  assert.match(layers[0] ?? '', /^[0-9a-f]{64}\.tar$/);
  assert.notEqual(layers[0], layers[1]);
});
