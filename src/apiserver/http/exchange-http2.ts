import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { discardRest, readBody } from './body.ts';
import { type BodySink, ClientGoneError, type Exchange, NO_QUERY, type ResponseHeaders } from './exchange.ts';
import { type Assembled, PIECE_BYTES, sendAssembled, sendInPieces } from './pieces.ts';
import { StreamSink } from './stream-sink.ts';

/** A client that is silent for so long amid a body, which is answered already, will not end it. */
const UNREAD_BODY_TIMEOUT_MS = 30_000;

const BROKEN_OFF = new Error('the answer broke off');

const nothing = (): void => undefined;

/** An exchange on an HTTP/2 stream, on node's stream API: the compatibility API costs a quarter more. */
export class Http2Exchange implements Exchange {
  readonly httpVersion = '2';
  readonly method: string;
  readonly path: string;
  readonly rawQuery: string;
  readonly socket: TLSSocket;
  readonly incoming: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  readonly #rawHeaders: readonly string[];
  #query: URLSearchParams | undefined;
  #controller: AbortController | undefined;
  /** Everything has been handed over: whether the client reads it concerns nobody here. */
  #answered = false;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, rawHeaders: readonly string[]) {
    this.incoming = stream;
    this.#headers = headers;
    this.#rawHeaders = rawHeaders;
    this.method = headers[':method'] ?? 'GET';
    const target = headers[':path'] ?? '/';
    const mark = target.indexOf('?');
    this.path = mark < 0 ? target : target.slice(0, mark);
    this.rawQuery = mark < 0 ? '' : target.slice(mark + 1);
    this.socket = stream.session?.socket as TLSSocket;
    // A reset stream emits error; there is nobody left to tell.
    stream.on('error', nothing);
  }

  get query(): URLSearchParams {
    this.#query ??= this.rawQuery === '' ? NO_QUERY : new URLSearchParams(this.rawQuery);
    return this.#query;
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      const controller = new AbortController();
      this.#controller = controller;
      const gone = (): void => {
        if (!this.#answered) controller.abort(new ClientGoneError());
      };
      if (this.incoming.destroyed || this.incoming.closed) gone();
      else this.incoming.once('close', gone);
    }
    return this.#controller.signal;
  }

  get responded(): boolean {
    return this.incoming.headersSent;
  }

  header(name: string): string | undefined {
    const value = this.#headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  }

  headers(name: string): readonly string[] {
    return valuesOf(this.#rawHeaders, name);
  }

  headerNames(): readonly string[] {
    return Object.keys(this.#headers).filter((name) => !name.startsWith(':'));
  }

  body(limitBytes: number): Promise<Buffer> {
    return readBody(this.incoming, limitBytes, this.header('content-length'));
  }

  respond(status: number, headers: ResponseHeaders, body: Buffer | string): void {
    const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
    this.#answer(status, headers, length, (stream) => {
      if (length <= PIECE_BYTES) stream.end(body);
      else void sendInPieces(stream, typeof body === 'string' ? Buffer.from(body) : body);
    });
  }

  respondAssembled(status: number, headers: ResponseHeaders, body: Assembled): void {
    this.#answer(status, headers, body.length, (stream) => void sendAssembled(stream, body));
  }

  #answer(status: number, headers: ResponseHeaders, length: number, send: (stream: ServerHttp2Stream) => void): void {
    const stream = this.incoming;
    if (!respondable(stream)) return;
    this.#answered = true;
    stream.respond({ ':status': status, ...headers, 'content-length': length } as never);
    if (this.method === 'HEAD') stream.end();
    else send(stream);
    if (stream.readableEnded) return;
    stream.resume();
    // An unread request body would hold the stream open, and one that never ends would hold it for ever.
    if (!stream.endAfterHeaders) endUnreadBody(stream);
  }

  stream(status: number, headers: ResponseHeaders): BodySink {
    const stream = this.incoming;
    if (respondable(stream)) stream.respond({ ':status': status, ...headers } as never);
    stream.resume();
    const ended = (): void => {
      this.#answered = true;
    };
    return new StreamSink(stream, ended, BROKEN_OFF);
  }
}

function endUnreadBody(stream: ServerHttp2Stream): void {
  const end = (): void => stream.close(constants.NGHTTP2_NO_ERROR);
  discardRest(stream, end);
  stream.setTimeout(UNREAD_BODY_TIMEOUT_MS, end);
}

/** respond() on a destroyed stream throws. */
function respondable(stream: ServerHttp2Stream): boolean {
  return !stream.destroyed && !stream.closed && !stream.headersSent;
}

/** Every value of a header in a raw list of names and values. */
export function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.toLowerCase() === name) values.push(rawHeaders[i + 1]!);
  }
  return values;
}
