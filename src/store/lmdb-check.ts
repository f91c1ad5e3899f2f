// Looks through an LMDB data file before LMDB does: LMDB trusts every byte, follows a damaged page number to a crash or to
// someone else's data, and takes an emptied file for a new store.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';

/** The file is not what was written. What is in it may still be of use to a person; it is never served. */
export class DamagedStoreError extends Error {
  override name = 'DamagedStoreError';
  constructor(path: string, what: string, cause?: unknown) {
    super(`the store in ${path} is damaged (${what}); restore it from a snapshot, or remove it to begin anew`, {
      cause,
    });
  }
}

/** One tree: pages and entries as its descriptor counts them. */
interface Tree {
  readonly flags: number;
  readonly depth: number;
  readonly branchPages: number;
  readonly leafPages: number;
  readonly overflowPages: number;
  readonly entries: number;
  /** Undefined: an empty tree. */
  readonly root: number | undefined;
}

export interface Meta {
  readonly transaction: number;
  readonly pageSize: number;
  readonly mapSize: number;
  readonly lastPage: number;
  readonly free: Tree;
  readonly main: Tree;
}

// The format of the LMDB that lmdb-js carries (mdb.c: MDB_page_header, MDB_meta, MDB_db, MDB_node).
const HEADER_BYTES = 24;
const META_BYTES = 136;
const TREE_BYTES = 48;
const NODE_BYTES = 8;
const MAGIC = 0xbeefc0de;
const VERSION = 2;
const BRANCH = 1;
const LEAF = 2;
const OVERFLOW = 4;
const META = 8;
const NODE_BIG = 1;
const NODE_TREE = 2;
const INTEGER_KEYS = 8;
/** A root that is no page: all bits set. */
const NONE = 2n ** 64n - 1n;
const MAX_DEPTH = 32;
const MAX_MAP_BYTES = 2 ** 47;

/** Throws DamagedStoreError when neither the newest state nor the one before it is named as LMDB leaves them. */
export function readMeta(directory: string): Meta {
  const file = new PageFile(directory);
  try {
    return file.metas()[0];
  } finally {
    file.close();
  }
}

/**
 * The trees of the newest state, whole: throws DamagedStoreError where a page, a count, an order or a reference is wrong, or
 * where the tables are others than `names`. Nobody else may be writing.
 */
export function checkTrees(directory: string, names: readonly string[] | undefined): void {
  const file = new PageFile(directory);
  try {
    new Check(file).run(names);
  } finally {
    file.close();
  }
}

class PageFile {
  readonly directory: string;
  readonly #handle: number;
  readonly #bytes: number;
  pageSize = 4096;

  constructor(directory: string) {
    this.directory = directory;
    this.#handle = openSync(join(directory, 'data.mdb'), 'r');
    this.#bytes = fstatSync(this.#handle).size;
  }

