// HTTP/2 connections to the API servers: chosen, kept, checked by ping, and given up for the next server when one fails.
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { abortable } from '../lib/abort.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import { Balancer, type BalancerOptions } from './balancer/balancer.ts';
import type { Finding } from './balancer/picker.ts';

export interface TlsMaterial {
  /** PEM; absent: the system's authorities. */
  readonly ca?: string | undefined;
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
  readonly insecureSkipTlsVerify?: boolean | undefined;
  readonly tlsServerName?: string | undefined;
}

export interface ConnectionOptions {
  /** https URLs. With several, each is asked for /readyz now and then. */
  readonly servers: readonly string[];
  readonly tls: TlsMaterial;
  readonly clock: Clock;
  /** A connection from which nothing came for this long is asked whether it lives. client-go: 30 s. */
  readonly pingAfterMs?: number;
  /** And given up when it does not answer within this. client-go: 15 s. */
  readonly pingTimeoutMs?: number;
  readonly connectTimeoutMs?: number;
  /** How one of several servers is chosen. */
  readonly balancer?: Pick<BalancerOptions, 'policy' | 'source' | 'timings' | 'log'>;
}

/** The request did not get an answer. `sent` false: the server certainly has not seen it. */
export class TransportError extends Error {
  override name = 'TransportError';
  readonly sent: boolean;
  constructor(message: string, options: { cause?: unknown; sent: boolean }) {
    super(message, { cause: options.cause });
    this.sent = options.sent;
  }
}

export interface WireRequest {
  readonly method: string;
  /** With query; below the server's own path. */
  readonly path: string;
  readonly headers: OutgoingHttpHeaders;
  readonly body?: Buffer | undefined;
  readonly signal: AbortSignal;
}

export interface WireResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** To be read to its end, or destroyed. Ends with an error when the signal aborts. */
  readonly stream: ClientHttp2Stream;
}

/** Streams on one connection at most, whatever the server allows: a further connection is opened beyond. */
const MAX_STREAMS = 100;

/** Connections at most; beyond it requests wait in the last connection's queue. */
const MAX_CONNECTIONS = 16;

const DEFAULTS = { pingAfterMs: 30_000, pingTimeoutMs: 15_000, connectTimeoutMs: 10_000 };

type Settled = Omit<Required<ConnectionOptions>, 'balancer'>;

export class Connections {
  readonly #options: Settled;
  readonly #balancer: Balancer;
  readonly #stop = new AbortController();
  /** One connection a server, for its checks alone. */
  readonly #probes = new Map<string, Connection>();
  #open: Connection[] = [];
  #opening: Promise<Connection> | undefined;

