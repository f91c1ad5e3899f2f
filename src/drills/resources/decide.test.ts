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
const schedule = (spec: Partial<ScheduleObject['spec']> = {}, last = '2026-01-01T11:55:00Z'): ScheduleObject => ({
  metadata: { name: 'nightly', creationTimestamp: '2026-01-01T00:00:00Z' },
  spec: { schedule: '*/5 * * * *', template: { drills: ['server-kill'] }, ...spec },
  status: { lastScheduleTime: last },
});
const done = (seen: Partial<Seen>): readonly string[] =>
  decide({
    drills: [],
    schedules: [],
    running: undefined,
    nowMs: NOW,
    next: (text, after) => parseSchedule(text, undefined).next(after),
    ...seen,
  }).map((action) => {
    if (action.do === 'finish') return `finish ${action.drill.metadata.name} ${action.status.phase}`;
    return `${action.do} ${'drill' in action ? action.drill.metadata.name : action.name}`;
  });

test('drills run one after the other, the oldest first; those that have ended are left alone', () => {
  assert.deepEqual(done({ drills: [drill('b'), drill('a'), drill('c', { phase: 'Succeeded' })] }), ['start a']);
  assert.deepEqual(done({ drills: [drill('a', { phase: 'Running' }), drill('b')], running: 'a' }), []);
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
