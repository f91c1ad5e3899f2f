import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSchedule } from '../../controllers/cron-schedule.ts';
import { type DrillObject, decide, SCHEDULE_LABEL, type ScheduleObject, type Seen } from './decide.ts';
import type { DrillSpec, DrillStatus } from './definitions.ts';

const NOW = Date.UTC(2026, 0, 1, 12, 0, 30);
const drill = (name: string, status: DrillStatus = {}, spec: Partial<DrillSpec> = {}, labels = {}): DrillObject => ({
  metadata: { name, creationTimestamp: '2026-01-01T11:00:00Z', labels },
  spec: { drills: ['server-kill'], ...spec },
  status,
});
const GOOD = { type: 'Ready', status: 'True', reason: 'ScheduleParsed', message: '', observedGeneration: 0 } as const;
const schedule = (spec: Partial<ScheduleObject['spec']> = {}, last = '2026-01-01T11:55:00Z'): ScheduleObject => ({
  metadata: { name: 'nightly', creationTimestamp: '2026-01-01T00:00:00Z' },
  spec: { schedule: '*/5 * * * *', template: { drills: ['server-kill'] }, ...spec },
  status: { lastScheduleTime: last, conditions: [GOOD] },
});
const NOTHING: Seen = {
  drills: [],
  schedules: [],
  running: undefined,
  busy: undefined,
  nowMs: NOW,
  unreadable: (text) => (text === 'never' ? 'it says never' : undefined),
  next: (text, after) => parseSchedule(text, undefined).next(after),
};
const done = (seen: Partial<Seen>): readonly string[] =>
  decide({ ...NOTHING, ...seen }).map((action) => {
    if (action.do === 'wait') return `wait ${action.drill.metadata.name}: ${action.status.message}`;
    if (action.do === 'judge') return `${action.condition.status} ${action.condition.message}`.trim();
    if (action.do === 'finish') return `finish ${action.drill.metadata.name} ${action.status.phase}`;
    return `${action.do} ${'drill' in action ? action.drill.metadata.name : action.name}`;
  });

test('drills run one after the other, the oldest first; those that have ended are left alone', () => {
  const drills = [drill('b'), drill('a'), drill('c', { phase: 'Succeeded' })];
  assert.deepEqual(done({ drills }), ['start a', 'wait b: Drill "a" runs']);
  const behind = done({ drills: [drill('a', { phase: 'Running' }), drill('b')], running: 'a' });
  assert.deepEqual(behind, ['wait b: Drill "a" runs']);
});

test('a drill waits while another breaks the cluster, says so once, and begins then', () => {
  const busy = 'a drill runs on this cluster (process 7)';
  assert.deepEqual(done({ drills: [drill('a'), drill('b')], busy }), [`wait a: ${busy}`, `wait b: ${busy}`]);
  const waiting = drill('a', { phase: 'Pending', reason: 'ClusterInUse', message: busy });
  assert.deepEqual(done({ drills: [waiting], busy }), []);
  assert.deepEqual(done({ drills: [waiting] }), ['start a']);
  assert.deepEqual(done({ drills: [{ ...waiting, spec: { ...waiting.spec, abort: true } }], busy }), [
    'finish a Aborted',
  ]);
});

test('a schedule that cannot be read says so, makes nothing, and is judged anew when it changes', () => {
  const bad = schedule({ schedule: 'never' });
  assert.deepEqual(done({ schedules: [bad] }), ['False unparseable schedule: "never" : it says never']);
  const condition = decide({ ...NOTHING, schedules: [bad] }).flatMap((one) =>
    one.do === 'judge' ? [one.condition] : [],
  );
  const told = { ...bad, status: { conditions: condition } };
  assert.deepEqual(done({ schedules: [told] }), []);
  const mended = { ...told, metadata: { ...told.metadata, generation: 2 }, spec: schedule().spec };
  assert.deepEqual(done({ schedules: [mended] }).at(0), 'True');
});

test('a dry run is planned at once, even while another drill runs', () => {
  assert.deepEqual(done({ drills: [drill('a', {}, { dryRun: true })], running: 'x' }), ['abort x', 'plan a']);
});

test('what is aborted or deleted ends, begun or not', () => {
  assert.deepEqual(done({ drills: [drill('a', { phase: 'Running' }, { abort: true })], running: 'a' }), ['abort a']);
  assert.deepEqual(done({ drills: [], running: 'a' }), ['abort a']);
  assert.deepEqual(done({ drills: [drill('a', {}, { abort: true })] }), ['finish a Aborted']);
});

test('a drill whose controller has gone has failed', () => {
  assert.deepEqual(done({ drills: [drill('a', { phase: 'Running' })] }), ['finish a Failed']);
});

test('a schedule makes one drill when it is due, not while its last one runs, and keeps so many', () => {
  assert.deepEqual(done({ schedules: [schedule()] }), [`create nightly-${Date.UTC(2026, 0, 1, 12) / 60_000}`]);
  assert.deepEqual(done({ schedules: [schedule({}, '2026-01-01T12:00:00Z')] }), []);
  assert.deepEqual(done({ schedules: [schedule({ suspend: true })] }), []);
  const own = { [SCHEDULE_LABEL]: 'nightly' };
  assert.deepEqual(
    done({ schedules: [schedule()], drills: [drill('a', { phase: 'Running' }, {}, own)], running: 'a' }),
    [],
  );
  const ended = ['d', 'e', 'f'].map((name) => drill(name, { phase: 'Succeeded' }, {}, own));
  const kept = schedule({ historyLimit: 1 }, '2026-01-01T12:00:00Z');
  assert.deepEqual(done({ schedules: [kept], drills: ended }), ['remove e', 'remove d']);
});

test('what was due long ago, while nobody looked, is left out', () => {
  const hourly = schedule({ schedule: '15 * * * *' }, '2026-01-01T09:00:00Z');
  assert.deepEqual(done({ schedules: [hourly] }), []);
});
