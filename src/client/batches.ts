/** Events that may wait for a reader; a reader further behind is told that its watch expired, and lists again. */
export const WATCH_READER_BUFFER = 50_000;

/**
 * Carries batches from a producer that never waits to one reader, who gets at once all that has gathered. `overflow` makes
 * the error that the reader gets when it falls behind.
 */
export class Batches<T> implements AsyncIterable<readonly T[]> {
  readonly #bound: number;
  readonly #overflow: () => Error;
  #gathered: T[] = [];
  #ended: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;

  constructor(bound: number, overflow: () => Error) {
    this.#bound = bound;
    this.#overflow = overflow;
  }

  push(batch: readonly T[]): void {
    if (this.#ended) return;
    if (this.#gathered.length + batch.length > this.#bound) {
      this.#gathered = [];
      this.end(this.#overflow());
      return;
    }
    for (const one of batch) this.#gathered.push(one);
    this.#wake?.();
  }

  /** Nothing follows; what has gathered is still read, then the error is thrown if there is one. */
  end(error?: unknown): void {
    this.#ended ??= { error };
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly T[]> {
    for (;;) {
      if (this.#gathered.length > 0) {
        const batch = this.#gathered;
        this.#gathered = [];
        yield batch;
      } else if (this.#ended) {
        if (this.#ended.error !== undefined) throw this.#ended.error;
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    }
  }
}
