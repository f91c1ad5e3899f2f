// Times and durations as the API writes them (meta/v1 Time, MicroTime, Duration).

/** RFC 3339 in UTC with whole seconds: meta/v1 Time. */
export function formatTime(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 19)}Z`;
}

/** RFC 3339 in UTC with six digits of fraction: meta/v1 MicroTime. */
export function formatMicroTime(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 23)}000Z`;
}

/** Milliseconds since 1970; undefined for an absent or unreadable time. */
export function timeMs(text: string | null | undefined): number | undefined {
  const at = text ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? undefined : at;
}

const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)$/;
const LAYOUT = '2006-01-02T15:04:05Z07:00';
const MICRO_LAYOUT = '2006-01-02T15:04:05.000000Z07:00';

/** A time in canonical form: UTC, whole seconds. Throws Error with upstream's message. */
export function canonicalTime(text: string): string {
  return instant(text, LAYOUT).seconds.concat('Z');
}

/** A MicroTime in canonical form: UTC, six digits of fraction. Throws Error with upstream's message. */
export function canonicalMicroTime(text: string): string {
  const { seconds, fraction } = instant(text, MICRO_LAYOUT);
  return `${seconds}.${fraction.padEnd(6, '0').slice(0, 6)}Z`;
}

function instant(text: string, layout: string): { seconds: string; fraction: string } {
  const match = RFC3339.exec(text);
  if (!match)
    throw new Error(
      `parsing time ${JSON.stringify(text)} as ${JSON.stringify(layout)}: cannot parse ${JSON.stringify(text)}`,
    );
  const [, year, month, day, hour, minute, second, fraction = '', zone = 'Z'] = match;
  const local = `${year}-${month}-${day}T${hour}:${minute}:${second}`;
  const utc = Date.parse(`${local}Z`);
  if (Number.isNaN(utc) || new Date(utc).toISOString().slice(0, 19) !== local || Number(hour) > 23) {
    throw new Error(
      `parsing time ${JSON.stringify(text)}: ${outOfRange(month!, hour!, minute!, second!)} out of range`,
    );
  }
  if (zone === 'Z' || zone === '+00:00') return { seconds: local, fraction };
  const at = Date.parse(`${local}${zone}`);
  if (Number.isNaN(at)) throw new Error(`parsing time ${JSON.stringify(text)}: time zone offset out of range`);
  return { seconds: new Date(at).toISOString().slice(0, 19), fraction };
}

function outOfRange(month: string, hour: string, minute: string, second: string): string {
  if (Number(month) < 1 || Number(month) > 12) return 'month';
  if (Number(hour) > 23) return 'hour';
  if (Number(minute) > 59) return 'minute';
  return Number(second) > 59 ? 'second' : 'day';
}

const DURATION_UNITS_NS: { readonly [unit: string]: number | undefined } = {
  ns: 1, us: 1e3, µs: 1e3, μs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9,
}; // biome-ignore format: a table

/** Nanoseconds of a Go duration ("1h30m", "-1.5s"). Throws Error with upstream's message. */
export function durationNs(text: string): number {
  const match = /^([+-]?)(.*)$/s.exec(text)!;
  const rest = match[2]!;
  if (rest === '0') return 0;
  if (rest === '') throw new Error(`time: invalid duration ${JSON.stringify(text)}`);
  let total = 0;
  let read = 0;
  for (const part of rest.matchAll(/(\d+\.?\d*|\.\d+)([^\d.]*)/gy)) {
    const unit = DURATION_UNITS_NS[part[2]!];
    if (part[2] === '') throw new Error(`time: missing unit in duration ${JSON.stringify(text)}`);
    if (unit === undefined) {
      throw new Error(`time: unknown unit ${JSON.stringify(part[2])} in duration ${JSON.stringify(text)}`);
    }
    total += Number(part[1]) * unit;
    read += part[0].length;
  }
  if (read !== rest.length) throw new Error(`time: invalid duration ${JSON.stringify(text)}`);
  return match[1] === '-' ? -total : total;
}

/** A Go duration in canonical form ("1h30m0s", "1.5s", "250ms", "0s"). */
export function formatDuration(ns: number): string {
  if (ns === 0) return '0s';
  const sign = ns < 0 ? '-' : '';
  const size = Math.round(Math.abs(ns));
  if (size < 1e3) return `${sign}${size}ns`;
  if (size < 1e6) return `${sign}${size / 1e3}µs`;
  if (size < 1e9) return `${sign}${size / 1e6}ms`;
  const hours = Math.floor(size / 3600e9);
  const minutes = Math.floor((size % 3600e9) / 60e9);
  const seconds = `${(size % 60e9) / 1e9}s`;
  if (hours > 0) return `${sign}${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${sign}${minutes}m${seconds}` : `${sign}${seconds}`;
}
