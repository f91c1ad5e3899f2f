// The TLS socket that everything comes in by: ALPN chooses HTTP/2 or HTTP/1.1 for each connection.
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttp2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo, Server, Socket } from 'node:net';
import { createSecureContext, createServer as createTlsServer, type TLSSocket } from 'node:tls';
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { Random } from '../../lib/random.ts';
import { closesFirst } from './closes-first.ts';
import type { Exchange } from './exchange.ts';
import { Http1Exchange, UpgradeExchange } from './exchange-http1.ts';
import { Http2Exchange } from './exchange-http2.ts';
import { type SessionOptions, Sessions } from './sessions.ts';

export interface TlsOptions {
  /** PEM; may be a chain. */
  readonly certificate: string;
  readonly key: string;
  /** PEM authorities whose client certificates are believed. */
  readonly clientCa?: string;
  /** Further names served with their own certificate. */
  readonly sni?: ReadonlyMap<string, { readonly certificate: string; readonly key: string }>;
}

export interface ListenerOptions {
  readonly tls: TlsOptions;
  readonly address: string;
  /** 0: any free one. */
  readonly port: number;
  readonly handle: (exchange: Exchange) => void;
  readonly log: Log;
  readonly timeouts?: ListenerTimeouts;
  readonly clock: Clock;
  readonly random: Random;
  readonly connection?: Partial<ConnectionCare>;
}

/** How clients that vanished are noticed, and those that stay are spread. */
export interface ConnectionCare
  extends Pick<SessionOptions, 'pingAfterMs' | 'pingTimeoutMs' | 'goawayChance' | 'goawayAfterMs'> {
  /** HTTP/1.1 has no pings: TCP asks after this much silence. */
  readonly tcpKeepAliveMs: number;
}

export const DEFAULT_CONNECTION: ConnectionCare = {
  pingAfterMs: 30_000,
  pingTimeoutMs: 15_000,
  goawayChance: 0,
  goawayAfterMs: 10_000,
  tcpKeepAliveMs: 15_000,
};

/** How long a client may take. What is later is cut off. */
export interface ListenerTimeouts {
  /** For the TLS handshake, from the connection's beginning. */
  readonly handshakeMs: number;
  /** HTTP/1.1: for the head of a request, from its first byte or the connection's beginning. */
  readonly headersMs: number;
  /** HTTP/1.1: for the whole of a request, body included. Requests that are answered are given up much earlier. */
  readonly requestMs: number;
  /** For the next request on a connection that has none under way. */
  readonly idleMs: number;
}

/** As upstream, where it has them: 32 s for the head. */
export const DEFAULT_TIMEOUTS: ListenerTimeouts = {
  handshakeMs: 10_000,
  headersMs: 32_000,
  requestMs: 300_000,
  idleMs: 180_000,
};

export interface Listener {
  readonly address: string;
  readonly port: number;
  /** Stops accepting, asks HTTP/2 clients to go away, and after `graceMs` of waiting (the caller's) cuts what is left. */
  stopAccepting(): void;
  /** Ends every connection. */
  close(): Promise<void>;
}

/** Streams that one client may have open on one connection: kubelets and controllers watch many resources. */
export const MAX_CONCURRENT_STREAMS = 1000;
/** Connections beyond this are refused by closing them. */
export const MAX_CONNECTIONS = 10_000;
export const MAX_HEADER_BYTES = 64 * 1024;
/** HTTP/2: header fields of a request. */
const MAX_HEADER_FIELDS = 256;
/** HTTP/2: streams that a client may open and reset at once, and then per second, before its connection is ended. */
const STREAM_RESET_BURST = 1000;
const STREAM_RESET_RATE = 33;
/** Slow requests are looked for at least this often. */
const MAX_CHECK_INTERVAL_MS = 10_000;

