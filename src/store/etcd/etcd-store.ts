// The store of several servers: etcd behind the store's contract.
import { abortable } from '../../lib/abort.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import { checkWrite } from '../check-write.ts';
import {
  type ListOptions,
  type ListResult,
  type Revision,
  type Store,
  type Stored,
  type StoreEvent,
  StoreUnavailableError,
  TooOldError,
  type WatchOptions,
  type Write,
  type WriteOutcome,
} from '../contract.ts';
import { prefixRange } from './keys.ts';
import { Leases } from './leases.ts';
import {
  COMPACTED,
  COMPARE_MOD,
  type Compare,
  EtcdError,
  type EtcdRpc,
  FUTURE,
  GRPC,
  type KeyValue,
  LEASE_NOT_FOUND,
  type RangeRequest,
  type RangeResponse,
  type TxnResponse,
} from './rpc.ts';
import { EtcdWatch, storedOf } from './watch.ts';

/** Keys that are asked for at once; a longer list is put together from several answers of one revision. */
const RANGE_PAGE = 1_000;
/** Writes under way: further ones are refused. */
export const MAX_PENDING_WRITES = 50_000;

export interface EtcdStoreOptions {
  readonly rpc: EtcdRpc;
  readonly clock: Clock;
  readonly log: Log;
  /** Called once, when the store begins to close. */
  readonly onClose?: () => void;
}

export class EtcdStore implements Store {
  readonly #rpc: EtcdRpc;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #leases: Leases;
  readonly #onClose: (() => void) | undefined;
  readonly #closing = new AbortController();
  readonly #writes = new Set<Promise<unknown>>();
  /** The read of the present that has not begun yet: whoever asks now is answered by it. */
  #nextRevision: Promise<Revision> | undefined;
  #revisionUnderWay: Promise<unknown> = Promise.resolve();
  #closed: Promise<void> | undefined;

  constructor({ rpc, clock, log, onClose }: EtcdStoreOptions) {
    this.#onClose = onClose;
    this.#rpc = rpc;
    this.#clock = clock;
    this.#log = log;
    this.#leases = new Leases(rpc, clock, this.#closing.signal);
  }

  async get(key: string, signal: AbortSignal): Promise<{ stored: Stored | undefined; revision: Revision }> {
    const { kvs, header } = await this.#range({ key }, signal);
    return { stored: kvs[0] && storedOf(kvs[0]), revision: header.revision };
  }

