// The caches of all resources, fed by one watch over the store.
import type { KubeObject } from '../../api/object.ts';
import type { Resource, Tables } from '../../api/tables.ts';
import { InvariantError, invariant } from '../../lib/assert.ts';
import { type BackoffPolicy, backoffMs } from '../../lib/backoff.ts';
import { sleep } from '../../lib/clock.ts';
import type { Environment } from '../../lib/environment.ts';
import type { Log } from '../../lib/log.ts';
import { nextTurn } from '../../lib/turns.ts';
import {
  type Revision,
  type Store,
  type Stored,
  type StoreEvent,
  StoreUnavailableError,
  TooOldError,
} from '../../store/contract.ts';
import type { CacheSet, ResourceCache } from '../contract.ts';
import { storeError } from '../store-error.ts';
import { partsOf, REGISTRY_ROOT } from './keys.ts';
import type { Fields } from './matching.ts';
import { Progress } from './progress.ts';
import { StoredResourceCache } from './resource-cache.ts';

/** So many changes from before the start are replayed, so that watches resume over a restart of the server. */
const REPLAYED_EVENTS = 10_000;
/** Keys a page when the store is listed. */
const LIST_PAGE = 5_000;
/** A batch of so many changes is followed by a pause, in which the event loop may do other things. */
const EVENTS_PER_TURN = 500;
const FOLLOW_BACKOFF: BackoffPolicy = { initialMs: 50, maximumMs: 5_000, factor: 2, jitter: 0.2 };
/** How often a list at the start of history is tried while history is being forgotten. */
const LIST_ATTEMPTS = 5;

/** Finds an object's selectable fields, metadata.name and metadata.namespace included. */
export type FieldsOf = (resource: Resource, object: KubeObject) => Fields;

/**
 * Fills the caches and keeps them up to date until the signal aborts. Resolves when they show the store's present. When the
 * store cannot be watched for a while they fall behind, and reads that must be fresh wait. A broken invariant goes to
 * `broken`, which ends the process unless told otherwise.
 */
export async function startCaches(
  store: Store,
  tables: Tables,
  fieldsOf: FieldsOf,
  env: Pick<Environment, 'clock' | 'random' | 'log'>,
  signal: AbortSignal,
  broken: (error: unknown) => void = endProcess,
): Promise<StoreCaches> {
  const present = await store.revision(signal);
  const start = await listStart(store, present, signal);
  const caches = new StoreCaches(store, fieldsOf, env, start.revision);
  for (const resource of tables.resources()) if (resource.etcdPrefix !== undefined) caches.for(resource);
  caches.fill(start.items);
  const followed = caches.follow(signal);
  followed.catch(broken);
  await Promise.race([caches.reached(present, signal), followed]);
  return caches;
}

/** An exception that nobody catches. */
function endProcess(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}

/** The oldest state from which the present can be reached by replaying a bounded number of changes. */
async function listStart(store: Store, present: Revision, signal: AbortSignal): Promise<Listed> {
  let revision = Math.max(Math.min(1, present), present - REPLAYED_EVENTS);
  for (let attempt = 0; LIST_ATTEMPTS > attempt; attempt++) {
    try {
      return await listAll(store, revision, signal);
    } catch (error) {
      if (!(error instanceof TooOldError)) throw error;
      revision = error.compacted;
    }
  }
  return listAll(store, await store.revision(signal), signal);
}

interface Listed {
  readonly items: readonly Stored[];
  readonly revision: Revision;
}

async function listAll(store: Store, revision: Revision, signal: AbortSignal): Promise<Listed> {
  const items: Stored[] = [];
  for (;;) {
    const after = items.at(-1)?.key;
    const position = after === undefined ? {} : { after };
    const page = await store.list({ prefix: REGISTRY_ROOT, limit: LIST_PAGE, revision, signal, ...position });
    for (const item of page.items) items.push(item);
    if (page.remaining === 0) return { items, revision };
    invariant(page.items.length > 0, 'a page that others follow is not empty');
  }
}

export class StoreCaches implements CacheSet {
  readonly #store: Store;
  readonly #fieldsOf: FieldsOf;
  readonly #env: Pick<Environment, 'clock' | 'random' | 'log'>;
  readonly #log: Log;
  readonly #progress: Progress;
  /** By what keys share; those of custom resources come when the first key or the resource does. */
  readonly #caches = new Map<string, StoredResourceCache>();
  readonly #resources = new Map<string, Resource>();

  constructor(
    store: Store,
    fieldsOf: FieldsOf,
    env: Pick<Environment, 'clock' | 'random' | 'log'>,
    revision: Revision,
  ) {
    this.#store = store;
    this.#fieldsOf = fieldsOf;
    this.#env = env;
    this.#log = env.log.child('cache');
    this.#progress = new Progress(revision);
  }

