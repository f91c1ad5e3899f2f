import { type Random, uuid } from '../../lib/random.ts';

/** Asking for randomness costs more than an identifier does: it is fetched for so many at a time. */
const IDS_PER_FETCH = 256;
const ID_BYTES = 16;

/** Identifiers for requests: what a response's Audit-Id header says. */
export function auditIds(random: Random): () => string {
  let pool: Uint8Array = new Uint8Array();
  let at = 0;
  const pooled: Random = {
    next: () => random.next(),
    bytes(length) {
      if (at + length > pool.length) {
        pool = random.bytes(IDS_PER_FETCH * ID_BYTES);
        at = 0;
      }
      at += length;
      return pool.subarray(at - length, at);
    },
  };
  return () => uuid(pooled);
}
