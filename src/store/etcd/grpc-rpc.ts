// etcd's API over gRPC to several members: every one stays connected and asked after, so that leaving one costs no connecting.
import { sleep } from '../../lib/clock.ts';
import type { Environment } from '../../lib/environment.ts';
import type { Revision } from '../contract.ts';
import type { Connection, EtcdTls } from './connection.ts';
import { Endpoint, type EtcdTimings } from './endpoint.ts';
import { METHODS, type Method } from './messages.ts';
import { Patience } from './patience.ts';
import type { Message } from './protobuf.ts';
import {
  type CallOptions,
  type EndpointHealth,
  EtcdError,
  type EtcdRpc,
  GRPC,
  type Member,
  type MemberStatus,
  type RangeRequest,
  type RangeResponse,
  type TxnRequest,
  type TxnResponse,
  type WatchRequest,
  type WatchResponse,
} from './rpc.ts';

export interface GrpcRpcOptions {
  /** https://HOST:PORT or http://HOST:PORT, in the order of preference. */
  readonly endpoints: readonly string[];
  readonly tls?: EtcdTls;
  readonly env: Pick<Environment, 'clock' | 'random' | 'log'>;
  readonly timings: EtcdTimings;
}

/** The pause before a request is offered again, when no other member could take it at once. */
const OFFER_AGAIN_MS = 25;

export class GrpcRpc implements EtcdRpc {
  readonly #options: GrpcRpcOptions;
  readonly #patience: Patience;
  readonly #closing = new AbortController();
  readonly #waiting = new Set<() => void>();
  #endpoints: readonly Endpoint[] = [];

  constructor(options: GrpcRpcOptions) {
    if (options.endpoints.length === 0) throw new Error('etcd needs an endpoint');
    this.#options = options;
    this.#patience = new Patience(options.env.clock, options.timings, () => this.#giveUp());
    this.#endpoints = options.endpoints.map((url) => this.#endpoint(url));
  }

