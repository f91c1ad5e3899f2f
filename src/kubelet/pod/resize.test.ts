import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Container, ResourceRequirements } from '../../api/generated/types.ts';
import { actualResources, desiredResources, linuxResources, podCgroup } from '../runtime/resources.ts';
import { decide } from './decide.ts';
import { aContainer, aPod, NO_VERDICTS, observed, over, seen } from './fixtures.ts';
import type { ActualResources } from './observed.ts';
import { type ContainerUpdate, isResizing, memoryInUse, type PodCgroupState, resizeSteps } from './resize.ts';

const Mi = 2 ** 20;
const amounts = (cpuRequestMilli: number, cpuLimitMilli: number, memory: number): ActualResources => ({
  cpuRequestMilli,
  cpuLimitMilli,
  memoryLimitBytes: memory * Mi,
});
const asking = (requests: object, limits: object = {}): ResourceRequirements =>
  ({ requests, limits }) as ResourceRequirements;
const container = (resources: ResourceRequirements, more: Partial<Container> = {}): Container =>
  aContainer('main', { resources, ...more });
const running = (resources: ActualResources) => seen('main', { resources });

describe('what is to be done with a running container', () => {
  const full = asking({ cpu: '20m' }, { cpu: '40m', memory: '30Mi' });
  const decided = (c: Container, has: ActualResources | undefined) => {
    const pod = aPod({ containers: [c], restartPolicy: 'OnFailure' });
    const there = observed([has ? running(has) : seen('main')]);
    const { kill, start, update, killPod } = decide(pod, there, NO_VERDICTS);
    return { kill: kill.map((k) => k.message), start: start.length, update, killPod, resizing: isResizing(pod, there) };
  };
  const nothing = { kill: [], start: 0, update: [], killPod: false, resizing: false };

  test('nothing, when it has what is set aside, or nobody knows what it has', () => {
    assert.deepEqual(decided(container(full), amounts(20, 40, 30)), nothing);
    assert.deepEqual(decided(container(full), undefined), nothing);
    assert.deepEqual(decided(container(asking({ memory: '30Mi' })), amounts(2, 0, 0)), nothing);
  });

  test('an update, when it has more or less', () => {
    const { update, resizing, kill } = decided(container(full), amounts(20, 40, 25));
    assert.deepEqual(update, [
      { id: 'id-main', name: 'main', current: amounts(20, 40, 25), desired: amounts(20, 40, 30) },
    ]);
    assert.deepEqual([resizing, kill], [true, []]);
    assert.equal(decided(container(full), amounts(20, 0, 30)).update.length, 1);
    assert.equal(decided(container(asking({}, { cpu: '5m' })), amounts(2, 0, 0)).update.length, 1);
  });

  test('a restart, when its policy for what changes says so', () => {
    const anew = { resizePolicy: [{ resourceName: 'memory', restartPolicy: 'RestartContainer' as const }] };
    const memory = decided(container(full, anew), amounts(20, 40, 25));
    assert.deepEqual([memory.kill, memory.start, memory.update], [['Container main resize requires restart'], 1, []]);
    const cpu = decided(container(full, anew), amounts(10, 40, 30));
    assert.deepEqual([cpu.kill, cpu.start, cpu.update.length], [[], 0, 1]);
  });

  test('a sidecar is resized as a container is; one that does not run is made right when it starts', () => {
    const sidecar = aContainer('side', { restartPolicy: 'Always', resources: full });
    const pod = aPod({ initContainers: [sidecar] });
    const side = seen('side', { resources: amounts(1, 40, 30) });
    const { update } = decide(pod, observed([seen('main'), side]), NO_VERDICTS);
    assert.deepEqual(
      update.map((u) => u.name),
      ['side'],
    );
    const ended = over('main', 1, { resources: amounts(1, 1, 1) });
    const dead = decide(aPod({ containers: [container(full)] }), observed([ended]), NO_VERDICTS);
    assert.deepEqual([dead.update, dead.start.length], [[], 1]);
  });
});

test('what is told to the kernel is read back as it was asked for, down to the smallest that it knows', () => {
  fc.assert(
    fc.property(fc.nat(5000), fc.nat(5000), fc.nat(1 << 20), (request, limit, memory) => {
      const asked = desiredResources(
        container(asking({ cpu: `${request}m` }, { ...(limit > 0 && { cpu: `${limit}m` }), memory: `${memory}Ki` })),
      );
      const told = linuxResources(asked);
      const reported = actualResources({
        cpuShares: String(told.cpuShares ?? 0),
        cpuQuota: String(told.cpuQuota ?? 0),
        cpuPeriod: String(told.cpuPeriod ?? 0),
        memoryLimitInBytes: String(told.memoryLimitInBytes ?? 0),
      });
      const floor = { cpuRequestMilli: Math.max(2, request), cpuLimitMilli: limit && Math.max(10, limit) };
      assert.deepEqual(reported, { ...asked, ...floor });
    }),
  );
});

