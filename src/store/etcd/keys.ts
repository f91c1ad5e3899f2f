// Ranges of keys as etcd writes them.

/** Every key of the cluster's own begins with this. */
const ROOT = '/';

/** The end of a range that has no end. */
export const NO_END = Buffer.from([0]);

/** The range of keys that begin with a prefix, those after `after` when it is given. An empty prefix: all of the cluster's own. */
export function prefixRange(prefix: string, after?: string): { readonly key: string; readonly rangeEnd: Buffer } {
  const from = prefix === '' ? ROOT : prefix;
  const key = after !== undefined && Buffer.compare(Buffer.from(after), Buffer.from(from)) >= 0 ? `${after}\0` : from;
  return { key, rangeEnd: prefixEnd(from) };
}

/** The first key after all that begin with a prefix: its last byte that can be is raised by one. */
function prefixEnd(prefix: string): Buffer {
  const bytes = Buffer.from(prefix);
  // UTF-8 has no byte 0xff: the last one can always be raised.
  bytes[bytes.length - 1]!++;
  return bytes;
}
