// List bodies, put together in slices so that nobody else waits for a long one. Big ones are kept for as long as nothing in
// them has changed: clients that begin anew all ask for the same lists.
import { inSlices } from '../../lib/turns.ts';
import type { CachedObject } from '../contract.ts';

/** Smaller lists are quicker joined than looked up. */
export const KEPT_LIST_MIN_BYTES = 64 * 1024;
/** Bodies kept, plain and compressed together; the least recently used go first. */
export const KEPT_LISTS_BYTES = 32 * 1024 * 1024;
/** Bytes of objects that are gone through in one slice: about a millisecond of copying. */
const SLICE_BYTES = 1024 * 1024;

export interface ListBody {
  readonly plain: Buffer;
  zipped?: Buffer;
}

interface Asked {
  readonly head: string;
  readonly items: readonly CachedObject[];
}

interface Kept extends Asked {
  readonly body: ListBody;
}

interface Making extends Asked {
  readonly body: Promise<ListBody>;
}

/** Makes a list of its head (JSON of its kind, apiVersion and metadata) and its items. */
export type Join = (head: string, items: readonly CachedObject[]) => Promise<Buffer>;

export class ListBodies {
  readonly #join: Join;
  /** Least recently used first. */
  #kept: Kept[] = [];
  /** Bodies that are being put together: who asks for the same one waits for it. */
  readonly #making = new Set<Making>();

  constructor(join: Join = joined) {
    this.#join = join;
  }

  /** By default `{…head,"items":[a,b]}` from the objects' bytes. */
  join(head: string, items: readonly CachedObject[]): Promise<ListBody> {
    const asked = { head, items };
    const known = this.#kept.findIndex((kept) => isSame(kept, asked));
    const found = this.#kept[known];
    if (found) {
      this.#kept.splice(known, 1);
      this.#kept.push(found);
      return Promise.resolve(found.body);
    }
    for (const making of this.#making) if (isSame(making, asked)) return making.body;
    const making: Making = { ...asked, body: this.#join(head, items).then((plain) => ({ plain })) };
    this.#making.add(making);
    return making.body
      .then((body) => {
        if (body.plain.length >= KEPT_LIST_MIN_BYTES) this.#keep({ ...asked, body });
        return body;
      })
      .finally(() => this.#making.delete(making));
  }

  #keep(kept: Kept): void {
    this.#kept.push(kept);
    let bytes = 0;
    for (let i = this.#kept.length - 1; i >= 0; i--) {
      const { plain, zipped } = this.#kept[i]!.body;
      bytes += plain.length + (zipped?.length ?? 0);
      if (bytes <= KEPT_LISTS_BYTES) continue;
      this.#kept = this.#kept.slice(i + 1);
      return;
    }
  }
}

function isSame(a: Asked, b: Asked): boolean {
  if (a.head !== b.head || a.items.length !== b.items.length) return false;
  for (let i = 0; i < a.items.length; i++) if (a.items[i] !== b.items[i]) return false;
  return true;
}

/** One allocation, one copy of each object. */
async function joined(head: string, items: readonly CachedObject[]): Promise<Buffer> {
  const opening = `${head.slice(0, -1)},"items":[`;
  let length = Buffer.byteLength(opening) + 3 + Math.max(0, items.length - 1);
  // The first look at an object's bytes makes a copy of them, with its revision.
  await inSlices(items, SLICE_BYTES, (item) => {
    length += item.bytes.length;
    return item.bytes.length;
  });
  const body = Buffer.allocUnsafe(length);
  let at = body.write(opening);
  const start = at;
  await inSlices(items, SLICE_BYTES, (item) => {
    if (at > start) body[at++] = 0x2c;
    at += item.bytes.copy(body, at);
    return item.bytes.length;
  });
  body.write(']}\n', at);
  return body;
}

/**
 * A list of what `write` makes of each item, in slices: `opening` + texts joined with `separator` + `closing`. `cost` is
 * about how many microseconds one item takes.
 */
export async function listOfTexts<T>(
  items: readonly T[],
  text: { readonly opening: string; readonly separator: string; readonly closing: string },
  write: (item: T) => string,
  cost: number,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let chunk = text.opening;
  let first = true;
  await inSlices(items, SLICE_MICROSECONDS, (item) => {
    chunk += first ? write(item) : text.separator + write(item);
    first = false;
    if (chunk.length > CHUNK_CHARACTERS) {
      chunks.push(Buffer.from(chunk));
      chunk = '';
    }
    return cost;
  });
  chunks.push(Buffer.from(chunk + text.closing));
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
}

const SLICE_MICROSECONDS = 1500;
const CHUNK_CHARACTERS = 128 * 1024;
