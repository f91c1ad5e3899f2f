// All objects of one resource in memory, in key order, with their newest changes and their watchers.
import type { KubeObject } from '../../api/object.ts';
import { InvariantError, invariant } from '../../lib/assert.ts';
import type { Log } from '../../lib/log.ts';
import { inSlices, turns } from '../../lib/turns.ts';
import { type Revision, type Stored, type StoreEvent, TooOldError } from '../../store/contract.ts';
import { SortedEntries } from '../../store/sorted.ts';
import type { CachedObject, Filter, ResourceCache } from '../contract.ts';
import { PlacedObject } from './cached-object.ts';
import { ObjectEvent } from './event.ts';
import { History } from './history.ts';
import { REGISTRY_ROOT } from './keys.ts';
import { type Fields, type Matcher, matcherOf, parses } from './matching.ts';
import type { Progress } from './progress.ts';
import { type WatcherOptions, Watchers } from './watchers.ts';

interface Entry {
  readonly key: string;
  object: PlacedObject;
}

/** So many new objects may be parsed by the list itself. */
const PARSED_AT_ONCE = 20;
/** A collection of more is listed at most once in a round of the event loop. */
const LISTED_AT_ONCE = 500;
/** Bytes of JSON parsed in one slice: one or two milliseconds. */
const PARSED_PER_SLICE_BYTES = 128 * 1024;

export class StoredResourceCache implements ResourceCache {
  /** Of every key; ends with a slash. */
  readonly #root: string;
  readonly #progress: Progress;
  readonly #fieldsOf: (object: KubeObject) => Fields;
  readonly #history: History;
  readonly #watchers: Watchers;
  #entries = new Map<string, Entry>();
  #sorted = new SortedEntries<Entry>();
  /** How many objects at most have come since all were parsed. */
  #unseen = 0;
  #retired = false;

  constructor(prefix: string, progress: Progress, fieldsOf: (object: KubeObject) => Fields, log: Log) {
    this.#root = `${REGISTRY_ROOT}${prefix}/`;
    this.#progress = progress;
    this.#fieldsOf = fieldsOf;
    this.#history = new History(progress.revision);
    this.#watchers = new Watchers(this.#history, fieldsOf, log);
  }

  get revision(): Revision {
    return this.#progress.revision;
  }

