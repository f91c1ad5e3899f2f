import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Node, PersistentVolumeClaim, Pod, Taint, VolumeAttachment } from '../api/generated/types.ts';
import { attachmentsToDelete } from './forced-detach.ts';
import { decideTaints, noExecuteKey } from './node-taints.ts';
import { DEFAULT_EVICTION_RATES, EvictionLimiter, zonesOf } from './node-zones.ts';
import { evictionTime, tolerates } from './tolerations.ts';

const KEYS = [
  'node.kubernetes.io/not-ready',
  'node.kubernetes.io/unreachable',
  'node.kubernetes.io/disk-pressure',
  'mine',
];
const taints = fc.uniqueArray(
  fc.record({ key: fc.constantFrom(...KEYS), effect: fc.constantFrom<Taint['effect']>('NoSchedule', 'NoExecute') }),
  { selector: ({ key, effect }) => `${key}:${effect}`, maxLength: 6 },
);
const statuses = fc.constantFrom('True', 'False', 'Unknown');
const nodes = fc.record({ ready: statuses, disk: statuses, taints, cordoned: fc.boolean() }).map(
  ({ ready, disk, taints: of, cordoned }): Node => ({
    metadata: { name: 'n' },
    spec: { taints: of, ...(cordoned && { unschedulable: true }) },
    status: {
      conditions: [
        { type: 'Ready', status: ready },
        { type: 'DiskPressure', status: disk },
      ],
    },
  }),
);

describe('what follows from a node’s state', () => {
  it('taints: decided once is decided for good; foreign ones stay; NoExecute only when pods are to go', () => {
    fc.assert(
      fc.property(nodes, fc.boolean(), (node, evict) => {
        const decided = decideTaints(node, evict, 1_000) ?? node.spec.taints ?? [];
        const now = { ...node, spec: { ...node.spec, taints: decided } };
        assert.equal(decideTaints(now, evict, 2_000), undefined);
        const foreign = (of: readonly Taint[]): readonly Taint[] => of.filter(({ key }) => key === 'mine');
        assert.deepEqual(foreign(decided), foreign(node.spec.taints ?? []));
        const executing = decided.filter(({ key, effect }) => effect === 'NoExecute' && KEYS.slice(0, 2).includes(key));
        const wanted = evict ? noExecuteKey(node) : undefined;
        assert.deepEqual(
          executing.map(({ key }) => key),
          wanted === undefined ? [] : [wanted],
        );
      }),
    );
  });

  it('zones: the naive count of upstream’s rules', () => {
    const zoned = fc.record({ zone: fc.constantFrom('a', 'b'), ready: fc.constantFrom('True', 'False', 'Unknown') });
    fc.assert(
      fc.property(fc.array(zoned, { minLength: 1, maxLength: 120 }), (of) => {
        const list = of.map(
          ({ zone, ready }, i): Node => ({
            metadata: { name: `n${i}`, labels: { 'topology.kubernetes.io/zone': zone } },
            spec: {},
            status: { conditions: [{ type: 'Ready', status: ready }] },
          }),
        );
        const zones = zonesOf(list, DEFAULT_EVICTION_RATES);
        assert.equal(
          zones.allDisrupted,
          of.every(({ ready }) => ready !== 'True'),
        );
        for (const zone of new Set(of.map((one) => one.zone))) {
          const inZone = of.filter((one) => one.zone === zone);
          const bad = inZone.filter(({ ready }) => ready !== 'True').length;
          const isPartial = bad < inZone.length && bad > 2 && bad / inZone.length >= 0.55;
          const expected = zones.allDisrupted ? 0 : !isPartial ? 0.1 : inZone.length > 50 ? 0.01 : 0;
          assert.equal(zones.rate(`:\0:${zone}`), expected);
        }
      }),
    );
  });

  it('evictions never exceed one and the rate times the time', () => {
    const tries = fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 100 });
    fc.assert(
      fc.property(tries, fc.constantFrom(0.01, 0.1, 1), (gaps, rate) => {
        const limiter = new EvictionLimiter();
        let nowMs = 0;
        let taken = 0;
        for (const gap of gaps) {
          nowMs += gap;
          if (limiter.take(rate, nowMs) === 0) taken++;
          assert.ok(taken <= 1 + (nowMs / 1000) * rate + 1e-6);
        }
      }),
    );
  });

  it('a pod leaves at the first moment at which no toleration of some taint holds any more', () => {
    const toleration = fc.record({
      key: fc.constantFrom('a', 'b'),
      tolerationSeconds: fc.option(fc.integer({ min: -1, max: 9 }), { nil: undefined }),
    });
    fc.assert(
      fc.property(
        fc.subarray(['a', 'b'], { minLength: 1 }),
        fc.array(toleration, { maxLength: 3 }),
        fc.nat({ max: 5_000 }),
        (keys, of, sinceMs) => {
          const tolerations = of.map(({ key, tolerationSeconds }) => ({
            key,
            operator: 'Exists' as const,
            effect: 'NoExecute' as const,
            ...(tolerationSeconds !== undefined && { tolerationSeconds }),
          }));
          const timed = keys.map((key) => ({ taint: { key, effect: 'NoExecute' as const }, sinceMs }));
          const atMs = evictionTime(timed, tolerations);
          for (let nowMs = 0; nowMs <= 20_000; nowMs += 500) {
            const isHeld = timed.every(({ taint }) => {
              const first = tolerations.find((one) => tolerates(one, taint));
              if (!first) return false;
              const seconds = first.tolerationSeconds;
              return seconds === undefined || (seconds > 0 && nowMs < sinceMs + seconds * 1000);
            });
            assert.equal(atMs === undefined || nowMs < atMs, isHeld, `at ${nowMs}`);
          }
        },
      ),
    );
  });

  it('volumes leave an out-of-service node when their pods have, and no other node at all', () => {
    const claimOf = (name: string): PersistentVolumeClaim => ({
      metadata: { name },
      spec: { volumeName: `pv-${name}` },
    });
    const world = fc.record({
      ready: statuses,
      tainted: fc.boolean(),
      attached: fc.subarray(['x', 'y', 'z']),
      used: fc.subarray(['x', 'y', 'z']),
    });
    fc.assert(
      fc.property(world, ({ ready, tainted, attached, used }) => {
        const node: Node = {
          metadata: { name: 'n' },
          spec: { taints: tainted ? [{ key: 'node.kubernetes.io/out-of-service', effect: 'NoExecute' }] : [] },
          status: { conditions: [{ type: 'Ready', status: ready }] },
        };
        const attachments = attached.map(
          (name): VolumeAttachment => ({
            metadata: { name: `va-${name}` },
            spec: { attacher: 'csi', nodeName: 'n', source: { persistentVolumeName: `pv-${name}` } },
          }),
        );
        const pods = used.map(
          (name): Pod => ({
            metadata: { namespace: 'd', name },
            spec: { containers: [], volumes: [{ name: 'v', persistentVolumeClaim: { claimName: name } }] },
          }),
        );
        const doomed = attachmentsToDelete({ node, attachments, pods, claim: (_, name) => claimOf(name) });
        const expected = tainted && ready !== 'True' ? attached.filter((name) => !used.includes(name)) : [];
        assert.deepEqual(
          doomed.map(({ metadata }) => metadata.name),
          expected.map((name) => `va-${name}`),
        );
      }),
    );
  });
});
