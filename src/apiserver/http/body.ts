import type { Readable } from 'node:stream';
import { badRequest, StatusError } from '../../machinery/status.ts';
import { ClientGoneError } from './exchange.ts';

/** The whole of a request's body; at most `limitBytes`. What is not read is left to discardRest. */
export function readBody(stream: Readable, limitBytes: number, declared: string | undefined): Promise<Buffer> {
  if (declared !== undefined && Number(declared) > limitBytes) return Promise.reject(tooLarge(limitBytes));
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const onData = (chunk: Buffer): void => {
      length += chunk.length;
      if (length <= limitBytes) {
        chunks.push(chunk);
        return;
      }
      chunks.length = 0;
      stream.off('data', onData);
      stream.pause();
      reject(tooLarge(limitBytes));
    };
    stream.on('data', onData);
    let ended = false;
    stream.once('end', () => {
      ended = true;
      resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks));
    });
    stream.once('error', (error) => reject(badRequest('the request body could not be read', error)));
    stream.once('close', () => {
      // Making an error costs more than reading a small body.
      if (!ended) reject(new ClientGoneError());
    });
  });
}

/** Bytes of a body that are received and thrown away after its answer, so that the client gets to reading the answer. */
export const DISCARD_LIMIT_BYTES = 32 * 1024 * 1024;

/** Throws away what is left of a body; `cut` is called when that is more than DISCARD_LIMIT_BYTES. */
export function discardRest(stream: Readable, cut: () => void): void {
  let length = 0;
  stream.removeAllListeners('data');
  stream.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length > DISCARD_LIMIT_BYTES) cut();
  });
  stream.resume();
}

function tooLarge(limitBytes: number): StatusError {
  return new StatusError('RequestEntityTooLarge', `Request entity too large: limit is ${limitBytes}`);
}
