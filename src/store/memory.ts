// A store that lives as long as its process: for tests, the simulator and clusters that are thrown away.
import type { Clock } from '../lib/clock.ts';
import { type Log, silentLog } from '../lib/log.ts';
import type { Revision, Store } from './contract.ts';
import { LocalStore } from './local.ts';
import type { RecordLog, WriteRecord } from './records.ts';
import { readSnapshot } from './snapshot.ts';

export interface MemoryStoreOptions {
  readonly clock: Clock;
  readonly log?: Log;
}

export function openMemoryStore({ clock, log = silentLog }: MemoryStoreOptions): Store {
  return new LocalStore({ records: new NoRecords(0, []), clock, log, valuesInMemory: true });
}

/** A store that begins with a snapshot of another memory store: the same keys, values and revisions, without history. */
export async function restoreMemoryStore(
  { clock, log = silentLog }: MemoryStoreOptions,
  snapshot: AsyncIterable<Buffer>,
): Promise<Store> {
  const { revision, records } = await readSnapshot(snapshot);
  return new LocalStore({ records: new NoRecords(revision, records), clock, log, valuesInMemory: true });
}

/** A log that keeps nothing: memory is all there is. */
class NoRecords implements RecordLog {
  readonly compacted: Revision;
  #initial: readonly WriteRecord[];

  constructor(compacted: Revision, initial: readonly WriteRecord[]) {
    this.compacted = compacted;
    this.#initial = initial;
  }

  scan(): Iterable<WriteRecord> {
    const initial = this.#initial;
    this.#initial = [];
    return initial;
  }

  read(revision: Revision): Buffer {
    throw new Error(`the value of revision ${revision} is not in memory`);
  }

  append(): Promise<void> {
    return Promise.resolve();
  }

  probe(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
