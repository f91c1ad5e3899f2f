// etcd in memory, as far as the store uses it: revisions, transactions, watches with history and compaction, leases by a clock.
// One model is one cluster; every server has a client of its own, whose calls can be made to fail as a network would.
import type { Clock, Timer } from '../../lib/clock.ts';
import type { Revision } from '../contract.ts';
import { SortedEntries } from '../sorted.ts';
import {
  type CallOptions,
  COMPACTED,
  COMPARE_MOD,
  type Compare,
  type EndpointHealth,
  EtcdError,
  type EtcdRpc,
  EVENT_DELETE,
  EVENT_PUT,
  FUTURE,
  GRPC,
  type KeyValue,
  LEASE_NOT_FOUND,
  type Member,
  type MemberStatus,
  type RangeRequest,
  type RangeResponse,
  type RequestOp,
  type ResponseHeader,
  type ResponseOp,
  type TxnRequest,
  type TxnResponse,
  type WatchEvent,
  type WatchRequest,
  type WatchResponse,
} from './rpc.ts';

const MEMBER_ID = 1n;
const EMPTY = Buffer.alloc(0);

interface History {
  readonly key: string;
  /** Oldest first; version 0 is a deletion. */
  versions: KeyValue[];
}

interface ModelLease {
  readonly keys: Set<string>;
  readonly ttlSeconds: number;
  endsMs: number;
  timer: Timer;
}

/** What becomes of a call: it passes; it never leaves; it is lost on the way; it is carried out and its answer is lost. */
export type Fate = 'passes' | 'refused' | 'lost' | 'unanswered';

export interface ModelState {
  readonly revision: Revision;
  readonly kvs: readonly KeyValue[];
  readonly leases: readonly { readonly id: bigint; readonly ttlSeconds: number }[];
}

export class EtcdModel {
  readonly #clock: Clock;
  readonly #keys = new Map<string, History>();
  readonly #sorted = new SortedEntries<History>();
  readonly #leases = new Map<bigint, ModelLease>();
  readonly #watchers = new Set<ModelWatch>();
  #revision: Revision = 1;
  #compacted: Revision = 0;
  #events: { readonly revision: Revision; readonly events: readonly WatchEvent[] }[] = [];
  #lastLease = 0n;

  constructor(clock: Clock, state?: ModelState) {
    this.#clock = clock;
    if (!state) return;
    for (const { id, ttlSeconds } of state.leases) this.#addLease(id, ttlSeconds);
    for (const kv of state.kvs) {
      this.#historyOf(kv.key).versions.push(kv);
      this.#leases.get(kv.lease)?.keys.add(kv.key);
    }
    this.#revision = state.revision;
    this.#compacted = state.revision;
  }

  /** A server's own way to the model. */
  client(): ModelClient {
    return new ModelClient(this);
  }

