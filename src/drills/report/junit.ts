// Results as JUnit XML, for CI. Pure.
import type { DrillResult } from '../run/result.ts';
import { problemsOf, seconds } from './text.ts';

export function junit(results: readonly DrillResult[]): string {
  const count = (outcome: DrillResult['outcome']): number => results.filter((one) => one.outcome === outcome).length;
  const totalMs = results.reduce((sum, { lengthMs }) => sum + lengthMs, 0);
  const attributes = {
    name: 'tsukube drill',
    tests: results.length,
    failures: count('failed'),
    errors: count('aborted'),
    skipped: count('impossible'),
    time: (totalMs / 1000).toFixed(3),
  };
  return `<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite${text(attributes)}>
${results.map(testCase).join('\n')}
  </testsuite>
</testsuites>
`;
}

const ELEMENTS = { failed: 'failure', aborted: 'error', impossible: 'skipped' } as const;

function testCase(result: DrillResult): string {
  const { drill, cluster, startedAt, lengthMs, outcome, measures } = result;
  const said = Object.entries(measures)
    .map(([name, value]) => `${name}: ${name === 'failed' ? (value ?? '-') : seconds(value)}`)
    .join('\n');
  const attributes = {
    name: drill,
    classname: `drill.${cluster}`,
    time: (lengthMs / 1000).toFixed(3),
    timestamp: new Date(startedAt).toISOString(),
  };
  const lines = [`    <testcase${text(attributes)}>`];
  if (outcome !== 'passed') {
    const problems = problemsOf(result);
    const message = text({ message: problems[0] ?? outcome });
    lines.push(`      <${ELEMENTS[outcome]}${message}>${escapeXml(problems.join('\n'))}</${ELEMENTS[outcome]}>`);
  }
  lines.push(`      <system-out>${escapeXml(said)}</system-out>`, '    </testcase>');
  return lines.join('\n');
}

function text(attributes: Readonly<Record<string, string | number>>): string {
  return Object.entries(attributes)
    .map(([name, value]) => ` ${name}="${escapeXml(String(value))}"`)
    .join('');
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** XML allows no control characters, not even escaped. */
export function escapeXml(value: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  return value.replace(/[&<>"']/g, (sign) => ENTITIES[sign]!).replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, '');
}
