// Requests for resources: from method and path to an operation of the pipeline, and its answer as bytes.

import { decode } from '../../api/codec.ts';
import { checkDepth, isJsonObject, parseJson } from '../../api/json.ts';
import type { KubeObject } from '../../api/object.ts';
import type { Resource, Tables } from '../../api/tables.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Random } from '../../lib/random.ts';
import { badRequest, type FieldErrorReason, invalid, isReason, StatusError } from '../../machinery/status.ts';
import type { FieldValidation, PatchType, RequestContext, ResourceApi, Target, WriteResult } from '../contract.ts';
import type { ApiServerMetrics } from '../metrics.ts';
import type { Series } from '../series.ts';
import { decodeBody, parseBody, parseConfiguration } from './decode-body.ts';
import { deprecationOf } from './deprecations.ts';
import { deletedStatus, encodeList, encodeObject, isStored, listHead } from './encode.ts';
import { ListBodies } from './list-bodies.ts';
import {
  type Accepted,
  bodyEncoding,
  checkWatchable,
  mediaType,
  negotiate,
  type Offer,
  PLAIN_JSON,
  unsupported,
  wantsPlainJson,
  watchContentType,
} from './media.ts';
import { protobufList, servesProtobuf } from './protobuf.ts';
import { deleteOptions, listOptions, watchOptions, writeOptions } from './query-options.ts';
import { isTrue, type RequestInfo } from './request-info.ts';
import type { Response } from './response.ts';
import { includeObject, type TableContext, type TablePrinter } from './table.ts';
import { WatchPace } from './watch-pace.ts';
import { watchStream } from './watch-stream.ts';

/** The largest body that is read; etcd would refuse a bigger object anyway. */
export const MAX_BODY_BYTES = 3 * 1024 * 1024;
/** A watch without timeoutSeconds ends after this long, or up to twice as long. */
export const MIN_WATCH_SECONDS = 1800;

export interface ResourceHandlerOptions {
  readonly tables: Tables;
  readonly api: ResourceApi;
  readonly printer: TablePrinter;
  readonly metrics: ApiServerMetrics;
  readonly clock: Clock;
  readonly random: Random;
  /** How far apart events to one watcher go out at least (WatchPace); default 0: as they come. */
  readonly watchPaceMs?: number | undefined;
}

/** One request, as the operations see it. */
export interface ResourceRequest {
  readonly info: RequestInfo;
  readonly target: Target;
  readonly ctx: RequestContext & { abort(reason: unknown): void };
  readonly response: Response;
}

type Operation = (request: ResourceRequest) => Promise<void>;

