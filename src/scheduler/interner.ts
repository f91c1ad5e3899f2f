/** Gives equal texts the same small number, from 0 up, in order of first sight. It forgets only what it is told to. */
export class Interner {
  readonly #ids = new Map<string, number>();
  readonly #texts: string[] = [];

  constructor(texts: readonly string[] = []) {
    for (const text of texts) this.id(text);
  }

  id(text: string): number {
    let id = this.#ids.get(text);
    if (id === undefined) {
      id = this.#texts.length;
      this.#ids.set(text, id);
      this.#texts.push(text);
    }
    return id;
  }

  /** The number of a text that has one. */
  known(text: string): number | undefined {
    return this.#ids.get(text);
  }

  /** Gives the number of a text that is no more to another. */
  reuse(id: number, text: string): void {
    this.#ids.delete(this.#texts[id]!);
    this.#ids.set(text, id);
    this.#texts[id] = text;
  }

  text(id: number): string {
    return this.#texts[id]!;
  }

  get size(): number {
    return this.#texts.length;
  }
}
