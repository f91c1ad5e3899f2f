// Stored bytes carry no resourceVersion: the revision of the write that stored them is put in when they are read.
import type { Revision } from '../../store/contract.ts';

// Both forms live as long as the history of changes: in memory of their own, since a slice of Node's pool would keep a whole
// slab (64 KiB) from being given back.

/** Nothing before it holds this run of bytes: within a JSON string its quotes would be escaped. */
const METADATA = Buffer.from('"metadata":{');
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** A copy of an object's JSON with `"resourceVersion":"N"` as the first member of its metadata. */
export function withRevision(stored: Buffer, revision: Revision): Buffer {
  const found = stored.indexOf(METADATA);
  if (found === -1) throw new Error('the stored value is no object: it has no metadata');
  const at = found + METADATA.length;
  const empty = stored[at] === CLOSING_BRACE;
  const text = `"resourceVersion":"${revision}"${empty ? '' : ','}`;
  const bytes = Buffer.allocUnsafeSlow(stored.length + text.length);
  stored.copy(bytes, 0, 0, at);
  bytes.write(text, at, 'latin1');
  stored.copy(bytes, at + text.length, at);
  return bytes;
}

/** The inverse of withRevision; a copy. */
export function withoutRevision(bytes: Buffer, revision: Revision): Buffer {
  const at = bytes.indexOf(METADATA) + METADATA.length;
  const text = `"resourceVersion":"${revision}"`;
  if (bytes.toString('latin1', at, at + text.length) !== text) throw new Error('the bytes are of another revision');
  const alone = bytes[at + text.length] === CLOSING_BRACE;
  const after = at + text.length + (alone ? 0 : 1);
  const stored = Buffer.allocUnsafeSlow(bytes.length - (after - at));
  bytes.copy(stored, 0, 0, at);
  bytes.copy(stored, at, after);
  return stored;
}

/** The part of an object's JSON that is its metadata; not a copy. */
export function metadataOf(bytes: Buffer): Buffer {
  const found = bytes.indexOf(METADATA);
  if (found === -1) throw new Error('the stored value is no object: it has no metadata');
  const from = found + METADATA.length - 1;
  let depth = 0;
  for (let at = from; at < bytes.length; at++) {
    const c = bytes[at];
    if (c === QUOTE) {
      for (at++; at < bytes.length && bytes[at] !== QUOTE; at++) if (bytes[at] === BACKSLASH) at++;
    } else if (c === OPENING_BRACE) depth++;
    else if (c === CLOSING_BRACE && --depth === 0) return bytes.subarray(from, at + 1);
  }
  throw new Error('the stored value is no object: its metadata has no end');
}

/** How long the bytes are without the revision that withRevision put into them, when there is other metadata beside it. */
export function storedLength(bytes: Buffer, revision: Revision): number {
  return bytes.length - memberLength(revision);
}

/** `"resourceVersion":"N",` */
function memberLength(revision: Revision): number {
  return '"resourceVersion":"",'.length + String(revision).length;
}

/** Whether the bytes are those of withRevision(stored, revision). */
export function isAsStored(bytes: Buffer, revision: Revision, stored: Buffer): boolean {
  if (storedLength(bytes, revision) !== stored.length) return false;
  const at = bytes.indexOf(METADATA) + METADATA.length;
  // What is written changes after its metadata begins, if anywhere: the longer part is looked at first.
  return (
    bytes.compare(stored, at, stored.length, at + memberLength(revision), bytes.length) === 0 &&
    bytes.compare(stored, 0, at, 0, at) === 0
  );
}

/** One line of a JSON watch stream. */
export function frameOf(type: string, object: Buffer): Buffer {
  const start = `{"type":"${type}","object":`;
  const frame = Buffer.allocUnsafeSlow(start.length + object.length + 2);
  frame.write(start, 0, 'latin1');
  object.copy(frame, start.length);
  frame.write('}\n', start.length + object.length, 'latin1');
  return frame;
}
