// The picture of one drill: time from left to right; faults as bands; a lane for each kind of question with its latency, and red
// where it was not answered; below, who led when, and what happened to pods. Pure.
import type { DrillResult, ProbeResult, TimelineEvent } from '../run/result.ts';
import { escapeXml } from './junit.ts';

const LEFT = 130;
const WIDTH = 860;
const RIGHT = 20;
const BAND_HEIGHT = 18;
const LANE_HEIGHT = 38;
const LANE_GAP = 8;
const MARK_HEIGHT = 20;
const AXIS_HEIGHT = 26;
const COLUMN = 3;
/** Latency is drawn on a logarithmic scale between these. */
const LEAST_MS = 1;
const MOST_MS = 10_000;

const MARKS: readonly (readonly [TimelineEvent['kind'], string])[] = [
  ['leader', "etcd's leader"],
  ['address', 'address'],
  ['controllers', 'controllers'],
  ['scheduler', 'scheduler'],
  ['node', 'nodes'],
  ['pod', 'pods'],
];

export function timelineSvg(result: DrillResult): string {
  const lengthMs = Math.max(
    1,
    ...result.probes.flatMap(({ samples }) => samples.map(([at, took]) => at + took)),
    ...result.timeline.map(({ atMs }) => atMs),
  );
  const x = (ms: number): number => LEFT + (ms / lengthMs) * WIDTH;
  const marks = MARKS.filter(([kind]) => result.timeline.some((event) => event.kind === kind));
  const lanesTop = result.faults.length * (BAND_HEIGHT + 3) + 8;
  const marksTop = lanesTop + result.probes.length * (LANE_HEIGHT + LANE_GAP) + 4;
  const axisTop = marksTop + marks.length * MARK_HEIGHT + 4;
  const height = axisTop + AXIS_HEIGHT;
  return `<svg viewBox="0 0 ${LEFT + WIDTH + RIGHT} ${height}" role="img" aria-label="timeline of ${escapeXml(result.drill)}">
${bands(result, x, axisTop)}
${result.probes.map((probe, i) => lane(probe, lanesTop + i * (LANE_HEIGHT + LANE_GAP), x)).join('\n')}
${marks.map(([kind, title], i) => markRow(result, kind, { title, y: marksTop + i * MARK_HEIGHT, x })).join('\n')}
${axis(lengthMs, axisTop, x)}
</svg>`;
}

type Scale = (ms: number) => number;
const n = (value: number): string => String(Math.round(value * 10) / 10);

function bands({ faults, lengthMs }: DrillResult, x: Scale, bottom: number): string {
  return faults
    .map(({ what, hit, fromMs, toMs }, i) => {
      const y = i * (BAND_HEIGHT + 3);
      const from = x(fromMs);
      const width = Math.max(2, x(Math.min(toMs ?? fromMs, lengthMs)) - from);
      const text = `${what}: ${hit.join(', ')}`;
      // A label that would leave the picture is written to the left of its end.
      const late = from > LEFT + WIDTH * 0.5;
      const anchor = late ? `x="${n(from - 6)}" text-anchor="end"` : `x="${n(from + 6)}"`;
      return `<rect class="shade" x="${n(from)}" y="${y}" width="${n(width)}" height="${n(bottom - y)}"/>
<rect class="fault" x="${n(from)}" y="${y}" width="${n(width)}" height="${BAND_HEIGHT}" rx="2"/>
<text class="band" ${anchor} y="${y + 13}">${escapeXml(text)}</text>`;
    })
    .join('\n');
}

