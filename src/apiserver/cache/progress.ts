// How far the caches have followed the store.
import { abortable } from '../../lib/abort.ts';
import { invariant } from '../../lib/assert.ts';
import type { Revision } from '../../store/contract.ts';

interface Waiting {
  readonly revision: Revision;
  readonly reached: () => void;
}

export class Progress {
  #revision: Revision;
  #waiting: Waiting[] = [];

  constructor(revision: Revision) {
    this.#revision = revision;
  }

  get revision(): Revision {
    return this.#revision;
  }

  advance(to: Revision): void {
    invariant(to >= this.#revision, 'the caches never go back');
    this.#revision = to;
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const one of waiting) {
      if (to >= one.revision) one.reached();
      else this.#waiting.push(one);
    }
  }

  async reached(revision: Revision, signal: AbortSignal): Promise<void> {
    if (this.#revision >= revision) return;
    let waiting: Waiting | undefined;
    const reached = new Promise<void>((resolve) => {
      waiting = { revision, reached: resolve };
      this.#waiting.push(waiting);
    });
    try {
      await abortable(reached, signal);
    } catch (error) {
      this.#waiting = this.#waiting.filter((one) => one !== waiting);
      throw error;
    }
  }
}