  constructor({ balancer = {}, ...options }: ConnectionOptions) {
    this.#options = { ...DEFAULTS, ...options };
    if (options.servers.length === 0) throw new Error('at least one server is needed');
    for (const server of options.servers) {
      if (new URL(server).protocol !== 'https:') throw new Error(`${server}: only https is supported`);
    }
    this.#balancer = new Balancer(options.servers, {
      ...balancer,
      clock: options.clock,
      check: (url, signal) => this.#check(url, signal),
      connections: (url) => this.#open.filter((one) => one.url === url && one.usable).length,
    });
    // The only server there is needs no checks: requests are.
    if (options.servers.length > 1) void this.#balancer.run(this.#stop.signal);
  }

  get balancer(): Balancer {
    return this.#balancer;
  }

  /** Which machines answer at this URL, by the names in their certificates: a balancer in between passes those on. */
  answeredBy(url: string): readonly string[] {
    const open = this.#open.filter((one) => one.url === url && one.usable);
    return [...new Set(open.flatMap((one) => one.answeredBy))];
  }

  /**
   * Rejects with a TransportError, or with the signal's reason. What no server can have seen goes to the next one, as does a
   * read that broke off; a write of unknown outcome does not.
   */
  async request(request: WireRequest): Promise<WireResponse> {
    const { signal } = request;
    const servers = this.#balancer.view().length;
    const isRead = request.method === 'GET' && servers > 1;
    for (let tries = 0; ; tries++) {
      signal.throwIfAborted();
      const connection = await abortable(this.#connection(), signal);
      try {
        return await connection.request(request);
      } catch (error) {
        if (signal.aborted || !(error instanceof TransportError)) throw error;
        if ((error.sent && !isRead) || tries >= Math.max(2, servers)) throw error;
      }
    }
  }

  /** Ends every connection; requests under way fail. */
  close(): void {
    this.#stop.abort(new Error('the client was closed'));
    for (const connection of [...this.#open, ...this.#probes.values()])
      connection.close(new Error('the client was closed'));
    this.#open = [];
    this.#probes.clear();
  }

  async #connection(): Promise<Connection> {
    if (this.#stop.signal.aborted) throw new TransportError('the client is closed', { sent: false });
    this.#open = this.#open.filter((one) => one.usable);
    const serving = this.#open.filter((one) => this.#balancer.serves(one.url));
    const free = serving.find((one) => one.streams < one.limit);
    if (free) return free;
    if (serving.length >= MAX_CONNECTIONS) {
      return serving.reduce((least, one) => (one.streams < least.streams ? one : least));
    }
    this.#opening ??= this.#connectBehindBalancer().finally(() => {
      this.#opening = undefined;
    });
    try {
      return await this.#opening;
    } catch (error) {
      // Rather a server that is not ready than none.
      const other = this.#open.find((one) => one.usable);
      if (other) return other;
      throw error;
    }
  }

  /**
   * One address has no next one to try, but there may be several servers behind it: the balancer may have handed the
   * connection to one that is just being killed. A connection that was taken and broke off is tried once more.
   */
  async #connectBehindBalancer(): Promise<Connection> {
    try {
      return await this.#connect();
    } catch (error) {
      const brokeOff = ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code === 'ECONNRESET';
      if (!brokeOff || this.#options.servers.length > 1) throw error;
      return this.#connect();
    }
  }

  /** A connection to the server that the balancer picks, or to the next that answers. */
  async #connect(): Promise<Connection> {
    const tried = new Set<string>();
    const failures: unknown[] = [];
    for (let url = this.#balancer.next(tried); url !== undefined; url = this.#balancer.next(tried)) {
      tried.add(url);
      const connection = new Connection(url, this.#options);
      try {
        await connection.opened;
      } catch (error) {
        failures.push(error);
        this.#balancer.failed(url);
        continue;
      }
      if (this.#stop.signal.aborted) connection.close(new Error('the client was closed'));
      else this.#open.push(connection);
      const { lost } = connection;
      void lost.then((failed) => failed && !this.#stop.signal.aborted && this.#balancer.failed(connection.url));
      return connection;
    }
    const servers = [...tried].map((url) => new URL(url).host).join(', ');
    const cause = failures.at(-1);
    throw new TransportError(`cannot connect to ${servers}: ${messageOf(cause)}`, { cause, sent: false });
  }

  async #check(url: string, signal: AbortSignal): Promise<Finding> {
    let probe = this.#probes.get(url);
    try {
      if (!probe?.usable) {
        probe = new Connection(url, this.#options);
        this.#probes.set(url, probe);
        probe.opened.catch(() => undefined);
        await abortable(probe.opened, signal);
      }
      const { status, stream } = await probe.request({ method: 'GET', path: '/readyz', headers: {}, signal });
      stream.on('error', () => undefined);
      stream.resume();
      return status === 200 ? 'ready' : 'live';
    } catch (error) {
      this.#probes.delete(url);
      probe?.close(asError(error));
      return 'dead';
    }
  }
}

class Connection {
  /** Rejects when the connection cannot be made. */
  readonly opened: Promise<void>;
  /** Resolves when the connection has ended: true when it broke. */
  readonly lost: Promise<boolean>;
  /** Of its server. */
  readonly url: string;
  streams = 0;
  /** The DNS names in the server's certificate. */
  answeredBy: readonly string[] = [];
  readonly #session: ClientHttp2Session;
  readonly #base: URL;
  readonly #options: Settled;
  #goingAway = false;
  #failure: unknown;
  #heardMs: number;
  #timer: Timer | undefined;

  constructor(url: string, options: Settled) {
    const base = new URL(url);
    this.url = url;
    this.#base = base;
    this.#options = options;
    const { clock, tls, connectTimeoutMs } = options;
    this.#heardMs = clock.monotonic();
    const session = connect(base, {
      ...(tls.ca !== undefined && { ca: tls.ca }),
      ...(tls.certificate !== undefined && { cert: tls.certificate }),
      ...(tls.key !== undefined && { key: tls.key }),
      ...(tls.tlsServerName !== undefined && { servername: tls.tlsServerName }),
      rejectUnauthorized: !tls.insecureSkipTlsVerify,
    });
    this.#session = session;
    this.lost = new Promise((resolve) => {
      session.once('close', () => {
        this.#timer?.cancel();
        resolve(this.#failure !== undefined);
      });
    });
    session.on('error', (error) => {
      this.#failure ??= error;
    });
    session.on('goaway', () => {
      this.#goingAway = true;
    });
    this.opened = new Promise((resolve, reject) => {
      const timer = clock.timer(connectTimeoutMs, () => session.destroy(new Error('timed out while connecting')));
      session.once('connect', (_, socket) => {
        timer.cancel();
        this.answeredBy = dnsNames(socket as TLSSocket);
        session.unref();
        resolve();
      });
      session.once('close', () => {
        timer.cancel();
        reject(this.#failure ?? new Error('the connection was closed'));
      });
    });
  }

  get usable(): boolean {
    return !this.#goingAway && !this.#session.closed && !this.#session.destroyed;
  }

  get limit(): number {
    return Math.min(MAX_STREAMS, this.#session.remoteSettings?.maxConcurrentStreams ?? MAX_STREAMS);
  }

  close(reason: Error): void {
    this.#failure ??= reason;
    this.#session.destroy(reason);
  }

  request({ method, path, headers, body, signal }: WireRequest): Promise<WireResponse> {
    if (!this.usable) return Promise.reject(new TransportError('the connection is closed', { sent: false }));
    const stream = this.#session.request(
      {
        ...headers,
        [constants.HTTP2_HEADER_METHOD]: method,
        [constants.HTTP2_HEADER_PATH]: this.#base.pathname.replace(/\/$/, '') + path,
      },
      { endStream: body === undefined },
    );
    this.#begin(stream);
    const onAbort = (): void => {
      stream.close(constants.NGHTTP2_CANCEL);
      stream.destroy(asError(signal.reason));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    stream.once('close', () => signal.removeEventListener('abort', onAbort));
    if (body !== undefined) stream.end(body);
    return new Promise((resolve, reject) => {
      stream.once('response', (responseHeaders) => {
        resolve({ status: Number(responseHeaders[':status']), headers: responseHeaders, stream });
      });
      // Kept for the stream's life: an error after the response reaches the reader through the stream itself.
      stream.on('error', (error) => reject(signal.aborted ? signal.reason : this.#asTransport(error, stream)));
      stream.once('close', () => reject(this.#asTransport(undefined, stream)));
    });
  }

  #begin(stream: ClientHttp2Stream): void {
    if (this.streams++ === 0) {
      this.#session.ref();
      this.#heardMs = this.#options.clock.monotonic();
      this.#armPing();
    }
    const heard = (): void => {
      this.#heardMs = this.#options.clock.monotonic();
    };
    stream.on('response', heard);
    stream.on('readable', heard);
    stream.once('close', () => {
      if (--this.streams > 0) return;
      this.#timer?.cancel();
      if (!this.#session.destroyed) this.#session.unref();
    });
  }

  /** Asks a silent connection whether it lives, while there are streams that would wait for it. */
  #armPing(): void {
    const { clock, pingAfterMs } = this.#options;
    this.#timer?.cancel();
    const dueMs = this.#heardMs + pingAfterMs - clock.monotonic();
    this.#timer = clock.timer(Math.max(1, dueMs), () => {
      if (clock.monotonic() - this.#heardMs < pingAfterMs) this.#armPing();
      else this.#ping();
    });
  }

  #ping(): void {
    const { clock, pingTimeoutMs } = this.#options;
    if (this.#session.destroyed) return;
    this.#timer = clock.timer(pingTimeoutMs, () => this.close(new Error('the server does not answer pings')));
    this.#session.ping((error) => {
      if (error || this.streams === 0) return;
      this.#heardMs = clock.monotonic();
      this.#armPing();
    });
  }

  #asTransport(error: unknown, stream: ClientHttp2Stream): TransportError {
    // REFUSED_STREAM, and an id above a GOAWAY's last: not processed, by the protocol's own promise (RFC 9113, 8.7).
    const sent = stream.id !== undefined && stream.rstCode !== constants.NGHTTP2_REFUSED_STREAM;
    const cause = this.#failure ?? error;
    return new TransportError(`request to ${this.#base.host} failed: ${messageOf(cause)}`, { cause, sent });
  }
}

function dnsNames(socket: TLSSocket): readonly string[] {
  const names = socket.getPeerCertificate().subjectaltname ?? '';
  return names.split(', ').flatMap((one) => (one.startsWith('DNS:') ? [one.slice('DNS:'.length)] : []));
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}

function messageOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : 'the stream was closed';
}
