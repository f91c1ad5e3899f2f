// The TLS socket that everything comes in by: ALPN chooses HTTP/2 or HTTP/1.1 for each connection.
import { createServer as createHttpServer } from 'node:http';
import {
  createServer as createHttp2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { createSecureContext, createServer as createTlsServer, type TLSSocket } from 'node:tls';
import type { Log } from '../../lib/log.ts';
import type { Exchange } from './exchange.ts';
import { Http1Exchange, UpgradeExchange } from './exchange-http1.ts';
import { Http2Exchange } from './exchange-http2.ts';

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
}

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
const KEEP_ALIVE_TIMEOUT_MS = 180_000;

export async function listen(options: ListenerOptions): Promise<Listener> {
  const { tls, handle, log } = options;
  const connections = new Set<TLSSocket>();
  const sessions = new Set<ServerHttp2Session>();

  const http2 = createHttp2Server({
    settings: { maxConcurrentStreams: MAX_CONCURRENT_STREAMS, maxHeaderListSize: MAX_HEADER_BYTES },
    maxSessionMemory: 64,
  });
  http2.on('stream', (stream, headers: IncomingHttpHeaders, _flags, rawHeaders: string[]) => {
    handle(new Http2Exchange(stream as ServerHttp2Stream, headers, rawHeaders));
  });
  http2.on('session', (session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
  });
  http2.on('sessionError', (error) => log.debug('HTTP/2 session failed', { error }));

  const http1 = createHttpServer({ maxHeaderSize: MAX_HEADER_BYTES, keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS });
  http1.on('request', (request, response) => handle(new Http1Exchange(request, response)));
  http1.on('upgrade', (request, socket, head) => handle(new UpgradeExchange(request, socket, head)));
  http1.on('clientError', (_error, socket) => socket.destroy());

  const server = createTlsServer({
    ...serverCertificates(tls),
    ALPNProtocols: ['h2', 'http/1.1'],
    requestCert: tls.clientCa !== undefined,
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2',
  });
  server.maxConnections = MAX_CONNECTIONS;
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
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: options.address, port: options.port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const bound = server.address() as AddressInfo;
  const stopAccepting = (): void => {
    server.close();
    for (const session of sessions) session.goaway();
  };
  return {
    address: bound.address,
    port: bound.port,
    stopAccepting,
    async close() {
      const closed = server.listening ? new Promise((resolve) => server.once('close', resolve)) : Promise.resolve();
      stopAccepting();
      for (const session of sessions) session.destroy();
      for (const connection of connections) connection.destroy();
      await closed;
    },
  };
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