/** One column for the questions of a few pixels: the slowest answer, and whether any was not answered. */
function lane({ name, samples, goneMs }: ProbeResult, y: number, x: Scale): string {
  const bottom = y + LANE_HEIGHT;
  const columns = new Map<number, { took: number; bad: number; all: number }>();
  for (const [at, took, ok] of samples) {
    const column = Math.floor((x(at) - LEFT) / COLUMN);
    const seen = columns.get(column) ?? { took: 0, bad: 0, all: 0 };
    columns.set(column, { took: Math.max(seen.took, took), bad: seen.bad + (ok ? 0 : 1), all: seen.all + 1 });
  }
  const paths: Record<string, string> = { good: '', bad: '' };
  for (const [column, { took, bad }] of columns) {
    const high = bad > 0 ? LANE_HEIGHT : heightOf(took);
    paths[bad > 0 ? 'bad' : 'good'] +=
      `M${n(LEFT + column * COLUMN + COLUMN / 2)} ${bottom}v-${n(Math.max(1.5, high))}`;
  }
  const gone = goneMs > 0 && samples.some(([, , ok]) => !ok) ? ` · gone ${(goneMs / 1000).toFixed(2)} s` : '';
  const strokes = Object.entries(paths)
    .filter(([, path]) => path !== '')
    .map(([kind, path]) => `<path class="${kind}" d="${path}"/>`);
  return `<g><rect class="lane" x="${LEFT}" y="${y}" width="${WIDTH}" height="${LANE_HEIGHT}"/>
${[10, 100, 1000].map((ms) => `<line class="grid" x1="${LEFT}" x2="${LEFT + WIDTH}" y1="${n(bottom - heightOf(ms))}" y2="${n(bottom - heightOf(ms))}"/>`).join('')}
${strokes.join('\n')}
<text class="label" x="${LEFT - 8}" y="${y + 16}">${escapeXml(name)}</text><text class="small" x="${LEFT - 8}" y="${y + 30}">${escapeXml(gone.slice(3) || '1 ms to 10 s')}</text></g>`;
}

function heightOf(ms: number): number {
  const share = Math.log(Math.max(ms, LEAST_MS) / LEAST_MS) / Math.log(MOST_MS / LEAST_MS);
  return Math.min(1, share) * LANE_HEIGHT;
}

function markRow(
  { timeline }: DrillResult,
  kind: TimelineEvent['kind'],
  { title, y, x }: { readonly title: string; readonly y: number; readonly x: Scale },
): string {
  let lastText = Number.NEGATIVE_INFINITY;
  const marks = timeline
    .filter((event) => event.kind === kind)
    .map(({ atMs, what }) => {
      const at = x(atMs);
      const short = what.replace(/^.*?: /, '');
      // Labels that would cover each other are left to the title.
      const fits = at > lastText && kind !== 'pod' && at + short.length * 6 < LEFT + WIDTH + RIGHT;
      if (fits) lastText = at + short.length * 6 + 12;
      const label = fits ? `<text class="mark" x="${n(at + 6)}" y="${y + 13}">${escapeXml(short)}</text>` : '';
      return `<g><title>${(atMs / 1000).toFixed(1)} s: ${escapeXml(what)}</title><circle class="${kind}" cx="${n(at)}" cy="${y + 9}" r="3.5"/>${label}</g>`;
    });
  return `<g><line class="grid" x1="${LEFT}" x2="${LEFT + WIDTH}" y1="${y + 9}" y2="${y + 9}"/><text class="label" x="${LEFT - 8}" y="${y + 13}">${title}</text>${marks.join('')}</g>`;
}

function axis(lengthMs: number, y: number, x: Scale): string {
  const step = [1, 2, 5, 10, 20, 30, 60].find((s) => lengthMs / (s * 1000) <= 14) ?? 120;
  const ticks: string[] = [];
  for (let s = 0; s * 1000 <= lengthMs; s += step) {
    ticks.push(
      `<line class="grid" x1="${n(x(s * 1000))}" x2="${n(x(s * 1000))}" y1="${y}" y2="${y + 5}"/><text class="tick" x="${n(x(s * 1000))}" y="${y + 17}">${s} s</text>`,
    );
  }
  return ticks.join('');
}
