// Results as one page that needs nothing else: no script, no font, no image from elsewhere. Pure.
import type { DrillResult, Measures } from '../run/result.ts';
import { escapeXml } from './junit.ts';
import { STYLE } from './style.ts';
import { problemsOf, seconds } from './text.ts';
import { timelineSvg } from './timeline.ts';

const COLUMNS: readonly (readonly [keyof Measures, string])[] = [
  ['writes', 'writes gone'],
  ['reads', 'reads gone'],
  ['service', 'service gone'],
  ['dns', 'DNS gone'],
  ['pods', 'slowest pod'],
  ['detect', 'noticed after'],
  ['failover', 'failed over after'],
  ['recover', 'whole after'],
];

export function htmlPage(
  results: readonly DrillResult[],
  before: ReadonlyMap<string, DrillResult> = new Map(),
): string {
  const first = results[0];
  const title = `Drills of ${first?.cluster ?? 'no cluster'}`;
  const when = first ? `${new Date(first.startedAt).toISOString().slice(0, 16).replace('T', ' ')} UTC` : '';
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeXml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>${escapeXml(title)}</h1>
<p>${escapeXml(summary(results))} · profile ${escapeXml(first?.profile ?? '')} · ${when}</p>
</header>
<main>
${overview(results, before)}
${results.map((result) => section(result, before.get(result.drill))).join('\n')}
</main>
</body>
</html>
`;
}

function summary(results: readonly DrillResult[]): string {
  const parts = (['passed', 'failed', 'aborted', 'impossible'] as const).flatMap((outcome) => {
    const count = results.filter((one) => one.outcome === outcome).length;
    return count === 0 ? [] : [`${count} ${outcome === 'impossible' ? 'not possible here' : outcome}`];
  });
  return `${results.length} drills: ${parts.join(', ')}`;
}

function overview(results: readonly DrillResult[], before: ReadonlyMap<string, DrillResult>): string {
  const head = ['drill', 'result', ...COLUMNS.map(([, title]) => title)].map((cell) => `<th>${cell}</th>`).join('');
  const rows = results.map((result) => {
    const cells = COLUMNS.map(([measure]) => cell(result, measure, before.get(result.drill)));
    return `<tr><td><a href="#${result.drill}">${escapeXml(result.drill)}</a></td><td>${badge(result)}</td>${cells.join('')}</tr>`;
  });
  return `<div class="scroll"><table class="overview"><thead><tr>${head}</tr></thead><tbody>${rows.join('\n')}</tbody></table></div>`;
}

/** Red where an objective is broken; below it what it was the last time. */
function cell(result: DrillResult, measure: keyof Measures, before: DrillResult | undefined): string {
  const broken = result.verdicts.some(({ bound, holds }) => !holds && bound.startsWith(measure));
  const then = before?.measures[measure];
  const last = before ? `<small title="the last time">${seconds(then)}</small>` : '';
  return `<td class="${broken ? 'broken' : ''}">${seconds(result.measures[measure])}${last}</td>`;
}

function badge({ outcome }: DrillResult): string {
  return `<span class="badge ${outcome}">${outcome === 'impossible' ? 'not possible here' : outcome}</span>`;
}

function section(result: DrillResult, before: DrillResult | undefined): string {
  const problems = problemsOf(result).map((problem) => `<li>${escapeXml(problem)}</li>`);
  const list = problems.length === 0 ? '' : `<ul class="problems">${problems.join('')}</ul>`;
  const body = result.faults.length === 0 ? '' : details(result, before);
  return `<section id="${result.drill}">
<h2>${escapeXml(result.title)} ${badge(result)}</h2>
<p class="name">${escapeXml(result.drill)}</p>
${list}${body}
</section>`;
}

function details(result: DrillResult, before: DrillResult | undefined): string {
  const verdicts = result.verdicts.map(
    ({ bound, holds }) => `<span class="bound ${holds ? 'passed' : 'failed'}">${escapeXml(bound)}</span>`,
  );
  const checks = result.checks.map(
    ({ name, looked, problems }) =>
      `<span class="bound ${problems.length === 0 ? 'passed' : 'failed'}">${escapeXml(name)} <small>(${looked} looked at)</small></span>`,
  );
  const measures = COLUMNS.map(
    ([measure, title]) =>
      `<div><b>${seconds(result.measures[measure])}</b>${title}${before ? `<small>was ${seconds(before.measures[measure])}</small>` : ''}</div>`,
  );
  return `<div class="measures">${measures.join('')}</div>
<div class="scroll">${timelineSvg(result)}</div>
<p class="bounds">${verdicts.join(' ')} ${checks.join(' ')}</p>
${probes(result)}
${events(result)}`;
}

function probes({ probes: all }: DrillResult): string {
  const head = ['clients', 'asked', 'ok', 'failed', 'asked twice', 'median', '99 %', 'worst', 'errors'];
  const rows = all.map(({ name, asked, ok, failed, retried, p50, p99, worst, errors }) => {
    const kinds = Object.entries(errors).sort(([, a], [, b]) => b - a);
    const shown = kinds.slice(0, 4).map(([text, count]) => `${count} × ${escapeXml(text.slice(0, 90))}`);
    const cells = [escapeXml(name), asked, ok, failed, retried, `${p50} ms`, `${p99} ms`, `${worst} ms`];
    return `<tr>${cells.map((value) => `<td>${value}</td>`).join('')}<td class="errors">${shown.join('<br>')}</td></tr>`;
  });
  const table = `<table><thead><tr>${head.map((title) => `<th>${title}</th>`).join('')}</tr></thead><tbody>${rows.join('')}</tbody></table>`;
  return `<details><summary>What clients asked</summary><div class="scroll">${table}</div></details>`;
}

function events({ timeline }: DrillResult): string {
  const rows = timeline.map(
    ({ atMs, kind, what }) =>
      `<tr><td>${(atMs / 1000).toFixed(1)} s</td><td>${kind}</td><td>${escapeXml(what)}</td></tr>`,
  );
  return `<details><summary>What happened (${timeline.length})</summary><div class="scroll"><table class="events"><tbody>${rows.join('')}</tbody></table></div></details>`;
}
