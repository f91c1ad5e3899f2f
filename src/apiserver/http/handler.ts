// The life of a request: who asks, may they now, what about, and the answer. A throw anywhere is an answer too.

import type { Resource, Tables } from '../../api/tables.ts';
import type { Environment } from '../../lib/environment.ts';
import { badRequest, forbidden, StatusError } from '../../machinery/status.ts';
import type { Auditor } from '../audit/auditor.ts';
import { type Authenticator, impersonate } from '../auth/authenticate.ts';
import type { Attributes, Authorizer, ResourceApi, UserInfo } from '../contract.ts';
import type { FlowControl, Passage } from '../flow-control/flow-control.ts';
import { listSeats } from '../flow-control/work-estimate.ts';
import type { ApiServerMetrics } from '../metrics.ts';
import type { Connect } from '../registry/connect.ts';
import { auditIds } from './audit-ids.ts';
import { CertificateUsers, ExchangeCredentials } from './certificate-users.ts';
import { Deadlines } from './deadlines.ts';
import { ClientGoneError, type Exchange } from './exchange.ts';
import { InFlight } from './limits.ts';
import { ExchangeContext } from './request-context.ts';
import { isTrue, type RequestInfo, requestInfo } from './request-info.ts';
import { methodNotAllowed, ResourceHandler, type ResourceRequest, targetOf } from './resource-handler.ts';
import { Response } from './response.ts';
import type { TablePrinter } from './table.ts';

/** A request that is not long-running is given up after this. */
export const REQUEST_TIMEOUT_MS = 60_000;

/** Answers requests for paths that are no resources (discovery, health, metrics). False: nothing is there. */
export type PathHandler = (info: RequestInfo, response: Response, user: UserInfo) => Promise<boolean>;

/** Answers a subresource that is a connection to somewhere else: log, exec, proxy. */
export type Connector = (request: ConnectRequest) => Promise<void>;

export interface ConnectRequest extends ResourceRequest {
  /** The query, as admission left it. */
  readonly parameters: URLSearchParams;
}

export interface HandlerOptions {
  readonly env: Environment;
  readonly tables: Tables;
  readonly api: ResourceApi;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly printer: TablePrinter;
  readonly paths: PathHandler;
  /** By "resource/subresource". */
  readonly connectors: ReadonlyMap<string, Connector>;
  /** Admission of connections. */
  readonly mayConnect?: Connect;
  /** Serves groups that the tables do not have (aggregated API servers). False: not its either. */
  readonly otherGroups?: PathHandler;
  readonly flowControl: FlowControl;
  /** How many objects there are of a resource: what a list of them costs. */
  readonly objects: (row: Resource) => number;
  readonly metrics: ApiServerMetrics;
  /** Absent: nothing is told of requests. */
  readonly auditor?: Auditor | undefined;
  /** See ResourceHandlerOptions. */
  readonly watchPaceMs?: number | undefined;
}

const KNOWN_VERBS: ReadonlySet<string> = new Set([
  ...['get', 'list', 'watch', 'create', 'update', 'patch', 'delete', 'deletecollection'],
  ...['head', 'post', 'put', 'options'],
]);

/** Verbs whose body must not be read for one who may not do it. */
const WRITES: ReadonlySet<string> = new Set(['create', 'update', 'patch', 'delete', 'deletecollection']);

/** A request whose path has been read. */
interface Received {
  readonly info: RequestInfo;
  readonly response: Response;
  /** Monotonic. */
  readonly startMs: number;
}

export class Handler {
  readonly #options: HandlerOptions;
  readonly #inFlight: InFlight;
  readonly #resources: ResourceHandler;
  readonly #certificates = new CertificateUsers();
  readonly #auditId: () => string;
  readonly #deadlines: Deadlines;

