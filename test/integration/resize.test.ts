// Pods are resized in place, with real containers: what is asked for through pods/resize is read from inside of them.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Container, Pod, ResourceRequirements } from '../../src/api/generated/types.ts';
import { connectCri } from '../../src/kubelet/cri/client.ts';
import { canonicalQuantity, milliValue, quantityValue } from '../../src/machinery/quantity.ts';
import {
  createPod,
  deletePod,
  env,
  events,
  isReady,
  m,
  NODE,
  podWhen,
  startKubelet,
  until,
  useMachine,
} from './kubelet-lab.ts';

useMachine();

/** cpu request, cpu limit, memory request, memory limit; "" where there is none. */
type Amounts = readonly [cpuRequest: string, cpuLimit: string, memoryRequest: string, memoryLimit: string];

const guaranteed = (cpu: string, memory: string): Amounts => [cpu, cpu, memory, memory];

function requirements([cpuRequest, cpuLimit, memoryRequest, memoryLimit]: Amounts): ResourceRequirements {
  const list = (cpu: string, memory: string): { [name: string]: string } => ({
    ...(cpu && { cpu: canonicalQuantity(cpu) }),
    ...(memory && { memory: canonicalQuantity(memory) }),
  });
  const [requests, limits] = [list(cpuRequest, memoryRequest), list(cpuLimit, memoryLimit)];
  return {
    ...(Object.keys(requests).length > 0 && { requests }),
    ...(Object.keys(limits).length > 0 && { limits }),
  };
}

const COMMAND = ['/bin/sh', '-c', 'trap exit TERM; while :; do sleep 1; done'];

function create(name: string, amounts: readonly Amounts[], more: Partial<Container> = {}): Promise<Pod> {
  const containers = amounts.map((a, i) => ({
    name: `c${i + 1}`,
    command: COMMAND,
    resources: requirements(a),
    ...more,
  }));
  return createPod(name, { containers });
}

function resize(name: string, amounts: readonly Amounts[]): Promise<Pod> {
  const containers = amounts.map((a, i) => ({ name: `c${i + 1}`, resources: requirements(a) }));
  const patch = { type: 'strategic' as const, body: { spec: { containers } } };
  return m.client.resource('pods').patch({ namespace: 'default', name }, patch, { subresource: 'resize' });
}

const condition = (pod: Pod, type: string) => pod.status?.conditions?.find((c) => c.type === type);
const isSettled = (pod: Pod): boolean =>
  condition(pod, 'PodResizePending') === undefined && condition(pod, 'PodResizeInProgress') === undefined;

/** The pod once its containers have been given these amounts, and nothing is under way any more. */
function resized(name: string, amounts: readonly Amounts[]): Promise<Pod> {
  const wanted = JSON.stringify(amounts.map((a) => sorted(requirements(a))));
  return podWhen(name, `has ${wanted}`, (pod) => {
    const had = JSON.stringify((pod.status?.containerStatuses ?? []).map((s) => sorted(s.resources ?? {})));
    return had === wanted && isSettled(pod) && isReady(pod);
  });
}

function sorted({ requests, limits }: ResourceRequirements): object {
  const list = (l: { readonly [name: string]: string } | undefined) => l && Object.entries(l).sort();
  return { requests: list(requests), limits: list(limits) };
}

async function inside(pod: Pod, container: string, ...command: string[]): Promise<string> {
  const id = pod.status?.containerStatuses?.find((s) => s.name === container)?.containerID ?? '';
  const cri = connectCri(m.socket, env.clock);
  try {
    const { stdout } = await cri.execSync(id.replace('containerd://', ''), command, 10);
    return stdout.toString().trim();
  } finally {
    cri.close();
  }
}

/** What the kernel says inside of a container: shares (or the weight), the CPU limit in thousandths, bytes. */
async function limitsInside(pod: Pod, container: string): Promise<readonly (number | undefined)[]> {
  const text = await inside(
    pod,
    container,
    'sh',
    '-c',
    [
      'cd /sys/fs/cgroup',
      'if test -e cgroup.controllers; then cat cpu.weight cpu.max memory.max;',
      'else cat cpu/cpu.shares cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us memory/memory.limit_in_bytes; fi',
    ]
      .join('; ')
      .replace(';;', ';'),
  );
  const [shares, quota, period, bytes] = text.split(/\s+/);
  const milli = quota === 'max' || Number(quota) <= 0 ? undefined : (Number(quota) * 1000) / Number(period);
  const limit = bytes === 'max' || Number(bytes) >= 2 ** 62 ? undefined : Number(bytes);
  return [Number(shares), milli, limit];
}

