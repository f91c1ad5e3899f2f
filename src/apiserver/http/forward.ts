// Passes a request on to another server: as a streamed request, or with an upgrade by joining the two sockets.
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import type { Duplex } from 'node:stream';
import { StatusError } from '../../machinery/status.ts';
import type { Exchange, ResponseHeaders } from './exchange.ts';
import type { Response } from './response.ts';

/** Where a request goes. */
export interface Destination {
  readonly scheme: 'http' | 'https';
  readonly host: string;
  readonly port: number;
  /** Path and query, percent-encoded. */
  readonly path: string;
  /** TLS settings and credentials; for https. */
  readonly agent?: Agent;
}

/** Headers that are about one connection, or that are the client's credentials and nobody else's business. */
const NOT_FORWARDED = new Set([
  'authorization',
  'connection',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
const NOT_RETURNED = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade']);
const TOKEN_PROTOCOL = 'base64url.bearer.authorization.k8s.io.';

/** The client's headers as the destination may see them. */
export function forwardedHeaders(exchange: Exchange): { [name: string]: string | string[] } {
  const headers: { [name: string]: string | string[] } = {};
  for (const name of exchange.headerNames()) {
    // Nobody may say on whose behalf a server asks but the server.
    if (NOT_FORWARDED.has(name) || name.startsWith('impersonate-') || name.startsWith('x-remote-')) continue;
    const values = exchange
      .headers(name)
      .map((value) => (name === 'sec-websocket-protocol' ? withoutToken(value) : value));
    headers[name] = values.length === 1 ? values[0]! : [...values];
  }
  return headers;
}

function withoutToken(protocols: string): string {
  const kept = protocols.split(',').filter((protocol) => !protocol.trim().startsWith(TOKEN_PROTOCOL));
  return kept.join(',').trim();
}

function open(destination: Destination, method: string, headers: object, signal: AbortSignal): ClientRequest {
  const { scheme, host, port, path, agent } = destination;
  const request = scheme === 'https' ? httpsRequest : httpRequest;
  return request({ host, port, path, method, headers: headers as never, signal, ...(agent && { agent }) });
}

function unreachable(destination: Destination, error: unknown): StatusError {
  const { scheme, host, port } = destination;
  const message = `error trying to reach service: ${(error as Error).message}`;
  return new StatusError('ServiceUnavailable', message, undefined, {
    cause: new Error(`${scheme}://${host}:${port}`, { cause: error }),
  });
}

/** Sends the exchange's request on, body and all; resolves with the answer's head. Throws ServiceUnavailable. */
export function forward(exchange: Exchange, destination: Destination, further: object = {}): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { ...forwardedHeaders(exchange), ...further };
    const request = open(destination, exchange.method, headers, exchange.signal);
    request.on('error', (error) =>
      reject(exchange.signal.aborted ? exchange.signal.reason : unreachable(destination, error)),
    );
    request.on('response', resolve);
    if (exchange.method === 'GET' || exchange.method === 'HEAD') request.end();
    else exchange.incoming.pipe(request);
  });
}

/**
 * Sends the answer of a forwarded request to the client, no faster than the client reads. Resolves at its end. `body`: what
 * has become of the answer's.
 */
export async function relay(
  answer: IncomingMessage,
  response: Response,
  headers: ResponseHeaders,
  body: AsyncIterable<unknown> = answer,
): Promise<void> {
  const code = answer.statusCode ?? 502;
  response.begin(code);
  const sink = response.exchange.stream(code, headers);
  try {
    for await (const chunk of body) if (!sink.write(chunk as Buffer)) await sink.drained();
    sink.end();
  } catch (error) {
    sink.destroy();
    if (!response.exchange.signal.aborted) throw error;
  } finally {
    answer.destroy();
  }
}

/** The headers of an answer that are the client's too. */
export function returnedHeaders(answer: IncomingMessage): ResponseHeaders {
  const headers: { [name: string]: string | string[] } = {};
  for (const [name, value] of Object.entries(answer.headers)) {
    if (value !== undefined && !NOT_RETURNED.has(name)) headers[name] = value;
  }
  return headers;
}

/** What came of asking another server for an upgrade: a connection, or its answer that it declines. */
export type Upgrade =
  | { readonly answer: IncomingMessage; readonly socket: Duplex; readonly head: Buffer }
  | { readonly answer: IncomingMessage; readonly socket: undefined };

/**
 * Asks for an upgrade. The connection is this request's alone: even when the upgrade is declined, the other side may have
 * joined it to something else by then. Throws ServiceUnavailable.
 */
export function openUpgrade(
  { agent, ...rest }: Destination,
  method: string,
  headers: object,
  signal: AbortSignal,
): Promise<Upgrade> {
  const destination = { ...rest, ...(agent && { agent: new Agent({ ...agent.options, keepAlive: false }) }) };
  return new Promise((resolve, reject) => {
    const request = open(destination, method, headers, signal);
    request.on('error', (error) => reject(signal.aborted ? signal.reason : unreachable(destination, error)));
    request.on('response', (answer) => resolve({ answer, socket: undefined }));
    request.on('upgrade', (answer, socket, head) => resolve({ answer, socket, head }));
    request.end();
  });
}

/** Passes an upgrade on and joins the sockets, whatever they then speak. Resolves when either side ends. */
export async function forwardUpgrade(
  response: Response,
  destination: Destination,
  further: object = {},
): Promise<void> {
  const { exchange } = response;
  const client = exchange.upgrade;
  if (!client) throw new StatusError('BadRequest', 'Upgrade request required');
  const upgrade = { connection: 'Upgrade', upgrade: exchange.header('upgrade') ?? '' };
  const headers = { ...forwardedHeaders(exchange), ...further, ...upgrade };
  const { answer, ...upgraded } = await openUpgrade(destination, exchange.method, headers, exchange.signal);
  // The other side declined: its answer is the client's, which may then try another protocol.
  if (!upgraded.socket) return relay(answer, response, returnedHeaders(answer));
  const { socket, head } = upgraded;
  response.begin(101);
  client.socket.write(upgradeHead(answer));
  client.socket.write(head);
  socket.write(client.head);
  await new Promise<void>((resolve) => join(client.socket, socket, resolve));
}

function upgradeHead(answer: IncomingMessage): string {
  const lines = [`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}`];
  for (let i = 0; i + 1 < answer.rawHeaders.length; i += 2)
    lines.push(`${answer.rawHeaders[i]}: ${answer.rawHeaders[i + 1]}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}

function join(a: Duplex, b: Duplex, ended: () => void): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.on('error', () => to.destroy());
    from.once('close', () => {
      to.destroy();
      ended();
    });
    from.pipe(to);
  }
}
