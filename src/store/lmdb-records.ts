// The record log in an LMDB environment: records by revision, and what there is to know about them.
import { closeSync, fsyncSync, mkdirSync, openSync, realpathSync } from 'node:fs';
import { type Database, open, type RootDatabase } from 'lmdb';
import type { Revision } from './contract.ts';
import { decodeRecord, encodeRecord, type RecordBatch, type RecordLog, type WriteRecord } from './records.ts';

/** The version of what is on disk. A store of another version is refused, not guessed at. */
export const FORMAT_VERSION = 1;

/** Environments that this process has open: LMDB's own locks tell processes apart, not openers within one. */
const opened = new Set<string>();

export interface LmdbRecords extends RecordLog {
  /** True when there was nothing before. */
  readonly created: boolean;
}

/**
 * Opens the records in a directory, which is made when absent. Throws when another process has it open, or when its format
 * is another than this program's. Every commit is synced to disk before its promise resolves.
 */
export function openLmdbRecords(directory: string): LmdbRecords {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = realpathSync(directory);
  if (opened.has(path)) throw new Error(`the store in ${path} is open already`);
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
    return new Records(path, root);
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

  constructor(path: string, root: RootDatabase<Buffer, number>) {
    this.#path = path;
    this.#root = root;
    this.#records = root.openDB({ name: 'records', encoding: 'binary' });
    this.#meta = root.openDB<string, string>({ name: 'meta', encoding: 'string' });
    const format = this.#meta.get('format');
    refuseOtherReaders(path, root);
    this.created = format === undefined;
    if (format === undefined) {
      this.#meta.putSync('format', String(FORMAT_VERSION));
      syncDirectory(path);
    } else if (format !== String(FORMAT_VERSION)) {
      throw new Error(`the store in ${path} has format ${format}; this program reads format ${FORMAT_VERSION}`);
    }
    this.compacted = Number(this.#meta.get('compacted') ?? 0);
  }

  *scan(after: Revision): Generator<WriteRecord, void, undefined> {
    for (const { key, value } of this.#records.getRange({ start: after + 1 })) yield decodeRecord(key, value);
  }

  read(revision: Revision): Buffer {
    const bytes = this.#records.getBinary(revision);
    const value = bytes && decodeRecord(revision, bytes).value;
    if (!value) throw new Error(`the store has no value for revision ${revision}`);
    return value;
  }

  async append({ records, remove, compacted }: RecordBatch): Promise<void> {
    await this.#commit(() => {
      for (const record of records) this.#records.put(record.revision, encodeRecord(record));
      for (const revision of remove) this.#records.remove(revision);
      this.#meta.put('compacted', String(compacted));
    });
  }

  async probe(): Promise<void> {
    await this.#commit(() => {
      this.#meta.put('format', String(FORMAT_VERSION));
    });
  }

  async close(): Promise<void> {
    opened.delete(this.#path);
    await this.#root.close();
  }

  async #commit(action: () => void): Promise<void> {
    try {
      await this.#root.batch(action);
    } catch (error) {
      // The reason comes in a promise of its own.
      const { commitError } = error as { commitError?: Promise<never> };
      await commitError;
      throw error;
    }
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

/** Makes new files last: without it a power failure may take the names of files whose bytes are safe. */
function syncDirectory(path: string): void {
  const handle = openSync(path, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