export async function listen(options: ListenerOptions): Promise<Listener> {
  const { tls, handle, log, clock, random, timeouts = DEFAULT_TIMEOUTS } = options;
  const connections = new Set<TLSSocket>();
  const sockets = new Set<Socket>();
  const connection = { ...DEFAULT_CONNECTION, ...options.connection };
  const sessions = new Sessions({ clock, random, idleMs: timeouts.idleMs, ...connection });

  const http2 = createHttp2Server({
    settings: { maxConcurrentStreams: MAX_CONCURRENT_STREAMS, maxHeaderListSize: MAX_HEADER_BYTES },
    maxSessionMemory: 64,
    maxHeaderListPairs: MAX_HEADER_FIELDS,
    streamResetBurst: STREAM_RESET_BURST,
    streamResetRate: STREAM_RESET_RATE,
  });
  http2.on('stream', (stream, headers: IncomingHttpHeaders, _flags, rawHeaders: string[]) => {
    handle(new Http2Exchange(stream as ServerHttp2Stream, headers, rawHeaders));
    sessions.onRequest(stream as ServerHttp2Stream);
  });
  http2.on('session', (session) => {
    sessions.add(session);
  });
  http2.on('sessionError', (error) => log.debug('HTTP/2 session failed', { error }));

  const http1 = createHttpServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    keepAliveTimeout: timeouts.idleMs,
    headersTimeout: timeouts.headersMs,
    requestTimeout: timeouts.requestMs,
    connectionsCheckingInterval: Math.min(timeouts.headersMs, MAX_CHECK_INTERVAL_MS),
  });
  // Slow requests are looked for from this event on; the server itself never listens: connections are handed to it.
  http1.emit('listening');
  let isStopping = false;
  http1.on('request', (request, response) => {
    if (isStopping) response.shouldKeepAlive = false;
    handle(new Http1Exchange(request, response));
  });
  http1.on('upgrade', (request, socket, head) => handle(new UpgradeExchange(request, socket, head)));

  const server = createTlsServer({
    ...serverCertificates(tls),
    ALPNProtocols: ['h2', 'http/1.1'],
    requestCert: tls.clientCa !== undefined,
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2',
    handshakeTimeout: timeouts.handshakeMs,
    keepAlive: true,
    keepAliveInitialDelay: connection.tcpKeepAliveMs,
  });
  server.maxConnections = MAX_CONNECTIONS;
  // A connection whose handshake is not over is to end with the server, too.
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('secureConnection', (socket) => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
    socket.on('error', () => undefined);
    socket.setNoDelay(true);
    (socket.alpnProtocol === 'h2' ? http2 : http1).emit('connection', socket);
  });
  server.on('tlsClientError', (error, socket) => {
    log.debug('TLS handshake failed', { error: error.message, from: socket.remoteAddress });
    socket.destroy();
  });
  await closesFirst(() => opened(server, options)).catch((error: unknown) => {
    http1.close();
    throw error;
  });
  const bound = server.address() as AddressInfo;
  const closed = new Promise<void>((resolve) => server.once('close', () => resolve()));
  const stopAccepting = (): void => {
    if (isStopping) return;
    server.close();
    isStopping = true;
    http1.closeIdleConnections();
    sessions.close();
  };
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    stopAccepting();
    sessions.destroy();
    for (const connection of connections) connection.destroy();
    for (const socket of sockets) socket.destroy();
    http1.close();
    await closed;
  };
  return {
    address: bound.address,
    port: bound.port,
    stopAccepting,
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

function opened(server: Server, { address, port }: Pick<ListenerOptions, 'address' | 'port'>): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: address, port }, () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
}

function serverCertificates(tls: TlsOptions) {
  const { sni } = tls;
  const contexts = new Map(
    [...(sni ?? [])].map(([name, pair]) => [name, createSecureContext({ cert: pair.certificate, key: pair.key })]),
  );
  return {
    cert: tls.certificate,
    key: tls.key,
    ...(tls.clientCa !== undefined && { ca: tls.clientCa }),
    ...(contexts.size > 0 && {
      SNICallback: (
        name: string,
        done: (error: Error | null, context?: ReturnType<typeof createSecureContext>) => void,
      ) => done(null, contexts.get(name)),
    }),
  };
}