export class ResourceHandler {
  readonly #options: ResourceHandlerOptions;
  readonly #lists = { json: new ListBodies(), protobuf: new ListBodies(protobufList) };
  readonly #pace: WatchPace;
  /** What ends each watch that runs. */
  readonly #watches = new Set<() => void>();
  readonly #operations: { readonly [verb: string]: Operation } = {
    get: (request) => this.#get(request),
    list: (request) => this.#list(request),
    watch: (request) => this.#watch(request),
    create: (request) => this.#create(request),
    update: (request) => this.#update(request),
    patch: (request) => this.#patch(request),
    delete: (request) => this.#delete(request),
    deletecollection: (request) => this.#deleteCollection(request),
  };

  constructor(options: ResourceHandlerOptions) {
    this.#options = options;
    this.#pace = new WatchPace(options.clock, options.watchPaceMs ?? 0);
  }

  /** Answers a request whose target exists and allows its verb. */
  handle(request: ResourceRequest): Promise<void> {
    const operation = this.#operations[request.info.verb];
    if (!operation) throw methodNotAllowed();
    const deprecation = deprecationOf(request.target);
    if (deprecation !== undefined) request.ctx.warn(deprecation);
    return operation(request);
  }

  async #get({ ctx, target, response }: ResourceRequest): Promise<void> {
    const { exchange } = response;
    const accepted = acceptedFor(target, response);
    const resourceVersion = exchange.rawQuery === '' ? null : exchange.query.get('resourceVersion');
    const item = await this.#options.api.get(ctx, target, resourceVersion ? { resourceVersion } : {});
    response.audit?.answer(item);
    if (isStored(accepted)) return response.send(200, accepted.contentType, item.bytes);
    const table = this.#table(target, accepted, response);
    response.send(200, accepted.contentType, await encodeObject(item, accepted, table));
  }

  #eventsOf({ group, version, resource }: Resource): Series {
    return this.#options.metrics.watchEvents(group, version, resource);
  }

  async #list({ ctx, target, response }: ResourceRequest): Promise<void> {
    const { exchange } = response;
    const accepted = acceptedFor(target, response);
    const result = await this.#options.api.list(ctx, target, listOptions(exchange.query));
    response.audit?.answerList(listHead(result, target.resource), result);
    const body = await encodeList(result, accepted, this.#table(target, accepted, response), this.#lists);
    await response.sendBig(200, accepted.contentType, body);
  }

  async #watch({ ctx, target, response, info }: ResourceRequest): Promise<void> {
    const { exchange } = response;
    const { api, random } = this.#options;
    const accepted = acceptedFor(target, response);
    checkWatchable(accepted, offerOf(target.resource));
    const asked = watchOptions(exchange.query);
    const timeoutSeconds = asked.timeoutSeconds ?? Math.ceil(MIN_WATCH_SECONDS * (1 + random.next()));
    const events = this.#eventsOf(target.resource);
    // Nothing is sent before the watch has begun, so that a refusal can still have its own code.
    let sink: ReturnType<typeof watchStream> | undefined;
    const end = (): void => ctx.abort(new Error('the server leaves'));
    const opened = (): ReturnType<typeof watchStream> => {
      if (sink) return sink;
      const ended = this.#options.metrics.longRunning(info);
      sink = watchStream({
        sink: exchange.stream(200, response.headers(watchContentType(accepted))),
        accepted,
        table: this.#table(target, accepted, response),
        pace: this.#pace,
        sent: (count) => {
          events.value += count;
        },
        ended: () => {
          this.#watches.delete(end);
          ended();
          response.audit?.complete(200);
        },
      });
      this.#watches.add(end);
      response.begin(200);
      response.audit?.endsLater();
      return sink;
    };
    const lazy = {
      deliver: (...batch: Parameters<ReturnType<typeof watchStream>['deliver']>) => opened().deliver(...batch),
      end: (error?: Error) => opened().end(error),
      ready: () => opened().ready?.() ?? Promise.resolve(),
    };
    try {
      await api.watch(ctx, target, { ...asked, timeoutSeconds }, lazy);
    } catch (error) {
      // Upstream says that a version is too old within the stream.
      if (!isReason(error, 'Expired', 'Gone')) throw error;
      lazy.end(error);
      return;
    }
    const stream = opened();
    exchange.signal.addEventListener('abort', () => stream.end(), { once: true });
  }

  /** Ends every watch as if its time were up: the client begins another, elsewhere. */
  endWatches(): void {
    for (const end of [...this.#watches]) end();
  }

  async #create(request: ResourceRequest): Promise<void> {
    const { ctx, target, response } = request;
    const options = writeOptions(response.exchange.query, 'CreateOptions');
    acceptedOfWrite(request);
    const body = await this.#body(request, options.fieldValidation);
    response.audit?.request(body);
    await this.#answer(request, await this.#options.api.create(ctx, target, body, options), 201);
  }

  async #update(request: ResourceRequest): Promise<void> {
    const { ctx, target, response } = request;
    const options = writeOptions(response.exchange.query, 'UpdateOptions');
    acceptedOfWrite(request);
    const body = await this.#body(request, options.fieldValidation);
    response.audit?.request(body);
    await this.#answer(request, await this.#options.api.update(ctx, target, body, options));
  }

  async #patch(request: ResourceRequest): Promise<void> {
    const { ctx, target, response } = request;
    const { exchange } = response;
    const type = mediaType(exchange.header('content-type')) as PatchType;
    if (!PATCH_TYPES.includes(type)) throw unsupported(PATCH_TYPES);
    const options = writeOptions(exchange.query, 'PatchOptions');
    acceptedOfWrite(request);
    const apply = type === APPLY;
    const force = exchange.query.get('force');
    if (apply && options.fieldManager === undefined) {
      throw invalidPatchOptions('fieldManager', 'FieldValueRequired', 'Required value: is required for apply patch');
    }
    if (force !== null && !apply) {
      throw invalidPatchOptions('force', 'FieldValueForbidden', 'Forbidden: may not be specified for non-apply patch');
    }
    const bytes = await exchange.body(MAX_BODY_BYTES);
    const parsed = apply
      ? await parseConfiguration(bytes, options.fieldValidation ?? 'Warn', ctx.warn)
      : parsePatch(bytes);
    response.audit?.requestBody(parsed);
    const patch = { type, body: parsed, ...(force !== null && { force: isTrue(force) }) };
    await this.#answer(request, await this.#options.api.patch(ctx, target, patch, options));
  }

  async #delete({ ctx, target, response }: ResourceRequest): Promise<void> {
    const accepted = withoutTransform(acceptedFor(target, response));
    const options = deleteOptions(response.exchange.query, await this.#deleteBody(response));
    const result = await this.#options.api.delete(ctx, target, options);
    response.audit?.answer(result.object);
    if (result.kind === 'object') {
      const table = this.#table(target, accepted, response);
      response.send(200, accepted.contentType, await encodeObject(result.object, accepted, table));
    } else {
      await response.sendValue(200, deletedStatus(result.object, target.resource), accepted);
    }
  }

  async #deleteCollection({ ctx, target, response }: ResourceRequest): Promise<void> {
    const { query } = response.exchange;
    const accepted = withoutTransform(acceptedFor(target, response));
    const options = deleteOptions(query, await this.#deleteBody(response));
    const result = await this.#options.api.deleteCollection(ctx, target, { ...options, ...listOptions(query) });
    response.audit?.answerList(listHead(result, target.resource), result);
    const body = await encodeList(result, accepted, this.#table(target, accepted, response), this.#lists);
    await response.sendBig(200, accepted.contentType, body);
  }

  async #deleteBody(response: Response): Promise<{ readonly [key: string]: unknown } | undefined> {
    const { exchange } = response;
    const bytes = await exchange.body(MAX_BODY_BYTES);
    if (bytes.length === 0) return undefined;
    const encoding = bodyEncoding(exchange.header('content-type'));
    const { value } = await parseBody(this.#options.tables, bytes, encoding, DELETE_OPTIONS);
    if (!isJsonObject(value)) throw badRequest('the object provided is unrecognized (must be of type DeleteOptions)');
    const { kind = 'DeleteOptions' } = value as { kind?: unknown };
    if (kind !== 'DeleteOptions') throw badRequest(`${String(kind)} cannot be handled as a DeleteOptions`);
    const { object } = decode(this.#options.tables, DELETE_OPTIONS.type, value, { fieldValidation: 'Ignore' });
    response.audit?.requestBody(value);
    return object as unknown as { readonly [key: string]: unknown };
  }

  async #body(
    { target, response, ctx }: ResourceRequest,
    fieldValidation: FieldValidation = 'Warn',
  ): Promise<KubeObject> {
    const { exchange } = response;
    const encoding = bodyEncoding(exchange.header('content-type'));
    return decodeBody({
      tables: this.#options.tables,
      target,
      body: await exchange.body(MAX_BODY_BYTES),
      encoding,
      fieldValidation,
      warn: ctx.warn,
      nowMs: this.#options.clock.now(),
    });
  }

  async #answer(request: ResourceRequest, result: WriteResult, code = result.created ? 201 : 200): Promise<void> {
    const { target, response } = request;
    const accepted = acceptedOfWrite(request);
    response.audit?.answer(result.object);
    if (isStored(accepted)) return response.send(code, accepted.contentType, result.object.bytes);
    const table = this.#table(target, accepted, response);
    response.send(code, accepted.contentType, await encodeObject(result.object, accepted, table));
  }

  #table(target: Target, accepted: Accepted, response: Response): TableContext {
    const include = accepted.as === 'Table' ? includeObject(response.exchange.query.get('includeObject')) : 'None';
    return { printer: this.#options.printer, resource: target.resource, accepted, include };
  }
}

