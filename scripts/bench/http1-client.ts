// HTTP/1.1 over TLS with as little work as possible: the load process shares the machine with what it measures.
import { connect, type TLSSocket } from 'node:tls';
import type { Target } from './protocol.ts';

/** Gets each piece of a body as it comes; copies what it keeps. */
export type BodySink = (piece: Buffer) => void;

interface Pending {
  readonly sink: BodySink | undefined;
  readonly resolve: (status: number) => void;
  readonly reject: (error: Error) => void;
}

const CRLF = Buffer.from('\r\n');
const END_OF_HEAD = Buffer.from('\r\n\r\n');
const EMPTY = Buffer.alloc(0);

/** One connection with one request at a time. Bodies are framed by Content-Length or chunks, as API servers send them. */
export class Http1Connection {
  readonly #socket: TLSSocket;
  #pending: Pending | undefined;
  /** Bytes of a head or chunk line that is not complete yet. */
  #rest: Buffer = EMPTY;
  #state: 'head' | 'body' | 'chunk-line' | 'chunk' | 'chunk-end' = 'head';
  #left = 0;
  #lastChunk = false;
  #status = 0;

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (data: Buffer) => this.#read(data));
    const fail = (error: Error): void => this.#pending?.reject(error);
    socket.on('error', fail);
    socket.on('close', () => fail(new Error('the server closed the connection')));
  }

  static open(target: Target): Promise<Http1Connection> {
    const { port, ca, certificate: cert, key } = target;
    return new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port, ca, cert, key, ALPNProtocols: ['http/1.1'] }, () => {
        socket.off('error', reject);
        resolve(new Http1Connection(socket));
      });
      socket.once('error', reject);
    });
  }

  /** Resolves with the status when the body has ended. */
  request(head: string, body: string | undefined, sink?: BodySink): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#pending = { sink, resolve, reject };
      const length = body === undefined ? '' : `Content-Length: ${Buffer.byteLength(body)}\r\n`;
      this.#socket.write(`${head}${length}\r\n${body ?? ''}`);
    });
  }

  close(): void {
    this.#pending = undefined;
    this.#socket.destroy();
  }

  #read(data: Buffer): void {
    let at = 0;
    if (this.#rest.length > 0) {
      data = Buffer.concat([this.#rest, data]);
      this.#rest = EMPTY;
    }
    while (at < data.length || (this.#state === 'body' && this.#left === 0)) {
      const next = this.#step(data, at);
      if (next === undefined) {
        this.#rest = data.subarray(at);
        return;
      }
      at = next;
    }
  }

  /** Reads one element from `at`; where the next begins, or undefined when this one is not complete. */
  #step(data: Buffer, at: number): number | undefined {
    switch (this.#state) {
      case 'head': {
        const end = data.indexOf(END_OF_HEAD, at);
        if (end < 0) return undefined;
        this.#readHead(data.toString('latin1', at, end + 2));
        return end + 4;
      }
      case 'body':
      case 'chunk': {
        const end = Math.min(data.length, at + this.#left);
        if (end > at) this.#pending?.sink?.(data.subarray(at, end));
        this.#left -= end - at;
        if (this.#left === 0) {
          if (this.#state === 'body') this.#finish();
          else this.#state = 'chunk-end';
        }
        return end;
      }
      case 'chunk-line': {
        const end = data.indexOf(CRLF, at);
        if (end < 0) return undefined;
        this.#left = Number.parseInt(data.toString('latin1', at, end), 16);
        this.#lastChunk = this.#left === 0;
        this.#state = this.#lastChunk ? 'chunk-end' : 'chunk';
        return end + 2;
      }
      case 'chunk-end':
        if (data.length < at + 2) return undefined;
        if (this.#lastChunk) this.#finish();
        else this.#state = 'chunk-line';
        return at + 2;
    }
  }

  #readHead(head: string): void {
    this.#status = Number(head.slice(9, 12));
    const length = /^content-length: *(\d+)/im.exec(head)?.[1];
    if (length !== undefined) {
      this.#state = 'body';
      this.#left = Number(length);
    } else {
      this.#state = 'chunk-line';
    }
  }

  #finish(): void {
    this.#state = 'head';
    this.#left = 0;
    const pending = this.#pending;
    this.#pending = undefined;
    pending?.resolve(this.#status);
  }
}
