// List and watch, kept up to date and shared: one informer a resource, however many ask for it.
import type { ResourceTypes } from '../api/generated/types.ts';
import type { KubeObject } from '../api/object.ts';
import type { Tables } from '../api/tables.ts';
import type { BackoffPolicy } from '../lib/backoff.ts';
import type { Environment } from '../lib/environment.ts';
import type { Client, Informer, Informers, ResourceCoordinates } from './contract.ts';
import { coordinatesKey, rowOfKey } from './coordinates.ts';
import { ListWatch, type Selected } from './list-watch.ts';
import { ObjectIndex } from './object-index.ts';

export interface InformersOptions {
  readonly client: Client;
  readonly tables: Tables;
  readonly env: Environment;
  /** Between failed lists and watches; default: RELIST_BACKOFF. */
  readonly backoff?: BackoffPolicy;
}

export function makeInformers(options: InformersOptions): Informers {
  return new SharedInformers(options);
}

class SharedInformers implements Informers {
  readonly #options: InformersOptions;
  /** By resource and what is kept of it. */
  readonly #known = new Map<string, SharedInformer>();
  /** Also those that are let go of, as long as somebody has them. */
  readonly #of = new WeakMap<object, SharedInformer>();

  constructor(options: InformersOptions) {
    this.#options = options;
  }

  for<K extends keyof ResourceTypes>(key: K, fieldSelector?: string): Informer<ResourceTypes[K]> {
    const row = rowOfKey(this.#options.tables, key);
    const selected = fieldSelector === undefined ? {} : { fieldSelector };
    return this.#informer(row, selected) as unknown as Informer<ResourceTypes[K]>;
  }

  dynamic(resource: ResourceCoordinates): Informer<KubeObject> {
    return this.#informer(resource);
  }

  metadata(resource: keyof ResourceTypes | ResourceCoordinates): Informer<KubeObject> {
    const row = typeof resource === 'string' ? rowOfKey(this.#options.tables, resource) : resource;
    return this.#known.get(coordinatesKey(row))?.index ?? this.#informer(row, { metadataOnly: true });
  }

  async start(signal: AbortSignal, only?: readonly object[]): Promise<void> {
    const informers = only ? only.map((index) => this.#of.get(index)) : [...this.#known.values()];
    await Promise.all(informers.map((one) => one?.hold(signal)));
  }

  #informer(resource: ResourceCoordinates, selected: Selected = {}): ObjectIndex {
    const { metadataOnly = false, fieldSelector = '' } = selected;
    const key = [coordinatesKey(resource), ...(metadataOnly ? ['metadata'] : []), fieldSelector].join(' ').trimEnd();
    let informer = this.#known.get(key);
    if (!informer) {
      informer = new SharedInformer(this.#options, resource, selected, () => this.#letGo(key, resource));
      this.#known.set(key, informer);
      this.#of.set(informer.index, informer);
    }
    return informer.index;
  }

  /** Custom resources come and go: nobody may ask for this one again. */
  #letGo(key: string, { group, version, resource }: ResourceCoordinates): void {
    const row = this.#options.tables.resource(group, version, resource);
    if (row === undefined || row.custom) this.#known.delete(key);
  }
}

/**
 * Runs one list and watch while anyone holds it: each `hold` lasts as long as its signal. When the last one ends the objects
 * are let go, and a later hold begins from a list.
 */
class SharedInformer {
  readonly index: ObjectIndex;
  readonly #listWatch: ListWatch;
  readonly #holds = new Set<AbortSignal>();
  #running: AbortController | undefined;
  #ended: Promise<void> = Promise.resolve();

  readonly #unused: () => void;

  /** `unused` is called when the last hold has ended. */
  constructor(
    { client, env, backoff }: InformersOptions,
    resource: ResourceCoordinates,
    selected: Selected,
    unused: () => void,
  ) {
    this.#unused = unused;
    const log = env.log.child('informer', { resource: coordinatesKey(resource) });
    this.index = new ObjectIndex(log);
    this.#listWatch = new ListWatch({
      client: client.dynamic(resource),
      env: { ...env, log },
      index: this.index,
      backoff,
      selected: { ...selected, unmanaged: true },
    });
  }

  /** Resolves when the first list is in; rejects when the signal aborts before. */
  async hold(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!this.#holds.has(signal)) {
      this.#holds.add(signal);
      signal.addEventListener('abort', () => this.#release(signal), { once: true });
    }
    this.#running ??= this.#begin();
    await this.index.whenSynced(signal);
  }

  #begin(): AbortController {
    const running = new AbortController();
    // One run ends wholly before the next begins, so that no late event of the former reaches the index.
    this.#ended = this.#ended.then(() => this.#listWatch.run(running.signal));
    return running;
  }

  #release(signal: AbortSignal): void {
    this.#holds.delete(signal);
    if (this.#holds.size > 0) return;
    this.#running?.abort();
    this.#running = undefined;
    this.index.reset();
    this.#unused();
  }
}
