// How each behaviour that Kubernetes 1.36 demands of every cluster is checked: by its official test where that exists in the
// suite that can be run here, by a test of our own, or not at all, and why. Decides; page.ts reads and writes.

/** A test's name and the releases in which it came to be demanded. */
export type Behaviour = readonly [name: string, release: string];

export interface Coverage {
  /** Behaviours whose test had another name in the suite. */
  readonly official: { readonly [behaviour: string]: string };
  readonly own: { readonly [behaviour: string]: readonly [file: string, test: string] };
  /** Why there is no test of a behaviour. */
  readonly missing: { readonly [behaviour: string]: string };
}

export interface Facts {
  readonly behaviours: readonly Behaviour[];
  readonly coverage: Coverage;
  /** Every test of the suite, and what came of those that were run: "passed", or "failed: why". */
  readonly suite: ReadonlySet<string>;
  readonly outcomes: ReadonlyMap<string, string>;
  /** The source of a file of tests; undefined: there is none. */
  readonly source: (file: string) => string | undefined;
}

export type Row =
  | { readonly name: string; readonly release: string; readonly kind: 'official'; readonly test: string }
  | {
      readonly name: string;
      readonly release: string;
      readonly kind: 'own';
      readonly file: string;
      readonly test: string;
    }
  | { readonly name: string; readonly release: string; readonly kind: 'missing'; readonly why: string };

/** A row for each behaviour. Throws an Error that names everything that nobody has said anything about, or said wrongly. */
export function rowsOf(facts: Facts): readonly Row[] {
  const problems = [...wrongs(facts)];
  const byPlainName = new Map([...facts.suite].map((test) => [plain(test), test]));
  const rows = facts.behaviours.flatMap(([name, release]): Row[] => {
    const test = facts.coverage.official[name] ?? byPlainName.get(plain(name));
    const outcome = test === undefined ? undefined : facts.outcomes.get(test);
    if (test !== undefined && outcome === 'passed') return [{ name, release, kind: 'official', test }];
    const own = facts.coverage.own[name];
    if (own) return [{ name, release, kind: 'own', file: own[0], test: own[1] }];
    const why = facts.coverage.missing[name] ?? (test === undefined ? undefined : unproven(outcome));
    if (why !== undefined) return [{ name, release, kind: 'missing', why }];
    problems.push(`nothing is said about ${name}`);
    return [];
  });
  if (problems.length > 0) throw new Error(`conformance:\n  ${problems.join('\n  ')}`);
  return rows;
}

function unproven(outcome: string | undefined): string {
  return outcome === undefined ? 'its official test was not run' : `its official test ${outcome}`;
}

/** A name without the groups and marks that differ between versions. */
function plain(name: string): string {
  return name
    .replace(/\[[^\]]*\]/g, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, ' ')
    .trim();
}

function* wrongs({ behaviours, coverage, suite, outcomes, source }: Facts): Generator<string> {
  const names = new Set(behaviours.map(([name]) => name));
  if (names.size !== behaviours.length) yield 'a behaviour is listed twice';
  const { official, own, missing } = coverage;
  for (const name of [official, own, missing].flatMap((said) => Object.keys(said))) {
    if (!names.has(name)) yield `no behaviour is called ${name}`;
  }
  for (const name of Object.keys(own)) if (name in missing) yield `both tested and missing: ${name}`;
  for (const test of Object.values(official)) if (!suite.has(test)) yield `the suite has no test ${test}`;
  for (const [test, outcome] of outcomes) {
    if (!suite.has(test)) yield `an outcome of an unknown test: ${test}`;
    if (outcome !== 'passed' && !outcome.startsWith('failed: ')) yield `neither passed nor failed: ${test}: ${outcome}`;
  }
  for (const [file, test] of Object.values(own)) {
    const text = source(file);
    if (text === undefined) yield `no file ${file}`;
    else if (!["'", '"', '`'].some((quote) => text.includes(`(${quote}${test}${quote}`)))
      yield `no test ${test} in ${file}`;
  }
}
