// The store contract: what every store (memory, embedded, etcd) promises, and all that the rest may rely on.

/**
 * A revision of the whole store: one counter for all keys, from 1, growing by one with each committed write. Keys whose time to
 * live ends together may be deleted at one revision; a watch delivers all events of a revision in one batch.
 */
export type Revision = number;

/** A key with its value as of a revision. Values are never changed in place by anyone. */
export interface Stored {
  readonly key: string;
  readonly value: Buffer;
  /** The revision of the last write to this key. */
  readonly revision: Revision;
}

/** A key whose revision must be unchanged for a write to be accepted; 0: the key must be absent. */
export interface Guard {
  readonly key: string;
  readonly revision: Revision;
}

/** One conditional write. */
export interface Write {
  readonly key: string;
  /** The new value; null deletes. */
  readonly value: Buffer | null;
  /** The key's revision must be this one; 0: the key must be absent. */
  readonly expected: Revision;
  /** Checked in the same transaction. At most MAX_GUARDS. */
  readonly guards?: readonly Guard[];
  /** The key is deleted this long after the write, or up to a twentieth later, unless written again; in seconds. */
  readonly ttlSeconds?: number;
}

export const MAX_GUARDS = 8;

/**
 * How a write ended.
 * committed: durable, at this revision. conflict: nothing was written; `current` is the key as it is (undefined: absent),
 * and `guard` names the guard that failed when one did. unknown: it may or may not have been written, now or later;
 * the caller says so to its own caller (504) and never retries blindly.
 */
export type WriteOutcome =
  | { readonly kind: 'committed'; readonly revision: Revision; readonly previous: Stored | undefined }
  | { readonly kind: 'conflict'; readonly current: Stored | undefined; readonly guard?: string }
  | { readonly kind: 'unknown'; readonly cause: unknown };

/** One change of one key. `previous` is the value before it: present on every delete and on every put of an existing key. */
export type StoreEvent =
  | { readonly type: 'put'; readonly stored: Stored; readonly previous: Stored | undefined }
  | { readonly type: 'delete'; readonly key: string; readonly revision: Revision; readonly previous: Stored };

export interface ListOptions {
  readonly prefix: string;
  /** At most this many; absent: all. */
  readonly limit?: number;
  /** Only keys after this one (a continue token names the last key returned). */
  readonly after?: string;
  /** As of this revision; absent: the linearizable present. */
  readonly revision?: Revision;
  readonly signal: AbortSignal;
}

export interface ListResult {
  /** In key order (bytewise). */
  readonly items: readonly Stored[];
  /** The revision that the list shows. */
  readonly revision: Revision;
  /** How many keys of the prefix follow the last item. */
  readonly remaining: number;
}

export interface WatchOptions {
  readonly prefix: string;
  /** Events with a revision greater than this one. */
  readonly after: Revision;
  readonly signal: AbortSignal;
}

/** The revision asked for is compacted: begin again from a list. */
export class TooOldError extends Error {
  override name = 'TooOldError';
  readonly compacted: Revision;
  constructor(compacted: Revision) {
    super(`required revision has been compacted (compacted at ${compacted})`);
    this.compacted = compacted;
  }
}

/** The store cannot serve now (closed, disk full, no quorum). Reads may be retried; a write that met this was not made. */
export class StoreUnavailableError extends Error {
  override name = 'StoreUnavailableError';
}

export interface Store {
  /** The key as of the linearizable present, and the store's revision then. */
  get(key: string, signal: AbortSignal): Promise<{ stored: Stored | undefined; revision: Revision }>;
  /** Throws TooOldError when `revision` is compacted. */
  list(options: ListOptions): Promise<ListResult>;
  /** Acknowledged as committed only when durable. Throws StoreUnavailableError when certainly not made. */
  write(write: Write, signal: AbortSignal): Promise<WriteOutcome>;
  /**
   * Every event of the prefix after a revision, in order, exactly once, in batches (all that is there at one turn).
   * Ends when the signal aborts; throws TooOldError when it cannot deliver without a gap (compacted, or the reader fell
   * behind WATCH_BUFFER events). Starts at the call, not at the first read: an event committed after watch() returned is delivered.
   */
  watch(options: WatchOptions): AsyncIterable<readonly StoreEvent[]>;
  /** The linearizable current revision where nothing has to be asked for it; absent or undefined: ask `revision`. */
  readonly present?: Revision | undefined;
  /** The linearizable current revision. */
  revision(signal: AbortSignal): Promise<Revision>;
  /** Forgets history up to and including `revision`; the present is untouched. */
  compact(revision: Revision, signal: AbortSignal): Promise<void>;
  /** A consistent copy of the present as chunks of bytes, restorable by the implementation that made it. */
  snapshot(signal: AbortSignal): AsyncIterable<Buffer>;
  /** Ends watches, waits for writes under way, releases everything. Idempotent. */
  close(): Promise<void>;
}

/** A watch that has this many undelivered events is ended with TooOldError. */
export const WATCH_BUFFER = 100_000;
