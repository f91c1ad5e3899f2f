// gRPC over one HTTP/2 connection to one member: length-prefixed messages, status in the trailers.
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { Method } from './messages.ts';
import { decode, encode, type Message } from './protobuf.ts';
import { EtcdError, GRPC } from './rpc.ts';

/** PEM. The client certificate is optional, as etcd's configuration has it. */
export interface EtcdTls {
  readonly ca: string;
  readonly certificate?: string;
  readonly key?: string;
}

export interface ConnectionOptions {
  readonly url: string;
  readonly tls: EtcdTls | undefined;
  readonly clock: Clock;
  readonly connectTimeoutMs: number;
}

/** A message may have so many bytes: a page of the biggest objects stays well below. */
export const MAX_MESSAGE_BYTES = 512 << 20;
/** What a member may send before we take it; for one call and for the connection. */
const STREAM_WINDOW_BYTES = 4 << 20;
const CONNECTION_WINDOW_BYTES = 32 << 20;
/** Calls under way on one connection; further ones wait in the session. */
const MAX_CONCURRENT_CALLS = 10_000;
const SESSION_MEMORY_MB = 1_024;
/** Messages of a stream that its reader has not taken: then the member is made to wait. */
const STREAM_QUEUE = 64;
const PREFIX_BYTES = 5;

/** Metadata by which etcd refuses a request at once when the member knows no leader. */
const REQUIRE_LEADER = { hasleader: 'true' };

interface Call {
  readonly startedMs: number;
  readonly deadlineMs: number;
  readonly read: boolean;
  fail(error: unknown): void;
}

export class Connection {
  readonly #session: ClientHttp2Session;
  readonly #clock: Clock;
  /** In the order of their start. */
  readonly #calls = new Set<Call>();
  readonly #streams = new Set<MessageStream>();
  #sweep: Timer | undefined;
  #sweepAtMs = 0;
  #closed = false;
  /** Resolves when calls can be made; rejects when there will be no connection. */
  readonly ready: Promise<void>;
  /** Resolves, with the reason, when the connection is over. */
  readonly over: Promise<unknown>;