function offerOf(resource: Resource, table = true): Offer {
  return { table, protobuf: servesProtobuf(resource) };
}

/** Throws NotAcceptable. */
function acceptedFor({ resource }: Target, { exchange }: Response, table = true): Accepted {
  const accept = exchange.header('accept');
  return wantsPlainJson(accept) ? PLAIN_JSON : negotiate(accept, offerOf(resource, table));
}

/**
 * How a write is answered; it is refused before anything is done when it cannot be. What can only be created is an answer to
 * a question and has no columns: no table of it can be had.
 */
function acceptedOfWrite({ target, response }: ResourceRequest): Accepted {
  return acceptedFor(target, response, target.resource.verbs.includes('get'));
}

const APPLY = 'application/apply-patch+yaml';
const PATCH_TYPES: readonly string[] = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
  APPLY,
];

function invalidPatchOptions(field: string, reason: FieldErrorReason, message: string): StatusError {
  return invalid({ group: 'meta.k8s.io', kind: 'PatchOptions' }, '', [{ field, reason, message }]);
}

const DELETE_OPTIONS = {
  group: '',
  version: 'v1',
  kind: 'DeleteOptions',
  type: 'io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions',
};

function parsePatch(bytes: Buffer): unknown {
  try {
    const patch = parseJson(bytes);
    checkDepth(patch);
    return patch;
  } catch (error) {
    throw badRequest(`error decoding patch: ${(error as Error).message}`, error);
  }
}

function withoutTransform(accepted: Accepted): Accepted {
  return accepted.as === undefined ? accepted : PLAIN_JSON;
}

export function methodNotAllowed(): StatusError {
  return new StatusError('MethodNotAllowed', 'the server does not allow this method on the requested resource');
}

/** What the path names; undefined: nothing is served there. Throws MethodNotAllowed. */
export function targetOf(row: Resource, info: RequestInfo): Target | undefined {
  const { namespace, name, subresource, verb } = info;
  const ofNamespaces = row.resource === 'namespaces' && row.group === '';
  if (!row.namespaced && namespace !== '' && !ofNamespaces) return undefined;
  const named = name !== '' && verb !== 'list' && verb !== 'watch';
  if (row.namespaced && namespace === '' && named) return undefined;
  const sub = subresource === '' ? undefined : row.subresources.get(subresource);
  if (subresource !== '' && !sub) return undefined;
  const verbs = sub ? sub.verbs : row.verbs;
  if (!verbs.includes(verb)) throw methodNotAllowed();
  if (verb === 'create' && row.namespaced && namespace === '') throw methodNotAllowed();
  if (verb === 'create' && !sub && name !== '') throw methodNotAllowed();
  const target: { -readonly [K in keyof Target]: Target[K] } = { resource: row };
  if (row.namespaced && namespace !== '') target.namespace = namespace;
  if (name !== '') target.name = name;
  if (sub) target.subresource = subresource;
  return target;
}
