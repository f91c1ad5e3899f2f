// Stored bytes carry no resourceVersion: the revision of the write that stored them is put in when they are read.
import type { Revision } from '../../store/contract.ts';

// Both forms live as long as the history of changes: in memory of their own, since a slice of Node's pool would keep a whole
// slab (64 KiB) from being given back.

/** Nothing before it holds this run of bytes: within a JSON string its quotes would be escaped. */
const METADATA = Buffer.from('"metadata":{');
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;
const OPENING_BRACKET = 0x5b;
const CLOSING_BRACKET = 0x5d;
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
  const end = closingOf(bytes, from, bytes.length);
  if (end === -1) throw new Error('the stored value is no object: its metadata has no end');
  return bytes.subarray(from, end);
}

/** As METADATA: only a member that is so called has this. */
const MANAGED_FIELDS = Buffer.from(',"managedFields":[');

export interface ManagedFieldsPart {
  /** Of the comma before them, and of what follows: without these bytes the JSON is that of the object without them. */
  readonly from: number;
  readonly to: number;
  /** Where their list begins, which ends at `to`. */
  readonly list: number;
}

/** Where an object's JSON with its revision has its managedFields; undefined: it has none. */
export function managedFieldsIn(bytes: Buffer): ManagedFieldsPart | undefined {
  const metadata = bytes.indexOf(METADATA);
  const from = metadata === -1 ? -1 : bytes.indexOf(MANAGED_FIELDS, metadata);
  // What comes after the metadata may have metadata of its own: that of a template.
  if (from === -1 || closingOf(bytes, metadata + METADATA.length - 1, from) !== -1) return undefined;
  const list = from + MANAGED_FIELDS.length - 1;
  const to = closingOf(bytes, list, bytes.length);
  return to === -1 ? undefined : { from, to, list };
}

/** Behind the bracket that closes the one at `from`; -1: it is not before `stop`. */
function closingOf(bytes: Buffer, from: number, stop: number): number {
  let depth = 0;
  for (let at = from; at < stop; at++) {
    const c = bytes[at];
    if (c === QUOTE) {
      for (at++; at < stop && bytes[at] !== QUOTE; at++) if (bytes[at] === BACKSLASH) at++;
    } else if (c === OPENING_BRACE || c === OPENING_BRACKET) depth++;
    else if ((c === CLOSING_BRACE || c === CLOSING_BRACKET) && --depth === 0) return at + 1;
  }
  return -1;
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
