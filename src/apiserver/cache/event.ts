// One change of one object, with what watchers receive of it, each form made once for all of them.
import type { Revision } from '../../store/contract.ts';
import type { CachedObject, CacheEvent, WatchDelivery } from '../contract.ts';
import type { Matcher } from './matching.ts';

type Delivery = Exclude<WatchDelivery, { type: 'BOOKMARK' }>;

/** An object of the cache. History keeps it: it holds its bytes once, and what is derived from them only while it is current. */
export interface Versioned extends CachedObject {
  /** The same contents as of another revision. */
  asOf(revision: Revision): CachedObject;
}

export class ObjectEvent implements CacheEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: CachedObject;
  readonly previous: Versioned | undefined;
  readonly revision: Revision;
  #same: Delivery | undefined;
  #entered: Delivery | undefined;
  #left: Delivery | undefined;

  constructor(event: CacheEvent & { readonly previous: Versioned | undefined }) {
    this.type = event.type;
    this.object = event.object;
    this.previous = event.previous;
    this.revision = event.revision;
  }

  /** What a watcher receives that sees the objects that match: beginning and ceasing to match are ADDED and DELETED. */
  deliveryTo(matches: Matcher | undefined): Delivery | undefined {
    if (!matches) return this.#unchanged();
    const now = this.type !== 'DELETED' && matches(this.object);
    const before = this.previous !== undefined && matches(this.previous);
    if (now && before) return this.#unchanged();
    if (now) {
      this.#entered ??= { type: 'ADDED', object: this.object, revision: this.revision };
      return this.#entered;
    }
    if (!before) return undefined;
    this.#left ??= { type: 'DELETED', object: this.#departed(), revision: this.revision };
    return this.#left;
  }

  /** The object before the change, as of the change's revision. */
  #departed(): CachedObject {
    return this.type === 'DELETED' ? this.object : this.previous!.asOf(this.revision);
  }

  #unchanged(): Delivery {
    this.#same ??= { type: this.type, object: this.object, revision: this.revision };
    return this.#same;
  }
}
