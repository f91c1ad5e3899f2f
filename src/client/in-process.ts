// The client of a component in the API server's own process: it calls the pipeline as a user of its own, without TLS or JSON.
import { copyByTable } from '../api/codec.ts';
import { applyDefaults } from '../api/defaults.ts';
import type { ResourceTypes } from '../api/generated/types.ts';
import type { KubeObject } from '../api/object.ts';
import { apiVersionOf, type Resource, type Tables } from '../api/tables.ts';
import type {
  CachedObject,
  DeleteOptions,
  PatchType,
  RequestContext,
  ResourceApi,
  Target,
  UserInfo,
  WatchDelivery,
} from '../apiserver/contract.ts';
import type { Clock } from '../lib/clock.ts';
import { notFound, StatusError } from '../machinery/status.ts';
import type { Guard } from '../store/contract.ts';
import { Batches, WATCH_READER_BUFFER } from './batches.ts';
import type {
  Client,
  DeleteQuery,
  DiscoveredResource,
  Extent,
  Listed,
  ListQuery,
  ObjectReference,
  Patch,
  ResourceClient,
  ResourceCoordinates,
  WatchEvent,
  WatchQuery,
  WriteQuery,
} from './contract.ts';
import { preferredOnly, rowOfKey } from './coordinates.ts';

export interface InProcessOptions {
  /** The pipeline: every call is authorized as `user`. */
  readonly api: ResourceApi;
  readonly tables: Tables;
  readonly user: UserInfo;
  /** For the few defaults that are the present. */
  readonly clock?: Clock;
  readonly userAgent?: string;
  readonly guards?: readonly Guard[];
}

/** The signal of a request that nobody cancels. */
const NEVER = new AbortController().signal;

const PATCH_TYPES: { readonly [type in Patch['type']]: PatchType } = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
};

export function inProcessClient(options: InProcessOptions): Client {
  const { tables } = options;
  return {
    resource: <K extends keyof ResourceTypes>(key: K) =>
      new InProcessResource(options, () => rowOfKey(tables, key)) as unknown as ResourceClient<ResourceTypes[K]>,
    dynamic: (coordinates) => new InProcessResource(options, () => rowOf(tables, coordinates)),
    discover: async () => discovered(tables),
    fenced: (guards) => inProcessClient({ ...options, guards }),
  };
}

function rowOf(tables: Tables, { group, version, resource }: ResourceCoordinates): Resource {
  const row = tables.resource(group, version, resource);
  if (!row) throw new StatusError('NotFound', 'the server could not find the requested resource');
  return row;
}

function discovered(tables: Tables): DiscoveredResource[] {
  const preferred = new Map(tables.groups.map((group) => [group.name, group.preferred]));
  return preferredOnly(tables.resources(), (group) => preferred.get(group));
}

class InProcessResource implements ResourceClient<KubeObject> {
  readonly #options: InProcessOptions;
  /** Looked up at each call: a custom resource's row may be replaced while its client lives. */
  readonly #row: () => Resource;

  constructor(options: InProcessOptions, row: () => Resource) {
    this.#options = options;
    this.#row = row;
  }

  async get(ref: ObjectReference, signal?: AbortSignal): Promise<KubeObject> {
    const target = this.#target(ref.namespace, requireName(this.#row(), ref));
    return (await this.#options.api.get(this.#ctx(signal), target, {})).object;
  }

  async list(query: ListQuery & Extent = {}, signal?: AbortSignal): Promise<Listed<KubeObject>> {
    const { namespace, metadataOnly, unmanaged, ...options } = query;
    const target = this.#target(namespace);
    const result = await this.#options.api.list(this.#ctx(signal), target, options);
    const shown = shownAs(target.resource, { metadataOnly, unmanaged });
    return {
      items: result.items.map(shown),
      resourceVersion: String(result.revision),
      ...(result.continue !== undefined && { continue: result.continue }),
    };
  }

  async *watch(query: WatchQuery, signal: AbortSignal): AsyncGenerator<readonly WatchEvent<KubeObject>[]> {
    const { namespace, metadataOnly, unmanaged, ...options } = query;
    const target = this.#target(namespace);
    const shown = shownAs(target.resource, { metadataOnly, unmanaged });
    const batches = new Batches<WatchDelivery>(
      WATCH_READER_BUFFER,
      () => new StatusError('Expired', 'the reader of this watch fell behind'),
    );
    // Ends the watch when the reader stops reading, too.
    const done = new AbortController();
    const ending = AbortSignal.any([signal, done.signal]);
    const onAbort = (): void => batches.end();
    ending.addEventListener('abort', onAbort, { once: true });
    try {
      await this.#options.api.watch(this.#ctx(ending), target, options, {
        deliver: (batch) => batches.push(batch),
        end: (error) => batches.end(error),
      });
      for await (const batch of batches) {
        if (signal.aborted) return;
        yield batch.map((delivery) => eventOf(delivery, shown));
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      done.abort();
    }
  }

  async create(object: KubeObject, query: WriteQuery = {}): Promise<KubeObject> {
    const target = this.#target(object.metadata.namespace, query.subresource ? object.metadata.name : undefined, query);
    const body = this.#copy(object, target);
    const result = await this.#options.api.create(this.#ctx(query.signal), target, body, writeOptions(query));
    return result.object.object;
  }

