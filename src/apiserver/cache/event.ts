// One change of one object, with what watchers receive of it, each form made once for all of them.
import type { Revision } from '../../store/contract.ts';
import type { CachedObject, CacheEvent, WatchDelivery } from '../contract.ts';
import type { Matcher } from './matching.ts';

type Delivery = Exclude<WatchDelivery, { type: 'BOOKMARK' }>;

export class ObjectEvent implements CacheEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: CachedObject;
  readonly previous: CachedObject | undefined;
  readonly revision: Revision;
  /** The object before the change, as of the change's revision. */
  readonly #departed: () => CachedObject;
  #same: Delivery | undefined;
  #entered: Delivery | undefined;
  #left: Delivery | undefined;

  constructor(event: CacheEvent, departed: () => CachedObject) {
    this.type = event.type;
    this.object = event.object;
    this.previous = event.previous;
    this.revision = event.revision;
    this.#departed = departed;
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

  #unchanged(): Delivery {
    this.#same ??= { type: this.type, object: this.object, revision: this.revision };
    return this.#same;
  }
}
