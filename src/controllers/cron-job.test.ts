import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { CronJob, Job } from '../api/generated/types.ts';
import { rfc3339 } from '../lib/clock.ts';
import { cronJobController, decideCronJob } from './cron-job.ts';
import { latestDue, parseSchedule, timeIn } from './cron-schedule.ts';
import { jobController } from './job.ts';
import type { Running } from './test-controllers.ts';
import { finish, settled, withWorkloads } from './test-workloads.ts';

const T0 = Date.UTC(2026, 0, 1, 12);

function cronOf(spec: Partial<CronJob['spec']> = {}): CronJob {
  const template = { spec: { restartPolicy: 'Never' as const, containers: [{ name: 'c', image: 'i' }] } };
  const jobTemplate = { metadata: { labels: { a: 'b' } }, spec: { template } };
  return {
    metadata: { name: 'tick', namespace: 'default', uid: 'u', creationTimestamp: rfc3339(T0) },
    spec: { schedule: '* * * * *', jobTemplate, ...spec },
  };
}

test('the latest time that has come is the one that counting finds', () => {
  const expressions = [
    '* * * * *',
    '*/7 3 * * *',
    '0 0 13 * 5',
    '30 2 * * *',
    '5,10 1-3 1 * *',
    '@hourly',
    '@every 90s',
  ];
  const minutes = fc.integer({ min: 1, max: 24 * 60 });
  const zones = fc.constantFrom(undefined, 'Europe/Berlin', 'America/New_York');
  fc.assert(
    fc.property(fc.constantFrom(...expressions), minutes, zones, (expression, passed, zone) => {
      const schedule = parseSchedule(expression, zone);
      const nowMs = T0 + passed * 60_000 + 30_000;
      let last: number | undefined;
      for (let next = schedule.next(T0); next !== undefined && next <= nowMs; next = schedule.next(next)) last = next;
      const found = latestDue(schedule, T0, nowMs)?.atMs;
      // "@every" counts from where it looks, so only how late it may be is known.
      if (expression.startsWith('@every')) assert.equal(found === undefined, last === undefined);
      else assert.equal(found, last);
    }),
    { numRuns: 40 },
  );
});

test('day of month and day of week are alternatives, and a zone has its own clock', () => {
  const friday = parseSchedule('0 0 13 * 5', undefined);
  assert.equal(friday.next(T0), Date.UTC(2026, 0, 2));
  const berlin = parseSchedule('0 13 * * *', 'Europe/Berlin');
  assert.equal(berlin.next(T0 - 1000), T0);
  assert.equal(timeIn(T0, 'Europe/Berlin'), '2026-01-01T13:00:00+01:00');
  assert.equal(timeIn(T0, undefined), '2026-01-01T12:00:00Z');
  assert.throws(() => parseSchedule('61 * * * *', undefined));
});

const decide = (cronJob: CronJob, nowMs: number, jobs: readonly Job[] = []) =>
  decideCronJob({ cronJob, jobs, missing: new Set(), nowMs });

test('a start that is too late is left out; many missed ones are warned of, and the latest is made up for', () => {
  const late = decide(cronOf({ schedule: '0 * * * *', startingDeadlineSeconds: 30 }), T0 + 3_660_000);
  assert.equal(late.start, undefined);
  const many = decide(cronOf(), T0 + 200 * 60_000);
  assert.equal(many.start?.atMs, T0 + 200 * 60_000);
  assert.equal(many.reports[0]?.reason, 'TooManyMissedTimes');
});

test('Forbid waits for what runs, Replace deletes it', () => {
  const running: Job = { metadata: { name: 'tick-1', uid: 'j' }, spec: cronOf().spec.jobTemplate.spec! };
  const status = { active: [{ name: 'tick-1', uid: 'j' }] };
  const forbid = decide({ ...cronOf({ concurrencyPolicy: 'Forbid' }), status }, T0 + 60_000, [running]);
  assert.deepEqual([forbid.start, forbid.reports[0]?.reason], [undefined, 'JobAlreadyActive']);
  const replace = decide({ ...cronOf({ concurrencyPolicy: 'Replace' }), status }, T0 + 60_000, [running]);
  assert.deepEqual([replace.remove, replace.status.active, replace.start?.atMs], [[running], undefined, T0 + 60_000]);
  assert.equal(decide(cronOf({ suspend: true }), T0 + 60_000).start, undefined);
});

test('what cannot be read is reported, and nothing starts', () => {
  assert.equal(decide(cronOf({ schedule: '99 * * * *' }), T0 + 60_000).reports[0]?.reason, 'UnparseableSchedule');
  assert.equal(decide(cronOf({ timeZone: 'Mars/Olympus' }), T0 + 60_000).reports[0]?.reason, 'UnknownTimeZone');
});

test('Jobs start minute by minute, and old ones go', () =>
  withWorkloads([cronJobController(), jobController()], async (cluster: Running) => {
    const crons = cluster.client.resource('cronjobs.batch');
    const { uid: _, creationTimestamp: __, ...metadata } = cronOf().metadata;
    await crons.create({ ...cronOf({ successfulJobsHistoryLimit: 2 }), metadata });
    await settled(cluster);
    for (let minute = 0; minute < 4; minute++) {
      await cluster.pass(60_100);
      await settled(cluster);
      await finish(cluster, 'Succeeded');
      await settled(cluster);
    }
    const { items } = await cluster.client.resource('jobs.batch').list();
    assert.equal(items.length, 2);
    assert.ok(items.every((job) => /^tick-\d+$/.test(job.metadata.name) && job.metadata.labels?.a === 'b'));
    const { status } = await crons.get({ namespace: 'default', name: 'tick' });
    assert.equal(status?.active, undefined);
    assert.ok(status?.lastScheduleTime && status.lastSuccessfulTime);
    const events = await cluster.events();
    assert.equal(events.filter((text) => text.startsWith('SuccessfulCreate: Created job tick-')).length, 4);
    assert.ok(events.some((text) => /^SawCompletedJob: Saw completed job: tick-\d+, condition: Complete$/.test(text)));
  }));
