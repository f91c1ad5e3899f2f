import type { KubeObject } from '../api/object.ts';
import { apiVersionOf, type Subresource } from '../api/tables.ts';
import { errorFromStatus, type StatusObject } from '../machinery/status.ts';
import type { Guard } from '../store/contract.ts';
import type {
  DeleteQuery,
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
import type { Wire } from './https.ts';

const PATCH_TYPES: { readonly [type in Patch['type']]: string } = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
};

/** What is known of a resource: of a custom one perhaps only its coordinates. */
interface Row extends ResourceCoordinates {
  readonly kind?: string;
  readonly subresources?: ReadonlyMap<string, Subresource>;
}

type Query = { readonly [name: string]: string | number | boolean | undefined };

interface ListBody {
  readonly kind?: string;
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items?: readonly KubeObject[];
}

export class HttpsResource implements ResourceClient<KubeObject> {
  readonly #wire: Wire;
  readonly #row: Row;
  readonly #guards: readonly Guard[];

  constructor(wire: Wire, row: Row, guards: readonly Guard[]) {
    this.#wire = wire;
    this.#row = row;
    this.#guards = guards;
  }

  async get(ref: ObjectReference, signal?: AbortSignal): Promise<KubeObject> {
    return (await this.#wire.call('GET', this.#path(ref), { signal })) as KubeObject;
  }

  async list(query: ListQuery & Extent = {}, signal?: AbortSignal): Promise<Listed<KubeObject>> {
    const { namespace, metadataOnly, unmanaged, ...rest } = query;
    const shown = shownAs({ metadataOnly, unmanaged });
    const body = (await this.#wire.call('GET', this.#path({ namespace }, rest), { signal })) as ListBody;
    const type = {
      apiVersion: apiVersionOf(this.#row),
      kind: this.#row.kind ?? (body.kind ?? '').replace(/List$/, ''),
    };
    return {
      // Servers leave the type out of a list's items; readers rely on it.
      items: (body.items ?? []).map((item) => shown(item.kind === undefined ? { ...type, ...item } : item)),
      resourceVersion: body.metadata?.resourceVersion ?? '',
      ...(body.metadata?.continue && { continue: body.metadata.continue }),
    };
  }

  async *watch(query: WatchQuery, signal: AbortSignal): AsyncGenerator<readonly WatchEvent<KubeObject>[]> {
    const { namespace, metadataOnly, unmanaged, ...rest } = query;
    try {
      for await (const lines of this.#wire.lines(this.#path({ namespace }, { watch: true, ...rest }), signal)) {
        if (signal.aborted) return;
        yield* eventsOf(lines, shownAs({ metadataOnly, unmanaged }));
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async create(object: KubeObject, query: WriteQuery = {}): Promise<KubeObject> {
    const { namespace, name } = object.metadata;
    const ref = query.subresource ? { namespace, name } : { namespace };
    return this.#write('POST', this.#path(ref, writeQuery(query), query.subresource), {
      body: this.#typed(object, query.subresource),
      signal: query.signal,
    });
  }

  async update(object: KubeObject, query: WriteQuery = {}): Promise<KubeObject> {
    return this.#write('PUT', this.#path(object.metadata, writeQuery(query), query.subresource), {
      body: this.#typed(object, query.subresource),
      signal: query.signal,
    });
  }

  async patch(ref: ObjectReference, patch: Patch, query: WriteQuery = {}): Promise<KubeObject> {
    const apply = patch.type === 'apply' ? { fieldManager: patch.fieldManager, force: patch.force } : {};
    return this.#write('PATCH', this.#path(ref, { ...writeQuery(query), ...apply }, query.subresource), {
      body: patch.body,
      contentType: PATCH_TYPES[patch.type],
      signal: query.signal,
    });
  }

  async delete(ref: ObjectReference, query: DeleteQuery = {}): Promise<void> {
    await this.#write('DELETE', this.#path(ref), { body: deleteOptions(query), signal: query.signal });
  }

