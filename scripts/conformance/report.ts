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
const NO_CUSTOM_RESOURCES = 'custom resources are not served yet';
const KNOWN: readonly (readonly [part: string, reason: string])[] = [
  ['should allow opting out of API token automount', TOKENS],
  ['should ensure that all services are removed when a namespace is deleted', TOKENS],
  ['should ensure that all pods are removed when a namespace is deleted', TOKENS],
  ['should update pod when spec was updated and update strategy is RollingUpdate', STAMPS],
  ['with same hostPort but different hostIP', 'runs a program in a pod, which simulated nodes cannot'],
  ['CustomResourceDefinition', NO_CUSTOM_RESOURCES],
  ['CustomResourcePublishOpenAPI', NO_CUSTOM_RESOURCES],
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
  const sections = new Map(
    page
      .split(/^(?=## )/m)
      .slice(1)
      .map((text) => [/^## (\S+)/.exec(text)?.[1] ?? '', text.trim()]),
  );
  sections.set(result.testClass, section(result));
  const ordered = Object.keys(CLASSES).flatMap((name) => sections.get(name) ?? []);
  return `${[TITLE, PREFACE, ...ordered].join('\n\n')}\n`;
}

function section(result: ClassResult): string {
  const { testClass, names, outcomes, cluster } = result;
  const rows = names.map((name) => row(name, outcomes.get(plainName(name))));
  return [
    `## ${testClass}`,
    `Needs ${CLASSES[testClass]}. Run against ${cluster}.`,
    ['| test | outcome | seconds |', '|---|---|---:|', ...rows].join('\n'),
    totals(result).text,
  ].join('\n\n');
}

function row(name: string, outcome: Outcome | undefined): string {
  const seconds = outcome ? outcome.seconds.toFixed(1) : '';
  return `| ${cell(name)} | ${cell(verdict(name, outcome))} | ${seconds} |`;
}

function verdict(name: string, outcome: Outcome | undefined): string {
  if (!outcome) return 'failed: did not run';
  if (outcome.passed) return 'passed';
  const known = KNOWN.find(([part]) => name.includes(part));
  return `failed: ${known ? `${known[1]} (${outcome.message})` : outcome.message}`;
}

function cell(text: string): string {
  return text.replace(/[|<>]/g, '\\$&').replace(/\s+/g, ' ').trim();
}
