// What is set aside is saved before anything is done about it, and what was decided for one pod is done for the same.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Pod } from '../../api/generated/types.ts';
import { silentLog } from '../../lib/log.ts';
import { Allocations } from '../allocation/allocations.ts';
import { Directories } from '../directories.ts';
import { ResizeError } from '../runtime/resize.ts';
import type { PodActions } from './decide.ts';
import { aContainer, aPod, aSandbox, observed, seen } from './fixtures.ts';
import { PodResizing } from './resizing.ts';

let directories: Directories;
let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'resizing-'));
  directories = new Directories(root, root);
});
after(() => rm(root, { recursive: true }));

const NEVER = new AbortController().signal;
const asking = (uid: string, cpu: string): Pod =>
  aPod({ containers: [aContainer('main', { resources: { requests: { cpu } } })] }, { uid });
const cpuOf = (pod: Pod): string | undefined => pod.spec.containers[0]!.resources?.requests?.cpu;
const onDisk = async (pod: Pod): Promise<string | undefined> => {
  const fresh = new Allocations(directories, silentLog);
  await fresh.load();
  return cpuOf(fresh.laidOver(pod));
};
const running = observed([
  seen('main', { resources: { cpuRequestMilli: 1000, cpuLimitMilli: 0, memoryLimitBytes: 0 } }),
]);
const NOTHING: PodActions = {
  ...{ killPod: false, createSandbox: false, attempt: 0, sandbox: aSandbox() },
  ...{ kill: [], start: [], update: [] },
};

test('a verdict that comes while the last one is being saved is saved before the pod is acted for', async () => {
  const allocations = new Allocations(directories, silentLog);
  const told: string[] = [];
  let asked = asking('u-1', '1');
  allocations.set(asked);
  const verdict = (): void => void resizing.judged(asked, undefined);
  const tools = { allocations, resizer: { resize: async () => undefined }, judgeResizes: verdict };
  const resizing: PodResizing = new PodResizing(tools, (_, reason) => told.push(reason));
  asked = asking('u-1', '2');
  const settling = resizing.settle(() => asked, running);
  // Another pod's worker has them all judged, and this one has just asked for something else again.
  asked = asking('u-1', '3');
  verdict();
  const pod = await settling;
  assert.deepEqual([cpuOf(pod), await onDisk(asking('u-1', '9'))], ['3', '3']);
  assert.deepEqual(told, ['ResizeStarted', 'ResizeStarted']);
  assert.deepEqual(
    resizing.conditions().map((c) => c.type),
    ['PodResizeInProgress'],
  );
});

test('the group is given what was settled, whatever is set aside meanwhile, and what failed is told and tried again', async () => {
  const allocations = new Allocations(directories, silentLog);
  const told: string[] = [];
  const given: (string | undefined)[] = [];
  let failure: Error | undefined;
  const resizer = {
    resize: async (pod: Pod) => {
      given.push(cpuOf(pod));
      if (failure) throw failure;
    },
  };
  const resizing = new PodResizing({ allocations, resizer, judgeResizes: () => undefined }, (_, reason) =>
    told.push(reason),
  );
  const first = asking('u-2', '1');
  allocations.set(first);
  const settled = await resizing.settle(() => first, running);
  resizing.grouped(settled);
  assert.equal(await resizing.give(settled, NOTHING, NEVER), 'unchanged');
  const more = asking('u-2', '2');
  resizing.judged(more, undefined);
  assert.equal(await resizing.give(settled, NOTHING, NEVER), 'unchanged');
  const next = await resizing.settle(() => more, running);
  failure = new ResizeError('no room');
  assert.equal(await resizing.give(next, NOTHING, NEVER), 'failed');
  assert.equal(resizing.conditions()[0]?.reason, 'Error');
  failure = undefined;
  assert.equal(await resizing.give(next, NOTHING, NEVER), 'changed');
  assert.equal(await resizing.give(next, NOTHING, NEVER), 'unchanged');
  assert.deepEqual(given, ['2', '2']);
  assert.deepEqual(told, ['ResizeStarted', 'ResizeError']);
});