  async deleteCollection(query: ListQuery & DeleteQuery): Promise<void> {
    const { labelSelector, fieldSelector, limit, continue: from, resourceVersion } = query;
    const list = { labelSelector, fieldSelector, limit, continue: from, resourceVersion };
    const path = this.#path({ namespace: query.namespace }, list);
    await this.#write('DELETE', path, { body: deleteOptions(query), signal: query.signal });
  }

  async createOn(ref: ObjectReference, subresource: string, body: object, signal?: AbortSignal): Promise<unknown> {
    return this.#write('POST', this.#path(ref, {}, subresource), {
      body: this.#typed(body as KubeObject, subresource),
      signal,
    });
  }

  async #write(
    method: string,
    path: string,
    call: { body: unknown; contentType?: string; signal?: AbortSignal | undefined },
  ): Promise<KubeObject> {
    return (await this.#wire.call(method, path, { ...call, guards: this.#guards })) as KubeObject;
  }

  #typed(object: KubeObject, subresource?: string): KubeObject {
    const row = this.#row;
    const sub = subresource === undefined ? undefined : row.subresources?.get(subresource);
    const kind = (sub ?? row).kind;
    return { apiVersion: apiVersionOf(sub ?? row), ...(kind !== undefined && { kind }), ...object };
  }

  #path(
    ref: { readonly namespace?: string | undefined; readonly name?: string | undefined },
    query: Query = {},
    subresource?: string,
  ): string {
    const { group, version, resource, namespaced } = this.#row;
    const parts = group === '' ? ['api', version] : ['apis', group, version];
    if (namespaced && ref.namespace) parts.push('namespaces', ref.namespace);
    parts.push(resource);
    if (ref.name !== undefined) parts.push(ref.name);
    if (subresource !== undefined) parts.push(subresource);
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value));
    const text = parameters.toString();
    return `/${parts.map(encodeURIComponent).join('/')}${text === '' ? '' : `?${text}`}`;
  }
}

type Wanted = { readonly [of in keyof Extent]: boolean | undefined };

/** What is not asked for is let go of as soon as it is read. */
function shownAs({ metadataOnly, unmanaged }: Wanted): (object: KubeObject) => KubeObject {
  if (!metadataOnly && !unmanaged) return (object) => object;
  return ({ apiVersion, kind, metadata: { managedFields: _, ...metadata }, ...rest }) => ({
    ...(apiVersion !== undefined && { apiVersion }),
    ...(kind !== undefined && { kind }),
    metadata,
    ...(!metadataOnly && rest),
  });
}

function* eventsOf(
  lines: readonly unknown[],
  shown: (object: KubeObject) => KubeObject,
): Generator<readonly WatchEvent<KubeObject>[]> {
  const events: WatchEvent<KubeObject>[] = [];
  for (const line of lines as readonly { type: string; object: KubeObject }[]) {
    if (line.type === 'ERROR') {
      if (events.length > 0) yield events;
      const status = line.object as unknown as StatusObject;
      throw errorFromStatus(status, status.code ?? 500);
    }
    if (line.type === 'BOOKMARK') {
      events.push({ type: 'BOOKMARK', resourceVersion: line.object.metadata.resourceVersion ?? '' });
    } else events.push({ type: line.type as 'ADDED', object: shown(line.object) });
  }
  if (events.length > 0) yield events;
}

function writeQuery({ dryRun, fieldManager }: WriteQuery): Query {
  return { ...(dryRun && { dryRun: 'All' }), fieldManager };
}

function deleteOptions({ gracePeriodSeconds, propagationPolicy, preconditions }: DeleteQuery): object {
  return {
    apiVersion: 'v1',
    kind: 'DeleteOptions',
    ...(gracePeriodSeconds !== undefined && { gracePeriodSeconds }),
    ...(propagationPolicy !== undefined && { propagationPolicy }),
    ...(preconditions !== undefined && { preconditions }),
  };
}