  constructor(options: HandlerOptions) {
    const { env, tables, api, printer, metrics } = options;
    this.#options = options;
    this.#auditId = auditIds(env.random);
    this.#deadlines = new Deadlines(env.clock, REQUEST_TIMEOUT_MS);
    this.#inFlight = new InFlight(options.flowControl, metrics);
    this.#resources = new ResourceHandler({
      ...{ tables, api, printer, metrics },
      ...{ clock: env.clock, random: env.random, watchPaceMs: options.watchPaceMs },
    });
  }

  /** Ends every watch in order; resolves when the other requests under way have been answered. */
  drained(): Promise<void> {
    this.#resources.endWatches();
    return this.#inFlight.idle();
  }

  /** Leaves no timer behind once the requests under way have ended. */
  close(): void {
    this.#deadlines.close();
  }

  /** Answers one request; never throws. */
  handle(exchange: Exchange): void {
    const startMs = this.#options.env.clock.monotonic();
    const response = new Response(exchange, givenAuditId(exchange) ?? this.#auditId());
    let info: RequestInfo;
    try {
      info = requestInfo(exchange.method, exchange.path, exchange.query);
    } catch (error) {
      void response.sendError(error);
      return;
    }
    const request = { info, response, startMs };
    try {
      const user = this.#user(request);
      if (!(user instanceof Promise)) this.#serve(request, user);
      else {
        user.then((known) => this.#serve(request, known)).catch((error: unknown) => this.#end(request, error));
      }
    } catch (error) {
      this.#end(request, error);
    }
  }

  /** Whatever goes wrong with one answer is nobody else's business. */
  #end(request: Received, error?: unknown): void {
    if (error === undefined) {
      this.#count(request);
      this.#told(request);
      return;
    }
    this.#fail(error, request.response)
      .then(() => {
        this.#count(request);
        this.#told(request, error);
      })
      .catch((reason: unknown) => {
        this.#options.env.log.error('a request could not be ended', reason, { path: request.info.path });
      });
  }

  /** Tells the audit that the request is over; of who could not be known, that and no more. */
  #told({ info, response }: Received, error?: unknown): void {
    const { auditor } = this.#options;
    if (!auditor) return;
    if (!response.isAuthenticated) auditor.unauthenticated(info, response);
    // A watch that has begun is over when its client, or the server, ends it.
    else if (!response.audit?.streams || error !== undefined) response.audit?.complete(response.code, error);
  }

  #count({ info, response, startMs }: Received): void {
    if (response.code === 0) return;
    const { env, metrics } = this.#options;
    const seconds = this.#isLongRunning(info, response.exchange) ? undefined : (env.clock.monotonic() - startMs) / 1000;
    metrics.request(this.#counted(info), response.code, seconds);
  }

  /** What a request is counted as: names that are the client's own would make a metric each. */
  #counted(info: RequestInfo): RequestInfo {
    const { tables } = this.#options;
    const row = info.isResource ? tables.resource(info.group, info.version, info.resource) : undefined;
    const known = row && (info.subresource === '' || row.subresources.has(info.subresource));
    const isKnownVerb = KNOWN_VERBS.has(info.verb);
    if (known && isKnownVerb) return info;
    const verb = isKnownVerb ? info.verb : 'other';
    if (known) return { ...info, verb };
    return { ...info, verb, isResource: false, group: '', version: '', resource: '', subresource: '' };
  }

  async #fail(error: unknown, response: Response): Promise<void> {
    if (error instanceof ClientGoneError) return;
    const refusal = error instanceof StatusError ? error : undefined;
    const { log } = this.#options.env;
    const { method, path, responded } = response.exchange;
    if (!refusal) log.error('request failed', error, { method, path });
    else if (refusal.code >= 500) log.warn('request failed', { method, path, reason: refusal.message });
    if (responded) response.exchange.stream(refusal?.code ?? 500, {}).destroy();
    else await response.sendError(error);
  }

  #serve(request: Received, user: UserInfo): void {
    const { info, response } = request;
    const { exchange } = response;
    if (this.#isLongRunning(info, exchange)) {
      response.isLongRunning = true;
      const ctx = new ExchangeContext(response, user);
      this.#dispatch(info, response, ctx).then(
        () => this.#end(request),
        (error: unknown) => this.#end(request, error),
      );
      return;
    }
    const entering = this.#inFlight.enter(info, user, this.#seats(info, exchange), exchange);
    // A turn of the event loop is only for who has to wait.
    if (!(entering instanceof Promise)) this.#carryOut(request, user, entering, request.startMs);
    else {
      entering
        .then((passage) => this.#carryOut(request, user, passage, this.#options.env.clock.monotonic()))
        .catch((error: unknown) => this.#end(request, error));
    }
  }

  /** Throws BadRequest. */
  #carryOut(request: Received, user: UserInfo, passage: Passage, startMs: number): void {
    const { info, response } = request;
    response.flow = passage;
    let over = false;
    const end = (error?: unknown): void => {
      if (over) return;
      over = true;
      this.#deadlines.remove(slot);
      passage.leave();
      this.#end(request, error);
    };
    let ctx: ExchangeContext;
    try {
      ctx = new ExchangeContext(response, user, end);
    } catch (error) {
      passage.leave();
      throw error;
    }
    const slot = this.#deadlines.add({ startMs, expire: () => ctx.abort(timedOut()) });
    this.#dispatch(info, response, ctx).then(() => end(), end);
  }

  #seats(info: RequestInfo, { query }: Exchange): number {
    if (info.verb !== 'list') return 1;
    const { tables, objects } = this.#options;
    const row = tables.resource(info.group, info.version, info.resource);
    if (!row) return 1;
    const limit = Number(query.get('limit'));
    const isSelective = query.has('labelSelector') || query.has('fieldSelector');
    return listSeats({ objects: objects(row), limit: limit > 0 ? limit : undefined, isSelective });
  }

  #user(request: Received): UserInfo | Promise<UserInfo> {
    const { authenticator } = this.#options;
    const credentials = new ExchangeCredentials(request.response.exchange, this.#certificates);
    const known = authenticator.atOnce(credentials);
    if (known) return this.#acting(request, known, credentials);
    return authenticator.authenticate(credentials).then((user) => this.#acting(request, user, credentials));
  }

  /** Who acts: the user, or whom they speak for. From here on the audit knows. */
  #acting({ info, response }: Received, user: UserInfo, credentials: ExchangeCredentials): UserInfo {
    const { authorizer, auditor } = this.#options;
    response.isAuthenticated = true;
    try {
      const acting = impersonate(user, credentials, authorizer);
      if (auditor) response.audit = auditor.begin(info, response, { user, as: acting === user ? undefined : acting });
      return acting;
    } catch (error) {
      if (auditor) response.audit = auditor.begin(info, response, { user });
      throw error;
    }
  }

  #isLongRunning(info: RequestInfo, exchange: Exchange): boolean {
    if (info.verb === 'watch') return true;
    return (
      info.subresource !== '' &&
      info.isResource &&
      this.#options.connectors.has(`${info.resource}/${info.subresource}`) &&
      !isQuick(exchange, info)
    );
  }

  async #dispatch(info: RequestInfo, response: Response, ctx: ExchangeContext): Promise<void> {
    const { user } = ctx;
    if (!info.isResource) {
      this.#authorize(user, { verb: info.verb, path: info.path });
      if (!(await this.#options.paths(info, response, user))) notServed(response);
      return;
    }
    const { tables, connectors, otherGroups } = this.#options;
    const row = tables.resource(info.group, info.version, info.resource);
    const connector = info.subresource === '' ? undefined : connectors.get(`${info.resource}/${info.subresource}`);
    if (!row || connector || WRITES.has(info.verb)) this.#authorize(user, attributesOf(info));
    if (!row) {
      if (!(await otherGroups?.(info, response, user))) notServed(response);
      return;
    }
    const target = targetOf(row, info);
    if (!target) return notServed(response);
    const request = { info, target, response, ctx };
    if (connector) {
      const { query } = response.exchange;
      const parameters = (await this.#options.mayConnect?.(ctx, target, query, pathOf(info))) ?? query;
      await connector({ ...request, parameters });
    } else if (response.exchange.upgrade) throw methodNotAllowed();
    else await this.#resources.handle(request);
  }

  #authorize(user: UserInfo, attributes: Attributes): void {
    const { allowed, reason } = this.#options.authorizer.authorize(user, attributes);
    if (allowed) return;
    if ('path' in attributes) throw forbidden({ group: '', resource: '' }, '', reason);
    throw forbidden(attributes, attributes.name, reason);
  }
}

