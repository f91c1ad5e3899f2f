// The record log in an LMDB environment: records by revision, and what there is to know about them.
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  realpathSync,
  statfsSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { type Database, open, type RootDatabase } from 'lmdb';
import type { Revision } from './contract.ts';
import { checkTrees, DamagedStoreError, readMeta } from './lmdb-check.ts';
import {
  decodeRecord,
  decodeRecordOfFormat1,
  encodeRecord,
  type RecordBatch,
  type RecordLog,
  type WriteRecord,
} from './records.ts';

/**
 * The version of what is on disk. An older one is brought up to this one when it is opened, at once or not at all; one that
 * this program does not know is refused, not guessed at. 2: records and the compacted revision have checksums; 3: so has the
 * version itself.
 */
export const FORMAT_VERSION = 3;

const TABLES = ['meta', 'records'];
/** A file beside the data, there once a store was made: without it an emptied data file would pass for a new store. */
const MARK = 'made';

/** A disk with no more room than this counts as full when a write fails. */
const FULL_BYTES = 1 << 20;
/** What a commit writes besides its records, copied pages and the list of free ones: so much room there must be. */
const COMMIT_BYTES = 1 << 18;
/** With more room than this it is looked at before every LOOK_EVERY-th commit, otherwise before each. */
const AMPLE_BYTES = 1 << 30;
const LOOK_EVERY = 16;

/** Environments that this process has open: LMDB's own locks tell processes apart, not openers within one. */
const opened = new Set<string>();

export interface LmdbRecords extends RecordLog {
  /** True when there was nothing before. */
  readonly created: boolean;
}

/**
 * Opens the records in a directory, which is made when absent. Throws when another process has it open, when its format is
 * one that this program does not know, and DamagedStoreError when the data is not what was written. Every commit is synced
 * to disk before its promise resolves.
 */
export function openLmdbRecords(directory: string): LmdbRecords {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = realpathSync(directory);
  if (opened.has(path)) throw new Error(`the store in ${path} is open already`);
  const isMade = existsSync(join(path, MARK));
  const bytes = statSync(join(path, 'data.mdb'), { throwIfNoEntry: false })?.size;
  if (isMade && !bytes)
    throw new DamagedStoreError(path, bytes === 0 ? 'its data file is empty' : 'it has no data file');
  if (bytes) readMeta(path);
  // The log batches by itself, and waits for one batch before the next: neither batching by turn nor overlapping syncs help.
  const root = open<Buffer, number>({
    path,
    noSubdir: false,
    overlappingSync: false,
    eventTurnBatching: false,
    encoding: 'binary',
  });
  opened.add(path);
  try {
    refuseOtherReaders(path, root);
    if (bytes) checkTrees(path, isMade ? TABLES : undefined);
    return new Records(path, root, isMade);
  } catch (error) {
    opened.delete(path);
    root.close().catch(() => undefined);
    throw error;
  }
}

class Records implements LmdbRecords {
  readonly compacted: Revision;
  readonly created: boolean;
  readonly #path: string;
  readonly #root: RootDatabase<Buffer, number>;
  readonly #records: Database<Buffer, number>;
  readonly #meta: Database<string, string>;
  /** The compacted revision that is on disk for certain. */
  #written: Revision;
  /** Commits until the disk's room is looked at. */
  #unlooked = 0;

  constructor(path: string, root: RootDatabase<Buffer, number>, isMade: boolean) {
    this.#path = path;
    this.#root = root;
    this.#records = root.openDB({ name: 'records', encoding: 'binary' });
    this.#meta = root.openDB<string, string>({ name: 'meta', encoding: 'string' });
    const format = this.#meta.get('format');
    this.created = format === undefined;
    if (format !== undefined) this.#bringUp(format);
    else if (isMade || this.#records.getCount() > 0) throw new DamagedStoreError(path, 'it does not say its format');
    else root.transactionSync(() => this.#begin(0));
    if (!isMade) markAsMade(path);
    this.compacted = this.#readCompacted();
    this.#written = this.compacted;
  }

  #begin(compacted: Revision): void {
    this.#meta.putSync('compacted', withChecksum(compacted));
    this.#putFormat();
  }

  #putFormat(): void {
    this.#meta.putSync('format', withChecksum(FORMAT_VERSION));
  }

  #bringUp(format: string): void {
    if (format === withChecksum(FORMAT_VERSION)) return;
    if (format === '1') this.#upgradeFrom1();
    else if (format === '2') this.#root.transactionSync(() => this.#putFormat());
    else {
      const version = Number.parseInt(format, 10);
      if (format !== withChecksum(version))
        throw new DamagedStoreError(this.#path, `its format is ${JSON.stringify(format)}`);
      const known = `this program reads format ${FORMAT_VERSION} and below`;
      throw new Error(`the store in ${this.#path} has format ${version}; ${known}`);
    }
  }

