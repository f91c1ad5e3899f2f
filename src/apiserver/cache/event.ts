// One change of one object, with what watchers receive of it, each form made once for all of them.
import type { Revision } from '../../store/contract.ts';
import type { CachedObject, CacheEvent, WatchDelivery } from '../contract.ts';
import type { Matcher } from './matching.ts';

type Delivery = Exclude<WatchDelivery, { type: 'BOOKMARK' }>;

/** An object of the cache. History keeps it: it holds its bytes once, and what is derived from them only while it is current. */
export interface Versioned extends CachedObject {
  /** The same contents as of another revision. */
  asOf(revision: Revision): Versioned;
  /** Lets go of what was made of the bytes, when it is no longer current. */
  cool(): void;
}

export class ObjectEvent implements CacheEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: Versioned;
  readonly previous: Versioned | undefined;
  readonly revision: Revision;
  #same: Delivery | undefined;
  #entered: Delivery | undefined;
  #left: Delivery | undefined;
  #departedObject: Versioned | undefined;

  constructor(event: CacheEvent & { readonly object: Versioned; readonly previous: Versioned | undefined }) {
    this.type = event.type;
    this.object = event.object;
    this.previous = event.previous;
    this.revision = event.revision;
  }

  /**
   * Its watchers have had it: those that come later are few. What they were shown of former states is not kept for as long
   * as history lasts.
   */
  cool(): void {
    this.object.cool();
    this.previous?.cool();
    this.#departedObject?.cool();
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
    this.#departedObject ??= this.type === 'DELETED' ? this.object : this.previous!.asOf(this.revision);
    return this.#departedObject;
  }

  #unchanged(): Delivery {
    this.#same ??= { type: this.type, object: this.object, revision: this.revision };
    return this.#same;
  }
}
