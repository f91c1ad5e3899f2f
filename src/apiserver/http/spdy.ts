// SPDY/3.1 as kubelets and container runtimes speak it on an upgraded connection: the client's side, with what streaming to
// containers needs of it. Streams have no flow control of their own there; the connection's is all there is.
import type { Duplex } from 'node:stream';

const VERSION = 3;
const SYN_STREAM = 1;
const RST_STREAM = 3;
const PING = 6;
const GOAWAY = 7;
const HEADER_BYTES = 8;
const FIN = 1;
/** An empty stored block of deflate. */
const FLUSH = Buffer.from([0, 0, 0, 0xff, 0xff]);
/** Larger pieces are cut: others' frames go between. */
const MAX_DATA_BYTES = 64 * 1024;
/** A frame that says it is larger is no frame of anybody we talk to. */
const MAX_FRAME_BYTES = 1024 * 1024;

export interface SpdyStream {
  /** False: wait for the connection to drain before sending much more. */
  write(data: Buffer): boolean;
  /** Ends our half. */
  end(): void;
}

export interface SpdyStreamEvents {
  data(chunk: Buffer): void;
  /** The other side has ended its half, or the stream was reset, or the connection is gone. Called once. */
  end(): void;
}

interface Open extends SpdyStreamEvents {
  ended: boolean;
}

export class SpdyConnection {
  readonly #socket: Duplex;
  readonly #streams = new Map<number, Open>();
  #nextId = 1;
  #rest: Buffer = Buffer.alloc(0);
  #compressing = false;

  /** Takes over an upgraded connection; `head` is what came with the answer to the upgrade. */
  constructor(socket: Duplex, head: Buffer) {
    this.#socket = socket;
    socket.on('error', () => this.#gone());
    socket.on('close', () => this.#gone());
    socket.on('end', () => this.#gone());
    if (head.length > 0) this.#take(head);
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
  }

  get socket(): Duplex {
    return this.#socket;
  }

  /** Opens a stream. Header names are in lower case. */
  open(headers: { readonly [name: string]: string }, events: SpdyStreamEvents): SpdyStream {
    const id = this.#nextId;
    this.#nextId += 2;
    this.#streams.set(id, { data: events.data, end: events.end, ended: false });
    const fixed = Buffer.alloc(10);
    fixed.writeUInt32BE(id);
    this.#control(SYN_STREAM, Buffer.concat([fixed, this.#headerBlock(headers)]));
    return {
      write: (data) => {
        let free = true;
        for (let at = 0; at < data.length; at += MAX_DATA_BYTES) {
          free = this.#data(id, 0, data.subarray(at, at + MAX_DATA_BYTES));
        }
        return free;
      },
      end: () => void this.#data(id, FIN, Buffer.alloc(0)),
    };
  }

  close(): void {
    this.#socket.destroy();
    this.#gone();
  }

  #control(type: number, payload: Buffer): void {
    const head = Buffer.alloc(HEADER_BYTES);
    head.writeUInt16BE(0x8000 | VERSION);
    head.writeUInt16BE(type, 2);
    head.writeUInt32BE(payload.length, 4);
    if (!this.#socket.destroyed) this.#socket.write(Buffer.concat([head, payload]));
  }

  #data(id: number, flags: number, data: Buffer): boolean {
    if (this.#socket.destroyed) return true;
    const head = Buffer.alloc(HEADER_BYTES);
    head.writeUInt32BE(id);
    head.writeUInt32BE(flags * 2 ** 24 + data.length, 4);
    this.#socket.cork();
    this.#socket.write(head);
    const free = this.#socket.write(data);
    this.#socket.uncork();
    return free;
  }

  /**
   * Names and values, as one zlib stream that goes on through all blocks of the connection. They are stored, not squeezed: a
   * stream that does not name the protocol's dictionary need not use it. The empty block is a flush: without it the other side
   * waits for what follows.
   */
  #headerBlock(headers: { readonly [name: string]: string }): Buffer {
    const pairs = Object.entries(headers);
    const parts = [count(pairs.length)];
    for (const text of pairs.flat()) parts.push(count(Buffer.byteLength(text)), Buffer.from(text));
    const plain = Buffer.concat(parts);
    const stored = Buffer.alloc(5);
    stored.writeUInt16LE(plain.length, 1);
    stored.writeUInt16LE(plain.length ^ 0xffff, 3);
    const opening = this.#compressing ? Buffer.alloc(0) : Buffer.from([0x78, 0x01]);
    this.#compressing = true;
    return Buffer.concat([opening, stored, plain, FLUSH]);
  }

  #take(chunk: Buffer): void {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= HEADER_BYTES) {
      const length = this.#rest.readUIntBE(5, 3);
      if (length > MAX_FRAME_BYTES) {
        this.close();
        return;
      }
      if (this.#rest.length < HEADER_BYTES + length) return;
      const frame = this.#rest.subarray(0, HEADER_BYTES + length);
      this.#rest = this.#rest.subarray(HEADER_BYTES + length);
      this.#frame(frame);
    }
  }

  #frame(frame: Buffer): void {
    const payload = frame.subarray(HEADER_BYTES);
    if (frame[0]! >= 0x80) {
      this.#controlled(frame.readUInt16BE(2), payload);
      return;
    }
    const id = frame.readUInt32BE();
    const stream = this.#streams.get(id);
    if (!stream || stream.ended) return;
    if (payload.length > 0) stream.data(payload);
    if ((frame[4]! & FIN) !== 0) this.#end(id);
  }

  #controlled(type: number, payload: Buffer): void {
    if (type === PING && payload.length >= 4) {
      // Those that the other side begins are even; an odd one would be the answer to ours.
      if (payload.readUInt32BE() % 2 === 0) this.#control(PING, payload.subarray(0, 4));
    } else if (type === RST_STREAM && payload.length >= 4) this.#end(payload.readUInt32BE());
    else if (type === GOAWAY) this.close();
  }

  #end(id: number): void {
    const stream = this.#streams.get(id);
    if (!stream || stream.ended) return;
    stream.ended = true;
    this.#streams.delete(id);
    stream.end();
  }

  #gone(): void {
    for (const id of [...this.#streams.keys()]) this.#end(id);
  }
}

function count(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
