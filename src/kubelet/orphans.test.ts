import assert from 'node:assert/strict';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLog } from '../lib/log.ts';
import { Allocations } from './allocation/allocations.ts';
import { Directories } from './directories.ts';
import { type OrphanContext, removeOrphan } from './orphans.ts';
import { aContainer, aPod } from './pod/fixtures.ts';

test('what was set aside for a pod that is gone is forgotten with its directory', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'orphans-'));
  t.after(() => rm(root, { recursive: true }));
  const directories = new Directories(root, root);
  const pod = aPod({ containers: [aContainer('main', { resources: { requests: { cpu: '1' } } })] });
  const uid = pod.metadata.uid!;
  const allocations = new Allocations(directories, silentLog);
  allocations.set(pod);
  await allocations.save(uid);
  const context = {
    volumes: { removeDirectory: () => rm(directories.pod(uid), { recursive: true }) },
    cgroups: { removeByUid: async () => undefined },
    allocations,
    signal: t.signal,
  } as unknown as OrphanContext;
  await removeOrphan(uid, undefined, context);
  assert.equal(allocations.has(pod), false);
  await assert.rejects(stat(directories.allocation(uid)), { code: 'ENOENT' });
});
