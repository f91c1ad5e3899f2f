// A session's results as a table for a terminal. Pure.
import type { DrillResult, Measures } from '../run/result.ts';

/** Measures in the table, each with its column's title. */
const COLUMNS: readonly (readonly [keyof Measures, string])[] = [
  ['writes', 'WRITES GONE'],
  ['reads', 'READS'],
  ['service', 'SERVICE'],
  ['dns', 'DNS'],
  ['pods', 'POD START'],
  ['recover', 'WHOLE AFTER'],
];

export function seconds(ms: number | undefined): string {
  if (ms === undefined) return '-';
  return ms === 0 ? '0' : `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

export function table(results: readonly DrillResult[], before: ReadonlyMap<string, DrillResult> = new Map()): string {
  const rows = [
    ['DRILL', 'RESULT', ...COLUMNS.map(([, title]) => title), 'WRITES BEFORE'],
    ...results.map((result) => [
      result.drill,
      result.outcome,
      ...COLUMNS.map(([measure]) => seconds(result.measures[measure])),
      seconds(before.get(result.drill)?.measures.writes),
    ]),
  ];
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  const lines = rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd(),
  );
  const notes = results.flatMap((result) => problemsOf(result).map((problem) => `${result.drill}: ${problem}`));
  return [...lines, ...(notes.length > 0 ? ['', ...notes] : [])].join('\n');
}

/** Why it did not pass; empty when it did. */
export function problemsOf({ outcome, reason, verdicts, checks }: DrillResult): readonly string[] {
  if (outcome === 'impossible') return [`not possible here, because ${reason}`];
  return [
    ...(reason === undefined ? [] : [reason]),
    ...verdicts
      .filter(({ holds }) => !holds)
      .map(
        ({ bound, measured }) =>
          `${bound} does not hold: ${measured ?? 'nothing was measured'}${measured === undefined || bound.startsWith('failed') ? '' : ' ms'}`,
      ),
    ...checks.flatMap(({ name, problems }) => problems.slice(0, 5).map((problem) => `${name}: ${problem}`)),
  ];
}

/** One line as soon as a drill has ended. */
export function lineOf(result: DrillResult): string {
  const { writes, service, recover } = result.measures;
  const figures = `writes gone ${seconds(writes)}, service ${seconds(service)}, whole after ${seconds(recover)}`;
  const why = problemsOf(result)[0];
  return `${result.outcome.padEnd(10)} ${result.drill}: ${result.outcome === 'passed' ? figures : `${why}${result.measures.writes === undefined ? '' : ` (${figures})`}`}`;
}
