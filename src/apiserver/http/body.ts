import type { Readable } from 'node:stream';
import { badRequest, StatusError } from '../../machinery/status.ts';
import { ClientGoneError } from './exchange.ts';

/** The whole of a request's body; at most `limitBytes`. */
export function readBody(stream: Readable, limitBytes: number, declared: string | undefined): Promise<Buffer> {
  if (declared !== undefined && Number(declared) > limitBytes) return Promise.reject(tooLarge(limitBytes));
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    stream.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > limitBytes) {
        chunks.length = 0;
        reject(tooLarge(limitBytes));
        stream.pause();
      } else {
        chunks.push(chunk);
      }
    });
    stream.once('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
    stream.once('error', (error) => reject(badRequest('the request body could not be read', error)));
    stream.once('close', () => reject(new ClientGoneError()));
  });
}

function tooLarge(limitBytes: number): StatusError {
  return new StatusError('RequestEntityTooLarge', `Request entity too large: limit is ${limitBytes}`);
}
