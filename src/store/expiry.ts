// Which keys are to be deleted when: a heap by time.
import type { Revision } from './contract.ts';

export interface Expiring {
  readonly atMs: number;
  readonly key: string;
  /** The write that set the time; a later write of the key makes this entry void. */
  readonly revision: Revision;
}

/** A binary heap, earliest first. Void entries stay until their time comes. */
export class ExpiryQueue {
  readonly #heap: Expiring[] = [];

  get next(): Expiring | undefined {
    return this.#heap[0];
  }

  push(entry: Expiring): void {
    const heap = this.#heap;
    heap.push(entry);
    let i = heap.length - 1;
    while (i > 0) {
      const parent = (i - 1) >>> 1;
      if (entry.atMs >= heap[parent]!.atMs) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = entry;
  }

  pop(): Expiring | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (!first || !last || heap.length === 0) return first;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right && heap[child]!.atMs > right.atMs) child++;
      if (heap[child]!.atMs >= last.atMs) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
    return first;
  }
}
