// The newest changes of one resource, for watches that resume.
import { invariant } from '../../lib/assert.ts';
import type { Revision } from '../../store/contract.ts';
import type { ObjectEvent } from './event.ts';

/** So many changes of a resource are kept. */
export const HISTORY_EVENTS = 10_000;
/** They are cut back to HISTORY_EVENTS when there are more by this. */
const HISTORY_SLACK = 1_000;

export class History {
  #events: ObjectEvent[] = [];
  /** Every change after this revision is here. */
  #floor: Revision;

  constructor(floor: Revision) {
    this.#floor = floor;
  }

  get floor(): Revision {
    return this.#floor;
  }

  add(event: ObjectEvent): void {
    invariant(event.revision > (this.#events.at(-1)?.revision ?? this.#floor), 'changes come in order of revision');
    this.#events.push(event);
    if (HISTORY_EVENTS + HISTORY_SLACK > this.#events.length) return;
    const kept = this.#events.length - HISTORY_EVENTS;
    this.#floor = this.#events[kept - 1]!.revision;
    this.#events = this.#events.slice(kept);
  }

  /** Up to `limit` changes after a revision. */
  after(revision: Revision, limit: number): readonly ObjectEvent[] {
    const events = this.#events;
    let low = 0;
    let high = events.length;
    while (low !== high) {
      const middle = (low + high) >>> 1;
      if (events[middle]!.revision > revision) high = middle;
      else low = middle + 1;
    }
    return events.slice(low, low + limit);
  }

  reset(floor: Revision): void {
    this.#events = [];
    this.#floor = floor;
  }
}