  close(): void {
    closeSync(this.#handle);
  }

  damaged(what: string): DamagedStoreError {
    return new DamagedStoreError(this.directory, what);
  }

  page(number: number): Buffer {
    const page = Buffer.allocUnsafe(this.pageSize);
    if (!this.holds(number, 1)) throw this.damaged(`page ${number} is beyond the end of the file`);
    readSync(this.#handle, page, 0, this.pageSize, number * this.pageSize);
    return page;
  }

  holds(first: number, count: number): boolean {
    return this.#bytes >= (first + count) * this.pageSize;
  }

  /** The newest state and the one before it. */
  metas(): readonly [Meta, Meta] {
    if (META_BYTES + HEADER_BYTES > this.#bytes) throw this.damaged(`its file has ${this.#bytes} bytes`);
    const pageSize = this.page(0).readUInt32LE(HEADER_BYTES + 24);
    const isPowerOfTwo = (pageSize & (pageSize - 1)) === 0;
    if (512 > pageSize || pageSize > 65_536 || !isPowerOfTwo) throw this.damaged(`its pages have ${pageSize} bytes`);
    this.pageSize = pageSize;
    const [a, b] = [this.#meta(0), this.#meta(1)];
    const [newer, older] = a.transaction > b.transaction ? [a, b] : [b, a];
    const step = newer.transaction - older.transaction;
    if (step !== 1 && newer.transaction !== 0) {
      throw this.damaged(`its two newest states are ${step} steps apart`);
    }
    return [newer, older];
  }

  #meta(number: number): Meta {
    const page = this.page(number);
    const at = HEADER_BYTES;
    const isMeta = u64(page, 0) === number && page.readUInt16LE(18) === META;
    if (!isMeta || page.readUInt32LE(at) !== MAGIC || page.readUInt32LE(at + 4) !== VERSION) {
      throw this.damaged(`page ${number} does not begin an LMDB file`);
    }
    const meta = {
      transaction: u64(page, at + 128),
      pageSize: page.readUInt32LE(at + 24),
      mapSize: u64(page, at + 16),
      lastPage: u64(page, at + 120),
      free: readTree(page, at + 24),
      main: readTree(page, at + 24 + TREE_BYTES),
    };
    const isWhole =
      meta.pageSize === this.pageSize &&
      meta.mapSize >= (meta.lastPage + 1) * this.pageSize &&
      MAX_MAP_BYTES > meta.mapSize &&
      meta.free.flags === INTEGER_KEYS &&
      meta.main.flags === 0;
    if (!isWhole) throw this.damaged(`page ${number} describes no store`);
    return meta;
  }
}

/** What a tree's values are checked by. */
type OnLeaf = (node: { readonly flags: number; readonly key: Buffer; readonly value: Buffer }) => void;

interface Counts {
  branchPages: number;
  leafPages: number;
  overflowPages: number;
  entries: number;
}

interface Walk {
  readonly title: string;
  readonly compare: (a: Buffer, b: Buffer) => number;
  readonly onLeaf: OnLeaf;
  readonly counts: Counts;
}

class Check {
  readonly #file: PageFile;
  readonly #meta: Meta;
  readonly #before: Meta;
  /** Pages that are in a tree or free. */
  readonly #used: Uint8Array;

  constructor(file: PageFile) {
    this.#file = file;
    [this.#meta, this.#before] = file.metas();
    this.#used = new Uint8Array(this.#meta.lastPage + 1);
    this.#used.fill(1, 0, 2);
  }

  run(names: readonly string[] | undefined): void {
    const { main, free } = this.#meta;
    if (!this.#isOfItsTransaction(this.#meta) || !this.#isOfItsTransaction(this.#before)) {
      throw this.#damaged('its two newest states are not the last two that were written');
    }
    const found: string[] = [];
    const trees: [string, Tree][] = [];
    this.#tree('the table of tables', main, Buffer.compare, ({ flags, key, value }) => {
      const name = key.toString('latin1').replace(/\0$/, '');
      found.push(name);
      if (flags !== NODE_TREE || value.length !== TREE_BYTES) {
        throw this.#damaged(`table ${JSON.stringify(name)} is no table`);
      }
      trees.push([name, readTree(value, 0)]);
    });
    if (names && found.join() !== names.join()) throw this.#damaged(`it has the tables ${JSON.stringify(found)}`);
    for (const [name, tree] of trees) {
      if (tree.flags !== 0) throw this.#damaged(`table ${name} has flags ${tree.flags}`);
      this.#tree(name, tree, Buffer.compare, ({ flags }) => {
        if (flags !== 0) throw this.#damaged(`table ${name} has an entry of another kind`);
      });
    }
    const byNumber = (a: Buffer, b: Buffer): number => u64(a, 0) - u64(b, 0);
    this.#tree('the list of free pages', free, byNumber, ({ flags, key, value }) => {
      const isOfTransaction = key.length === 8 && u64(key, 0) > 0 && this.#meta.transaction >= u64(key, 0);
      if (flags !== 0 || !isOfTransaction) throw this.#damaged('free pages of no transaction');
      this.#freePages(value);
    });
  }

  #damaged(what: string): DamagedStoreError {
    return this.#file.damaged(what);
  }

  /**
   * Every commit writes the root of the table of tables anew, and the commit after it leaves it alone. A state whose root has
   * another number has a wrong number itself: the state before it would pass for the newest.
   */
  #isOfItsTransaction({ main, transaction }: Meta): boolean {
    if (main.root === undefined) return transaction === 0;
    return u64(this.#file.page(main.root), 8) === transaction;
  }

  /** A page belongs to one place only. */
  #take(first: number, count: number): void {
    if (2 > first || !(count > 0) || first + count - 1 > this.#meta.lastPage) {
      throw this.#damaged(`pages ${first} to ${first + count - 1} of ${this.#meta.lastPage}`);
    }
    for (let page = first; first + count > page; page++) {
      if (this.#used[page]) throw this.#damaged(`page ${page} is used twice`);
      this.#used[page] = 1;
    }
  }

  #tree(title: string, tree: Tree, compare: Walk['compare'], onLeaf: OnLeaf): void {
    const counts: Counts = { branchPages: 0, leafPages: 0, overflowPages: 0, entries: 0 };
    const isDeep = tree.root === undefined ? tree.depth === 0 : tree.depth > 0 && MAX_DEPTH >= tree.depth;
    if (!isDeep) throw this.#damaged(`${title}: ${tree.depth} levels`);
    if (tree.root !== undefined) this.#walk({ title, compare, onLeaf, counts }, tree.root, tree.depth, {});
    for (const [name, count] of Object.entries(counts) as [keyof Counts, number][]) {
      if (count !== tree[name]) throw this.#damaged(`${title}: ${count} ${name} instead of ${tree[name]}`);
    }
  }

  /** A page and all below it; its keys are from `bounds.from` up to, without, `bounds.to`. */
  #walk(walk: Walk, number: number, depth: number, bounds: { from?: Buffer; to?: Buffer }): void {
    const { title, counts } = walk;
    this.#take(number, 1);
    const page = this.#file.page(number);
    const kind = page.readUInt16LE(18);
    if (u64(page, 0) !== number || kind !== (depth > 1 ? BRANCH : LEAF) || u64(page, 8) > this.#meta.transaction) {
      throw this.#damaged(`${title}: page ${number} is another one`);
    }
    const nodes = this.#nodes(page, `${title}: page ${number}`);
    let previous: Buffer | undefined;
    for (const [i, node] of nodes.entries()) {
      const { key } = node;
      // The first key of a branch is empty: it stands for everything below the second.
      const isOpen = kind === BRANCH && i === 0;
      if (!isOpen && !isBetween(walk.compare, key, previous ?? bounds.from, previous !== undefined, bounds.to)) {
        throw this.#damaged(`${title}: page ${number} is out of order`);
      }
      if (!isOpen) previous = key;
      if (kind === LEAF) this.#leaf(walk, node);
      else {
        const from = isOpen ? bounds.from : key;
        const to = nodes[i + 1]?.key ?? bounds.to;
        this.#walk(walk, node.child, depth - 1, { ...(from && { from }), ...(to && { to }) });
      }
    }
    if (kind === LEAF) counts.leafPages++;
    else counts.branchPages++;
  }

  #nodes(page: Buffer, title: string): readonly Node[] {
    const lower = page.readUInt16LE(20);
    const upper = page.readUInt16LE(22);
    const end = this.#file.pageSize - HEADER_BYTES;
    if (lower === 0 || lower % 2 === 1 || lower > upper || upper > end) throw this.#damaged(`${title} is no page`);
    const isBranch = page.readUInt16LE(18) === BRANCH;
    const nodes: Node[] = [];
    const extents: { readonly at: number; readonly end: number }[] = [];
    for (let i = 0; lower / 2 > i; i++) {
      const at = page.readUInt16LE(HEADER_BYTES + 2 * i);
      if (upper > at || at + NODE_BYTES > end) throw this.#damaged(`${title}: entry ${i} is outside`);
      const start = HEADER_BYTES + at;
      const low = page.readUInt16LE(start) + page.readUInt16LE(start + 2) * 0x10000;
      const flags = page.readUInt16LE(start + 4);
      const keyEnd = start + NODE_BYTES + page.readUInt16LE(start + 6);
      const inPage = isBranch ? 0 : flags & NODE_BIG ? 24 : low;
      const nodeEnd = keyEnd + inPage;
      if (nodeEnd > this.#file.pageSize) throw this.#damaged(`${title}: entry ${i} is too long`);
      extents.push({ at, end: nodeEnd + (nodeEnd % 2) - HEADER_BYTES });
      nodes.push({
        key: page.subarray(start + NODE_BYTES, keyEnd),
        flags,
        size: low,
        value: page.subarray(keyEnd, keyEnd + inPage),
        child: low + flags * 2 ** 32,
      });
    }
    if (!fill(extents, upper, end)) throw this.#damaged(`${title}: its entries overlap or leave gaps`);
    return nodes;
  }

  #leaf(walk: Walk, { key, flags, size, value }: Node): void {
    walk.counts.entries++;
    if ((flags & NODE_BIG) === 0) {
      walk.onLeaf({ flags, key, value });
      return;
    }
    const first = u64(value, 0);
    const count = Math.ceil((HEADER_BYTES + size) / this.#file.pageSize);
    this.#take(first, count);
    const page = this.#file.page(first);
    const isIts =
      u64(page, 0) === first &&
      page.readUInt16LE(18) === OVERFLOW &&
      page.readUInt32LE(20) === count &&
      u64(value, 16) === count &&
      u64(page, 8) === u64(value, 8) &&
      this.#meta.transaction >= u64(page, 8) &&
      this.#file.holds(first, count);
    if (!isIts) throw this.#damaged(`${walk.title}: page ${first} does not hold a value of ${size} bytes`);
    walk.counts.overflowPages += count;
    walk.onLeaf({ flags: flags & ~NODE_BIG, key, value: this.#freeValue(walk, first, count, size) });
  }

  /** Only lists of free pages are looked into here; what else is long has a checksum of its own. */
  #freeValue(walk: Walk, first: number, count: number, size: number): Buffer {
    if (!walk.title.startsWith('the list')) return Buffer.alloc(0);
    const pages = Array.from({ length: count }, (_, i) => this.#file.page(first + i));
    return Buffer.concat(pages).subarray(HEADER_BYTES, HEADER_BYTES + size);
  }

  /** Single pages, and runs as a negative length before the first page; zeros are empty places. */
  #freePages(value: Buffer): void {
    const count = value.length % 8 === 0 && value.length > 0 ? u64(value, 0) : Number.POSITIVE_INFINITY;
    if (count > value.length / 8 - 1) throw this.#damaged('a list of free pages is cut short');
    for (let i = 1; count >= i; i++) {
      const entry = value.readBigInt64LE(8 * i);
      if (entry > 0n) this.#take(Number(entry), 1);
      else if (0n > entry) {
        i++;
        if (i > count) throw this.#damaged('a list of free pages is cut short');
        this.#take(u64(value, 8 * i), Number(-entry));
      }
    }
  }
}