async function checkInside(pod: Pod, amounts: readonly Amounts[]): Promise<void> {
  for (const [i, [cpuRequest, cpuLimit, , memoryLimit]] of amounts.entries()) {
    const [shares, milli, bytes] = await limitsInside(pod, `c${i + 1}`);
    const asked = milliValue(cpuRequest || cpuLimit || '0');
    const wanted = Math.max(2, Math.floor((asked * 1024) / 1000));
    const weight = Math.floor(1 + ((wanted - 2) * 9999) / 262142);
    assert.ok(shares === wanted || shares === weight, `c${i + 1}: ${shares} shares for ${asked}m`);
    assert.equal(milli, cpuLimit ? Math.max(10, milliValue(cpuLimit)) : undefined, `c${i + 1}: cpu limit`);
    assert.equal(bytes, memoryLimit ? quantityValue(memoryLimit) : undefined, `c${i + 1}: memory limit`);
  }
}

const restarts = (pod: Pod) => pod.status?.containerStatuses?.map((s) => s.restartCount);

/** Resizes a pod and, where that is allowed, back; each time the kernel has what was asked for, and nothing was restarted. */
async function thereAndBack(
  name: string,
  from: readonly Amounts[],
  to: readonly Amounts[],
  back = true,
): Promise<void> {
  await create(name, from);
  const made = await resized(name, from);
  await checkInside(made, from);
  for (const [i, amounts] of (back ? [to, from] : [to]).entries()) {
    const asked = await resize(name, amounts);
    assert.deepEqual(
      asked.spec.containers.map((c) => sorted(c.resources!)),
      amounts.map((a) => sorted(requirements(a))),
    );
    assert.equal(asked.metadata.generation, i + 2);
    const done = await resized(name, amounts);
    await checkInside(done, amounts);
    assert.deepEqual(
      restarts(done),
      amounts.map(() => 0),
    );
    assert.deepEqual(
      done.status?.containerStatuses?.map((s) => s.containerID),
      made.status?.containerStatuses?.map((s) => s.containerID),
    );
    await podWhen(name, 'its generation is seen', (pod) => pod.status?.observedGeneration === i + 2);
  }
  const reasons = (await events(name)).map((e) => e.reason);
  assert.ok(reasons.includes('ResizeStarted') && reasons.includes('ResizeCompleted'), reasons.join());
  await deletePod(name);
}

