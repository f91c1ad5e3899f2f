import assert from 'node:assert/strict';
import { test } from 'node:test';
import { outcomesOf } from './outcome.ts';
import { totals, withSection } from './report.ts';
import { focusOn, testsOf } from './selection.ts';

const JUNIT = `<testsuite>
  <testcase name="[sig-a] does this  [Conformance]" classname="x" time="1.25"></testcase>
  <testcase name="[sig-a] is left out [Conformance]" classname="x" time="0"><skipped></skipped></testcase>
  <testcase name="[sig-b] says &#34;no&#34; [Conformance]" classname="x" time="30">
    <failure type="Failure">/src/framework.go:629&#xA;Nov  1 07:12:18.842: Unexpected error:&#xA;    &lt;*errors.errorString | 0xc0&gt;: {&#xA;        s: &#34;too late&#34;,&#xA;    }&#xA;    too late&#xA;occurred&#xA;/src/a.go:1</failure>
    <system-out>&lt;skipped&gt;</system-out>
  </testcase>
</testsuite>`;

test('outcomes are read from reports, with what went wrong', () => {
  const outcomes = outcomesOf(JUNIT);
  assert.deepEqual([...outcomes.keys()], ['[sig-a] does this', '[sig-b] says "no"']);
  assert.deepEqual(outcomes.get('[sig-a] does this'), { passed: true, seconds: 1.25, message: '' });
  assert.deepEqual(outcomes.get('[sig-b] says "no"'), { passed: false, seconds: 30, message: 'too late' });
});

test('a class replaces its own section, and what did not run has failed', () => {
  const names = ['[sig-a] does this', '[sig-a] is left out', '[sig-b] says "no"'];
  const of = (testClass: 'api-only' | 'control-plane', outcomes = outcomesOf(JUNIT)) => ({
    ...{ testClass, names, outcomes, cluster: 'c' },
  });
  const both = withSection(withSection('', of('control-plane')), of('api-only', new Map()));
  assert.match(
    both,
    /## api-only[\s\S]*\n0 passed, 0 failed, 3 did not run\n\n## control-plane[\s\S]*\n1 passed, 1 failed, 1 did not run\n$/,
  );
  const again = withSection(both, of('api-only'));
  assert.equal(again.match(/1 passed, 1 failed, 1 did not run/g)?.length, 2);
  assert.match(again, /\| \[sig-a\] is left out \| failed: did not run \|/);
  assert.equal(totals(of('api-only')).failed, 2);
});

test('every test of a class is found by its name, and no other', () => {
  const names = testsOf('api-only');
  assert.equal(new Set(names).size, 69);
  const all = [...names, ...testsOf('control-plane'), ...testsOf('containers')].map((name) => `${name} [Conformance]`);
  const focus = new RegExp(focusOn(names));
  assert.deepEqual(all.filter((name) => focus.test(name)).length, names.length);
});
