import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judge, parseObjective } from '../run/objective.ts';
import { type DrillResult, NOTHING_MEASURED } from '../run/result.ts';
import { htmlPage } from './html.ts';
import { junit } from './junit.ts';
import { lineOf, problemsOf, table } from './text.ts';

const measures = { ...NOTHING_MEASURED, writes: 1_240, service: 0, failed: 3 };

const RESULT: DrillResult = {
  drill: 'host-cable',
  title: 'a <cable> is pulled',
  cluster: 'c',
  profile: 'fast',
  startedAt: Date.UTC(2026, 0, 2),
  lengthMs: 12_000,
  outcome: 'failed',
  faults: [{ what: 'pull the cable', hit: ['cp-1'], fromMs: 2_000, toMs: 8_000 }],
  probes: [
    {
      name: 'writes',
      asked: 3,
      ok: 2,
      failed: 1,
      retried: 0,
      p50: 10,
      p99: 20,
      worst: 20,
      goneMs: 1_240,
      errors: { 'PUT: "x" & <y>': 1 },
      samples: [
        [0, 10, 1],
        [2_100, 1_000, 0],
        [9_000, 20, 1],
      ],
    },
  ],
  timeline: [
    { atMs: 2_500, kind: 'leader', what: 'etcd is led by: cp-1 → cp-2' },
    { atMs: 3_000, kind: 'pod', what: 'web is new' },
  ],
  measures,
  verdicts: judge(parseObjective('writes<1s,service=0'), measures),
  checks: [{ name: 'linearizable', looked: 3, problems: ['x is not linearizable'] }],
};

const IMPOSSIBLE: DrillResult = {
  ...RESULT,
  drill: 'reordered-packets',
  outcome: 'impossible',
  reason: 'the kernel has no netem',
  faults: [],
  probes: [],
  timeline: [],
  verdicts: [],
  checks: [],
};

test('objectives are read as they are typed, and refused with what can be typed', () => {
  assert.deepEqual(parseObjective(' writes<2s , service=0,pods<=250ms,recover<1.5m,failed=0'), [
    { measure: 'writes', relation: '<', value: 2_000 },
    { measure: 'service', relation: '=', value: 0 },
    { measure: 'pods', relation: '<=', value: 250 },
    { measure: 'recover', relation: '<', value: 90_000 },
    { measure: 'failed', relation: '=', value: 0 },
  ]);
  assert.throws(() => parseObjective('writes>2s'), /"writes>2s" is no objective/);
  assert.throws(() => parseObjective('wirtes<2s'), /there is no measure "wirtes"/);
  assert.throws(() => parseObjective('failed<2s'), /is counted/);
});

test('a bound on what was not measured does not hold', () => {
  const holds = (text: string) => judge(parseObjective(text), measures).map((verdict) => verdict.holds);
  assert.deepEqual(holds('writes<2s,writes<1.24s,writes<=1.24s,service=0,dns=0,failed<4'), [
    true,
    false,
    true,
    true,
    false,
    true,
  ]);
});

test('the table has figures, the last run and every problem', () => {
  const before = new Map([['host-cable', { ...RESULT, measures: { ...measures, writes: 990 } }]]);
  const text = table([RESULT, IMPOSSIBLE], before);
  assert.match(text, /host-cable +failed +1\.24 s .* 0\.99 s/);
  assert.match(text, /host-cable: writes<1s does not hold: 1240 ms/);
  assert.match(text, /host-cable: linearizable: x is not linearizable/);
  assert.match(text, /reordered-packets: not possible here, because the kernel has no netem/);
  assert.match(lineOf(IMPOSSIBLE), /^impossible/);
  assert.deepEqual(problemsOf({ ...RESULT, verdicts: [], checks: [] }), []);
});

test('JUnit says what failed and what was left out, in well-formed XML', () => {
  const xml = junit([RESULT, IMPOSSIBLE]);
  assert.match(xml, /<testsuite name="tsukube drill" tests="2" failures="1" errors="0" skipped="1" time="24.000">/);
  assert.match(xml, /<failure message="writes&lt;1s does not hold: 1240 ms">/);
  assert.match(xml, /<skipped message="not possible here, because the kernel has no netem">/);
  const open = [...xml.matchAll(/<([a-z-]+)(?:\s[^>]*)?(?<!\/)>/g)].map(([, name]) => name).sort();
  const closed = [...xml.matchAll(/<\/([a-z-]+)>/g)].map(([, name]) => name).sort();
  assert.deepEqual(open, closed);
});

test('the page needs nothing from elsewhere, and escapes what it shows', () => {
  const page = htmlPage([RESULT, IMPOSSIBLE]);
  assert.doesNotMatch(page, /https?:\/\/|<script|<link|@import|url\(/);
  assert.match(page, /a &lt;cable&gt; is pulled/);
  assert.doesNotMatch(page, /<cable>/);
  assert.match(page, /<svg/);
  assert.match(page, /<path class="bad"/);
  assert.match(page, /etcd is led by: cp-1 → cp-2/);
  assert.match(page, /not possible here/);
});