  get header(): ResponseHeader {
    return { clusterId: 1n, memberId: MEMBER_ID, revision: this.#revision, raftTerm: 1 };
  }

  range({ key, rangeEnd, limit = 0, revision = 0, keysOnly, countOnly }: RangeRequest): RangeResponse {
    if (revision > this.#revision) throw new EtcdError(GRPC.OUT_OF_RANGE, FUTURE, true);
    if (revision > 0 && this.#compacted > revision) throw new EtcdError(GRPC.OUT_OF_RANGE, COMPACTED, true);
    const at = revision === 0 ? this.#revision : revision;
    const found: KeyValue[] = [];
    for (const history of this.#histories(key, rangeEnd)) {
      const kv = versionAt(history, at);
      if (kv) found.push(kv);
    }
    const shown = countOnly ? [] : limit > 0 ? found.slice(0, limit) : found;
    const kvs = keysOnly ? shown.map((kv) => ({ ...kv, value: EMPTY })) : shown;
    return { header: this.header, kvs, more: !countOnly && found.length > shown.length, count: found.length };
  }

  txn({ compare, success, failure }: TxnRequest): TxnResponse {
    const succeeded = compare.every((c) => this.#holds(c));
    const operations = succeeded ? success : failure;
    for (const { put } of operations) {
      if (put?.lease && !this.#leases.has(put.lease)) throw new EtcdError(GRPC.NOT_FOUND, LEASE_NOT_FOUND, true);
    }
    const events: WatchEvent[] = [];
    const responses = operations.map((operation) => this.#operate(operation, events));
    this.#commit(events);
    return { header: this.header, succeeded, responses };
  }

  compact(revision: Revision): void {
    if (revision > this.#revision) throw new EtcdError(GRPC.OUT_OF_RANGE, FUTURE, true);
    if (this.#compacted >= revision) throw new EtcdError(GRPC.OUT_OF_RANGE, COMPACTED, true);
    this.#compacted = revision;
    for (const history of this.#keys.values()) {
      const first = history.versions.findLastIndex((v) => revision >= v.modRevision);
      if (first > 0) history.versions.splice(0, first);
      const [oldest, next] = history.versions;
      if (oldest && oldest.version === 0 && revision >= oldest.modRevision) {
        history.versions.shift();
        if (next) continue;
        this.#keys.delete(history.key);
        this.#sorted.remove(history.key);
      }
    }
    const kept = this.#events.findIndex((e) => e.revision >= revision);
    this.#events = kept === -1 ? [] : this.#events.slice(kept);
  }

  grant(ttlSeconds: number): bigint {
    this.#addLease(++this.#lastLease, ttlSeconds);
    return this.#lastLease;
  }

  revoke(id: bigint): void {
    const lease = this.#leases.get(id);
    if (!lease) throw new EtcdError(GRPC.NOT_FOUND, LEASE_NOT_FOUND, true);
    lease.timer.cancel();
    this.#leases.delete(id);
    const events: WatchEvent[] = [];
    for (const key of [...lease.keys].sort()) this.#delete(key, events);
    this.#commit(events);
  }

  watch(request: WatchRequest): ModelWatch {
    const watch = new ModelWatch(request, this.header, (over) => this.#watchers.delete(over));
    if (this.#compacted > request.startRevision) {
      watch.refuse(this.header, this.#compacted);
      return watch;
    }
    for (const { revision, events } of this.#events) {
      if (revision >= request.startRevision) watch.offer(this.header, events);
    }
    this.#watchers.add(watch);
    return watch;
  }

  state(): ModelState {
    const { kvs } = this.range({ key: '\0', rangeEnd: Buffer.from([0]) });
    const leases = [...this.#leases].map(([id, { ttlSeconds }]) => ({ id, ttlSeconds }));
    return { revision: this.#revision, kvs, leases };
  }

  #holds({ key, target, version = 0, modRevision = 0 }: Compare): boolean {
    const kv = this.#current(key);
    return target === COMPARE_MOD ? (kv?.modRevision ?? 0) === modRevision : (kv?.version ?? 0) === version;
  }

  #operate(operation: RequestOp, events: WatchEvent[]): ResponseOp {
    if (operation.range) return { range: this.range(operation.range) };
    if (operation.put) {
      const { key, value, lease = 0n, prevKv } = operation.put;
      const before = this.#put(key, value, lease, events);
      return { put: { prevKv: prevKv ? before : undefined } };
    }
    const { key, rangeEnd, prevKv } = operation.delete!;
    const { kvs } = this.range({ key, ...(rangeEnd && { rangeEnd }) });
    for (const kv of kvs) this.#delete(kv.key, events);
    return { delete: { deleted: kvs.length, prevKvs: prevKv ? kvs : [] } };
  }

  #put(key: string, value: Buffer, lease: bigint, events: WatchEvent[]): KeyValue | undefined {
    const before = this.#current(key);
    const modRevision = this.#revision + 1;
    const createRevision = before?.createRevision ?? modRevision;
    const kv = { key, value, createRevision, modRevision, version: (before?.version ?? 0) + 1, lease };
    this.#historyOf(key).versions.push(kv);
    if (before) this.#leases.get(before.lease)?.keys.delete(key);
    this.#leases.get(lease)?.keys.add(key);
    events.push({ type: EVENT_PUT, kv, prevKv: before });
    return before;
  }

  #delete(key: string, events: WatchEvent[]): void {
    const before = this.#current(key);
    if (!before) return;
    const modRevision = this.#revision + 1;
    const kv = { key, value: EMPTY, createRevision: 0, modRevision, version: 0, lease: 0n };
    this.#historyOf(key).versions.push(kv);
    this.#leases.get(before.lease)?.keys.delete(key);
    events.push({ type: EVENT_DELETE, kv, prevKv: before });
  }

  /** Everything that one request changed has one revision. */
  #commit(events: readonly WatchEvent[]): void {
    if (events.length === 0) return;
    this.#revision++;
    this.#events.push({ revision: this.#revision, events });
    for (const watch of [...this.#watchers]) watch.offer(this.header, events);
  }

  #addLease(id: bigint, ttlSeconds: number): void {
    const endsMs = this.#clock.monotonic() + ttlSeconds * 1000;
    const timer = this.#clock.timer(ttlSeconds * 1000, () => this.revoke(id));
    this.#leases.set(id, { keys: new Set(), ttlSeconds, endsMs, timer });
    if (id > this.#lastLease) this.#lastLease = id;
  }

  #current(key: string): KeyValue | undefined {
    const newest = this.#keys.get(key)?.versions.at(-1);
    return newest && newest.version > 0 ? newest : undefined;
  }

  *#histories(key: string, rangeEnd: Buffer | undefined): Generator<History> {
    if (!rangeEnd) {
      const history = this.#keys.get(key);
      if (history) yield history;
      return;
    }
    const from = Buffer.from(key);
    const endless = rangeEnd.length === 1 && rangeEnd[0] === 0;
    for (const history of this.#sorted.range('')) {
      const bytes = Buffer.from(history.key);
      if (0 > Buffer.compare(bytes, from)) continue;
      if (!endless && Buffer.compare(bytes, rangeEnd) >= 0) return;
      yield history;
    }
  }

  #historyOf(key: string): History {
    let history = this.#keys.get(key);
    if (!history) {
      history = { key, versions: [] };
      this.#keys.set(key, history);
      this.#sorted.add(history);
    }
    return history;
  }
}

function versionAt({ versions }: History, revision: Revision): KeyValue | undefined {
  const found = versions.findLast((v) => revision >= v.modRevision);
  return found && found.version > 0 ? found : undefined;
}

/** A watch's stream of responses. */
class ModelWatch implements AsyncIterableIterator<WatchResponse> {
  readonly #from: Buffer;
  readonly #end: Buffer | undefined;
  readonly #startRevision: Revision;
  readonly #done: (self: ModelWatch) => void;
  #queue: WatchResponse[] = [];
  #over = false;
  #error: unknown;
  #wake: () => void = () => undefined;

  constructor(request: WatchRequest, header: ResponseHeader, done: (self: ModelWatch) => void) {
    this.#from = Buffer.from(request.key);
    this.#end = request.rangeEnd;
    this.#startRevision = request.startRevision;
    this.#done = done;
    this.#push({ header, created: true });
  }

  offer(header: ResponseHeader, events: readonly WatchEvent[]): void {
    const wanted = events.filter(({ kv }) => kv.modRevision >= this.#startRevision && this.#covers(kv.key));
    if (wanted.length > 0) this.#push({ header, events: wanted });
  }

  refuse(header: ResponseHeader, compactRevision: Revision): void {
    this.#push({ header, canceled: true, compactRevision, cancelReason: COMPACTED });
    this.end(undefined);
  }

  end(error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#error = error;
    if (error !== undefined) this.#queue = [];
    this.#done(this);
    this.#wake();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<WatchResponse, undefined>> {
    for (;;) {
      const response = this.#queue.shift();
      if (response) return { done: false, value: response };
      if (this.#over && this.#error !== undefined) throw this.#error;
      if (this.#over) return { done: true, value: undefined };
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async return(): Promise<IteratorResult<WatchResponse, undefined>> {
    this.end(undefined);
    return { done: true, value: undefined };
  }

  #covers(key: string): boolean {
    const bytes = Buffer.from(key);
    const end = this.#end;
    if (!end) return bytes.equals(this.#from);
    if (0 > Buffer.compare(bytes, this.#from)) return false;
    return (end.length === 1 && end[0] === 0) || 0 > Buffer.compare(bytes, end);
  }

  #push(part: Partial<WatchResponse> & { readonly header: ResponseHeader }): void {
    if (this.#over) return;
    this.#queue.push({ created: false, canceled: false, compactRevision: 0, cancelReason: '', events: [], ...part });
    this.#wake();
  }
}

export class ModelClient implements EtcdRpc {
  readonly #model: EtcdModel;
  readonly #watches = new Set<ModelWatch>();
  #closed = false;
  /** Decides what becomes of each call; may take its time. */
  fate: (method: string) => Fate | Promise<Fate> = () => 'passes';

  constructor(model: EtcdModel) {
    this.#model = model;
  }

  get endpoints(): readonly EndpointHealth[] {
    return [{ url: 'model', connected: !this.#closed, healthy: !this.#closed }];
  }

  range(request: RangeRequest, options: CallOptions): Promise<RangeResponse> {
    return this.#call('range', options, () => this.#model.range(request));
  }

  txn(request: TxnRequest, options: CallOptions): Promise<TxnResponse> {
    return this.#call('txn', options, () => this.#model.txn(request));
  }

  compact(revision: Revision, options: CallOptions): Promise<void> {
    return this.#call('compact', options, () => this.#model.compact(revision));
  }

  leaseGrant(ttlSeconds: number, options: CallOptions): Promise<bigint> {
    return this.#call('leaseGrant', options, () => this.#model.grant(ttlSeconds));
  }

  watch(request: WatchRequest, signal: AbortSignal): AsyncIterable<WatchResponse> {
    const watch = this.#model.watch(request);
    if (this.#closed) watch.end(new EtcdError(GRPC.UNAVAILABLE, 'the client is closed', false));
    if (signal.aborted) watch.end(undefined);
    signal.addEventListener('abort', () => watch.end(undefined), { once: true });
    this.#watches.add(watch);
    return watch;
  }

  /** Breaks every watch, as a lost connection does. */
  disconnect(): void {
    for (const watch of this.#watches) watch.end(new EtcdError(GRPC.UNAVAILABLE, 'the connection is lost', true));
    this.#watches.clear();
  }

  status(options: CallOptions): Promise<MemberStatus> {
    return this.#call('status', options, () => ({
      header: this.#model.header,
      version: 'model',
      dbSize: 0,
      leader: MEMBER_ID,
      raftIndex: this.#model.header.revision,
      raftTerm: 1,
      errors: [],
    }));
  }

  memberList(options: CallOptions): Promise<readonly Member[]> {
    const only = { id: MEMBER_ID, name: 'model', peerUrls: [], clientUrls: ['model'], isLearner: false };
    return this.#call('memberList', options, () => [only]);
  }

  memberRemove(): Promise<void> {
    return Promise.reject(unsupported());
  }

  async *snapshot(signal: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
    const state = this.#model.state();
    signal.throwIfAborted();
    for (const kv of state.kvs) yield Buffer.from(`${text({ ...kv, value: kv.value.toString('base64') })}\n`);
    yield Buffer.from(`${text({ end: true, revision: state.revision, leases: state.leases })}\n`);
  }

  close(): void {
    this.#closed = true;
    this.disconnect();
  }

  async #call<T>(method: string, { signal }: CallOptions, carryOut: () => T): Promise<T> {
    signal.throwIfAborted();
    if (this.#closed) throw new EtcdError(GRPC.UNAVAILABLE, 'the client is closed', false);
    const decided = this.fate(method);
    const fate = typeof decided === 'string' ? decided : await decided;
    if (fate === 'refused') throw new EtcdError(GRPC.UNAVAILABLE, 'no etcd endpoint can be reached', false);
    if (fate === 'lost') throw new EtcdError(GRPC.UNAVAILABLE, 'the connection is lost', true);
    const answer = carryOut();
    await undefined;
    if (fate === 'unanswered') throw new EtcdError(GRPC.UNAVAILABLE, 'the connection is lost', true);
    return answer;
  }
}

/** The model that a snapshot of another was made of. Throws when it is cut short. */
export async function restoreModel(clock: Clock, snapshot: AsyncIterable<Buffer>): Promise<EtcdModel> {
  let all = '';
  for await (const chunk of snapshot) all += chunk.toString();
  const lines = all.trimEnd().split('\n');
  const end = parse(lines.pop() ?? '{}');
  if (end.end !== true) throw new Error('the snapshot is cut short');
  const kvs = lines.map((line) => {
    const kv = parse(line) as unknown as KeyValue;
    return { ...kv, value: Buffer.from(kv.value as unknown as string, 'base64') };
  });
  return new EtcdModel(clock, { ...(end as unknown as ModelState), kvs });
}

function text(value: object): string {
  return JSON.stringify(value, (_, v: unknown) => (typeof v === 'bigint' ? { id: v.toString() } : v));
}

function parse(line: string): { [key: string]: unknown } {
  const revive = (_: string, v: unknown): unknown => {
    const id = (v as { id?: unknown } | null)?.id;
    return typeof id === 'string' ? BigInt(id) : v;
  };
  return JSON.parse(line, revive) as { [key: string]: unknown };
}

function unsupported(): EtcdError {
  return new EtcdError(GRPC.UNIMPLEMENTED, 'the model has one member', false);
}