describe('the steps', () => {
  const one = fc.record({
    before: fc.record({
      request: fc.integer({ min: 1, max: 500 }),
      cpu: fc.integer({ min: 10, max: 500 }),
      memory: fc.integer({ min: 1, max: 500 }),
    }),
    after: fc.record({
      request: fc.integer({ min: 1, max: 500 }),
      cpu: fc.integer({ min: 10, max: 500 }),
      memory: fc.integer({ min: 1, max: 500 }),
    }),
  });

  test('lead to what is set aside, and no container ever may have more than its pod', () => {
    fc.assert(
      fc.property(fc.array(one, { minLength: 1, maxLength: 4 }), (containers) => {
        const of = (which: 'before' | 'after') =>
          containers.map((c) => amounts(c[which].request, c[which].cpu, c[which].memory));
        const pod = (which: 'before' | 'after') =>
          aPod({
            containers: containers.map((c, i) =>
              aContainer(`c${i}`, {
                resources: asking(
                  { cpu: `${c[which].request}m` },
                  { cpu: `${c[which].cpu}m`, memory: `${c[which].memory}Mi` },
                ),
              }),
            ),
          });
        const [current, desired] = [of('before'), of('after')];
        const updates: ContainerUpdate[] = current
          .map((c, i) => ({ id: `id-${i}`, name: `c${i}`, current: c, desired: desired[i]! }))
          .filter((u) => JSON.stringify(u.current) !== JSON.stringify(u.desired));
        const group = { ...podCgroup(pod('before')) } as { -readonly [key in keyof PodCgroupState]: number };
        const has = new Map(current.map((c, i) => [`id-${i}`, c]));
        for (const step of resizeSteps(updates, { ...group }, podCgroup(pod('after')))) {
          if (step.type === 'pod') group[step.setting] = step.value;
          else has.set(step.id, step.resources);
          for (const c of has.values()) {
            assert.ok(c.memoryLimitBytes <= group.memoryLimitBytes, 'memory');
            assert.ok(c.cpuLimitMilli * 100 <= group.cpuQuota, 'cpu');
          }
        }
        assert.deepEqual({ ...group }, { ...podCgroup(pod('after')) });
        for (const [i, c] of desired.entries()) assert.deepEqual(has.get(`id-${i}`), c);
      }),
    );
  });

  test('those that give back come before those that get, memory before CPU, and nothing is done twice', () => {
    const update = (name: string, current: ActualResources, desired: ActualResources) => ({
      id: name,
      name,
      current,
      desired,
    });
    const updates = [
      update('gets', amounts(10, 20, 30), amounts(10, 20, 40)),
      update('gives', amounts(10, 20, 30), amounts(10, 20, 10)),
      update('limited', amounts(10, 0, 0), amounts(10, 50, 60)),
      update('cpu', amounts(10, 20, 30), amounts(11, 20, 30)),
    ];
    const unlimited: PodCgroupState = {
      cpuShares: 40,
      cpuQuota: Number.POSITIVE_INFINITY,
      memoryLimitBytes: Number.POSITIVE_INFINITY,
    };
    const steps = resizeSteps(updates, unlimited, { cpuShares: 41, memoryLimitBytes: 140 * Mi });
    const told = steps.map((s) => (s.type === 'pod' ? s.setting : s.name));
    assert.deepEqual(told, ['gives', 'limited', 'gets', 'memoryLimitBytes', 'cpuShares', 'limited', 'cpu']);
    const limited = steps.filter((s) => s.type === 'container' && s.name === 'limited');
    assert.deepEqual(
      limited.map((s) => s.type === 'container' && s.resources),
      [amounts(10, 0, 60), amounts(10, 50, 60)],
    );
    assert.deepEqual(resizeSteps([], unlimited, { cpuShares: 40 }), []);
    assert.equal(resizeSteps(updates, undefined, { cpuShares: 41 }).filter((s) => s.type === 'pod').length, 0);
  });

  test('memory that is in use is not taken', () => {
    const update = { id: 'i', name: 'c', current: amounts(1, 0, 40), desired: amounts(1, 0, 20) };
    const group: PodCgroupState = { cpuShares: 2, cpuQuota: Number.POSITIVE_INFINITY, memoryLimitBytes: 40 * Mi };
    const why = (used: number | undefined, pod: number | undefined, desired = update.desired) => {
      const updates = [{ ...update, desired }];
      const steps = resizeSteps(updates, group, { cpuShares: 2, memoryLimitBytes: desired.memoryLimitBytes });
      return memoryInUse(steps, updates, { pod, container: () => used });
    };
    assert.equal(why(19 * Mi, 19 * Mi), undefined);
    assert.equal(why(undefined, undefined), undefined);
    const text = `attempting to set container "c" memory limit (${20 * Mi}) below current usage (${20 * Mi})`;
    assert.equal(why(20 * Mi, 19 * Mi), text);
    const pod = `attempting to set pod memory limit (${20 * Mi}) below current usage (${21 * Mi})`;
    assert.equal(why(20 * Mi, 21 * Mi), `[${text}, ${pod}]`);
    assert.equal(why(39 * Mi, 39 * Mi, amounts(1, 0, 50)), undefined);
  });
});
