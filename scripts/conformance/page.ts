// Writes docs/conformance.md; with --check it only says whether that is up to date.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Behaviour, type Coverage, type Row, rowsOf } from './coverage.ts';
import { outcomesOfPage, shownName } from './report.ts';
import { CLASSES, type TestClass, testsOf } from './selection.ts';

const REPOSITORY = join(import.meta.dirname, '..', '..');
const PAGE = join(REPOSITORY, 'docs', 'conformance.md');
const RESULTS = join(REPOSITORY, 'docs', 'results', 'conformance.md');

function data<T>(name: string): T {
  return JSON.parse(readFileSync(join(import.meta.dirname, name), 'utf8')) as T;
}

function cell(text: string): string {
  return text
    .replace(/[|<>*_]/g, '\\$&')
    .replace(/\s+/g, ' ')
    .trim();
}

function checked(row: Row): string {
  if (row.kind === 'official') return 'official test, 1.20.2';
  if (row.kind === 'missing') return `missing: ${cell(row.why)}`;
  return `own test \`${row.test.replaceAll('|', '\\|')}\` in [${row.file}](../${row.file})`;
}

function page(rows: readonly Row[]): string {
  const of = (kind: Row['kind']): number => rows.filter((row) => row.kind === kind).length;
  const areas = Map.groupBy(rows, ({ name }) => /^\[([^\]]+)\]/.exec(name)?.[1] ?? 'others');
  const sections = [...areas].map(([area, members]) =>
    [
      `## ${area}`,
      [
        '| behaviour | since | checked by |',
        '|---|---|---|',
        ...members.map((row) => `| ${cell(row.name)} | ${row.release} | ${checked(row)} |`),
      ].join('\n'),
    ].join('\n\n'),
  );
  const intro = `The ${rows.length} behaviours that the conformance tests of Kubernetes 1.36 ask of every cluster, and what checks each here. The
official tests can be run in version 1.20.2, the newest that Debian 12 has the source of ([results](results/conformance.md)); a
behaviour that has come since, or whose official test cannot pass, has a test of our own or is missing. \`npm run
conformance-page\` writes this page, and refuses a behaviour that nothing is said about.`;
  const totals = `**${of('official')}** by their official test, **${of('own')}** by a test of our own, **${of('missing')}** missing.`;
  return `${['# Conformance', intro, totals, ...sections].join('\n\n')}\n`;
}

const classes = Object.keys(CLASSES) as TestClass[];
const rows = rowsOf({
  behaviours: data<readonly Behaviour[]>('behaviours.json'),
  coverage: data<Coverage>('coverage.json'),
  suite: new Set(classes.flatMap((name) => testsOf(name).map(shownName))),
  outcomes: outcomesOfPage(readFileSync(RESULTS, 'utf8')),
  source(file) {
    const path = join(REPOSITORY, file);
    return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
  },
});
const text = page(rows);
if (!process.argv.includes('--check')) writeFileSync(PAGE, text);
else if (!existsSync(PAGE) || readFileSync(PAGE, 'utf8') !== text) {
  console.error('docs/conformance.md is not up to date; commit what `npm run conformance-page` wrote');
  process.exit(1);
}
