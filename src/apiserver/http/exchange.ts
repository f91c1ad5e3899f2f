// One HTTP request and its response, whichever version of HTTP carries it.
import type { Duplex, Readable } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { Assembled } from './pieces.ts';

export type ResponseHeaders = { readonly [name: string]: string | readonly string[] | number };

/** The client closed its connection or stream: nobody reads the answer. */
export class ClientGoneError extends Error {
  override name = 'ClientGoneError';
  constructor() {
    super('the client is gone');
  }
}

/** Shared by all requests without one: nobody changes a query. */
export const NO_QUERY = new URLSearchParams();

export interface Exchange {
  readonly method: string;
  /** As sent, percent-encoding included, without the query. */
  readonly path: string;
  /** As sent, without the question mark. */
  readonly rawQuery: string;
  readonly query: URLSearchParams;
  readonly httpVersion: '1.1' | '2';
  readonly socket: TLSSocket;
  /** Aborts with ClientGoneError when the client is gone before the response has ended. */
  readonly signal: AbortSignal;
  /** A header's value; several are joined with ", ". */
  header(name: string): string | undefined;
  /** Every value of a header, as sent. */
  headers(name: string): readonly string[];
  headerNames(): readonly string[];
  /** The whole body. Throws RequestEntityTooLarge beyond the limit. */
  body(limitBytes: number): Promise<Buffer>;
  /** The body as a stream, for proxies. */
  readonly incoming: Readable;
  /** True once a response has begun. */
  readonly responded: boolean;
  /** Sends a whole response. Does nothing when the client is gone. */
  respond(status: number, headers: ResponseHeaders, body: Buffer | string): void;
  /** Sends a whole response, its body put together while the client reads it. */
  respondAssembled(status: number, headers: ResponseHeaders, body: Assembled): void;
  /** Begins a response of unknown length. */
  stream(status: number, headers: ResponseHeaders): BodySink;
  /** Present when the client asked for another protocol on the connection: answers are then written to the socket raw. */
  readonly upgrade?: { readonly socket: Duplex; readonly head: Buffer };
}

export interface BodySink {
  /** Sends a chunk; false: `drained` should be awaited before much more is sent. */
  write(chunk: Buffer): boolean;
  /** Bytes accepted and not yet handed to the network. */
  readonly buffered: number;
  drained(): Promise<void>;
  end(): void;
  /** Ends the response so that the client notices that it is incomplete. */
  destroy(): void;
}