/** Characters of an identifier that a client may give its request. */
const MAX_AUDIT_ID = 64;

/** The identifier that whoever passes the request on gave it: it stays the same on all servers that it goes through. */
function givenAuditId(exchange: Exchange): string | undefined {
  const given = exchange.header('audit-id');
  return given !== undefined && given !== '' && given.length <= MAX_AUDIT_ID ? given : undefined;
}

/** What follows the subresource, as it is meant. */
function pathOf({ path, rest }: RequestInfo): string {
  if (rest === '') return path.endsWith('/') ? '/' : '';
  try {
    return `/${decodeURIComponent(rest)}`;
  } catch {
    throw badRequest(`invalid URL escape in ${JSON.stringify(rest)}`);
  }
}

/** A log that is not followed ends by itself. */
function isQuick(exchange: Exchange, info: RequestInfo): boolean {
  return info.subresource === 'log' && !isTrue(exchange.query.get('follow'));
}

function attributesOf(info: RequestInfo): Attributes {
  const { verb, group, version, resource, subresource, namespace, name } = info;
  return { verb, group, version, resource, subresource, namespace, name };
}

function timedOut(): StatusError {
  return new StatusError('Timeout', 'Timeout: request did not complete within the allotted timeout');
}

function notServed(response: Response): void {
  response.send(404, 'text/plain; charset=utf-8', '404 page not found\n');
}
