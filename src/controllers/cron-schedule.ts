// When a CronJob is due: cron expressions in a time zone (batch/v1 CronJobSpec.schedule). Pure.
import { Cron } from 'croner';
import { durationNs } from '../machinery/time.ts';

/** Wall times in milliseconds since the epoch. */
export interface Schedule {
  /** The first time after this one; undefined when there is none. */
  next(afterMs: number): number | undefined;
}

/** Throws what makes the expression unreadable. */
export function parseSchedule(expression: string, timeZone: string | undefined): Schedule {
  const every = /^@every\s+(\S+)$/.exec(expression.trim());
  if (every) {
    const stepMs = Math.max(1000, Math.floor(durationNs(every[1]!) / 1e9) * 1000);
    return { next: (afterMs) => Math.floor(afterMs / 1000) * 1000 + stepMs };
  }
  // "?" means any, as "*" does.
  const pattern = expression.trim().replaceAll('?', '*');
  const cron = new Cron(pattern, { paused: true, mode: '5-part', timezone: timeZone ?? 'UTC' });
  return { next: (afterMs) => cron.nextRun(new Date(afterMs))?.getTime() };
}

/** Throws RangeError for a name that is no time zone. */
export function checkTimeZone(timeZone: string): void {
  new Intl.DateTimeFormat('en', { timeZone });
}

/** More missed starts than this are worth a warning. */
const MANY_MISSED = 100;

export interface Due {
  /** The latest time that has come. */
  readonly atMs: number;
  readonly manyMissed: boolean;
}

/** The latest start after `earliestMs` that has come by now; undefined when none has. */
export function latestDue(schedule: Schedule, earliestMs: number, nowMs: number): Due | undefined {
  const first = schedule.next(earliestMs);
  if (first === undefined || first > nowMs) return undefined;
  const second = schedule.next(first);
  const manyMissed = second !== undefined && (nowMs - first) / (second - first) > MANY_MISSED;
  // Looks back from now in growing steps, so that a long pause costs little.
  let atMs = first;
  for (let backMs = 60_000; nowMs - backMs > first; backMs *= 2) {
    const found = schedule.next(nowMs - backMs);
    if (found === undefined || found > nowMs) continue;
    atMs = found;
    break;
  }
  for (let next = schedule.next(atMs); next !== undefined && next <= nowMs; next = schedule.next(atMs)) atMs = next;
  return { atMs, manyMissed };
}

/** The time as RFC 3339 with the offset of the zone. */
export function timeIn(atMs: number, timeZone: string | undefined): string {
  const utc = `${new Date(atMs).toISOString().slice(0, 19)}Z`;
  if (timeZone === undefined) return utc;
  const format = new Intl.DateTimeFormat('en', { timeZone, timeZoneName: 'longOffset' });
  const name = format.formatToParts(atMs).find((part) => part.type === 'timeZoneName')?.value ?? 'GMT';
  const match = /^GMT([+-])(\d\d):(\d\d)/.exec(name);
  if (!match) return utc;
  const offsetMs = (Number(match[2]) * 60 + Number(match[3])) * 60_000 * (match[1] === '-' ? -1 : 1);
  return `${new Date(atMs + offsetMs).toISOString().slice(0, 19)}${match[1]}${match[2]}:${match[3]}`;
}