  constructor({ url, tls, clock, connectTimeoutMs }: ConnectionOptions) {
    this.#clock = clock;
    this.#session = connect(url, {
      ...(tls && { ca: tls.ca, cert: tls.certificate, key: tls.key }),
      settings: { initialWindowSize: STREAM_WINDOW_BYTES, enablePush: false },
      peerMaxConcurrentStreams: MAX_CONCURRENT_CALLS,
      maxSessionMemory: SESSION_MEMORY_MB,
    });
    let reason: unknown;
    this.#session.on('error', (error) => {
      reason ??= error;
    });
    this.#session.on('goaway', (code) => {
      reason ??= new Error(`the member ended the connection (code ${code})`);
      this.#closed = true;
    });
    this.over = new Promise((resolve) => {
      this.#session.once('close', () => {
        this.#closed = true;
        this.#sweep?.cancel();
        const cause = reason ?? new Error('the connection was closed');
        this.#endAll(() => lost(cause));
        resolve(cause);
      });
    });
    this.ready = new Promise((resolve, reject) => {
      const timer = clock.timer(connectTimeoutMs, () =>
        this.close(new Error(`no connection in ${connectTimeoutMs} ms`)),
      );
      this.#session.once('connect', () => {
        timer.cancel();
        this.#session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
        resolve();
      });
      void this.over.then((cause) => {
        timer.cancel();
        reject(cause);
      });
    });
    this.ready.catch(() => undefined);
  }

  get usable(): boolean {
    return !this.#closed && !this.#session.destroyed && !this.#session.closed;
  }

  /** Ends at once; whatever is under way fails with the reason. */
  close(reason: Error): void {
    this.#closed = true;
    this.#endAll(() => lost(reason));
    this.#session.destroy();
  }

  /** Fails the calls that were started before a moment, of the monotonic clock. */
  failOlder(thanMs: number, only: 'reads' | 'all', error: EtcdError): void {
    for (const call of [...this.#calls]) {
      if (call.startedMs > thanMs) break;
      if (only === 'all' || call.read) call.fail(error);
    }
  }

  /** Ends the streams, so that their readers go on elsewhere. */
  endStreams(error: EtcdError): void {
    for (const stream of [...this.#streams]) stream.fail(error);
  }

  /** One request, one answer. `read`: nothing depends on whether it was received. */
  unary(
    method: Method,
    request: object,
    options: { readonly timeoutMs: number; readonly signal: AbortSignal | undefined; readonly read: boolean },
  ): Promise<Message> {
    const { signal, timeoutMs, read } = options;
    if (!this.usable) return Promise.reject(new EtcdError(GRPC.UNAVAILABLE, 'the connection is closed', false));
    return new Promise((resolve, reject) => {
      const frame = framed(method, request);
      const stream = this.#open(method, timeoutMs);
      const startedMs = this.#clock.monotonic();
      const onAbort = (): void => call.fail(signal?.reason);
      const settle = (): boolean => {
        if (!this.#calls.delete(call)) return false;
        signal?.removeEventListener('abort', onAbort);
        return true;
      };
      const call: Call = {
        startedMs,
        deadlineMs: startedMs + timeoutMs,
        read,
        fail: (error) => {
          if (!settle()) return;
          reject(error);
          stream.close(constants.NGHTTP2_CANCEL);
        },
      };
      this.#calls.add(call);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#armSweep(call.deadlineMs);
      let answer: Message | undefined;
      const frames = new FrameReader((bytes) => {
        answer = decode(method.response, bytes);
      });
      stream.on('data', (chunk: Buffer) => {
        try {
          frames.push(chunk);
        } catch (cause) {
          call.fail(new EtcdError(GRPC.INTERNAL, 'an answer cannot be read', true, cause));
        }
      });
      followStatus(stream, (error) => {
        if (!settle()) return;
        if (error) reject(error);
        else if (answer) resolve(answer);
        else reject(new EtcdError(GRPC.INTERNAL, 'there is no answer in the response', true));
      });
      stream.end(frame);
    });
  }

  /** One request, and messages until the stream ends. It begins at the call. */
  stream(
    method: Method,
    request: object,
    options: { readonly end: boolean; readonly signal: AbortSignal },
  ): MessageStream {
    const frame = framed(method, request);
    const stream = this.#open(method, undefined);
    const messages = new MessageStream(stream, method, options.signal, () => this.#streams.delete(messages));
    this.#streams.add(messages);
    if (options.end) stream.end(frame);
    else stream.write(frame);
    return messages;
  }

  /** Throws an EtcdError when the session cannot take it: one that breaks says so here before it says that it is destroyed. */
  #open(method: Method, timeoutMs: number | undefined): ClientHttp2Stream {
    try {
      return this.#request(method, timeoutMs);
    } catch (cause) {
      throw new EtcdError(GRPC.UNAVAILABLE, 'the connection is closed', false, cause);
    }
  }

  #request(method: Method, timeoutMs: number | undefined): ClientHttp2Stream {
    return this.#session.request({
      ':method': 'POST',
      ':path': method.path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...(!method.leaderless && REQUIRE_LEADER),
      ...(timeoutMs !== undefined && { 'grpc-timeout': `${Math.ceil(timeoutMs)}m` }),
    });
  }

  #endAll(error: () => EtcdError): void {
    for (const call of [...this.#calls]) call.fail(error());
    for (const stream of [...this.#streams]) stream.fail(error());
  }

  /** One timer for all calls: deadlines of the same length come due in the order of their start. */
  #armSweep(deadlineMs: number): void {
    if (this.#sweep && this.#sweepAtMs <= deadlineMs) return;
    this.#sweep?.cancel();
    this.#sweepAtMs = deadlineMs;
    this.#sweep = this.#clock.timer(deadlineMs - this.#clock.monotonic(), () => {
      this.#sweep = undefined;
      const now = this.#clock.monotonic();
      let next = Number.POSITIVE_INFINITY;
      for (const call of [...this.#calls]) {
        if (call.deadlineMs > now) next = Math.min(next, call.deadlineMs);
        else call.fail(new EtcdError(GRPC.DEADLINE_EXCEEDED, 'the member did not answer in time', true));
      }
      if (next !== Number.POSITIVE_INFINITY) this.#armSweep(next);
    });
  }
}

/** The messages of one stream, in order. Not read for a while, it makes the member wait. */
export class MessageStream implements AsyncIterableIterator<Message> {
  readonly #stream: ClientHttp2Stream;
  readonly #signal: AbortSignal;
  readonly #done: () => void;
  #queue: Message[] = [];
  #over = false;
  #error: unknown;
  #wake: () => void = () => undefined;
  readonly #onAbort = (): void => this.#finish(undefined, true);

  constructor(stream: ClientHttp2Stream, method: Method, signal: AbortSignal, done: () => void) {
    this.#stream = stream;
    this.#signal = signal;
    this.#done = done;
    const frames = new FrameReader((bytes) => this.#queue.push(decode(method.response, bytes)));
    stream.on('data', (chunk: Buffer) => {
      try {
        frames.push(chunk);
      } catch (cause) {
        this.fail(new EtcdError(GRPC.INTERNAL, 'a message cannot be read', true, cause));
        return;
      }
      if (this.#queue.length > STREAM_QUEUE) stream.pause();
      if (this.#queue.length > 0) this.#wake();
    });
    followStatus(stream, (error) => this.#finish(error, false));
    if (signal.aborted) this.#finish(undefined, true);
    else signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Message, undefined>> {
    for (;;) {
      const message = this.#queue.shift();
      if (message) {
        if (this.#queue.length === 0 && this.#stream.isPaused()) this.#stream.resume();
        return { done: false, value: message };
      }
      if (this.#over) {
        if (this.#error !== undefined) throw this.#error;
        return { done: true, value: undefined };
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async return(): Promise<IteratorResult<Message, undefined>> {
    this.#finish(undefined, true);
    return { done: true, value: undefined };
  }

  fail(error: unknown): void {
    this.#finish(error, true);
  }

  #finish(error: unknown, close: boolean): void {
    if (this.#over) return;
    this.#over = true;
    this.#error = error;
    if (close) {
      this.#queue = [];
      this.#stream.close(constants.NGHTTP2_CANCEL);
    }
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#done();
    this.#wake();
  }
}

/** Cuts a stream's bytes into messages: a flag, a length of four bytes, the message. */
class FrameReader {
  readonly #take: (message: Buffer) => void;
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** Bytes that the next whole message, or its prefix, needs. */
  #wanted = PREFIX_BYTES;

  constructor(take: (message: Buffer) => void) {
    this.#take = take;
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#wanted > this.#bytes) return;
    let rest = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    while (rest.length >= PREFIX_BYTES) {
      if (rest[0] !== 0) throw new Error('a compressed message');
      const length = rest.readUInt32BE(1);
      if (length > MAX_MESSAGE_BYTES) throw new Error(`a message of ${length} bytes`);
      this.#wanted = PREFIX_BYTES + length;
      if (this.#wanted > rest.length) break;
      this.#take(rest.subarray(PREFIX_BYTES, this.#wanted));
      rest = rest.subarray(this.#wanted);
      this.#wanted = PREFIX_BYTES;
    }
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#bytes = rest.length;
  }
}

function framed(method: Method, request: object): Buffer {
  const frame = encode(method.request, request, PREFIX_BYTES);
  frame[0] = 0;
  frame.writeUInt32BE(frame.length - PREFIX_BYTES, 1);
  return frame;
}

/** Calls `ended` once: with nothing for status OK, else with what the status, or the lack of one, means. */
function followStatus(stream: ClientHttp2Stream, ended: (error: EtcdError | undefined) => void): void {
  let status: { code: number; message: string } | undefined;
  let cause: unknown;
  const look = (headers: IncomingHttpHeaders): void => {
    const code = headers['grpc-status'];
    if (code === undefined) return;
    status = { code: Number(code), message: decodeURIComponentLoosely(String(headers['grpc-message'] ?? '')) };
  };
  stream.on('response', (headers) => {
    look(headers);
    const http = headers[':status'];
    if (http !== 200) status ??= { code: GRPC.UNAVAILABLE, message: `HTTP status ${http}` };
  });
  stream.on('trailers', look);
  stream.on('error', (error) => {
    cause = error;
  });
  stream.on('close', () => {
    if (status) {
      ended(status.code === GRPC.OK ? undefined : new EtcdError(status.code, status.message, true));
      return;
    }
    // REFUSED_STREAM: the member says that it has not looked at it.
    const sent = stream.rstCode !== constants.NGHTTP2_REFUSED_STREAM;
    ended(new EtcdError(GRPC.UNAVAILABLE, `the stream broke (code ${stream.rstCode})`, sent, cause));
  });
}

function decodeURIComponentLoosely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function lost(cause: unknown): EtcdError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new EtcdError(GRPC.UNAVAILABLE, `the connection is lost: ${why}`, true, cause);
}
