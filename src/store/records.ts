// What a store keeps of its writes on disk: one record for each revision.
import { crc32 } from 'node:zlib';
import type { Revision } from './contract.ts';

export interface WriteRecord {
  readonly key: string;
  readonly revision: Revision;
  /** Null: the key was deleted. */
  readonly value: Buffer | null;
  /** Wall time in milliseconds at which the key is to be deleted. */
  readonly expiresAtMs: number | undefined;
}

/** What one durable step adds and removes; all of it or nothing. */
export interface RecordBatch {
  readonly records: readonly WriteRecord[];
  /** Revisions whose records are not needed any more. */
  readonly remove: readonly Revision[];
  /** History up to and including this revision is forgotten. */
  readonly compacted: Revision;
}

/** Records by revision, on something durable. One append at a time. */
export interface RecordLog {
  /** History up to and including this revision is forgotten: only the newest record of each live key is sure to be there. */
  readonly compacted: Revision;
  /** Every record after a revision, in order of revision. */
  scan(after: Revision): Iterable<WriteRecord>;
  /** The value of a record that is there. */
  read(revision: Revision): Buffer;
  /** Resolves when the batch is durable. When it rejects the batch may be there or not: `scan` tells after `probe` succeeded. */
  append(batch: RecordBatch): Promise<void>;
  /** Resolves when the log takes writes (again). */
  probe(): Promise<void>;
  close(): Promise<void>;
}

const DELETED = 1;
const EXPIRES = 2;

/**
 * A record's bytes without its revision: checksum of revision and all that follows (4 bytes), flags, length of the key
 * (2 bytes), expiry (8 bytes, when flagged), key, value.
 */
export function encodeRecord(record: WriteRecord): Buffer {
  const { key, value, expiresAtMs } = record;
  const keyLength = Buffer.byteLength(key);
  const start = expiresAtMs === undefined ? CHECKSUM_BYTES + 3 : CHECKSUM_BYTES + 11;
  const bytes = Buffer.allocUnsafe(start + keyLength + (value?.length ?? 0));
  bytes[CHECKSUM_BYTES] = (value === null ? DELETED : 0) | (expiresAtMs === undefined ? 0 : EXPIRES);
  bytes.writeUInt16BE(keyLength, CHECKSUM_BYTES + 1);
  if (expiresAtMs !== undefined) bytes.writeDoubleBE(expiresAtMs, CHECKSUM_BYTES + 3);
  bytes.write(key, start);
  value?.copy(bytes, start + keyLength);
  bytes.writeUInt32BE(checksum(record.revision, bytes), 0);
  return bytes;
}

/** The inverse of encodeRecord; the value shares the memory of `bytes`. Throws DamagedRecordError. */
export function decodeRecord(revision: Revision, bytes: Buffer): WriteRecord {
  const isLongEnough = bytes.length >= CHECKSUM_BYTES + 3;
  if (!isLongEnough || bytes.readUInt32BE(0) !== checksum(revision, bytes)) throw new DamagedRecordError(revision);
  return decodeContents(revision, bytes.subarray(CHECKSUM_BYTES));
}

/** A record as format 1 wrote it, which had no checksum. */
export function decodeRecordOfFormat1(revision: Revision, bytes: Buffer): WriteRecord {
  return decodeContents(revision, bytes);
}

function decodeContents(revision: Revision, bytes: Buffer): WriteRecord {
  const flags = bytes[0]!;
  const start = flags & EXPIRES ? 11 : 3;
  const keyEnd = start + bytes.readUInt16BE(1);
  return {
    revision,
    key: bytes.toString('utf8', start, keyEnd),
    value: flags & DELETED ? null : bytes.subarray(keyEnd),
    expiresAtMs: flags & EXPIRES ? bytes.readDoubleBE(3) : undefined,
  };
}

/** The bytes of a record are not those that were written. */
export class DamagedRecordError extends Error {
  override name = 'DamagedRecordError';
  constructor(revision: Revision) {
    super(`the record of revision ${revision} has another checksum`);
  }
}

const CHECKSUM_BYTES = 4;
const revisionBytes = Buffer.alloc(8);

function checksum(revision: Revision, bytes: Buffer): number {
  revisionBytes.writeDoubleBE(revision);
  return crc32(bytes.subarray(CHECKSUM_BYTES), crc32(revisionBytes));
}

/** The longest key in bytes. */
export const MAX_KEY_BYTES = 4096;
