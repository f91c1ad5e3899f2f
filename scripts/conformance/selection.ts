// Which tests of the suite there are, by what they need. `tests.json` has, by class and area, the names without their
// closing tag.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What each class needs of a cluster. */
export const CLASSES = {
  'api-only': 'API and controllers: no pod has to run',
  'control-plane': 'nodes that report pods running, simulated ones too',
  containers: 'real containers',
} as const;

export type TestClass = keyof typeof CLASSES;

type Areas = { readonly [area: string]: readonly string[] };

/** Names as the suite's reports have them, but for spaces at their ends. */
export function testsOf(testClass: TestClass): readonly string[] {
  const file = join(import.meta.dirname, 'tests.json');
  const areas = (JSON.parse(readFileSync(file, 'utf8')) as { [name in TestClass]: Areas })[testClass];
  return Object.entries(areas).flatMap(([area, names]) => names.map((name) => `[${area}] ${name}`));
}

/** A test's name without what the suite puts behind it. */
export function plainName(name: string): string {
  return name.replace(/\s*\[Conformance\]\s*$/, '').trim();
}

/** A regular expression, of the runner's kind, that finds these tests and no others. */
export function focusOn(names: readonly string[]): string {
  return names.map((name) => `${name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')} *\\[Conformance\\]`).join('|');
}

/** Tests that disturb others run alone. */
export function runsAlone(name: string): boolean {
  return name.includes('[Serial]');
}
