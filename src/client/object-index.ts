import { type KubeObject, keyOf } from '../api/object.ts';
import { abortable } from '../lib/abort.ts';
import type { Log } from '../lib/log.ts';
import { nextTurn } from '../lib/turns.ts';
import type { Informer, InformerHandlers, WatchEvent } from './contract.ts';

interface Index {
  readonly values: (object: KubeObject) => readonly string[];
  readonly buckets: Map<string, Map<string, KubeObject>>;
}

/** Objects put in between two turns of the event loop while a list is taken in. */
const OBJECTS_PER_TURN = 500;

const NAMESPACE = '';

/** The objects of one informer by key and by index, and those who want to hear of changes. */
export class ObjectIndex implements Informer<KubeObject> {
  readonly #log: Log;
  readonly #objects = new Map<string, KubeObject>();
  readonly #indexes = new Map<string, Index>();
  readonly #handlers = new Set<InformerHandlers<KubeObject>>();
  #all: readonly KubeObject[] | undefined;
  #resourceVersion = '';
  #synced = Promise.withResolvers<void>();
  #isSynced = false;

  constructor(log: Log) {
    this.#log = log;
    this.addIndex(NAMESPACE, (object) => (object.metadata.namespace ? [object.metadata.namespace] : []));
  }

  get synced(): boolean {
    return this.#isSynced;
  }

  get resourceVersion(): string {
    return this.#resourceVersion;
  }

  whenSynced(signal: AbortSignal): Promise<void> {
    return this.#isSynced ? Promise.resolve() : abortable(this.#synced.promise, signal);
  }

  get(key: string): KubeObject | undefined {
    return this.#objects.get(key);
  }

  list(namespace?: string): readonly KubeObject[] {
    if (namespace !== undefined) return this.byIndex(NAMESPACE, namespace);
    this.#all ??= [...this.#objects.values()];
    return this.#all;
  }

  byIndex(index: string, value: string): readonly KubeObject[] {
    const found = this.#indexes.get(index);
    if (!found) throw new Error(`this informer has no index "${index}"`);
    const bucket = found.buckets.get(value);
    return bucket ? [...bucket.values()] : [];
  }

  addIndex(name: string, values: (object: KubeObject) => readonly string[]): void {
    if (this.#indexes.has(name)) return;
    const index: Index = { values, buckets: new Map() };
    this.#indexes.set(name, index);
    for (const [key, object] of this.#objects) this.#insert(index, key, object);
  }

  subscribe(handlers: InformerHandlers<KubeObject>, signal: AbortSignal): void {
    if (signal.aborted) return;
    // A copy, so that the same handlers given twice are two subscriptions.
    const own = { ...handlers };
    this.#handlers.add(own);
    signal.addEventListener('abort', () => this.#handlers.delete(own), { once: true });
    for (const object of this.#objects.values()) this.#call(() => own.add?.(object));
  }

  /** Takes in events in order. */
  apply(batch: readonly WatchEvent<KubeObject>[]): void {
    for (const event of batch) {
      if (event.type === 'BOOKMARK') {
        this.#resourceVersion = event.resourceVersion;
        continue;
      }
      this.#resourceVersion = event.object.metadata.resourceVersion ?? this.#resourceVersion;
      if (event.type === 'DELETED') this.#remove(keyOf(event.object), event.object);
      else this.#put(event.object);
    }
  }

  /** Makes the objects those of a list: what is missing there is gone, with its last known state. */
  async replace(items: readonly KubeObject[], resourceVersion: string, signal: AbortSignal): Promise<void> {
    const listed = new Set<string>();
    let count = 0;
    for (const object of items) {
      const key = keyOf(object);
      listed.add(key);
      const known = this.#objects.get(key);
      if (known?.metadata.resourceVersion !== object.metadata.resourceVersion || known === undefined) this.#put(object);
      if (++count % OBJECTS_PER_TURN !== 0) continue;
      await nextTurn();
      signal.throwIfAborted();
    }
    for (const [key, object] of this.#objects) if (!listed.has(key)) this.#remove(key, object);
    this.#resourceVersion = resourceVersion;
    this.#isSynced = true;
    this.#synced.resolve();
  }

  /** Lets everything go, telling nobody: the informer has stopped. */
  reset(): void {
    this.#objects.clear();
    for (const index of this.#indexes.values()) index.buckets.clear();
    this.#all = undefined;
    this.#resourceVersion = '';
    if (!this.#isSynced) return;
    this.#isSynced = false;
    this.#synced = Promise.withResolvers<void>();
  }

  #put(object: KubeObject): void {
    const key = keyOf(object);
    const previous = this.#objects.get(key);
    if (previous && previous.metadata.uid !== object.metadata.uid) {
      // Deleted and made again while nobody watched: two things, told apart.
      this.#remove(key, previous);
      this.#put(object);
      return;
    }
    this.#objects.set(key, object);
    this.#all = undefined;
    for (const index of this.#indexes.values()) {
      if (previous) this.#take(index, key, previous);
      this.#insert(index, key, object);
    }
    for (const handler of this.#handlers) {
      this.#call(() => (previous ? handler.update?.(object, previous) : handler.add?.(object)));
    }
  }

  #remove(key: string, last: KubeObject): void {
    const previous = this.#objects.get(key);
    if (!previous) return;
    this.#objects.delete(key);
    this.#all = undefined;
    for (const index of this.#indexes.values()) this.#take(index, key, previous);
    for (const handler of this.#handlers) this.#call(() => handler.delete?.(last));
  }

  /** One handler's throw harms no other handler and no later event. */
  #call(handler: () => void): void {
    try {
      handler();
    } catch (error) {
      this.#log.error('event handler failed', error);
    }
  }

  #insert(index: Index, key: string, object: KubeObject): void {
    for (const value of this.#valuesOf(index, object)) {
      const bucket = index.buckets.get(value);
      if (bucket) bucket.set(key, object);
      else index.buckets.set(value, new Map([[key, object]]));
    }
  }

  #take(index: Index, key: string, object: KubeObject): void {
    for (const value of this.#valuesOf(index, object)) {
      const bucket = index.buckets.get(value);
      bucket?.delete(key);
      if (bucket?.size === 0) index.buckets.delete(value);
    }
  }

  /** An object that an index cannot take is missing from that index, and from nothing else. */
  #valuesOf(index: Index, object: KubeObject): readonly string[] {
    try {
      return index.values(object);
    } catch (error) {
      this.#log.error('an index cannot take an object', error, { object: keyOf(object) });
      return [];
    }
  }
}
