// The table of a run: median and worst of every row beside its targets. Pure.
import type { Outcome } from './repetition.ts';
import type { Row } from './rows.ts';

export interface Spread {
  readonly median: number;
  readonly worst: number;
}

export interface RowSummary {
  readonly row: Row;
  readonly repetitions: number;
  readonly writesGone: Spread;
  readonly readsGone: Spread;
  readonly cachedReadsGone: Spread;
  readonly serviceGone: Spread;
  /** While it was repaired and became whole. */
  readonly writesGoneAfter: Spread;
  readonly failed: number;
  readonly retried: number;
  readonly serviceRetried: number;
  readonly serviceFailed: number;
  readonly extra: ReadonlyMap<string, Spread>;
  readonly problems: readonly string[];
  /** Which targets it misses, in words. */
  readonly misses: readonly string[];
}

export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (i: number): number => sorted[i] ?? 0;
  const half = sorted.length / 2;
  const median = Number.isInteger(half) ? (at(half - 1) + at(half)) / 2 : at(Math.floor(half));
  return { median, worst: at(sorted.length - 1) };
}

/** The targets are those of the fast profile; with `isJudged` false there are none. */
export function summarizeRow(of: Row, outcomes: readonly Outcome[], isJudged = true): RowSummary {
  const { writesMs: _, extraMs: __, retryHelps: ___, ...unjudged } = of;
  const row: Row = isJudged ? of : unjudged;
  const each = (pick: (outcome: Outcome) => number): Spread => spread(outcomes.map(pick));
  const sum = (pick: (outcome: Outcome) => number): number => outcomes.reduce((total, one) => total + pick(one), 0);
  const names = new Set(outcomes.flatMap(({ extra }) => Object.keys(extra)));
  const extra = new Map([...names].map((name) => [name, each((one) => one.extra[name] ?? 0)]));
  const summary = {
    row,
    repetitions: outcomes.length,
    writesGone: each(({ during, after }) => Math.max(during.writesGoneMs, row.throughout ? after.writesGoneMs : 0)),
    readsGone: each(({ during }) => during.readsGoneMs),
    cachedReadsGone: each(({ during }) => during.cachedReadsGoneMs),
    serviceGone: each(({ during }) => during.serviceGoneMs),
    writesGoneAfter: each(({ after }) => after.writesGoneMs),
    failed: sum(({ during, after }) => during.failed + after.failed),
    retried: sum(({ during, after }) => during.retried + after.retried),
    serviceRetried: sum(({ during, after }) => during.serviceRetried + after.serviceRetried),
    serviceFailed: sum(({ during, after }) => during.serviceFailed + after.serviceFailed),
    extra,
    problems: outcomes.flatMap(({ problems, repetition }) =>
      problems.map((text) => `repetition ${repetition}: ${text}`),
    ),
  };
  return { ...summary, misses: missesOf(summary) };
}

function missesOf(summary: Omit<RowSummary, 'misses'>): readonly string[] {
  const { row, writesGone, extra, failed, problems } = summary;
  const misses: string[] = [];
  const over = (what: string, found: number, target: number): void => {
    if (found > target) misses.push(`${what} ${milliseconds(found)}, wanted ${milliseconds(target)}`);
  };
  if (row.writesMs) {
    over('writes gone, median', writesGone.median, row.writesMs[0]);
    over('writes gone, worst', writesGone.worst, row.writesMs[1]);
  }
  for (const [name, target] of Object.entries(row.extraMs ?? {})) {
    const found = extra.get(name);
    if (!found) misses.push(`${name} was not measured`);
    else over(`${name}, worst`, found.worst, target);
  }
  if (row.retryHelps && failed > 0) misses.push(`${failed} requests failed twice`);
  if (problems.length > 0) misses.push(`the history: ${problems.length} problems`);
  return misses;
}

function milliseconds(value: number): string {
  return String(Math.round(value));
}

function pair({ median, worst }: Spread): string {
  return `${milliseconds(median)} / ${milliseconds(worst)}`;
}

/** Markdown. All figures in milliseconds, median / worst. */
export function table(rows: readonly RowSummary[]): string {
  const head = [
    'failure',
    'n',
    'writes gone',
    'target',
    'consistent reads gone',
    'service gone',
    'requests retried / failed',
    'measured besides',
    'history',
    '',
  ];
  const lines = rows.map((one) => [
    one.row.title,
    String(one.repetitions),
    pair(one.writesGone),
    one.row.writesMs ? one.row.writesMs.join(' / ') : '',
    pair(one.readsGone),
    pair(one.serviceGone),
    `${one.retried} / ${one.failed}`,
    [...one.extra]
      .map(([name, found]) => {
        const target = one.row.extraMs?.[name];
        return `${name} ${pair(found)}${target === undefined ? '' : ` (≤ ${target})`}`;
      })
      .join('; '),
    one.problems.length === 0 ? 'holds' : `**${one.problems.length} problems**`,
    one.misses.length === 0 ? 'met' : `missed: ${one.misses.join('; ')}`,
  ]);
  return `${[head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n')}\n`;
}
