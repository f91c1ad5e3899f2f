// List bodies, put together in slices so that nobody else waits for a long one. Those of some size are kept for as long as
// nothing in them has changed: clients that begin anew all ask for the same lists. A list of many megabytes is never in
// memory as one: it is put together piece by piece while its client reads, and only its compressed form is kept.
import { once } from 'node:events';
import { constants, createGzip } from 'node:zlib';
import { inSlices } from '../../lib/turns.ts';
import type { CachedObject } from '../contract.ts';
import { type Assembled, sendAssembled } from './pieces.ts';

/** Smaller lists are quicker joined than looked up. */
export const KEPT_LIST_MIN_BYTES = 64 * 1024;
/** Larger ones are put together while they are sent. */
export const JOINED_LIST_MAX_BYTES = 4 * 1024 * 1024;
/** Bodies kept, plain and compressed together; the least recently used go first. */
export const KEPT_LISTS_BYTES = 16 * 1024 * 1024;
/** Each also keeps the objects that it shows, which may have changed since. */
export const KEPT_LISTS = 16;
/** Bytes of objects that are gone through in one slice: about a millisecond of copying. */
const SLICE_BYTES = 1024 * 1024;

/** A body that is there. */
export interface ListBody {
  readonly plain: Buffer;
  zipped?: Buffer;
}

/** A long list of stored objects. */
export interface StoredList extends Assembled {
  /** All of it, compressed. */
  zipped(): Promise<Buffer>;
}

interface Asked {
  readonly head: string;
  readonly items: readonly CachedObject[];
}

interface Kept extends Asked {
  readonly body: ListBody | StoredList;
  /** Of memory that keeping it takes. */
  bytes(): number;
}

interface Making extends Asked {
  readonly body: Promise<ListBody | StoredList>;
}

/** Makes a list of its head (JSON of its kind, apiVersion and metadata) and its items. */
export type Join = (head: string, items: readonly CachedObject[]) => Promise<Buffer | Assembled>;

export class ListBodies {
  readonly #join: Join;
  /** Least recently used first. */
  #kept: Kept[] = [];
  /** Bodies that are being put together: who asks for the same one waits for it. */
  readonly #making = new Set<Making>();

  constructor(join: Join = joinJson) {
    this.#join = join;
  }

  /** By default `{…head,"items":[a,b]}` from the objects' bytes. */
  join(head: string, items: readonly CachedObject[]): Promise<ListBody | StoredList> {
    const asked = { head, items };
    const known = this.#kept.findIndex((kept) => isSame(kept, asked));
    const found = this.#kept[known];
    if (found) {
      this.#kept.splice(known, 1);
      this.#kept.push(found);
      return Promise.resolve(found.body);
    }
    for (const making of this.#making) if (isSame(making, asked)) return making.body;
    const making: Making = { ...asked, body: this.#make(asked) };
    this.#making.add(making);
    return making.body.finally(() => this.#making.delete(making));
  }

  async #make(asked: Asked): Promise<ListBody | StoredList> {
    const made = await this.#join(asked.head, asked.items);
    if ('reader' in made) return this.#long(asked, made);
    const body: ListBody = { plain: made };
    if (made.length >= KEPT_LIST_MIN_BYTES) {
      this.#keep({ ...asked, body, bytes: () => made.length + (body.zipped?.length ?? 0) });
    }
    return body;
  }

  /** Is kept from when it is first compressed; who asks meanwhile waits for that. */
  #long(asked: Asked, body: Assembled): StoredList {
    let zipping: Promise<Buffer> | undefined;
    let bytes = 0;
    const long: StoredList = {
      ...body,
      zipped: () => {
        zipping ??= compressed(body).then((zipped) => {
          bytes = zipped.length;
          this.#keep({ ...asked, body: long, bytes: () => bytes });
          return zipped;
        });
        return zipping;
      },
    };
    return long;
  }

  #keep(kept: Kept): void {
    this.#kept.push(kept);
    let bytes = 0;
    let count = 0;
    for (let i = this.#kept.length - 1; i >= 0; i--) {
      bytes += this.#kept[i]!.bytes();
      if (bytes <= KEPT_LISTS_BYTES && ++count <= KEPT_LISTS) continue;
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

async function joinJson(head: string, items: readonly CachedObject[]): Promise<Buffer | Assembled> {
  const opening = Buffer.from(`${head.slice(0, -1)},"items":[`);
  let length = opening.length + CLOSING.length + Math.max(0, items.length - 1);
  // The first look at an object's bytes makes a copy of them, with its revision.
  await inSlices(items, SLICE_BYTES, (item) => {
    length += item.bytes.length;
    return item.bytes.length;
  });
  const reader = (): ((into: Buffer) => number) => readerOf(opening, items);
  if (length > JOINED_LIST_MAX_BYTES) return { length, reader };
  const body = Buffer.allocUnsafe(length);
  reader()(body);
  return body;
}

const COMMA = 0x2c;
const CLOSING = Buffer.from(']}\n');

/** Reads opening, items with commas between, and closing. */
function readerOf(opening: Buffer, items: readonly CachedObject[]): (into: Buffer) => number {
  let part: Buffer = opening;
  let from = 0;
  let next = 0;
  return (into) => {
    let at = 0;
    for (;;) {
      const copied = part.copy(into, at, from);
      at += copied;
      from += copied;
      if (part.length > from || next > items.length) return at;
      // The comma goes with what it stands before: there must be room for it.
      if (next > 0 && next < items.length) {
        if (at === into.length) return at;
        into[at++] = COMMA;
      }
      part = items[next]?.bytes ?? CLOSING;
      from = 0;
      next++;
    }
  };
}

async function compressed(body: Assembled): Promise<Buffer> {
  const gzip = createGzip({ level: constants.Z_BEST_SPEED });
  const chunks: Buffer[] = [];
  gzip.on('data', (chunk: Buffer) => chunks.push(chunk));
  await Promise.all([once(gzip, 'end'), sendAssembled(gzip, body)]);
  return Buffer.concat(chunks);
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
