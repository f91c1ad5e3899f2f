import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Pod } from '../../api/generated/types.ts';
import { silentLog } from '../../lib/log.ts';
import { Directories } from '../directories.ts';
import { aContainer, aPod } from '../pod/fixtures.ts';
import { Allocations } from './allocations.ts';

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'allocations-'));
  await mkdir(new Directories(root, root).pods);
});
after(() => rm(root, { recursive: true }));

const asking = (uid: string, cpu: string | undefined): Pod =>
  aPod({ containers: [aContainer('main', cpu === undefined ? {} : { resources: { requests: { cpu } } })] }, { uid });
const cpuOf = (pod: Pod): string | undefined => pod.spec.containers[0]!.resources?.requests?.cpu;

test('what is set aside outlives the kubelet; what was only asked for does not', async () => {
  const directories = new Directories(root, root);
  const first = new Allocations(directories, silentLog);
  await first.load();
  assert.equal(first.has(asking('u-1', '1')), false);
  first.set(asking('u-1', '1'));
  await first.save('u-1');
  first.set(asking('u-2', '1'));
  const second = new Allocations(directories, silentLog);
  await second.load();
  assert.deepEqual([second.has(asking('u-1', '9')), second.has(asking('u-2', '1'))], [true, false]);
  assert.equal(cpuOf(second.laidOver(asking('u-1', '2'))), '1');
  assert.deepEqual([second.differs(asking('u-1', '2')), second.differs(asking('u-1', '1000m'))], [true, false]);
  second.set(asking('u-1', '2'));
  assert.equal(cpuOf(second.laidOver(asking('u-1', '2'))), '2');
  second.forget('u-1');
  assert.equal(cpuOf(second.laidOver(asking('u-1', '7'))), '7');
});

test('pods that ask for nothing cost no file, and a file that cannot be read is as none', async () => {
  const directories = new Directories(root, root);
  const allocations = new Allocations(directories, silentLog);
  allocations.set(asking('u-3', undefined));
  await allocations.save('u-3');
  await assert.rejects(stat(directories.allocation('u-3')), { code: 'ENOENT' });
  const damaged = ['{"containers":', 'null', '{}', '{"containers":{"main":3}}', '{"containers":{},"pod":"1"}'];
  for (const [i, text] of damaged.entries()) {
    await mkdir(dirname(directories.allocation(`bad-${i}`)), { recursive: true });
    await writeFile(directories.allocation(`bad-${i}`), text);
  }
  await allocations.load();
  for (const [i, text] of damaged.entries()) {
    const pod = asking(`bad-${i}`, '1');
    assert.deepEqual([allocations.has(pod), allocations.laidOver(pod)], [false, pod], text);
  }
});

test('what is set aside anew while it is being saved is saved too', async () => {
  const directories = new Directories(root, root);
  const first = new Allocations(directories, silentLog);
  first.set(asking('u-5', '1'));
  const saving = first.save('u-5');
  first.set(asking('u-5', '2'));
  await saving;
  const second = new Allocations(directories, silentLog);
  await second.load();
  assert.equal(cpuOf(second.laidOver(asking('u-5', '3'))), '2');
});