  #upgradeFrom1(): void {
    this.#root.transactionSync(() => {
      for (const { key, value } of this.#records.getRange()) {
        this.#records.putSync(key, encodeRecord(decodeRecordOfFormat1(key, value)));
      }
      this.#begin(Number(this.#meta.get('compacted') ?? 0));
    });
  }

  #readCompacted(): Revision {
    const text = this.#meta.get('compacted') ?? '';
    const compacted = Number.parseInt(text, 10);
    if (withChecksum(compacted) === text) return compacted;
    throw new DamagedStoreError(this.#path, `it is compacted up to ${JSON.stringify(text)}`);
  }

  *scan(after: Revision): Generator<WriteRecord, void, undefined> {
    let expected = Math.max(after, this.compacted) + 1;
    let entries = 0;
    try {
      for (const { key, value } of this.#records.getRange({ start: after + 1 })) {
        // LMDB's keys may be of any type.
        if (typeof key !== 'number') throw new Error('a record has no revision');
        if (key > this.compacted && key !== expected++) throw new Error(`revision ${expected - 1} is missing`);
        yield decodeRecord(key, value);
        entries++;
      }
      // A key that is damaged to one below every revision is out of the range.
      const all = this.#entries();
      if (after === 0 && entries !== all) throw new Error(`${entries} of ${all} records are found`);
    } catch (error) {
      throw new DamagedStoreError(this.#path, (error as Error).message, error);
    }
  }

  /** How many records there are as the table itself counts them. */
  #entries(): number {
    return (this.#records.getStats() as { readonly entryCount: number }).entryCount;
  }

  read(revision: Revision): Buffer {
    const bytes = this.#records.getBinary(revision);
    const value = bytes && decodeRecord(revision, bytes).value;
    if (!value) throw new Error(`the store has no value for revision ${revision}`);
    return value;
  }

  async append({ records, remove, compacted }: RecordBatch): Promise<void> {
    // With the first batch after it moved: what it allows to be removed comes with that or later.
    const isMoved = compacted > this.#written;
    if (!isMoved && records.length === 0 && remove.length === 0) return;
    const encoded = records.map((record) => [record.revision, encodeRecord(record)] as const);
    await this.#commit(
      encoded.reduce((sum, [, bytes]) => sum + bytes.length, 0),
      () => {
        for (const [revision, bytes] of encoded) this.#records.put(revision, bytes);
        for (const revision of remove) this.#records.remove(revision);
        if (isMoved) this.#meta.put('compacted', withChecksum(compacted));
      },
    );
    if (isMoved) this.#written = compacted;
  }

  async probe(): Promise<void> {
    await this.#commit(0, () => {
      this.#meta.put('format', withChecksum(FORMAT_VERSION));
    });
  }

  async close(): Promise<void> {
    opened.delete(this.#path);
    await this.#root.close();
  }

  /** Writes what has so many bytes. */
  async #commit(bytes: number, action: () => void): Promise<void> {
    this.#refuseWithoutRoom(bytes);
    try {
      await this.#root.batch(action);
    } catch (error) {
      // The reason comes in a promise of its own.
      const { commitError } = error as { commitError?: Promise<never> };
      try {
        await commitError;
      } catch (reason) {
        throw this.#explained(reason);
      }
      throw this.#explained(error);
    }
  }

  /**
   * LMDB is not to find out by itself that a disk is full: it describes the write that failed in too small a buffer, which may end
   * the process (lmdb 3.5.6, mdb_page_flush).
   */
  #refuseWithoutRoom(bytes: number): void {
    this.#unlooked--;
    if (this.#unlooked > 0) return;
    const { bavail, bsize } = statfsSync(this.#path);
    const room = bavail * bsize;
    this.#unlooked = room > AMPLE_BYTES ? LOOK_EVERY : 0;
    if (2 * bytes + COMMIT_BYTES > room) throw new Error('no space left on device');
  }

  /** LMDB calls it an I/O error when a disk takes only a part of a write because it is full. */
  #explained(error: unknown): unknown {
    const { bavail, bsize } = statfsSync(this.#path);
    return bavail * bsize > FULL_BYTES ? error : new Error('no space left on device', { cause: error });
  }
}

/** Readers that died are cleared at open; whoever is left beside us lives. */
function refuseOtherReaders(path: string, root: RootDatabase): void {
  root.readerCheck();
  const pids = root.readerList().matchAll(/^\s*(\d+) /gm);
  for (const [, pid] of pids) {
    if (Number(pid) !== process.pid) throw new Error(`the store in ${path} is open in process ${pid}`);
  }
}

function withChecksum(number: number): string {
  const text = String(number);
  return `${text} ${crc32(text).toString(16)}`;
}

function markAsMade(path: string): void {
  const handle = openSync(join(path, MARK), 'w', 0o600);
  try {
    writeSync(handle, 'There is a store in data.mdb.\n');
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  syncDirectory(path);
}

/** Makes new files last: without it a power failure may take the names of files whose bytes are safe. */
function syncDirectory(path: string): void {
  const handle = openSync(path, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
