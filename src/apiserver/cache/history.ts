// The newest changes of one resource, for watches that resume.
import { invariant } from '../../lib/assert.ts';
import type { Revision } from '../../store/contract.ts';
import type { ObjectEvent } from './event.ts';

/** So many changes of a resource are kept. */
export const HISTORY_EVENTS = 10_000;
/** And so many bytes of the objects as stored; what is derived from them comes to a few times that. */
export const HISTORY_BYTES = 8 * 1024 * 1024;
/** However big the objects are, so many changes are kept. */
const HISTORY_MINIMUM = 100;
/** So many of the newest changes keep what was made of them for their watchers: parsed objects, mostly. */
const HOT_EVENTS = 500;
/** When there is more, this share goes at once, so that cutting costs little for each change. */
const CUT_SHARE = 0.1;

export class History {
  #events: ObjectEvent[] = [];
  #sizes: number[] = [];
  #bytes = 0;
  /** How many of the oldest have let go of that. */
  #cold = 0;
  /** Every change after this revision is here. */
  #floor: Revision;

  constructor(floor: Revision) {
    this.#floor = floor;
  }

  get floor(): Revision {
    return this.#floor;
  }

  /** `bytes`: the object's size as stored. */
  add(event: ObjectEvent, bytes: number): void {
    const last = this.#events.at(-1)?.revision;
    const follows = last === undefined ? event.revision > this.#floor : event.revision >= last;
    invariant(follows, 'changes come in order of revision');
    this.#events.push(event);
    this.#sizes.push(bytes);
    this.#bytes += bytes;
    while (this.#events.length - HOT_EVENTS > this.#cold) this.#events[this.#cold++]!.cool();
    if (this.#events.length > HISTORY_EVENTS * (1 + CUT_SHARE) || this.#bytes > HISTORY_BYTES) this.#cut();
  }

  #cut(): void {
    const keptBytes = HISTORY_BYTES * (1 - CUT_SHARE);
    const most = this.#events.length - HISTORY_MINIMUM;
    let gone = 0;
    while (most > gone && (this.#events.length - gone > HISTORY_EVENTS || this.#bytes > keptBytes)) {
      this.#bytes -= this.#sizes[gone]!;
      gone++;
    }
    if (gone === 0) return;
    this.#floor = this.#events[gone - 1]!.revision;
    this.#events = this.#events.slice(gone);
    this.#sizes = this.#sizes.slice(gone);
    this.#cold = Math.max(0, this.#cold - gone);
  }

  /** Up to `limit` changes after a revision, and those that share the last one's revision. */
  after(revision: Revision, limit: number): readonly ObjectEvent[] {
    const events = this.#events;
    let low = 0;
    let high = events.length;
    while (low !== high) {
      const middle = (low + high) >>> 1;
      if (events[middle]!.revision > revision) high = middle;
      else low = middle + 1;
    }
    let end = Math.min(low + limit, events.length);
    while (end > low && events.length > end && events[end]!.revision === events[end - 1]!.revision) end++;
    return events.slice(low, end);
  }

  reset(floor: Revision): void {
    this.#events = [];
    this.#sizes = [];
    this.#bytes = 0;
    this.#cold = 0;
    this.#floor = floor;
  }
}
