/** A binary heap of items with keys: the smallest first; any item can be taken out by its key. */
export class Heap<T> {
  readonly #compare: (a: T, b: T) => number;
  readonly #keyOf: (item: T) => string;
  readonly #items: T[] = [];
  readonly #index = new Map<string, number>();

  constructor(keyOf: (item: T) => string, compare: (a: T, b: T) => number) {
    this.#keyOf = keyOf;
    this.#compare = compare;
  }

  get size(): number {
    return this.#items.length;
  }

  peek(): T | undefined {
    return this.#items[0];
  }

  get(key: string): T | undefined {
    const at = this.#index.get(key);
    return at === undefined ? undefined : this.#items[at];
  }

  /** Adds the item, in place of the one with its key. */
  add(item: T): void {
    this.delete(this.#keyOf(item));
    this.#place(this.#items.length, item);
    this.#up(this.#items.length - 1);
  }

  pop(): T | undefined {
    const first = this.#items[0];
    if (first !== undefined) this.delete(this.#keyOf(first));
    return first;
  }

  delete(key: string): T | undefined {
    const at = this.#index.get(key);
    if (at === undefined) return undefined;
    const item = this.#items[at]!;
    const last = this.#items.pop()!;
    this.#index.delete(key);
    if (at < this.#items.length) {
      this.#place(at, last);
      this.#up(at);
      this.#down(this.#index.get(this.#keyOf(last))!);
    }
    return item;
  }

  #place(at: number, item: T): void {
    this.#items[at] = item;
    this.#index.set(this.#keyOf(item), at);
  }

  #up(from: number): void {
    let at = from;
    const item = this.#items[at]!;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#compare(this.#items[parent]!, item) <= 0) break;
      this.#place(at, this.#items[parent]!);
      at = parent;
    }
    this.#place(at, item);
  }

  #down(from: number): void {
    let at = from;
    const item = this.#items[at]!;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.#items.length) break;
      const right = child + 1;
      if (right < this.#items.length && this.#compare(this.#items[right]!, this.#items[child]!) < 0) child = right;
      if (this.#compare(item, this.#items[child]!) <= 0) break;
      this.#place(at, this.#items[child]!);
      at = child;
    }
    this.#place(at, item);
  }
}
