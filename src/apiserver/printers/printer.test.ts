import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Pod } from '../../api/generated/types.ts';
import type { KubeObject } from '../../api/object.ts';
import { groupResource, Tables } from '../../api/tables.ts';
import { FakeClock } from '../../lib/fake-clock.ts';
import { MINIMAL } from '../registry/testdata/minimal-objects.ts';
import { humanDuration } from './column.ts';
import { summarize } from './pods.ts';
import { columnDefinitions, columnsOf, createPrinter } from './printer.ts';

const tables = new Tables();
const clock = new FakeClock();
const printer = createPrinter(clock);

const running = { running: { startedAt: '2026-01-01T00:00:00Z' } };
const two = {
  containers: [
    { name: 'a', image: 'i' },
    { name: 'b', image: 'i' },
  ],
};
const pod = (status: object, more: { spec?: object; metadata?: object } = {}): Pod =>
  ({ metadata: { name: 'p', ...more.metadata }, spec: { ...two, ...more.spec }, status }) as unknown as Pod;
const container = (name: string, state: object, more: object = {}): object => ({
  name,
  state,
  restartCount: 0,
  ...more,
});
const exited = (exitCode: number, reason?: string): object => ({ terminated: { exitCode, ...(reason && { reason }) } });
const init = {
  initContainers: [
    { name: 'i1', image: 'i' },
    { name: 'i2', image: 'i' },
  ],
};

describe('a pod is', () => {
  const cases: readonly [string, Pod, string][] = [
    ['pending', pod({ phase: 'Pending' }), 'Pending 0/2'],
    [
      'gated',
      pod({ phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False', reason: 'SchedulingGated' }] }),
      'SchedulingGated 0/2',
    ],
    [
      'creating',
      pod({ phase: 'Pending', containerStatuses: [container('a', { waiting: { reason: 'ContainerCreating' } })] }),
      'ContainerCreating 0/2',
    ],
    [
      'half ready',
      pod({
        phase: 'Running',
        containerStatuses: [container('a', running, { ready: true }), container('b', running, { ready: false })],
      }),
      'Running 1/2',
    ],
    [
      'crashing',
      pod({
        phase: 'Running',
        containerStatuses: [
          container('a', { waiting: { reason: 'CrashLoopBackOff' } }),
          container('b', running, { ready: true }),
        ],
      }),
      'CrashLoopBackOff 1/2',
    ],
    [
      'done',
      pod({
        phase: 'Succeeded',
        containerStatuses: [container('a', exited(0, 'Completed')), container('b', exited(0, 'Completed'))],
      }),
      'Completed 0/2',
    ],
    [
      'half done',
      pod({
        phase: 'Running',
        conditions: [{ type: 'Ready', status: 'False' }],
        containerStatuses: [container('a', exited(0, 'Completed')), container('b', running, { ready: true })],
      }),
      'NotReady 1/2',
    ],
    [
      'failed without reason',
      pod({ phase: 'Failed', containerStatuses: [container('a', exited(3))] }),
      'ExitCode:3 0/2',
    ],
    ['evicted', pod({ phase: 'Failed', reason: 'Evicted' }), 'Evicted 0/2'],
    [
      'initializing',
      pod(
        { phase: 'Pending', initContainerStatuses: [container('i1', exited(0)), container('i2', running)] },
        { spec: init },
      ),
      'Init:1/2 0/2',
    ],
    [
      'failing to initialize',
      pod({ phase: 'Pending', initContainerStatuses: [container('i1', exited(1, 'Error'))] }, { spec: init }),
      'Init:Error 0/2',
    ],
    [
      'with a sidecar',
      pod(
        {
          phase: 'Running',
          initContainerStatuses: [container('s', running, { started: true, ready: true })],
          containerStatuses: [container('a', running, { ready: true }), container('b', running, { ready: true })],
        },
        { spec: { initContainers: [{ name: 's', image: 'i', restartPolicy: 'Always' }] } },
      ),
      'Running 3/3',
    ],
    [
      'terminating',
      pod({ phase: 'Running' }, { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } }),
      'Terminating 0/2',
    ],
    [
      'lost',
      pod({ phase: 'Running', reason: 'NodeLost' }, { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } }),
      'Unknown 0/2',
    ],
  ];
  for (const [name, object, expected] of cases) {
    test(name, () => {
      const { status, ready, total } = summarize(object);
      assert.equal(`${status} ${ready}/${total}`, expected);
    });
  }

  test('shown with restarts and their age', () => {
    const last = { terminated: { exitCode: 1, finishedAt: '2025-12-31T23:55:00Z' } };
    const object = pod({
      phase: 'Running',
      containerStatuses: [
        container('a', running, { ready: true, restartCount: 2, lastState: last }),
        container('b', running, { ready: true }),
      ],
    });
    const row = tables.resource('', 'v1', 'pods')!;
    const named = { ...object, metadata: { ...object.metadata, creationTimestamp: '2025-12-31T22:00:00Z' } };
    assert.deepEqual(printer.cells(row, named), [
      'p',
      '2/2',
      'Running',
      '2 (5m ago)',
      '120m',
      '<none>',
      '<none>',
      '<none>',
      '<none>',
    ]);
  });
});

test('durations have two units at most', () => {
  const minute = 60_000;
  const hour = 60 * minute;
  const day = 24 * hour;
  const cases: readonly [number, string][] = [
    [-5000, '<invalid>'],
    [-1000, '0s'],
    [0, '0s'],
    [119_000, '119s'],
    [2 * minute, '2m'],
    [2 * minute + 5000, '2m5s'],
    [10 * minute + 5000, '10m'],
    [3 * hour, '3h'],
    [3 * hour + minute, '3h1m'],
    [8 * hour + minute, '8h'],
    [47 * hour, '47h'],
    [2 * day, '2d'],
    [2 * day + hour, '2d1h'],
    [8 * day + hour, '8d'],
    [729 * day, '729d'],
    [731 * day, '2y1d'],
    [3000 * day, '8y'],
  ];
  for (const [ms, text] of cases) assert.equal(humanDuration(ms), text, String(ms));
});

test('every resource of the table prints an object that has next to nothing', () => {
  for (const row of tables.resources()) {
    const least = MINIMAL[groupResource(row)] ?? {};
    const object = { ...least, metadata: { name: 'x', creationTimestamp: '2026-01-01T00:00:00Z' } } as KubeObject;
    const cells = printer.cells(row, object);
    assert.equal(cells.length, columnDefinitions(row).length);
    const at = columnsOf(row).findIndex((column) => column.name === 'Name');
    assert.equal(cells[at], 'x', row.resource);
    assert.ok(
      cells.every((cell) => cell !== undefined),
      `${row.resource}: ${JSON.stringify(cells)}`,
    );
    if (groupResource(row) in MINIMAL) columnsOf(row).map((column) => column.cell(object, clock.now()));
  }
});

test('services show their ports and addresses', () => {
  const row = tables.resource('', 'v1', 'services')!;
  const object = {
    metadata: { name: 's', creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: {
      type: 'LoadBalancer',
      clusterIP: '10.96.0.7',
      ports: [
        { port: 80, nodePort: 30080, protocol: 'TCP' },
        { port: 53, protocol: 'UDP' },
      ],
    },
  };
  assert.deepEqual(printer.cells(row, object as unknown as KubeObject), [
    's',
    'LoadBalancer',
    '10.96.0.7',
    '<pending>',
    '80:30080/TCP,53/UDP',
    '0s',
    '<none>',
  ]);
});
