import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { BodySink } from './exchange.ts';
import { StreamSink } from './stream-sink.ts';

/** How many chunks just written are remembered. */
const REMEMBERED = 8;
let recent: { readonly chunk: Buffer; readonly framed: Buffer }[] = [];

/**
 * A chunk as HTTP/1.1 frames it (RFC 9112, 7.1). What a watch sends goes to many clients in one loop: it is framed once for
 * all of them.
 */
function framed(chunk: Buffer): Buffer {
  for (const known of recent) if (known.chunk === chunk) return known.framed;
  const head = `${chunk.length.toString(16)}\r\n`;
  const frame = Buffer.allocUnsafe(head.length + chunk.length + 2);
  frame.write(head, 0, 'latin1');
  chunk.copy(frame, head.length);
  frame.write('\r\n', head.length + chunk.length, 'latin1');
  if (recent.length === 0) queueMicrotask(forget);
  if (recent.length < REMEMBERED) recent.push({ chunk, framed: frame });
  return frame;
}

function forget(): void {
  recent = [];
}

/**
 * The body of a response whose head has been sent, in chunks. Node would write each in three parts, put together anew for
 * every client; here one shared buffer is written.
 */
export class ChunkSink implements BodySink {
  readonly #response: ServerResponse;
  readonly #socket: Socket;
  readonly #sink: StreamSink;

  /** `response`: with chunked encoding, and the first in line on its connection. */
  constructor(response: ServerResponse, socket: Socket) {
    this.#response = response;
    this.#socket = socket;
    this.#sink = new StreamSink(socket);
  }

  get buffered(): number {
    return this.#socket.writableLength;
  }

  write(chunk: Buffer): boolean {
    if (this.#response.destroyed || this.#response.writableEnded) return false;
    // An empty chunk would be the end.
    return chunk.length === 0 ? !this.#socket.writableNeedDrain : this.#sink.write(framed(chunk));
  }

  drained(): Promise<void> {
    return this.#sink.drained();
  }

  end(): void {
    if (!this.#response.destroyed && !this.#response.writableEnded) this.#response.end();
  }

  destroy(): void {
    this.#response.destroy();
  }
}
