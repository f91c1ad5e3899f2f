// A snapshot's bytes: a line of JSON that names format and revision, then every live record, each after its length and revision.
// The line and each record have a checksum.
import { crc32 } from 'node:zlib';
import { nextTurn } from '../lib/turns.ts';
import type { Revision } from './contract.ts';
import { decodeRecord, encodeRecord, type WriteRecord } from './records.ts';
import type { Version } from './revisions.ts';

const FORMAT = 'tsukube-snapshot-3';
/** As the one before, whose line had no checksum. */
const FORMAT_2 = 'tsukube-snapshot-2';
/** Chunks are about this long. */
const CHUNK_BYTES = 1 << 18;
const FRAME_BYTES = 12;
/** A record longer than this is damage, not data. */
const MAX_RECORD_BYTES = 64 << 20;
const MAX_HEADER_BYTES = 4_096;

export interface SnapshotHeader {
  readonly revision: Revision;
  readonly records: number;
}

export async function* writeSnapshot(options: {
  readonly revision: Revision;
  readonly items: readonly { readonly key: string; readonly version: Version }[];
  readonly read: (key: string, version: Version) => WriteRecord;
  /** Called when the last byte is read, or the reader gave up. */
  readonly done: () => void;
}): AsyncGenerator<Buffer, void, undefined> {
  try {
    const { revision, items } = options;
    const header = { revision, records: items.length };
    yield Buffer.from(`${JSON.stringify({ format: FORMAT, ...header, checksum: checksum(header) })}\n`);
    let chunk: Buffer[] = [];
    let bytes = 0;
    for (const { key, version } of items) {
      const record = encodeRecord(options.read(key, version));
      const frame = Buffer.allocUnsafe(FRAME_BYTES);
      frame.writeUInt32BE(record.length, 0);
      frame.writeDoubleBE(version.revision, 4);
      chunk.push(frame, record);
      bytes += FRAME_BYTES + record.length;
      if (CHUNK_BYTES > bytes) continue;
      yield Buffer.concat(chunk);
      chunk = [];
      bytes = 0;
      await nextTurn();
    }
    if (bytes > 0) yield Buffer.concat(chunk);
  } finally {
    options.done();
  }
}

/** Reads a snapshot whole: the records in order of revision. Throws when it is damaged or cut short. */
export async function readSnapshot(
  chunks: AsyncIterable<Buffer>,
): Promise<{ readonly revision: Revision; readonly records: readonly WriteRecord[] }> {
  let header: SnapshotHeader | undefined;
  let rest: Buffer = Buffer.alloc(0);
  const records: WriteRecord[] = [];
  for await (const chunk of chunks) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    if (!header) {
      const end = rest.indexOf(10);
      if (end === -1 && MAX_HEADER_BYTES > rest.length) continue;
      header = readHeader(rest.toString('utf8', 0, Math.max(0, end)));
      rest = rest.subarray(end + 1);
    }
    rest = rest.subarray(readFrames(rest, records));
  }
  if (!header || rest.length > 0 || records.length !== header.records) throw new Error('the snapshot is cut short');
  records.sort((a, b) => a.revision - b.revision);
  return { revision: header.revision, records };
}

function readHeader(line: string): SnapshotHeader {
  const fault = new Error('not a snapshot of this store');
  if (!line.startsWith('{')) throw fault;
  const read = parse(line);
  const { format, revision, records, checksum: found } = read;
  if ((format !== FORMAT && format !== FORMAT_2) || !Number.isSafeInteger(revision) || !Number.isSafeInteger(records)) {
    throw fault;
  }
  const header = { revision: revision as number, records: records as number };
  // One flipped bit makes format 2 of 3: what the line has counts.
  const isWhole = format === FORMAT_2 ? Object.keys(read).length === 3 : found === checksum(header);
  if (!isWhole) throw new Error('the snapshot is damaged');
  return header;
}

function parse(line: string): Readonly<Partial<Record<keyof SnapshotHeader | 'format' | 'checksum', unknown>>> {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new Error('the snapshot is damaged', { cause });
  }
}

function checksum({ revision, records }: SnapshotHeader): number {
  return crc32(`${revision} ${records}`);
}

/** Takes whole frames from the start of `bytes`; returns how many bytes they had. */
function readFrames(bytes: Buffer, records: WriteRecord[]): number {
  let at = 0;
  while (bytes.length >= at + FRAME_BYTES) {
    const length = bytes.readUInt32BE(at);
    if (length > MAX_RECORD_BYTES) throw new Error('the snapshot is damaged');
    const start = at + FRAME_BYTES;
    if (start + length > bytes.length) break;
    // A copy of its own, so that one record does not keep a whole chunk in memory.
    records.push(decodeRecord(bytes.readDoubleBE(at + 4), Buffer.from(bytes.subarray(start, start + length))));
    at = start + length;
  }
  return at;
}
