import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { discardRest, readBody } from './body.ts';
import { ChunkSink } from './chunk-sink.ts';
import { type BodySink, ClientGoneError, type Exchange, NO_QUERY, type ResponseHeaders } from './exchange.ts';
import { valuesOf } from './exchange-http2.ts';
import { type Assembled, PIECE_BYTES, sendAssembled, sendInPieces } from './pieces.ts';
import { StreamSink } from './stream-sink.ts';

/** An error of a socket is the end of it; there is nobody to tell. */
const nothing = (): void => undefined;

/** What HTTP/1.1 requests have in common, whether or not they ask for an upgrade. */
abstract class Http1Base {
  readonly httpVersion = '1.1';
  readonly method: string;
  readonly path: string;
  readonly rawQuery: string;
  readonly socket: TLSSocket;
  readonly incoming: IncomingMessage;
  #query: URLSearchParams | undefined;

  constructor(request: IncomingMessage) {
    this.incoming = request;
    this.method = request.method ?? 'GET';
    const target = request.url ?? '/';
    const mark = target.indexOf('?');
    this.path = mark < 0 ? target : target.slice(0, mark);
    this.rawQuery = mark < 0 ? '' : target.slice(mark + 1);
    this.socket = request.socket as TLSSocket;
  }

  get query(): URLSearchParams {
    this.#query ??= this.rawQuery === '' ? NO_QUERY : new URLSearchParams(this.rawQuery);
    return this.#query;
  }

  header(name: string): string | undefined {
    const value = this.incoming.headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  }

  headers(name: string): readonly string[] {
    return valuesOf(this.incoming.rawHeaders, name);
  }

  headerNames(): readonly string[] {
    return Object.keys(this.incoming.headers);
  }

  body(limitBytes: number): Promise<Buffer> {
    return readBody(this.incoming, limitBytes, this.header('content-length'));
  }
}

export class Http1Exchange extends Http1Base implements Exchange {
  readonly #response: ServerResponse;
  #controller: AbortController | undefined;

  constructor(request: IncomingMessage, response: ServerResponse) {
    super(request);
    this.#response = response;
    response.on('error', nothing);
    request.on('error', nothing);
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      const controller = new AbortController();
      this.#controller = controller;
      const gone = (): void => {
        if (!this.#response.writableFinished) controller.abort(new ClientGoneError());
      };
      if (this.#response.destroyed) gone();
      else this.#response.once('close', gone);
    }
    return this.#controller.signal;
  }

  get responded(): boolean {
    return this.#response.headersSent;
  }

  respond(status: number, headers: ResponseHeaders, body: Buffer | string): void {
    const response = this.#response;
    const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
    if (!this.#begin(status, headers, length)) return;
    if (this.method === 'HEAD') response.end();
    else if (length <= PIECE_BYTES) response.end(body);
    else void sendInPieces(response, typeof body === 'string' ? Buffer.from(body) : body);
  }

  respondAssembled(status: number, headers: ResponseHeaders, body: Assembled): void {
    if (!this.#begin(status, headers, body.length)) return;
    if (this.method === 'HEAD') this.#response.end();
    else void sendAssembled(this.#response, body);
  }

  #begin(status: number, headers: ResponseHeaders, length: number): boolean {
    const response = this.#response;
    if (response.destroyed || response.headersSent) return false;
    response.writeHead(status, { ...headers, 'content-length': length } as never);
    // A body that was not read to its end would be taken for the next request.
    if (this.#hasBody() && !this.incoming.complete) discardRest(this.incoming, () => this.socket.destroy());
    return true;
  }

  #hasBody(): boolean {
    const length = this.header('content-length');
    return this.header('transfer-encoding') !== undefined || (length !== undefined && length !== '0');
  }

  stream(status: number, headers: ResponseHeaders): BodySink {
    const response = this.#response;
    if (!response.destroyed && !response.headersSent) {
      response.writeHead(status, headers as never);
      response.flushHeaders();
    }
    const { socket } = response;
    // Not for HTTP/1.0, a body of declared length, or none; nor behind an earlier answer on the same connection.
    const chunked = response.chunkedEncoding && this.method !== 'HEAD' && socket !== null && !response.writableEnded;
    return chunked ? new ChunkSink(response, socket) : new StreamSink(response);
  }
}

/** A request with `Connection: Upgrade`. A refusal is written raw and the connection ends. */
export class UpgradeExchange extends Http1Base implements Exchange {
  readonly upgrade: { readonly socket: Duplex; readonly head: Buffer };
  readonly #controller = new AbortController();
  #responded = false;

  constructor(request: IncomingMessage, socket: Duplex, head: Buffer) {
    super(request);
    this.upgrade = { socket, head };
    socket.on('error', nothing);
    socket.once('close', () => this.#controller.abort(new ClientGoneError()));
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get responded(): boolean {
    return this.#responded;
  }

  respond(status: number, headers: ResponseHeaders, body: Buffer | string): void {
    const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
    this.#begin(status, { ...headers, 'content-length': length });
    this.upgrade.socket.end(body);
  }

  respondAssembled(status: number, headers: ResponseHeaders, body: Assembled): void {
    this.#begin(status, { ...headers, 'content-length': body.length });
    void sendAssembled(this.upgrade.socket, body);
  }

  stream(status: number, headers: ResponseHeaders): BodySink {
    this.#begin(status, headers);
    return new StreamSink(this.upgrade.socket);
  }

  #begin(status: number, headers: ResponseHeaders): void {
    if (this.#responded || this.upgrade.socket.destroyed) return;
    this.#responded = true;
    const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`];
    for (const [name, value] of Object.entries({ ...headers, connection: 'close' })) {
      for (const one of Array.isArray(value) ? value : [value]) lines.push(`${name}: ${one}`);
    }
    this.upgrade.socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  }
}
