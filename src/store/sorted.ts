// A sorted set of entries by key: cheap inserts in any order, ranges, and counts without walking.

/** Blocks are split at twice this size: inserts move at most that many references. */
const BLOCK = 256;

/** Keys that hold such a unit may order differently bytewise (UTF-8) than by UTF-16 unit. */
const WIDE = /[\ud800-\uffff]/;

interface Keyed {
  readonly key: string;
}

/** Entries in bytewise order of their keys. A key is held once; the entry's key never changes. */
export class SortedEntries<E extends Keyed> {
  #blocks: E[][] = [];
  #size = 0;
  /** Comparing by UTF-16 unit is right, and much quicker, until the first key that holds a surrogate or a unit above. */
  #before: (a: string, b: string) => boolean = beforeByUnit;

  get size(): number {
    return this.#size;
  }

  /** Adds an entry whose key is absent. */
  add(entry: E): void {
    if (this.#before === beforeByUnit && WIDE.test(entry.key)) this.#orderByBytes();
    this.#size++;
    const at = this.#blockOf(entry.key);
    const block = this.#blocks[at];
    if (!block) {
      this.#blocks.push([entry]);
      return;
    }
    block.splice(this.#indexIn(block, entry.key), 0, entry);
    if (block.length >= BLOCK * 2) this.#blocks.splice(at + 1, 0, block.splice(BLOCK));
  }

  /** Removes an entry; false when its key is absent. */
  remove(key: string): boolean {
    const at = this.#blockOf(key);
    const block = this.#blocks[at];
    if (!block) return false;
    const index = this.#indexIn(block, key);
    if (block[index]?.key !== key) return false;
    block.splice(index, 1);
    if (block.length === 0) this.#blocks.splice(at, 1);
    this.#size--;
    return true;
  }

  /** The entries of a prefix in order, those after `after` when it is given. The set must not change meanwhile. */
  *range(prefix: string, after?: string): Generator<E, void, undefined> {
    const exclusive = after !== undefined && !this.#before(after, prefix);
    const from = exclusive ? after : prefix;
    let at = this.#blockOf(from);
    let index = at < this.#blocks.length ? this.#indexIn(this.#blocks[at]!, from) : 0;
    if (exclusive && this.#blocks[at]?.[index]?.key === from) index++;
    for (; at < this.#blocks.length; at++, index = 0) {
      const block = this.#blocks[at]!;
      for (; index < block.length; index++) {
        const entry = block[index]!;
        if (!entry.key.startsWith(prefix)) return;
        yield entry;
      }
    }
  }

  /** How many entries a prefix has, after `after` when it is given, without visiting them. */
  count(prefix: string, after?: string): number {
    const end = this.#rankAfterPrefix(prefix);
    const start =
      after !== undefined && !this.#before(after, prefix) ? this.#rank(after, true) : this.#rank(prefix, false);
    return Math.max(0, end - start);
  }

  /** How many entries come before `key` (and at it, when inclusive). */
  #rank(key: string, inclusive: boolean): number {
    const at = this.#blockOf(key);
    const block = this.#blocks[at];
    let rank = 0;
    for (let i = 0; i < at; i++) rank += this.#blocks[i]!.length;
    if (!block) return rank;
    const index = this.#indexIn(block, key);
    return rank + index + (inclusive && block[index]?.key === key ? 1 : 0);
  }

  /** How many entries come before the first key that is greater than every key of the prefix. */
  #rankAfterPrefix(prefix: string): number {
    const past = (key: string): boolean => !key.startsWith(prefix) && this.#before(prefix, key);
    const blocks = this.#blocks;
    const at = firstIndex(blocks.length, (i) => past(blocks[i]![blocks[i]!.length - 1]!.key));
    let rank = 0;
    for (let i = 0; i < at; i++) rank += blocks[i]!.length;
    const block = blocks[at] ?? [];
    return rank + firstIndex(block.length, (i) => past(block[i]!.key));
  }

  /** The first block whose last key is not before `key`; for a key after all others the last block. */
  #blockOf(key: string): number {
    const blocks = this.#blocks;
    const found = firstIndex(blocks.length, (i) => {
      const block = blocks[i]!;
      return !this.#before(block[block.length - 1]!.key, key);
    });
    return found === blocks.length && found > 0 ? found - 1 : found;
  }

  #indexIn(block: readonly E[], key: string): number {
    return firstIndex(block.length, (i) => !this.#before(block[i]!.key, key));
  }

  #orderByBytes(): void {
    const all = this.#blocks.flat();
    this.#before = beforeByBytes;
    all.sort((a, b) => (a.key === b.key ? 0 : beforeByBytes(a.key, b.key) ? -1 : 1));
    this.#blocks = [];
    for (let i = 0; i < all.length; i += BLOCK) this.#blocks.push(all.slice(i, i + BLOCK));
  }
}

/** The smallest index below `length` for which `holds`, which must be false and then true; `length` when none. */
function firstIndex(length: number, holds: (index: number) => boolean): number {
  let low = 0;
  let high = length;
  while (low !== high) {
    const middle = (low + high) >>> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

function beforeByUnit(a: string, b: string): boolean {
  return b > a;
}

function beforeByBytes(a: string, b: string): boolean {
  return Buffer.compare(Buffer.from(a), Buffer.from(b)) === -1;
}