  get size(): number {
    return this.#sorted.size;
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  get(namespace: string | undefined, name: string): CachedObject | undefined {
    return this.at(this.#keyOf(namespace, name));
  }

  at(key: string): CachedObject | undefined {
    return this.#entries.get(key)?.object;
  }

  /** With selectors, or a name without its namespace, `remaining` says only whether more follow: 1 or 0. */
  list(
    filter: Filter,
    page: { after?: string; limit?: number } = {},
  ): { items: readonly CachedObject[]; remaining: number } {
    const { namespace, name, labels, fields } = filter;
    const prefix = namespace === undefined ? this.#root : `${this.#root}${namespace}/`;
    const rest = { ...(name !== undefined && { name }), ...(labels && { labels }), ...(fields && { fields }) };
    const matches = matcherOf(rest, this.#fieldsOf);
    if (name !== undefined && namespace !== undefined) return this.#one(filter, matches, page.after);
    const limit = page.limit ?? Number.POSITIVE_INFINITY;
    const items: CachedObject[] = [];
    for (const { object } of this.#sorted.range(prefix, page.after)) {
      if (matches && !matches(object)) continue;
      if (items.length === limit) {
        return { items, remaining: matches ? 1 : this.#sorted.count(prefix, items.at(-1)?.key ?? page.after) };
      }
      items.push(object);
    }
    return { items, remaining: 0 };
  }

  async prepare(filter: Filter): Promise<void> {
    const { namespace, name, labels, fields } = filter;
    if (name !== undefined) return;
    // Going through many objects takes a while too.
    if (this.size > LISTED_AT_ONCE) await turns.next();
    if (!parses(filter) || this.#unseen <= PARSED_AT_ONCE) return;
    const unseen = this.#unseen;
    const prefix = namespace === undefined ? this.#root : `${this.#root}${namespace}/`;
    const unparsed: CachedObject[] = [];
    for (const { object } of this.#sorted.range(prefix)) if (!object.parsed) unparsed.push(object);
    const matches = matcherOf({ ...(labels && { labels }), ...(fields && { fields }) }, this.#fieldsOf);
    await inSlices(unparsed, PARSED_PER_SLICE_BYTES, (object) => {
      matches?.(object);
      return object.bytes.length;
    });
    if (namespace === undefined) this.#unseen -= unseen;
    if (this.size > LISTED_AT_ONCE) await turns.next();
  }

  reached(revision: Revision, signal: AbortSignal): Promise<void> {
    return this.#progress.reached(revision, signal);
  }

  watch(options: WatcherOptions): void {
    // Whoever found the cache before it was let go of would wait here for changes that come to another one.
    if (this.#retired) throw new TooOldError(this.#history.floor);
    this.#watchers.add(options);
  }

  /** Takes what the store holds at the beginning. */
  load(stored: Stored, namespace: string | undefined): void {
    invariant(!this.#entries.has(stored.key), 'a list names a key once');
    this.#unseen++;
    this.#add(stored.key, new PlacedObject(stored, namespace));
  }

  /** Applies the store's next change of this resource. */
  apply(event: StoreEvent, namespace: string | undefined): void {
    const key = event.type === 'put' ? event.stored.key : event.key;
    this.#unseen++;
    const entry = this.#entries.get(key);
    const previous = entry?.object;
    if (previous?.revision !== event.previous?.revision) {
      const is = `${key} is at ${previous?.revision}, the store had ${event.previous?.revision}`;
      throw new InvariantError(`a change follows what the cache holds: ${is}`);
    }
    const change = event.type === 'put' ? this.#put(event, namespace, entry) : this.#delete(event, previous);
    const stored = event.type === 'put' ? event.stored : event.previous;
    this.#history.add(change, stored.value.length);
    this.#watchers.dispatch(change);
    previous?.release();
  }

  #put(
    event: Extract<StoreEvent, { type: 'put' }>,
    namespace: string | undefined,
    entry: Entry | undefined,
  ): ObjectEvent {
    const { key, revision } = event.stored;
    const object = new PlacedObject(event.stored, namespace);
    const previous = entry?.object;
    if (entry) entry.object = object;
    else this.#add(key, object);
    return new ObjectEvent({ type: previous ? 'MODIFIED' : 'ADDED', object, previous, revision });
  }

  #delete(event: Extract<StoreEvent, { type: 'delete' }>, previous: PlacedObject | undefined): ObjectEvent {
    invariant(previous, 'what is deleted was there');
    this.#entries.delete(event.key);
    this.#sorted.remove(event.key);
    const { revision } = event;
    return new ObjectEvent({ type: 'DELETED', object: previous.asOf(revision), previous, revision });
  }

  /** Forgets everything; a load follows, and the end of the watches, which cannot know what came between. */
  reset(revision: Revision): void {
    this.#entries = new Map();
    this.#sorted = new SortedEntries();
    this.#history.reset(revision);
  }

  /** Nothing comes here any more: watches end, and none begins. */
  retire(): void {
    this.#retired = true;
    this.endWatches();
  }

  endWatches(): void {
    this.#watchers.endAll(new TooOldError(this.#history.floor));
  }

  #one(
    { namespace, name }: Filter,
    matches: Matcher | undefined,
    after: string | undefined,
  ): { items: readonly CachedObject[]; remaining: number } {
    const found = this.get(namespace, name!);
    const wanted = found && !(after !== undefined && after >= found.key) && (!matches || matches(found));
    return { items: wanted ? [found] : [], remaining: 0 };
  }

  #keyOf(namespace: string | undefined, name: string): string {
    return namespace === undefined ? this.#root + name : `${this.#root}${namespace}/${name}`;
  }

  #add(key: string, object: PlacedObject): void {
    const entry = { key, object };
    this.#entries.set(key, entry);
    this.#sorted.add(entry);
  }
}
