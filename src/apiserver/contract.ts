// What the parts of the API server promise each other: edge (http) → pipeline (authorization, admission) → registry → cache and store.
import type { ObjectMeta } from '../api/generated/types.ts';
import type { KubeObject } from '../api/object.ts';
import type { Resource } from '../api/tables.ts';
import type { Selector } from '../machinery/selector.ts';
import type { Guard, Revision } from '../store/contract.ts';

/** Who asks (authentication.k8s.io UserInfo). */
export interface UserInfo {
  readonly username: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: { readonly [key: string]: readonly string[] };
}

/** What accompanies one request through every layer. */
export interface RequestContext {
  readonly user: UserInfo;
  /** Aborts when the caller is gone or the request's time is up. */
  readonly signal: AbortSignal;
  /** Adds a Warning header. */
  readonly warn: (text: string) => void;
  /** Adds an annotation to what the audit tells of the request; absent: nothing is told. */
  readonly annotate?: ((key: string, value: string) => void) | undefined;
  /** Guards that a leader's writes carry (DESIGN: fencing). */
  readonly guards?: readonly Guard[];
  readonly userAgent?: string;
}

/** The thing that a request is about. */
export interface Target {
  readonly resource: Resource;
  /** Absent for cluster-scoped resources and for all-namespaces lists. */
  readonly namespace?: string;
  /** Absent for collections. */
  readonly name?: string;
  readonly subresource?: string;
}

/**
 * One object as of one revision, shared by everyone who reads it. `bytes` is its JSON in the stored version with
 * resourceVersion spliced in; `object` is parsed from it on first use, readonly, frozen under test.
 */
export interface CachedObject {
  /** Store key. */
  readonly key: string;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly revision: Revision;
  readonly bytes: Buffer;
  readonly object: KubeObject;
  /** The object without managedFields, which only writes look at: of what is only read they are not parsed. */
  readonly unmanaged: KubeObject;
  /** Its metadata, perhaps without managedFields, for those who need nothing else: the rest is not parsed for it. */
  readonly metadata: ObjectMeta;
  /** A place for derived forms (other versions, table rows), by name, made on first use and kept with the object. */
  derived<T>(form: string, make: (self: CachedObject) => T): T;
}

export interface CacheEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  /** The object after the change; for DELETED its last state, with the deletion's revision as resourceVersion. */
  readonly object: CachedObject;
  /** The object before the change; absent for ADDED. */
  readonly previous: CachedObject | undefined;
  /** The change's revision. */
  readonly revision: Revision;
}

/** What a watcher receives. BOOKMARK carries only a revision. */
export type WatchDelivery =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: CachedObject; readonly revision: Revision }
  | { readonly type: 'BOOKMARK'; readonly revision: Revision; readonly initialEventsEnd?: boolean };

/** Restricts a list or watch. Matching an object on `labels` and `fields` derives both from the parsed object once. */
export interface Filter {
  readonly namespace?: string;
  /** metadata.name=… : one object. */
  readonly name?: string;
  readonly labels?: Selector;
  readonly fields?: Selector;
}

/** One in-memory cache per stored resource: feeds GET, LIST, WATCH and in-process informers. */
export interface ResourceCache {
  /** The revision up to which the cache has seen everything. */
  readonly revision: Revision;
  /** How many objects it holds. */
  readonly size: number;
  get(namespace: string | undefined, name: string): CachedObject | undefined;
  /** By store key. */
  at(key: string): CachedObject | undefined;
  /** In key order; `after` is a store key (exclusive). */
  list(
    filter: Filter,
    page?: { after?: string; limit?: number },
  ): { items: readonly CachedObject[]; remaining: number };
  /**
   * Parses, in slices, the objects that `list(filter)` would have to parse at once to see whether they match. Other work
   * is done meanwhile: what it lists may have changed since.
   */
  prepare(filter: Filter): Promise<void>;
  /** Resolves when the cache has reached `revision`. */
  reached(revision: Revision, signal: AbortSignal): Promise<void>;
  /**
   * Calls `deliver` with every matching change after `after`, batched per turn of the event loop, in order. A change that
   * makes an object begin or cease to match is delivered as ADDED or DELETED. When the watch cannot go on (fell behind by
   * WATCHER_BUFFER events, cache lost its history) `end` is called once with the reason and nothing follows.
   * Throws TooOldError when `after` is older than the history kept.
   */
  watch(options: {
    filter: Filter;
    after: Revision;
    deliver: (batch: readonly WatchDelivery[]) => void;
    end: (reason: Error) => void;
    signal: AbortSignal;
  }): void;
}

