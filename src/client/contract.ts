// How every component talks to the cluster. Two transports implement it (in-process and HTTPS); one suite tests both.
import type { ResourceTypes } from '../api/generated/types.ts';
import type { KubeObject } from '../api/object.ts';
import type { Guard } from '../store/contract.ts';

export interface ObjectReference {
  readonly namespace?: string | undefined;
  readonly name: string;
}

export interface ListQuery {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly limit?: number;
  readonly continue?: string;
  readonly resourceVersion?: string;
}

/** How much of the objects comes. */
export interface Extent {
  /** Only apiVersion, kind and metadata, perhaps without managedFields. */
  readonly metadataOnly?: boolean;
  /** Without managedFields, which take up much and which only writers look at. */
  readonly unmanaged?: boolean;
}

export interface WatchQuery extends Omit<ListQuery, 'limit' | 'continue'>, Extent {
  readonly allowWatchBookmarks?: boolean;
  readonly timeoutSeconds?: number;
}

export interface Listed<T> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
  readonly continue?: string;
}

export type WatchEvent<T> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string };

export type Patch =
  | { readonly type: 'json'; readonly body: readonly object[] }
  | { readonly type: 'merge'; readonly body: object }
  | { readonly type: 'strategic'; readonly body: object }
  | { readonly type: 'apply'; readonly body: object; readonly fieldManager: string; readonly force?: boolean };

export interface WriteQuery {
  readonly dryRun?: boolean;
  readonly fieldManager?: string;
  readonly subresource?: string;
  readonly signal?: AbortSignal;
}

export interface DeleteQuery {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: 'Orphan' | 'Background' | 'Foreground';
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly signal?: AbortSignal;
}

/**
 * One resource. Objects that come back are shared and readonly: change a `draft()` of them. Every refusal is thrown as a
 * StatusError (machinery/status.ts); a network failure as the transport's error. Nothing is retried here.
 */
export interface ResourceClient<T> {
  get(ref: ObjectReference, signal?: AbortSignal): Promise<T>;
  list(query?: ListQuery & Extent, signal?: AbortSignal): Promise<Listed<T>>;
  /** Ends when the server ends it or the signal aborts; throws StatusError Expired/Gone when the version is too old. */
  watch(query: WatchQuery, signal: AbortSignal): AsyncIterable<readonly WatchEvent<T>[]>;
  create(object: T, query?: WriteQuery): Promise<T>;
  /** Replaces; `query.subresource: 'status'` replaces the status. */
  update(object: T, query?: WriteQuery): Promise<T>;
  patch(ref: ObjectReference, patch: Patch, query?: WriteQuery): Promise<T>;
  delete(ref: ObjectReference, query?: DeleteQuery): Promise<void>;
  deleteCollection(query: ListQuery & DeleteQuery): Promise<void>;
  /** Creates on a subresource: binding, eviction, token. The answer is what the subresource returns. */
  createOn(ref: ObjectReference, subresource: string, body: object, signal?: AbortSignal): Promise<unknown>;
}

/** A resource by its coordinates, for controllers that work on all of them (garbage collector, namespaces). */
export interface ResourceCoordinates {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly namespaced: boolean;
}

export interface DiscoveredResource extends ResourceCoordinates {
  readonly kind: string;
  readonly verbs: readonly string[];
}

export interface Client {
  /** "pods", "deployments.apps": a key of the generated map. */
  resource<K extends keyof ResourceTypes>(key: K): ResourceClient<ResourceTypes[K]>;
  dynamic(resource: ResourceCoordinates): ResourceClient<KubeObject>;
  /** Every served resource at its group's preferred version. */
  discover(signal: AbortSignal): Promise<readonly DiscoveredResource[]>;
  /** The same client whose writes carry guards: what a leader gets for its term. */
  fenced(guards: readonly Guard[]): Client;
}

export interface InformerHandlers<T> {
  readonly add?: (object: T) => void;
  readonly update?: (object: T, previous: T) => void;
  readonly delete?: (object: T) => void;
}

/** A resource's objects, kept up to date, shared by all who ask. In process it reads the watch cache's own objects. */
export interface Informer<T> {
  /** By keyOf(): "namespace/name" or "name". */
  get(key: string): T | undefined;
  list(namespace?: string): readonly T[];
  /** Objects under an index made with addIndex; in no particular order. */
  byIndex(index: string, value: string): readonly T[];
  /** Adds an index, at any time; the same name twice is one index (the first function stays). */
  addIndex(index: string, values: (object: T) => readonly string[]): void;
  /** Handlers only enqueue keys. Objects already known are handed to `add`. Ends with the signal. */
  subscribe(handlers: InformerHandlers<T>, signal: AbortSignal): void;
  /** True once the first list is in. */
  readonly synced: boolean;
  /** The version up to which everything has been seen and handed out; "" before the first list. */
  readonly resourceVersion: string;
}

/** Makes informers, each once. Their objects come without managedFields, as those of upstream's components do. */
export interface Informers {
  /** With a selector only the objects whose fields match are held. */
  for<K extends keyof ResourceTypes>(key: K, fieldSelector?: string): Informer<ResourceTypes[K]>;
  dynamic(resource: ResourceCoordinates): Informer<KubeObject>;
  /**
   * Objects of which only apiVersion, kind and metadata are promised, perhaps without managedFields: of collections that may be
   * large the rest is not held in memory. Where whole objects have been asked for before, it is their informer.
   */
  metadata(resource: keyof ResourceTypes | ResourceCoordinates): Informer<KubeObject>;
  /**
   * Starts what has been asked for so far (or `only` these informers) and keeps it running at least until the signal aborts;
   * resolves when all of it is synced. May be called again, and by several users: an informer stops with the last signal.
   */
  start(signal: AbortSignal, only?: readonly object[]): Promise<void>;
}
