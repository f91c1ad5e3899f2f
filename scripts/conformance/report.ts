// docs/results/conformance.md: a section for each class, each replaced when its class is run again.
import type { Outcome } from './outcome.ts';
import { CLASSES, plainName, type TestClass } from './selection.ts';

const TITLE = '# Conformance';
const PREFACE = `The official conformance tests of Kubernetes 1.20.2, unaltered, against tsukube, which serves Kubernetes 1.36: where the two
versions contradict each other a test cannot pass, and its reason says so. \`npm run conformance -- CLASS\` writes this page.`;

/** Why tests fail, by a part of their names: said before what the test itself said. */
const TOKENS = 'asks for token Secrets of service accounts, which Kubernetes 1.24 and later do not make';
const STAMPS =
  'compares stored revisions byte by byte with a template that has an empty creationTimestamp, which is no longer written';
const KNOWN: readonly (readonly [part: string, reason: string])[] = [
  ['should allow opting out of API token automount', TOKENS],
  ['should mount an API token into pods', TOKENS],
  ['should ensure that all services are removed when a namespace is deleted', TOKENS],
  ['should ensure that all pods are removed when a namespace is deleted', TOKENS],
  ['should update pod when spec was updated and update strategy is RollingUpdate', STAMPS],
];

export interface ClassResult {
  readonly testClass: TestClass;
  readonly names: readonly string[];
  readonly outcomes: ReadonlyMap<string, Outcome>;
  readonly cluster: string;
}

/** "N passed, N failed". A test that did not run has failed. */
export function totals({ names, outcomes }: ClassResult): { readonly failed: number; readonly text: string } {
  const passed = names.filter((name) => outcomes.get(plainName(name))?.passed).length;
  const failed = names.length - passed;
  return { failed, text: `${passed} passed, ${failed} failed` };
}

/** The page with this class's section anew; the other classes keep theirs. */
export function withSection(page: string, result: ClassResult): string {
  const sections = sectionsOf(page);
  sections.set(result.testClass, section(result, new Map()));
  return assembled(sections);
}

/** The page with the rows of those tests that were run anew; the other tests of the class keep theirs. */
export function withRows(page: string, result: ClassResult): string {
  const sections = sectionsOf(page);
  const kept = new Map([...rowsIn(sections.get(result.testClass) ?? '')].map(({ name, row }) => [name, row]));
  sections.set(result.testClass, section(result, kept));
  return assembled(sections);
}

/** What a page says about each test: "passed", or "failed: why"; tests that were not run are left out. */
export function outcomesOfPage(page: string): ReadonlyMap<string, string> {
  const outcomes = [...rowsIn(page)].map(({ name, outcome }) => [name, outcome] as const);
  return new Map(outcomes.filter(([, outcome]) => outcome !== DID_NOT_RUN));
}

const DID_NOT_RUN = 'failed: did not run';

function sectionsOf(page: string): Map<string, string> {
  const texts = page.split(/^(?=## )/m).slice(1);
  return new Map(texts.map((text) => [/^## (\S+)/.exec(text)?.[1] ?? '', text.trim()]));
}

function assembled(sections: ReadonlyMap<string, string>): string {
  const ordered = Object.keys(CLASSES).flatMap((name) => sections.get(name) ?? []);
  return `${[TITLE, PREFACE, ...ordered].join('\n\n')}\n`;
}

function* rowsIn(text: string): Generator<{ name: string; outcome: string; row: string }> {
  for (const [row, name = '', outcome = ''] of text.matchAll(/^\| (\S.*?) \| (passed|failed: .*?) \| [\d.]* \|$/gm)) {
    yield { name: name.replace(/\\([|<>])/g, '$1'), outcome, row };
  }
}

function section(result: ClassResult, kept: ReadonlyMap<string, string>): string {
  const { testClass, names, outcomes, cluster } = result;
  const rows = names.map((name) => {
    const outcome = outcomes.get(plainName(name));
    return outcome ? row(name, outcome) : (kept.get(shownName(name)) ?? row(name, undefined));
  });
  const passed = rows.filter((text) => text.includes(' | passed | ')).length;
  const notRun = rows.filter((text) => text.includes(` | ${DID_NOT_RUN} | `)).length;
  const failed = rows.length - passed - notRun;
  return [
    `## ${testClass}`,
    `Needs ${CLASSES[testClass]}. Run against ${cluster}.`,
    ['| test | outcome | seconds |', '|---|---|---:|', ...rows].join('\n'),
    `${passed} passed, ${failed} failed${notRun > 0 ? `, ${notRun} did not run` : ''}`,
  ].join('\n\n');
}

function row(name: string, outcome: Outcome | undefined): string {
  const seconds = outcome ? outcome.seconds.toFixed(1) : '';
  return `| ${cell(name)} | ${cell(verdict(name, outcome))} | ${seconds} |`;
}

function verdict(name: string, outcome: Outcome | undefined): string {
  if (!outcome) return DID_NOT_RUN;
  if (outcome.passed) return 'passed';
  const known = KNOWN.find(([part]) => name.includes(part));
  return `failed: ${known ? `${known[1]} (${outcome.message})` : outcome.message}`;
}

/** A test's name as the page has it. */
export function shownName(name: string): string {
  return plainName(name).replace(/\s+/g, ' ');
}

function cell(text: string): string {
  return text.replace(/[|<>]/g, '\\$&').replace(/\s+/g, ' ').trim();
}
