// Informers without an API server, for tests: their objects are what the test puts in.
import type { ResourceTypes } from '../api/generated/types.ts';
import type { KubeObject } from '../api/object.ts';
import type { Informer, Informers, ResourceCoordinates } from '../client/contract.ts';
import { ObjectIndex } from '../client/object-index.ts';
import { silentLog } from '../lib/log.ts';

export class PlainInformers implements Informers {
  readonly #indexes = new Map<string, ObjectIndex>();
  #version = 0;

  for<K extends keyof ResourceTypes>(key: K): Informer<ResourceTypes[K]> {
    return this.#index(key) as unknown as Informer<ResourceTypes[K]>;
  }

  dynamic(resource: ResourceCoordinates): Informer<KubeObject> {
    return this.#index(resource.group ? `${resource.resource}.${resource.group}` : resource.resource);
  }

  metadata(resource: keyof ResourceTypes | ResourceCoordinates): Informer<KubeObject> {
    return typeof resource === 'string' ? this.#index(resource) : this.dynamic(resource);
  }

  /** Everything is known from the beginning. */
  async start(): Promise<void> {
    await Promise.resolve();
  }

  put<K extends keyof ResourceTypes>(key: K, ...objects: readonly ResourceTypes[K][]): void {
    const versioned = (objects as readonly KubeObject[]).map((object) => ({
      ...object,
      metadata: { ...object.metadata, resourceVersion: String(++this.#version) },
    }));
    this.#index(key).apply(versioned.map((object) => ({ type: 'MODIFIED', object })));
  }

  remove<K extends keyof ResourceTypes>(key: K, object: ResourceTypes[K]): void {
    this.#index(key).apply([{ type: 'DELETED', object: object as KubeObject }]);
  }

  #index(key: string): ObjectIndex {
    let index = this.#indexes.get(key);
    if (!index) {
      index = new ObjectIndex(silentLog);
      this.#indexes.set(key, index);
    }
    return index;
  }
}
