// The durable store of a single server, on LMDB.
import { rm } from 'node:fs/promises';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { Store } from './contract.ts';
import { openLmdbRecords } from './lmdb-records.ts';
import { LocalStore } from './local.ts';
import type { WriteRecord } from './records.ts';
import { readSnapshot } from './snapshot.ts';

export interface EmbeddedStoreOptions {
  /** Belongs to the store alone; made when absent. */
  readonly directory: string;
  readonly clock: Clock;
  readonly log: Log;
}

const RESTORE_BATCH = 4_096;

/** Opens the store in a directory as its last acknowledged write left it. Throws when it is in use, damaged or of another format. */
export function openEmbeddedStore({ directory, clock, log }: EmbeddedStoreOptions): Store {
  const records = openLmdbRecords(directory);
  try {
    return new LocalStore({ records, clock, log: log.child('store'), valuesInMemory: false });
  } catch (error) {
    records.close().catch(() => undefined);
    throw error;
  }
}

/**
 * Makes a store in an absent or empty directory from a snapshot, then opens it: the same keys, values and revisions, without
 * history. `bumpRevision` is added to the revision, so that no client that saw later revisions than the snapshot's meets them
 * again with other contents.
 */
export async function restoreEmbeddedStore(
  options: EmbeddedStoreOptions,
  snapshot: AsyncIterable<Buffer>,
  bumpRevision = 0,
): Promise<Store> {
  const { revision, records } = await readSnapshot(snapshot);
  const log = openLmdbRecords(options.directory);
  const created = log.created;
  try {
    if (!created) throw new Error(`${options.directory} holds a store already`);
    for (const batch of batches(records)) await log.append({ records: batch, remove: [], compacted: 0 });
    await log.append({ records: [], remove: [], compacted: revision + bumpRevision });
    await log.close();
  } catch (error) {
    await log.close();
    // What is half restored must never be opened.
    if (created) await rm(options.directory, { recursive: true, force: true });
    throw error;
  }
  return openEmbeddedStore(options);
}

function* batches(records: readonly WriteRecord[]): Generator<readonly WriteRecord[]> {
  for (let i = 0; records.length > i; i += RESTORE_BATCH) yield records.slice(i, i + RESTORE_BATCH);
}
