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