  for(resource: Resource): ResourceCache {
    const prefix = resource.etcdPrefix;
    if (prefix === undefined) throw new Error(`${resource.resource} is not stored: it has no cache`);
    // The rows of a custom resource change with its definition: the one of the stored version tells the selectable fields.
    const current = resource.custom && resource.version === resource.custom.storageVersion;
    if (current || !this.#resources.has(prefix)) this.#resources.set(prefix, resource);
    return this.#cacheOf(prefix);
  }

  forget({ etcdPrefix: prefix }: Resource): void {
    const cache = prefix === undefined ? undefined : this.#caches.get(prefix);
    if (prefix === undefined || cache === undefined || cache.size > 0) return;
    this.#caches.delete(prefix);
    this.#resources.delete(prefix);
    cache.retire();
  }

  get fresh(): boolean {
    const { present } = this.#store;
    return present !== undefined && this.#progress.revision >= present;
  }

  async consistent(signal: AbortSignal): Promise<Revision> {
    const revision = await this.#store.revision(signal).catch((error) => {
      throw storeError(error);
    });
    await this.#progress.reached(revision, signal);
    return revision;
  }

  reached(revision: Revision, signal: AbortSignal): Promise<void> {
    return this.#progress.reached(revision, signal);
  }

  fill(items: readonly Stored[]): void {
    for (const stored of items) {
      const parts = partsOf(stored.key, this.#resources);
      if (parts) this.#cacheOf(parts.prefix).load(stored, parts.namespace);
    }
  }

  /** The cache of a prefix; a new one knows the history since now only, and there was nothing before. */
  #cacheOf(prefix: string): StoredResourceCache {
    let cache = this.#caches.get(prefix);
    if (!cache) {
      const fieldsOf = (object: KubeObject): Fields => {
        const resource = this.#resources.get(prefix);
        return resource ? this.#fieldsOf(resource, object) : {};
      };
      cache = new StoredResourceCache(prefix, this.#progress, fieldsOf, this.#log);
      this.#caches.set(prefix, cache);
    }
    return cache;
  }

  /** Resolves when the signal aborts; rejects when an invariant is broken. */
  async follow(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      try {
        await this.#watch(signal, () => {
          failures = 0;
        });
        if (!signal.aborted) throw new StoreUnavailableError('the watch of the store ended');
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof InvariantError) throw error;
        if (failures === 0) this.#log.warn('the watch of the store broke', { reason: String(error) });
        const delayMs = backoffMs(FOLLOW_BACKOFF, failures++, this.#env.random);
        const waited = await this.#again(error, delayMs, signal);
        if (!waited) return;
      }
    }
  }

  /** Follows the store, everything in it, so that its revision is reached whatever was written. */
  async #watch(signal: AbortSignal, onBatch: () => void): Promise<void> {
    for await (const batch of this.#store.watch({ prefix: '', after: this.#progress.revision, signal })) {
      onBatch();
      for (let i = 0; batch.length > i; ) {
        if (i > 0) await nextTurn();
        let end = Math.min(i + EVENTS_PER_TURN, batch.length);
        // Keys that expire together may share a revision, which is seen whole or not at all.
        while (batch.length > end && revisionOf(batch[end]!) === revisionOf(batch[end - 1]!)) end++;
        this.#apply(batch.slice(i, end));
        i = end;
      }
      if (batch.length >= EVENTS_PER_TURN) await nextTurn();
      if (signal.aborted) return;
    }
  }

  /** One stretch without waiting: readers see all of these changes or none. */
  #apply(events: readonly StoreEvent[]): void {
    const before = this.#progress.revision;
    let revision = before;
    for (const event of events) {
      const key = event.type === 'put' ? event.stored.key : event.key;
      const at = revisionOf(event);
      invariant(at > before && at >= revision, `a watch goes on: ${at} after ${revision}`);
      revision = at;
      const parts = partsOf(key, this.#resources);
      if (parts) this.#cacheOf(parts.prefix).apply(event, parts.namespace);
    }
    this.#progress.advance(revision);
  }

  /** Waits, and begins anew from a list where the history is gone. False: the signal aborted. */
  async #again(error: unknown, delayMs: number, signal: AbortSignal): Promise<boolean> {
    try {
      if (error instanceof TooOldError) await this.#relist(signal);
      else await sleep(this.#env.clock, delayMs, signal);
    } catch (again) {
      if (signal.aborted) return false;
      if (again instanceof InvariantError) throw again;
      this.#log.warn('the store cannot be listed', { reason: String(again) });
      await sleep(this.#env.clock, delayMs, signal).catch(() => undefined);
    }
    return !signal.aborted;
  }

  /** What came between is lost, and a watch skips nothing: all watches end, to begin again from a list. */
  async #relist(signal: AbortSignal): Promise<void> {
    const listed = await listAll(this.#store, await this.#store.revision(signal), signal);
    this.#log.warn('the caches begin anew', { revision: listed.revision });
    for (const cache of this.#caches.values()) cache.reset(listed.revision);
    this.fill(listed.items);
    this.#progress.advance(listed.revision);
    for (const cache of this.#caches.values()) cache.endWatches();
  }
}

function revisionOf(event: StoreEvent): Revision {
  return event.type === 'put' ? event.stored.revision : event.revision;
}
