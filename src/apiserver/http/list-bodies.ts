// Big list bodies, kept for as long as nothing in them has changed: clients that begin anew all ask for the same lists.
import type { CachedObject } from '../contract.ts';

/** Smaller lists are quicker joined than looked up. */
export const KEPT_LIST_MIN_BYTES = 64 * 1024;
/** Bodies kept, plain and compressed together; the least recently used go first. */
export const KEPT_LISTS_BYTES = 32 * 1024 * 1024;

export interface ListBody {
  readonly plain: Buffer;
  zipped?: Buffer;
}

interface Kept {
  readonly head: string;
  readonly items: readonly CachedObject[];
  readonly body: ListBody;
}

export class ListBodies {
  /** Least recently used first. */
  #kept: Kept[] = [];

  /** `{…head,"items":[a,b]}` from the objects' bytes. `head` is a JSON object. */
  join(head: string, items: readonly CachedObject[]): ListBody {
    const known = this.#kept.findIndex((kept) => kept.head === head && sameItems(kept.items, items));
    const found = this.#kept[known];
    if (found) {
      this.#kept.splice(known, 1);
      this.#kept.push(found);
      return found.body;
    }
    const body: ListBody = { plain: joined(head, items) };
    if (body.plain.length >= KEPT_LIST_MIN_BYTES) this.#keep({ head, items, body });
    return body;
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

function sameItems(a: readonly CachedObject[], b: readonly CachedObject[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** One allocation, one copy of each object. */
function joined(head: string, items: readonly CachedObject[]): Buffer {
  const opening = `${head.slice(0, -1)},"items":[`;
  let length = Buffer.byteLength(opening) + 3 + Math.max(0, items.length - 1);
  for (const item of items) length += item.bytes.length;
  const body = Buffer.allocUnsafe(length);
  let at = body.write(opening);
  for (let i = 0; i < items.length; i++) {
    if (i > 0) body[at++] = 0x2c;
    at += items[i]!.bytes.copy(body, at);
  }
  body.write(']}\n', at);
  return body;
}