/** All caches, fed by one watch over the whole store, plus consistent reads. */
export interface CacheSet {
  /** The cache of a resource, by the store prefix its rows share; begins empty at the current revision when new (custom resources). */
  for(resource: Resource): ResourceCache;
  /** Lets go of the cache of a resource that is no more, unless objects of it are left; its watches end. */
  forget(resource: Resource): void;
  /** True when all caches show the store's linearizable present for certain, so that nothing has to be waited for. */
  readonly fresh: boolean;
  /** Waits until all caches show at least the store's linearizable present; returns that revision. */
  consistent(signal: AbortSignal): Promise<Revision>;
}

export interface GetOptions {
  /** "" or absent: linearizable; "0": any; N: at least N. */
  readonly resourceVersion?: string;
}

export interface ListOptions {
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly limit?: number;
  readonly continue?: string;
  readonly resourceVersion?: string;
  readonly resourceVersionMatch?: string;
  /** Refused: it is for watches. */
  readonly sendInitialEvents?: boolean;
}

export interface ListResult {
  readonly items: readonly CachedObject[];
  readonly revision: Revision;
  /** Opaque; absent on the last page. */
  readonly continue?: string;
  readonly remainingItemCount?: number;
}

export interface WatchOptions {
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly resourceVersion?: string;
  readonly resourceVersionMatch?: string;
  readonly allowWatchBookmarks?: boolean;
  readonly sendInitialEvents?: boolean;
  readonly timeoutSeconds?: number;
}

/** A running watch. Batches go to `deliver`; `end` is called once, with a StatusError when the watch broke, without one when its time was up. */
export interface WatchSink {
  /** `first`: these are first states, made for this watch alone; what they are sent as is of use to no other. */
  deliver(batch: readonly WatchDelivery[], first?: boolean): void;
  /** Resolves when the client has taken so much that more may be sent at its pace; absent: it takes everything at once. */
  ready?(): Promise<void>;
  end(error?: Error): void;
}

export type FieldValidation = 'Ignore' | 'Warn' | 'Strict';

export interface WriteOptions {
  readonly dryRun?: boolean;
  readonly fieldManager?: string;
  readonly fieldValidation?: FieldValidation;
}

export type PatchType =
  | 'application/json-patch+json'
  | 'application/merge-patch+json'
  | 'application/strategic-merge-patch+json'
  | 'application/apply-patch+yaml';

export interface DeleteOptions {
  readonly dryRun?: boolean;
  readonly gracePeriodSeconds?: number;
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly propagationPolicy?: 'Orphan' | 'Background' | 'Foreground';
  readonly orphanDependents?: boolean;
}

/** A write's answer: the object as stored (or as it would be, on dry run). */
export interface WriteResult {
  readonly object: CachedObject;
  readonly created: boolean;
}

/** A delete's answer: the object when it is still there (finalizers, grace) or was asked for, else a Success Status with details. */
export type DeleteResult =
  | { readonly kind: 'object'; readonly object: CachedObject }
  | { readonly kind: 'deleted'; readonly object: CachedObject };

/**
 * Every operation on resources, without HTTP. The registry implements it; the pipeline wraps it with authorization; the edge
 * and the in-process client call the pipeline. Bodies are objects that the callee may keep and change: already decoded
 * (pruned, defaulted in the resource's version). Refusals are thrown as StatusError.
 */
export interface ResourceApi {
  get(ctx: RequestContext, target: Target, options: GetOptions): Promise<CachedObject>;
  list(ctx: RequestContext, target: Target, options: ListOptions): Promise<ListResult>;
  /** Resolves when the watch has begun; events go to the sink until the context's signal aborts. */
  watch(ctx: RequestContext, target: Target, options: WatchOptions, sink: WatchSink): Promise<void>;
  /** Also creates on subresources that take a body (binding, eviction, token): the answer is then a plain object. */
  create(ctx: RequestContext, target: Target, body: KubeObject, options: WriteOptions): Promise<WriteResult>;
  update(ctx: RequestContext, target: Target, body: KubeObject, options: WriteOptions): Promise<WriteResult>;
  /** `body` is the parsed patch document. */
  patch(
    ctx: RequestContext,
    target: Target,
    patch: { readonly type: PatchType; readonly body: unknown; readonly force?: boolean },
    options: WriteOptions,
  ): Promise<WriteResult>;
  delete(ctx: RequestContext, target: Target, options: DeleteOptions): Promise<DeleteResult>;
  deleteCollection(ctx: RequestContext, target: Target, options: DeleteOptions & ListOptions): Promise<ListResult>;
}

/** What an authorizer is asked (SubjectAccessReview attributes). */
export type Attributes =
  | {
      readonly verb: string;
      readonly group: string;
      readonly version: string;
      readonly resource: string;
      readonly subresource: string;
      readonly namespace: string;
      readonly name: string;
    }
  | { readonly verb: string; readonly path: string };

export interface Authorizer {
  /** A decision with its reason; never throws. */
  authorize(user: UserInfo, attributes: Attributes): { readonly allowed: boolean; readonly reason: string };
}
