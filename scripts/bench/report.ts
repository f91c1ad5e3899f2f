// The measured figures as a Markdown table.
import { cpus } from 'node:os';

export interface Figure {
  /** Of the API server and its store, per operation or delivered event. */
  readonly cpuUs: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface Idle {
  readonly name: string;
  readonly memoryMiB: number;
  readonly cpuPercent: number;
}

export interface Measured {
  readonly name: string;
  readonly startMs: number;
  readonly startCpuMs: number;
  idle: readonly Idle[];
  /** As peakMiB, when the objects had been made and listed over this protocol and those before, and nothing else been asked. */
  readonly listPeaks: Map<string, readonly (readonly [name: string, mib: number])[]>;
  /** At the end: each process's own memory, without the pages of files that are mapped. */
  ownMiB: readonly (readonly [name: string, mib: number])[];
  /** Each process's most resident memory, all load included. */
  peakMiB: readonly (readonly [name: string, mib: number])[];
  /** By operation and protocol, one a round. */
  readonly figures: Map<string, readonly Figure[]>;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

interface Row {
  readonly operation: string;
  /** One text and one comparable number a contestant. */
  readonly cells: readonly (readonly [text: string, value: number])[];
}

/** One row a measurement, one column a contestant, and with two of them how many times more the second takes. */
export function table(all: readonly Measured[]): string {
  const first = all[0]!;
  const rows: Row[] = [
    {
      operation: 'start to /readyz, empty',
      cells: all.map((m) => [`${seconds(m.startMs)} (${seconds(m.startCpuMs)} CPU)`, m.startMs]),
    },
  ];
  if (first.idle.length > 0) {
    rows.push({
      operation: 'idle memory',
      cells: all.map((m) =>
        sumCell(
          m.idle.map((i) => [i.name, i.memoryMiB]),
          'MiB',
          0,
        ),
      ),
    });
    rows.push({
      operation: 'idle CPU, of a core',
      cells: all.map((m) =>
        sumCell(
          m.idle.map((i) => [i.name, i.cpuPercent]),
          '%',
          1,
        ),
      ),
    });
  }
  for (const key of first.figures.keys())
    rows.push({ operation: key.replace('\n', ', '), cells: all.map((m) => figureCell(m.figures.get(key) ?? [])) });
  const memory = (operation: string, of: (m: Measured) => Measured['peakMiB']): void => {
    if (of(first).length > 0) rows.push({ operation, cells: all.map((m) => sumCell(of(m), 'MiB', 0)) });
  };
  for (const protocol of first.listPeaks.keys())
    memory(`most memory under the load of lists, up to ${protocol}`, (m) => m.listPeaks.get(protocol) ?? []);
  memory('most memory under all of this load', (m) => m.peakMiB);
  memory('memory at its end, without mapped files', (m) => m.ownMiB);
  const ratio = all.length > 1;
  const lines = [
    `| | ${all.map((m) => m.name).join(' | ')} |${ratio ? ' ratio |' : ''}`,
    `|---|${all.map(() => '---|').join('')}${ratio ? '---|' : ''}`,
    ...rows.map(({ operation, cells }) => {
      const factor = ratio ? ` ${(cells[1]![1] / cells[0]![1]).toFixed(1)} |` : '';
      return `| ${operation} | ${cells.map(([text]) => text).join(' | ')} |${factor}`;
    }),
  ];
  return `${HEADING}\n\n${setup()}\n\n${lines.join('\n')}\n`;
}

const HEADING = '# What the control plane costs';

function setup(): string {
  const processor = cpus();
  return [
    `Measured by \`npm run bench\` on ${new Date().toISOString().slice(0, 10)}: ${processor.length} × ${processor[0]?.model ?? 'unknown processor'}, Node.js ${process.versions.node}.`,
    'TLS, JSON, RBAC; controllers and scheduler running; every write synced to disk before it is acknowledged (tsukube: its embedded store; upstream: etcd).',
    '64 connections (HTTP/1.1) or 64 streams of one connection (HTTP/2), the load in a process of its own.',
    'A cell: CPU of the API server with its store per operation (of tsukube: of the whole control plane, which is one process), operations a second, latency p50 / p99.',
    'CPU per operation compares; operations a second are also bound by the load, which shares the machine.',
  ].join('\n');
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

function sumCell(
  parts: readonly (readonly [string, number])[],
  unit: string,
  digits: number,
): readonly [string, number] {
  const sum = parts.reduce((total, [, value]) => total + value, 0);
  const detail =
    parts.length > 1 ? ` (${parts.map(([name, value]) => `${name} ${value.toFixed(digits)}`).join(', ')})` : '';
  return [`**${sum.toFixed(digits)} ${unit}**${detail}`, sum];
}

function figureCell(figures: readonly Figure[]): readonly [string, number] {
  if (figures.length === 0) return ['', Number.NaN];
  const of = (field: keyof Figure): number => median(figures.map((f) => f[field]));
  const cpu = of('cpuUs');
  const text = cpu >= 1000 ? `${(cpu / 1000).toFixed(1)} ms` : `${cpu.toFixed(cpu < 20 ? 1 : 0)} µs`;
  const rate = Math.round(of('perSecond')).toLocaleString('en');
  return [`**${text}**, ${rate}/s, ${of('p50Ms').toFixed(1)} / ${of('p99Ms').toFixed(1)} ms`, cpu];
}