  async list({ prefix, limit, after, revision, signal }: ListOptions): Promise<ListResult> {
    const items: Stored[] = [];
    let at = revision;
    let last = after;
    for (;;) {
      const wanted = Math.min(RANGE_PAGE, (limit ?? Number.POSITIVE_INFINITY) - items.length);
      const page = await this.#range(
        { ...prefixRange(prefix, last), limit: wanted, ...(at !== undefined && { revision: at }) },
        signal,
      );
      at ??= page.header.revision;
      for (const kv of page.kvs) items.push(storedOf(kv));
      last = items.at(-1)?.key ?? last;
      const remaining = page.count - page.kvs.length;
      if (remaining === 0 || items.length === limit) return { items, revision: at, remaining };
    }
  }

  /** Everyone who asks while a read is under way is answered by the next one: it begins after they asked. */
  async revision(signal: AbortSignal): Promise<Revision> {
    this.#open(signal);
    this.#nextRevision ??= this.#revisionUnderWay.then(() => {
      this.#nextRevision = undefined;
      const read = this.#range({ key: '/', countOnly: true }, this.#closing.signal);
      this.#revisionUnderWay = read.catch(() => undefined);
      return read.then(({ header }) => header.revision);
    });
    this.#nextRevision.catch(() => undefined);
    return abortable(this.#nextRevision, signal);
  }

  async write(write: Write, signal: AbortSignal): Promise<WriteOutcome> {
    this.#open(signal);
    checkWrite(write);
    if (this.#writes.size >= MAX_PENDING_WRITES) {
      throw new StoreUnavailableError(`${MAX_PENDING_WRITES} writes wait for etcd`);
    }
    const done = this.#write(write, signal);
    this.#writes.add(done);
    try {
      return await done;
    } finally {
      this.#writes.delete(done);
    }
  }

  watch(options: WatchOptions): AsyncIterable<readonly StoreEvent[]> {
    const { signal: ended } = this.#closing;
    return new EtcdWatch({ ...options, rpc: this.#rpc, clock: this.#clock, log: this.#log, ended });
  }

  async compact(revision: Revision, signal: AbortSignal): Promise<void> {
    this.#open(signal);
    try {
      await this.#rpc.compact(revision, { signal });
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      if (error.message === COMPACTED) return;
      if (error.message === FUTURE) throw new RangeError(`required revision ${revision} is a future revision`);
      throw unavailable(error);
    }
  }

  async *snapshot(signal: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
    this.#open(signal);
    try {
      yield* this.#rpc.snapshot(signal);
    } catch (error) {
      throw error instanceof EtcdError ? unavailable(error) : error;
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #write(write: Write, signal: AbortSignal): Promise<WriteOutcome> {
    const { key, expected, guards = [], ttlSeconds } = write;
    const compare: Compare[] = [{ key, target: COMPARE_MOD, modRevision: expected }];
    for (const guard of guards) compare.push({ key: guard.key, target: COMPARE_MOD, modRevision: guard.revision });
    const failure = [{ range: { key } }, ...guards.map((g) => ({ range: { key: g.key, keysOnly: true } }))];
    for (let attempt = 0; ; attempt++) {
      let answer: TxnResponse;
      try {
        const lease = ttlSeconds === undefined ? undefined : await this.#lease(ttlSeconds, signal);
        signal.throwIfAborted();
        answer = await this.#rpc.txn({ compare, success: [change(write, lease)], failure }, { signal });
      } catch (error) {
        if (error instanceof EtcdError && error.message === LEASE_NOT_FOUND && attempt === 0) {
          this.#leases.forget(ttlSeconds!);
          continue;
        }
        return failedWrite(error, signal);
      }
      return outcomeOf(write, answer);
    }
  }

  /** Throws when there is none: the write that needs it has not been sent then, whatever became of the lease. */
  async #lease(ttlSeconds: number, signal: AbortSignal): Promise<bigint> {
    try {
      return await this.#leases.lease(ttlSeconds, signal);
    } catch (error) {
      throw error instanceof EtcdError ? unavailable(error) : error;
    }
  }

  async #range(request: RangeRequest, signal: AbortSignal): Promise<RangeResponse> {
    this.#open(signal);
    try {
      return await this.#rpc.range(request, { signal });
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      if (error.message === COMPACTED) throw new TooOldError(await this.#compacted(signal));
      if (error.message === FUTURE) {
        throw new RangeError(`required revision ${request.revision} is a future revision`, { cause: error });
      }
      throw unavailable(error);
    }
  }

  /** The revision that history begins after: only a watch that is refused says it. */
  async #compacted(signal: AbortSignal): Promise<Revision> {
    const ended = new AbortController();
    const either = AbortSignal.any([signal, ended.signal]);
    try {
      for await (const { compactRevision, created } of this.#rpc.watch({ key: '/', startRevision: 1 }, either)) {
        if (compactRevision > 0) return compactRevision;
        if (!created) break;
      }
    } catch (error) {
      throw error instanceof EtcdError ? unavailable(error) : error;
    } finally {
      ended.abort();
    }
    return 0;
  }

  #open(signal: AbortSignal): void {
    signal.throwIfAborted();
    if (this.#closing.signal.aborted) throw new StoreUnavailableError('the store is closed');
  }

  async #close(): Promise<void> {
    this.#onClose?.();
    this.#closing.abort(new StoreUnavailableError('the store is closed'));
    await Promise.allSettled(this.#writes);
    this.#rpc.close();
  }
}

function change({ key, value, expected }: Write, lease: bigint | undefined) {
  const prevKv = expected !== 0;
  if (value === null) return { delete: { key, prevKv } };
  return { put: { key, value, ...(prevKv && { prevKv }), ...(lease !== undefined && { lease }) } };
}

function outcomeOf({ key, expected, guards = [] }: Write, { header, succeeded, responses }: TxnResponse): WriteOutcome {
  const [first] = responses;
  if (succeeded) {
    const before: KeyValue | undefined = first?.put?.prevKv ?? first?.delete?.prevKvs[0];
    return { kind: 'committed', revision: header.revision, previous: before && { ...storedOf(before), key } };
  }
  const found = first?.range?.kvs[0];
  const current = found && storedOf(found);
  if ((current?.revision ?? 0) !== expected) return { kind: 'conflict', current };
  const broken = guards.find((g, i) => (responses[i + 1]?.range?.kvs[0]?.modRevision ?? 0) !== g.revision);
  return { kind: 'conflict', current, ...(broken && { guard: broken.key }) };
}

/** How a write ended that has no answer: certainly not made (it throws), or unknown. */
function failedWrite(error: unknown, signal: AbortSignal): WriteOutcome {
  if (error instanceof EtcdError) {
    if (!error.notMade) return { kind: 'unknown', cause: error };
    throw error.transient || error.code === GRPC.RESOURCE_EXHAUSTED ? unavailable(error) : error;
  }
  if (signal.aborted && error === signal.reason) return { kind: 'unknown', cause: error };
  throw error;
}

function unavailable(error: EtcdError): StoreUnavailableError {
  return new StoreUnavailableError(error.message, { cause: error });
}
