// A lane carries one request after another: a connection of HTTP/1.1, or a stream at a time of a shared HTTP/2 connection.
import { type ClientHttp2Session, connect } from 'node:http2';
import { type BodySink, Http1Connection } from './http1-client.ts';
import type { Protocol, Target } from './protocol.ts';

export interface LaneRequest {
  readonly method: string;
  readonly path: string;
  readonly body?: string | undefined;
  readonly contentType?: string | undefined;
}

export interface Lane {
  /** Resolves with the status when the body has ended; `sink` sees each piece of it. */
  request(request: LaneRequest, sink?: BodySink): Promise<number>;
}

export interface Lanes {
  readonly lanes: readonly Lane[];
  close(): void;
}

export function openLanes(protocol: Protocol, target: Target, count: number): Promise<Lanes> {
  return protocol === 'HTTP/2' ? openStreams(target, count) : openConnections(target, count);
}

async function openConnections(target: Target, count: number): Promise<Lanes> {
  const connections: Http1Connection[] = [];
  for (let i = 0; i < count; i++) connections.push(await Http1Connection.open(target));
  const lanes = connections.map(
    (connection): Lane => ({
      request: ({ method, path, body, contentType }, sink) => {
        const type = contentType === undefined ? '' : `Content-Type: ${contentType}\r\n`;
        const head = `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1:${target.port}\r\nAccept: application/json\r\n${type}`;
        return connection.request(head, body, sink);
      },
    }),
  );
  return { lanes, close: () => connections.forEach((connection) => void connection.close()) };
}

/** Room for every stream's answer, so that the load's windows are not what is measured. */
const STREAM_WINDOW_BYTES = 4 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES = 256 * 1024 * 1024;

async function openStreams(target: Target, count: number): Promise<Lanes> {
  const { port, ca, certificate: cert, key } = target;
  const session = connect(`https://127.0.0.1:${port}`, {
    ca,
    cert,
    key,
    settings: { initialWindowSize: STREAM_WINDOW_BYTES },
  });
  await new Promise<void>((resolve, reject) => {
    session.once('connect', () => resolve());
    session.once('error', reject);
  });
  session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
  session.on('error', () => undefined);
  const lane: Lane = { request: (request, sink) => streamRequest(session, request, sink) };
  return { lanes: Array.from({ length: count }, () => lane), close: () => session.destroy() };
}

function streamRequest(session: ClientHttp2Session, request: LaneRequest, sink?: BodySink): Promise<number> {
  const { method, path, body, contentType } = request;
  return new Promise((resolve, reject) => {
    const stream = session.request(
      {
        ':method': method,
        ':path': path,
        accept: 'application/json',
        ...(contentType !== undefined && { 'content-type': contentType }),
      },
      { endStream: body === undefined },
    );
    let status = 0;
    stream.on('response', (headers) => {
      status = headers[':status'] ?? 0;
    });
    stream.on('data', (piece: Buffer) => sink?.(piece));
    stream.on('end', () => resolve(status));
    stream.on('error', reject);
    if (body !== undefined) stream.end(body);
  });
}