interface Node {
  readonly key: Buffer;
  readonly flags: number;
  readonly size: number;
  readonly value: Buffer;
  readonly child: number;
}

/**
 * Whether entries follow each other without gaps. LMDB keeps them so, and when it removes one it moves the others by the length
 * that this one says it has: a wrong length would harm its neighbours later.
 */
function fill(extents: { readonly at: number; readonly end: number }[], from: number, to: number): boolean {
  extents.sort((a, b) => a.at - b.at);
  let filled = from;
  for (const { at, end } of extents) {
    if (at !== filled) return false;
    filled = end;
  }
  return filled === to;
}

function isBetween(
  compare: Walk['compare'],
  key: Buffer,
  from: Buffer | undefined,
  exclusive: boolean,
  to: Buffer | undefined,
): boolean {
  if (from) {
    const order = compare(from, key);
    if (order > 0 || (exclusive && order === 0)) return false;
  }
  return !to || 0 > compare(key, to);
}

function readTree(bytes: Buffer, at: number): Tree {
  return {
    flags: bytes.readUInt16LE(at + 4),
    depth: bytes.readUInt16LE(at + 6),
    branchPages: u64(bytes, at + 8),
    leafPages: u64(bytes, at + 16),
    overflowPages: u64(bytes, at + 24),
    entries: u64(bytes, at + 32),
    root: bytes.readBigUInt64LE(at + 40) === NONE ? undefined : u64(bytes, at + 40),
  };
}

/** Exact up to 2^53; anything above is no page and no count. */
function u64(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 2 ** 32;
}
