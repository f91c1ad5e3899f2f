import type { Writable } from 'node:stream';
import { turns } from '../../lib/turns.ts';
import { StreamSink } from './stream-sink.ts';

/** What a connection is handed of a large body at a time: encrypting so much takes some tenths of a millisecond. */
export const PIECE_BYTES = 256 * 1024;

/**
 * Hands a large body over as the client reads it, and ends. All of it at once would hold everybody up while it is encrypted,
 * and count against the memory of an HTTP/2 session, which then refuses the client's other requests.
 */
export async function sendInPieces(stream: Writable, body: Buffer): Promise<void> {
  const sink = new StreamSink(stream);
  for (let at = 0; ; at += PIECE_BYTES) {
    if (at > 0) {
      await sink.drained();
      await turns.next();
    }
    if (stream.destroyed) return;
    sink.write(body.subarray(at, at + PIECE_BYTES));
    if (at + PIECE_BYTES >= body.length) return sink.end();
  }
}

/** A body that is put together while it is sent, so that it is never in memory as a whole. */
export interface Assembled {
  readonly length: number;
  /** Reads it from the beginning: each call fills `into` with what comes next, and says how much; 0: that was all. */
  reader(): (into: Buffer) => number;
}

/** Pieces that no response is using. A new one for each would be so much garbage that collecting it is felt. */
const spare: Buffer[] = [];
const MAX_SPARE_PIECES = 16;

/** As sendInPieces, for a body that is put together meanwhile. */
export async function sendAssembled(stream: Writable, body: Assembled): Promise<void> {
  const read = body.reader();
  const piece = spare.pop() ?? Buffer.allocUnsafeSlow(PIECE_BYTES);
  for (;;) {
    const length = stream.destroyed ? 0 : read(piece);
    if (length === 0) break;
    // Only a piece that has gone out may be filled again.
    if (!(await written(stream, piece.subarray(0, length)))) return;
    await turns.next();
  }
  if (!stream.destroyed) stream.end();
  if (spare.length < MAX_SPARE_PIECES) spare.push(piece);
}

/** Resolves when a chunk has been handed to the network: false when that will not be. */
function written(stream: Writable, chunk: Buffer): Promise<boolean> {
  return new Promise((resolve) => {
    const onClose = (): void => resolve(false);
    stream.once('close', onClose);
    stream.write(chunk, (error) => {
      stream.off('close', onClose);
      resolve(!error);
    });
  });
}