describe('pods are resized in place', () => {
  const three = [guaranteed('20m', '35Mi'), guaranteed('22m', '37Mi'), guaranteed('24m', '39Mi')];

  test('three guaranteed containers: two grow, one shrinks, the pod grows', () =>
    thereAndBack('net-more', three, [guaranteed('25m', '40Mi'), guaranteed('27m', '42Mi'), guaranteed('19m', '34Mi')]));

  test('three guaranteed containers: one grows, two shrink, the pod shrinks', () =>
    thereAndBack('net-less', three, [guaranteed('25m', '40Mi'), guaranteed('17m', '32Mi'), guaranteed('19m', '34Mi')]));

  test('three guaranteed containers: CPU and memory each in its own direction', () =>
    thereAndBack('crosswise', three, [
      guaranteed('25m', '35Mi'),
      guaranteed('17m', '42Mi'),
      guaranteed('29m', '44Mi'),
    ]));

  test('burstable containers: requests and limits are added, raised and lowered', () => {
    const from: Amounts[] = [
      ['20m', '', '', ''],
      ['', '', '35Mi', ''],
      ['20m', '', '35Mi', ''],
      ['20m', '', '', ''],
      ['', '', '35Mi', ''],
    ];
    const to: Amounts[] = [
      ['25m', '35m', '', ''],
      ['', '', '30Mi', '50Mi'],
      ['20m', '', '30Mi', ''],
      ['15m', '', '35Mi', ''],
      ['20m', '', '40Mi', ''],
    ];
    return thereAndBack('various', from, to, false);
  });

  test('amounts that are the same to the kernel are shown as they are asked for', () =>
    thereAndBack('equivalents', [['2m', '10m', '', '']], [['1m', '5m', '', '']]));

  test('a PUT of pods/resize is a resize too', async () => {
    const from: Amounts[] = [['20m', '', '35Mi', '']];
    const to: Amounts[] = [['25m', '', '40Mi', '']];
    await create('put', from);
    const pod = await resized('put', from);
    assert.equal(pod.metadata.generation, 1);
    const pods = m.client.resource('pods');
    const put = async (): Promise<Pod> => {
      const current = await pods.get({ namespace: 'default', name: 'put' });
      const containers = current.spec.containers.map((c) => ({ ...c, resources: requirements(to[0]!) }));
      return pods.update({ ...current, spec: { ...current.spec, containers } }, { subresource: 'resize' });
    };
    // The kubelet's own writes may come between.
    const updated = await until('the PUT meets the newest version', () => put().catch(() => undefined));
    assert.equal(updated.metadata.generation, 2);
    await checkInside(await resized('put', to), to);
    await deletePod('put');
  });

  test('a container whose policy asks for it is started anew with what it got', async () => {
    const from: Amounts[] = [['20m', '40m', '35Mi', '45Mi']];
    const to: Amounts[] = [['20m', '40m', '40Mi', '50Mi']];
    const resizePolicy = [{ resourceName: 'memory', restartPolicy: 'RestartContainer' as const }];
    await create('anew', from, { resizePolicy });
    await resized('anew', from);
    await resize('anew', to);
    const done = await podWhen(
      'anew',
      'runs again',
      (pod) => restarts(pod)?.[0] === 1 && isReady(pod) && isSettled(pod),
    );
    assert.deepEqual(sorted(done.status!.containerStatuses![0]!.resources!), sorted(requirements(to[0]!)));
    await checkInside(done, to);
    assert.ok((await events('anew')).some((e) => e.message === 'Container c1 resize requires restart'));
    await resize('anew', [['25m', '45m', '40Mi', '50Mi']]);
    const again = await resized('anew', [['25m', '45m', '40Mi', '50Mi']]);
    assert.deepEqual(restarts(again), [1]);
    await deletePod('anew');
  });

  test('what the node cannot give waits, or never comes; what is in use is not taken', async () => {
    const node = await m.client.resource('nodes').get({ name: NODE });
    const whole = milliValue(node.status!.allocatable!.cpu!);
    await create('in-the-way', [[`${whole - 300}m`, '', '', '']]);
    await create('waits', [['100m', '', '20Mi', '40Mi']]);
    const first = await podWhen('waits', 'is ready', isReady);
    await podWhen('in-the-way', 'is ready', isReady);

    await resize('waits', [[`${whole + 1}m`, '', '20Mi', '40Mi']]);
    const never = await podWhen(
      'waits',
      'is infeasible',
      (pod) => condition(pod, 'PodResizePending')?.reason === 'Infeasible',
    );
    const why = `Node didn't have enough capacity: cpu, requested: ${whole + 1}, capacity: ${whole}`;
    assert.equal(condition(never, 'PodResizePending')?.message, why);
    assert.equal(condition(never, 'PodResizePending')?.observedGeneration, 2);
    assert.deepEqual(never.status?.containerStatuses?.[0]?.allocatedResources, { cpu: '100m', memory: '20Mi' });

    await resize('waits', [['400m', '', '20Mi', '40Mi']]);
    const deferred = await podWhen(
      'waits',
      'is deferred',
      (pod) => condition(pod, 'PodResizePending')?.reason === 'Deferred',
    );
    assert.match(
      condition(deferred, 'PodResizePending')?.message ?? '',
      /^Node didn't have enough resource: cpu, requested: 400/,
    );
    await checkInside(deferred, [['100m', '', '20Mi', '40Mi']]);

    // A kubelet that is started again goes on with what was set aside, and asks again for the rest.
    m.stop.abort();
    await m.kubelet.ended;
    await startKubelet();
    await until('the node is ready', () => m.kubelet.ready);
    const still = await podWhen(
      'waits',
      'is deferred',
      (pod) => condition(pod, 'PodResizePending')?.reason === 'Deferred',
    );
    assert.deepEqual(still.status?.containerStatuses?.[0]?.allocatedResources, { cpu: '100m', memory: '20Mi' });
    assert.equal(still.status?.containerStatuses?.[0]?.containerID, first.status?.containerStatuses?.[0]?.containerID);

    await deletePod('in-the-way');
    await checkInside(await resized('waits', [['400m', '', '20Mi', '40Mi']]), [['400m', '', '20Mi', '40Mi']]);

    const tiny: Amounts[] = [['400m', '', '10Ki', '10Ki']];
    await resize('waits', tiny);
    const failing = await podWhen(
      'waits',
      'says why',
      (pod) => condition(pod, 'PodResizeInProgress')?.reason === 'Error',
    );
    assert.match(condition(failing, 'PodResizeInProgress')!.message!, /memory limit \(10240\) below current usage/);
    assert.equal(condition(failing, 'PodResizePending'), undefined);
    await checkInside(failing, [['400m', '', '20Mi', '40Mi']]);
    await resize('waits', [['400m', '', '20Mi', '30Mi']]);
    const last = await resized('waits', [['400m', '', '20Mi', '30Mi']]);
    await checkInside(last, [['400m', '', '20Mi', '30Mi']]);
    assert.deepEqual(restarts(last), [0]);
    const reasons = new Set((await events('waits')).map((e) => e.reason));
    for (const reason of ['ResizeInfeasible', 'ResizeDeferred', 'ResizeStarted', 'ResizeError', 'ResizeCompleted']) {
      assert.ok(reasons.has(reason), `${reason} of ${[...reasons].join()}`);
    }
    await deletePod('waits');
  });

  test('what was asked for while no kubelet ran is decided by the next one', async () => {
    const from: Amounts[] = [['20m', '40m', '35Mi', '45Mi']];
    const to: Amounts[] = [['30m', '50m', '40Mi', '55Mi']];
    await create('meanwhile', from);
    await resized('meanwhile', from);
    m.stop.abort();
    await m.kubelet.ended;
    await resize('meanwhile', to);
    await startKubelet();
    const done = await resized('meanwhile', to);
    await checkInside(done, to);
    assert.deepEqual(restarts(done), [0]);
    assert.ok((await events('meanwhile')).some((e) => e.reason === 'ResizeStarted'));
    await deletePod('meanwhile');
  });
});