  #endpoint(url: string): Endpoint {
    const { tls, env, timings } = this.#options;
    const changed = (): void => this.#changed();
    return new Endpoint(
      { url, tls, env: { ...env, log: env.log.child('etcd') }, timings, changed },
      this.#closing.signal,
    );
  }

  get endpoints(): readonly EndpointHealth[] {
    return this.#endpoints.map((e) => e.health);
  }

  /** From now on these are the members. What is known of those that stay is kept. */
  useEndpoints(urls: readonly string[]): void {
    const known = this.#endpoints;
    this.#endpoints = urls.map((url) => known.find((one) => one.url === url) ?? this.#endpoint(url));
    for (const endpoint of known) if (!urls.includes(endpoint.url)) endpoint.retire();
    this.#changed();
  }

  async range(request: RangeRequest, options: CallOptions): Promise<RangeResponse> {
    return (await this.#call(METHODS.range, request, options, 'read')) as unknown as RangeResponse;
  }

  async txn({ compare, success, failure }: TxnRequest, options: CallOptions): Promise<TxnResponse> {
    const read = success.every((op) => op.range) && failure.every((op) => op.range);
    const request = { compare, success, failure };
    return (await this.#call(METHODS.txn, request, options, read ? 'read' : 'write')) as unknown as TxnResponse;
  }

  async compact(revision: Revision, options: CallOptions): Promise<void> {
    // Compacting twice is refused as compacted already: nothing is lost by asking again.
    await this.#call(METHODS.compact, { revision }, options, 'read');
  }

  async leaseGrant(ttlSeconds: number, options: CallOptions): Promise<bigint> {
    // A lease that nobody knows of ends by itself.
    return (await this.#call(METHODS.leaseGrant, { ttl: ttlSeconds }, options, 'read')).id as bigint;
  }

  watch(request: WatchRequest, signal: AbortSignal): AsyncIterable<WatchResponse> {
    const open = (connection: Connection): AsyncIterable<Message> =>
      connection.stream(METHODS.watch, { create: request }, { end: false, signal });
    // With a connection at hand it begins at the call.
    const now = this.#pick();
    if (now) return open(now) as unknown as AsyncIterable<WatchResponse>;
    const later = this.#connection(signal, this.#offered()).then(open);
    later.catch(() => undefined);
    return (async function* () {
      yield* await later;
    })() as unknown as AsyncIterable<WatchResponse>;
  }

  async status({ endpoint, signal, timeoutMs }: CallOptions & { readonly endpoint?: string }): Promise<MemberStatus> {
    const options = { signal, ...(timeoutMs !== undefined && { timeoutMs }) };
    if (endpoint === undefined)
      return (await this.#call(METHODS.status, {}, options, 'read')) as unknown as MemberStatus;
    const connection = this.#endpoints.find((e) => e.url === endpoint)?.connection;
    if (!connection) throw new EtcdError(GRPC.UNAVAILABLE, `not connected to ${endpoint}`, false);
    const call = { signal, timeoutMs: timeoutMs ?? this.#options.timings.requestTimeoutMs, read: true };
    return (await connection.unary(METHODS.status, {}, call)) as unknown as MemberStatus;
  }

  async memberList(options: CallOptions): Promise<readonly Member[]> {
    return (await this.#call(METHODS.memberList, {}, options, 'read')).members as readonly Member[];
  }

  async memberRemove(id: bigint, options: CallOptions): Promise<void> {
    await this.#call(METHODS.memberRemove, { id }, options, 'write');
  }

  async *snapshot(signal: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
    const connection = await this.#connection(signal, this.#offered());
    let remaining: unknown;
    for await (const part of connection.stream(METHODS.snapshot, {}, { end: true, signal })) {
      remaining = part.remaining;
      // Some versions end with an empty part.
      if ((part.blob as Buffer).length > 0) yield part.blob as Buffer;
    }
    signal.throwIfAborted();
    if (remaining !== 0) throw new EtcdError(GRPC.DATA_LOSS, 'the snapshot is cut short', true);
  }

  close(): void {
    this.#closing.abort(new Error('the client is closed'));
    this.#patience.close();
    this.#wake();
  }

  /** A write is offered again only when it certainly was not made. */
  async #call(method: Method, request: object, options: CallOptions, kind: 'read' | 'write'): Promise<Message> {
    const { clock } = this.#options.env;
    const deadlineMs = this.#deadline(options.timeoutMs ?? this.#options.timings.requestTimeoutMs);
    const untilMs = this.#offered(deadlineMs);
    for (;;) {
      const connection = this.#pick() ?? (await this.#connection(options.signal, untilMs));
      const left = deadlineMs - clock.monotonic();
      try {
        return await connection.unary(method, request, {
          timeoutMs: left,
          signal: options.signal,
          read: kind === 'read',
        });
      } catch (error) {
        if (!(error instanceof EtcdError)) throw error;
        const again = error.transient && (kind === 'read' || error.notMade);
        if (!again || clock.monotonic() >= untilMs() || this.#closing.signal.aborted) throw error;
        const other = this.#pick();
        if (!other || other === connection) await sleep(clock, OFFER_AGAIN_MS, options.signal);
      }
    }
  }

  /** A member that is well, else one that is there at all: it may know better by now. */
  #pick(): Connection | undefined {
    let any: Connection | undefined;
    for (const endpoint of this.#endpoints) {
      if (endpoint.healthy) return endpoint.connection;
      any ??= endpoint.connection;
    }
    return any;
  }

  async #connection(signal: AbortSignal, untilMs: () => number): Promise<Connection> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#closing.signal.aborted) throw new EtcdError(GRPC.UNAVAILABLE, 'the client is closed', false);
      const connection = this.#pick();
      if (connection) return connection;
      const left = untilMs() - this.#options.env.clock.monotonic();
      if (0 >= left) {
        const reasons = this.endpoints.map((e) => `${e.url}: ${e.reason}`).join('; ');
        throw new EtcdError(GRPC.UNAVAILABLE, `no etcd endpoint can be reached (${reasons})`, false);
      }
      await this.#change(left, signal);
    }
  }

  /** Waits until an endpoint has changed, or the time is over. */
  #change(withinMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        timer.cancel();
        signal.removeEventListener('abort', done);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = this.#options.env.clock.timer(withinMs, done);
      signal.addEventListener('abort', done, { once: true });
      this.#waiting.add(done);
    });
  }

  #changed(): void {
    this.#patience.see(this.#endpoints.some((e) => e.healthy));
    this.#wake();
    // Streams on a member that has lost its leader hear nothing: where another member is well, they go on there.
    if (!this.#endpoints.some((e) => e.healthy)) return;
    for (const endpoint of this.#endpoints) {
      if (endpoint.healthy) continue;
      endpoint.connection?.endStreams(new EtcdError(GRPC.UNAVAILABLE, 'the member is left for one that is well', true));
    }
  }

  /** The quorum counts as gone: what is under way is refused, or its outcome not known. */
  #giveUp(): void {
    const { clock, log } = this.#options.env;
    const text = `no member of etcd has known a leader for ${this.#options.timings.leaderlessAfterMs} ms`;
    log.warn('requests are refused', { reason: text });
    for (const { connection } of this.#endpoints) {
      connection?.failOlder(clock.monotonic(), 'all', new EtcdError(GRPC.UNAVAILABLE, text, true));
    }
    this.#wake();
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  /** Until when a request that begins now is offered: known anew each time. */
  #offered(deadlineMs = Number.POSITIVE_INFINITY): () => number {
    const beganMs = this.#options.env.clock.monotonic();
    return () => Math.min(deadlineMs, this.#patience.offeredUntil(beganMs));
  }

  #deadline(afterMs: number): number {
    return this.#options.env.clock.monotonic() + afterMs;
  }
}
