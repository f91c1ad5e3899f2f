// The CRI log format: `time stream tags content`, one line an entry; tag P: the line goes on in the next entry.

export interface LogEntry {
  /** As written: RFC 3339 with nanoseconds. */
  readonly time: string;
  readonly stream: 'stdout' | 'stderr';
  readonly partial: boolean;
  /** With its newline, unless partial. */
  readonly content: Buffer;
}

const NEWLINE = 0x0a;
const SPACE = 0x20;

/** Parses one line (with or without its newline); undefined for one that is not in the format. */
export function parseLogLine(line: Buffer): LogEntry | undefined {
  const end = line.at(-1) === NEWLINE ? line.length - 1 : line.length;
  const afterTime = line.indexOf(SPACE);
  const afterStream = afterTime < 0 ? -1 : line.indexOf(SPACE, afterTime + 1);
  const tagsEnd = afterStream < 0 ? -1 : line.indexOf(SPACE, afterStream + 1);
  // An empty line may end with its tags.
  const afterTags = tagsEnd < 0 && afterStream > 0 ? end : tagsEnd;
  if (afterTime <= 0 || afterStream < 0 || afterTags < 0 || afterTags > end) return undefined;
  const stream = line.toString('latin1', afterTime + 1, afterStream);
  if (stream !== 'stdout' && stream !== 'stderr') return undefined;
  const tags = line.toString('latin1', afterStream + 1, afterTags).split(':');
  const partial = tags[0] === 'P';
  const content = line.subarray(Math.min(afterTags + 1, end), end);
  return {
    time: line.toString('latin1', 0, afterTime),
    stream,
    partial,
    content: partial ? content : Buffer.concat([content, Buffer.of(NEWLINE)]),
  };
}

/** Nanoseconds since the epoch of a log time, to compare them exactly. */
export function timeNanos(time: string): bigint {
  const fraction = /\.(\d{1,9})/.exec(time)?.[1] ?? '';
  const seconds = Date.parse(time.replace(/\.\d+/, ''));
  if (Number.isNaN(seconds)) return 0n;
  return BigInt(seconds) * 1_000_000n + BigInt(fraction.padEnd(9, '0'));
}
