// What every store refuses of a write, whatever it holds.
import { MAX_GUARDS, type Write } from './contract.ts';
import { MAX_KEY_BYTES } from './records.ts';

/** Throws RangeError for a write that no store takes. */
export function checkWrite(write: Write): void {
  if (write.value === null && write.expected === 0) throw new RangeError('a delete names the revision that it deletes');
  if ((write.guards?.length ?? 0) > MAX_GUARDS) throw new RangeError(`a write has at most ${MAX_GUARDS} guards`);
  if (write.key === '' || Buffer.byteLength(write.key) > MAX_KEY_BYTES) {
    throw new RangeError(`a key has 1 to ${MAX_KEY_BYTES} bytes`);
  }
}
