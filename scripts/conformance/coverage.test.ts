import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Facts, rowsOf } from './coverage.ts';
import { outcomesOfPage, withRows, withSection } from './report.ts';

const FACTS: Facts = {
  behaviours: [
    ['[sig-a] does this [Slow]', 'v1.9'],
    ['[sig-a] does that', 'v1.30'],
    ['[sig-b] was called otherwise', 'v1.9'],
    ['[sig-b] cannot', 'v1.36'],
  ],
  coverage: {
    official: { '[sig-b] was called otherwise': '[k8s.io] other' },
    own: { '[sig-a] does that': ['src/a.test.ts', 'does that'] },
    missing: { '[sig-b] cannot': 'nobody can' },
  },
  suite: new Set(['[k8s.io] [sig-a] Does this', '[k8s.io] other']),
  outcomes: new Map([['[k8s.io] [sig-a] Does this', 'passed']]),
  source: (file) => (file === 'src/a.test.ts' ? "test('does that', () => {});" : undefined),
};

test('each behaviour has its test, or says why there is none', () => {
  assert.deepEqual(
    rowsOf(FACTS).map(({ name: _, release: __, ...row }) => row),
    [
      { kind: 'official', test: '[k8s.io] [sig-a] Does this' },
      { kind: 'own', file: 'src/a.test.ts', test: 'does that' },
      { kind: 'missing', why: 'its official test was not run' },
      { kind: 'missing', why: 'nobody can' },
    ],
  );
  const outcomes = new Map([['[k8s.io] other', 'failed: too late']]);
  assert.deepEqual(rowsOf({ ...FACTS, outcomes })[2], {
    name: '[sig-b] was called otherwise',
    release: 'v1.9',
    kind: 'missing',
    why: 'its official test failed: too late',
  });
});

test('what is unknown, skipped or untrue is refused', () => {
  const told = (more: Partial<Facts>): void => void rowsOf({ ...FACTS, ...more });
  const said = (more: Partial<Facts['coverage']>): Partial<Facts> => ({ coverage: { ...FACTS.coverage, ...more } });
  assert.throws(() => told(said({ missing: {} })), /nothing is said about \[sig-b\] cannot/);
  assert.throws(() => told(said({ official: { '[sig-b] was called otherwise': 'x' } })), /the suite has no test x/);
  assert.throws(
    () => told(said({ own: { '[sig-b] cannot': ['src/a.test.ts', 'does that'] } })),
    /both tested and missing/,
  );
  const [behaviour] = Object.keys(FACTS.coverage.own);
  assert.throws(() => told(said({ own: { [behaviour!]: ['src/b.test.ts', 'does that'] } })), /no file src\/b.test.ts/);
  assert.throws(
    () => told(said({ own: { [behaviour!]: ['src/a.test.ts', 'that'] } })),
    /no test that in src\/a.test.ts/,
  );
  assert.throws(
    () => told(said({ missing: { ...FACTS.coverage.missing, other: 'x' } })),
    /no behaviour is called other/,
  );
  assert.throws(() => told({ outcomes: new Map([['other', 'passed']]) }), /an outcome of an unknown test: other/);
  assert.throws(() => told({ outcomes: new Map([['[k8s.io] other', 'skipped']]) }), /neither passed nor failed/);
});

test('a part of a class leaves the other rows as they were', () => {
  const names = ['[sig-a]  one', '[sig-a] two', '[sig-a] three'];
  const passed = { passed: true, seconds: 1, message: '' };
  const failed = { passed: false, seconds: 1, message: 'no' };
  const result = { testClass: 'containers' as const, names, cluster: 'c' };
  const first = withSection('', { ...result, outcomes: new Map([['[sig-a]  one', passed]]) });
  const both = withRows(first, { ...result, outcomes: new Map([['[sig-a] two', failed]]) });
  assert.match(both, /\n1 passed, 1 failed, 1 did not run\n$/);
  const outcomes = outcomesOfPage(both);
  assert.deepEqual(
    [...outcomes],
    [
      ['[sig-a] one', 'passed'],
      ['[sig-a] two', 'failed: no'],
    ],
  );
});