  async update(object: KubeObject, query: WriteQuery = {}): Promise<KubeObject> {
    const target = this.#target(object.metadata.namespace, requireName(this.#row(), object.metadata), query);
    const body = this.#copy(object, target);
    const result = await this.#options.api.update(this.#ctx(query.signal), target, body, writeOptions(query));
    return result.object.object;
  }

  async patch(ref: ObjectReference, patch: Patch, query: WriteQuery = {}): Promise<KubeObject> {
    const target = this.#target(ref.namespace, requireName(this.#row(), ref), query);
    const body = {
      type: PATCH_TYPES[patch.type],
      body: structuredClone(patch.body),
      ...(patch.type === 'apply' && patch.force && { force: true }),
    };
    const options = patch.type === 'apply' ? { ...query, fieldManager: patch.fieldManager } : query;
    const result = await this.#options.api.patch(this.#ctx(query.signal), target, body, writeOptions(options));
    return result.object.object;
  }

  async delete(ref: ObjectReference, query: DeleteQuery = {}): Promise<void> {
    const target = this.#target(ref.namespace, requireName(this.#row(), ref));
    await this.#options.api.delete(this.#ctx(query.signal), target, deleteOptions(query));
  }

  async deleteCollection(query: ListQuery & DeleteQuery): Promise<void> {
    const { namespace, signal, gracePeriodSeconds: _g, propagationPolicy: _p, preconditions: _u, ...list } = query;
    const options = { ...list, ...deleteOptions(query) };
    await this.#options.api.deleteCollection(this.#ctx(signal), this.#target(namespace), options);
  }

  async createOn(ref: ObjectReference, subresource: string, body: object, signal?: AbortSignal): Promise<unknown> {
    const target = this.#target(ref.namespace, requireName(this.#row(), ref), { subresource });
    const copy = this.#copy(body, target);
    const result = await this.#options.api.create(this.#ctx(signal), target, copy, {});
    return result.object.object;
  }

  #ctx(signal: AbortSignal = NEVER): RequestContext {
    const { user, guards, userAgent } = this.#options;
    signal.throwIfAborted();
    return {
      user,
      signal,
      warn: () => undefined,
      ...(guards && { guards }),
      ...(userAgent !== undefined && { userAgent }),
    };
  }

  #target(namespace: string | undefined, name?: string, query: { readonly subresource?: string } = {}): Target {
    const resource = this.#row();
    return {
      resource,
      ...(resource.namespaced && namespace !== undefined && namespace !== '' && { namespace }),
      ...(name !== undefined && { name }),
      ...(query.subresource !== undefined && { subresource: query.subresource }),
    };
  }

  /** A copy for the callee to keep: pruned to the type's fields, with defaults, apiVersion, kind and place, as a decoded body has. */
  #copy(object: object, { resource, namespace, name, subresource }: Target): KubeObject {
    const { tables, clock } = this.#options;
    const sub = subresource === undefined ? undefined : resource.subresources.get(subresource);
    const typed = sub && sub.kind !== resource.kind ? sub : resource;
    const type = typed === resource ? resource.type : tables.typeOfKind(apiVersionOf(typed), typed.kind);
    if (type === undefined) throw new StatusError('BadRequest', `no kind "${typed.kind}" is registered`);
    const copy = copyByTable(tables, type, object as KubeObject);
    copy.apiVersion = apiVersionOf(typed);
    copy.kind = typed.kind;
    applyDefaults(tables, type, copy, clock ? { nowMs: clock.now() } : {});
    copy.metadata ??= { name: '' };
    if (namespace !== undefined) copy.metadata.namespace ??= namespace;
    if (name !== undefined) copy.metadata.name ||= name;
    return copy as KubeObject;
  }
}

type Wanted = { readonly [of in keyof Extent]: boolean | undefined };
type Shown = (object: CachedObject) => KubeObject;

function shownAs(resource: Resource, { metadataOnly, unmanaged }: Partial<Wanted>): Shown {
  if (!metadataOnly) return unmanaged ? (cached) => cached.unmanaged : (cached) => cached.object;
  const type = { apiVersion: apiVersionOf(resource), kind: resource.kind };
  return (cached) => ({ ...type, metadata: cached.metadata });
}

function eventOf(delivery: WatchDelivery, shown: Shown): WatchEvent<KubeObject> {
  if (delivery.type === 'BOOKMARK') return { type: 'BOOKMARK', resourceVersion: String(delivery.revision) };
  return { type: delivery.type, object: shown(delivery.object) };
}

function requireName(resource: Resource, ref: { readonly name?: string | undefined }): string {
  if (!ref.name) throw notFound(resource, '');
  return ref.name;
}

function writeOptions({ dryRun, fieldManager }: WriteQuery): { dryRun?: boolean; fieldManager?: string } {
  return { ...(dryRun !== undefined && { dryRun }), ...(fieldManager !== undefined && { fieldManager }) };
}

function deleteOptions({ gracePeriodSeconds, propagationPolicy, preconditions }: DeleteQuery): DeleteOptions {
  return {
    ...(gracePeriodSeconds !== undefined && { gracePeriodSeconds }),
    ...(propagationPolicy !== undefined && { propagationPolicy }),
    ...(preconditions !== undefined && { preconditions }),
  };
}
