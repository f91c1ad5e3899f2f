// Views of images are given back whatever came in between; what mounts is real in the integration tests.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Pod } from '../../api/generated/types.ts';
import type { CriClient } from '../cri/client.ts';
import { Directories } from '../directories.ts';
import type { ImagePuller } from '../images/puller.ts';
import type { ReferencedObjects } from '../objects.ts';
import { aPod } from '../pod/fixtures.ts';
import { ImageVolumes } from './images.ts';

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'image-volumes-'));
});
after(() => rm(root, { recursive: true }));

test('a view that was asked for, and given up before it was mounted, is removed with the pod', async () => {
  const views = new Set<string>();
  const given = new AbortController();
  const cri = {
    imageLayers: async () => ['sha256:a'],
    // The runtime has made it when the caller has given up.
    viewLayers: async (key: string) => {
      views.add(key);
      given.abort();
      throw given.signal.reason;
    },
    removeView: async (key: string) => void views.delete(key),
  } as unknown as CriClient;
  const puller = { ensure: async () => ({ id: 'sha256:i' }) } as unknown as ImagePuller;
  const directories = new Directories(root, root);
  const volumes = new ImageVolumes({ cri, puller, objects: {} as ReferencedObjects, directories });
  const volume = { name: 'model', image: { reference: 'r/model:1' } };
  const pod: Pod = aPod({ volumes: [volume] });
  await assert.rejects(volumes.ensure(volume, pod, given.signal), { name: 'AbortError' });
  assert.equal(views.size, 1);
  await volumes.release(pod.metadata.uid!);
  assert.equal(views.size, 0);
});
