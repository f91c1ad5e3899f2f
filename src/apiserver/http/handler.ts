// The life of a request: who asks, may they now, what about, and the answer. A throw anywhere is an answer too.

import type { Tables } from '../../api/tables.ts';
import { abortable } from '../../lib/abort.ts';
import type { Environment } from '../../lib/environment.ts';
import { forbidden, StatusError } from '../../machinery/status.ts';
import { type Authenticator, impersonate } from '../auth/authenticate.ts';
import type { Attributes, Authorizer, RequestContext, ResourceApi, UserInfo } from '../contract.ts';
import type { ApiServerMetrics } from '../metrics.ts';
import { auditIds } from './audit-ids.ts';
import { CertificateUsers } from './certificate-users.ts';
import { ClientGoneError, type Exchange } from './exchange.ts';
import { GUARDS_HEADER, parseGuards } from './guards.ts';
import { InFlight, type InFlightLimits } from './limits.ts';
import { isTrue, type RequestInfo, requestInfo } from './request-info.ts';
import { methodNotAllowed, ResourceHandler, type ResourceRequest, targetOf } from './resource-handler.ts';
import { Response } from './response.ts';
import type { TablePrinter } from './table.ts';

/** A request that is not long-running is given up after this. */
export const REQUEST_TIMEOUT_MS = 60_000;

/** Answers requests for paths that are no resources (discovery, health, metrics). False: nothing is there. */
export type PathHandler = (info: RequestInfo, response: Response, user: UserInfo) => Promise<boolean>;

/** Answers a subresource that is a connection to somewhere else: log, exec, proxy. */
export type Connector = (request: ResourceRequest) => Promise<void>;

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
  /** Serves groups that the tables do not have (aggregated API servers). False: not its either. */
  readonly otherGroups?: PathHandler;
  readonly limits: InFlightLimits;
  readonly metrics: ApiServerMetrics;
  /** See ResourceHandlerOptions. */
  readonly watchPaceMs?: number | undefined;
}

const KNOWN_VERBS: ReadonlySet<string> = new Set([
  ...['get', 'list', 'watch', 'create', 'update', 'patch', 'delete', 'deletecollection'],
  ...['head', 'post', 'put', 'options'],
]);

/** Verbs whose body must not be read for one who may not do it. */
const WRITES = ['create', 'update', 'patch', 'delete', 'deletecollection'];

export class Handler {
  readonly #options: HandlerOptions;
  readonly #inFlight: InFlight;
  readonly #resources: ResourceHandler;
  readonly #certificates = new CertificateUsers();
  readonly #auditId: () => string;

  constructor(options: HandlerOptions) {
    const { env, tables, api, printer, metrics } = options;
    this.#options = options;
    this.#auditId = auditIds(env.random);
    this.#inFlight = new InFlight(options.limits, metrics);
    this.#resources = new ResourceHandler({
      ...{ tables, api, printer, metrics },
      ...{ clock: env.clock, random: env.random, watchPaceMs: options.watchPaceMs },
    });
  }

  /** Answers one request; never throws. */
  handle(exchange: Exchange): void {
    const { env, metrics } = this.#options;
    const startMs = env.clock.monotonic();
    const response = new Response(exchange, this.#auditId());
    let info: RequestInfo | undefined;
    const done = (): void => {
      if (!info || response.code === 0) return;
      const seconds = this.#isLongRunning(info, exchange) ? undefined : (env.clock.monotonic() - startMs) / 1000;
      metrics.request(this.#counted(info), response.code, seconds);
    };
    try {
      info = requestInfo(exchange.method, exchange.path, exchange.query);
    } catch (error) {
      void response.sendError(error);
      return;
    }
    this.#serve(info, response)
      .catch((error: unknown) => this.#fail(error, response))
      .finally(done)
      // Whatever goes wrong with one answer is nobody else's business.
      .catch((error: unknown) => env.log.error('a request could not be ended', error, { path: exchange.path }));
  }

  /** What a request is counted as: names that are the client's own would make a metric each. */
  #counted(info: RequestInfo): RequestInfo {
    const { tables } = this.#options;
    const row = info.isResource ? tables.resource(info.group, info.version, info.resource) : undefined;
    const known = row && (info.subresource === '' || row.subresources.has(info.subresource));
    const verb = KNOWN_VERBS.has(info.verb) ? info.verb : 'other';
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

  async #serve(info: RequestInfo, response: Response): Promise<void> {
    const { exchange } = response;
    const user = await this.#user(exchange);
    if (this.#isLongRunning(info, exchange)) return this.#dispatch(info, response, user, exchange.signal);
    const leave = this.#inFlight.enter(info, user);
    try {
      await this.#withDeadline(exchange, (signal) => this.#dispatch(info, response, user, signal));
    } finally {
      leave();
    }
  }

  async #user(exchange: Exchange): Promise<UserInfo> {
    const { authenticator, authorizer } = this.#options;
    const credentials = {
      headers: (name: string) => exchange.headers(name),
      headerNames: () => exchange.headerNames(),
      certificateUser: () => this.#certificates.of(exchange.socket),
    };
    return impersonate(await authenticator.authenticate(credentials), credentials, authorizer);
  }

  async #withDeadline(exchange: Exchange, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const controller = new AbortController();
    const onGone = (): void => controller.abort(exchange.signal.reason);
    exchange.signal.addEventListener('abort', onGone, { once: true });
    const timer = this.#options.env.clock.timer(REQUEST_TIMEOUT_MS, () => {
      const message = 'Timeout: request did not complete within the allotted timeout';
      controller.abort(new StatusError('Timeout', message));
    });
    try {
      await abortable(work(controller.signal), controller.signal);
    } finally {
      timer.cancel();
      exchange.signal.removeEventListener('abort', onGone);
    }
  }

  #isLongRunning(info: RequestInfo, exchange: Exchange): boolean {
    if (info.verb === 'watch') return true;
    return (
      info.isResource &&
      this.#options.connectors.has(`${info.resource}/${info.subresource}`) &&
      !isQuick(exchange, info)
    );
  }

  async #dispatch(info: RequestInfo, response: Response, user: UserInfo, signal: AbortSignal): Promise<void> {
    if (!info.isResource) {
      this.#authorize(user, { verb: info.verb, path: info.path });
      if (!(await this.#options.paths(info, response, user))) notServed(response);
      return;
    }
    const { tables, connectors, otherGroups } = this.#options;
    const row = tables.resource(info.group, info.version, info.resource);
    const connector = connectors.get(`${info.resource}/${info.subresource}`);
    if (!row || connector || WRITES.includes(info.verb)) this.#authorize(user, attributesOf(info));
    if (!row) {
      if (!(await otherGroups?.(info, response, user))) notServed(response);
      return;
    }
    const target = targetOf(row, info);
    if (!target) return notServed(response);
    const request = { info, target, response, ctx: contextOf(response, user, signal) };
    if (connector) await connector(request);
    else if (response.exchange.upgrade) throw methodNotAllowed();
    else await this.#resources.handle(request);
  }

  #authorize(user: UserInfo, attributes: Attributes): void {
    const { allowed, reason } = this.#options.authorizer.authorize(user, attributes);
    if (allowed) return;
    if ('path' in attributes) throw forbidden({ group: '', resource: '' }, '', reason);
    throw forbidden(attributes, attributes.name, reason);
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

function contextOf(response: Response, user: UserInfo, signal: AbortSignal): RequestContext {
  const { exchange } = response;
  const userAgent = exchange.header('user-agent');
  const guards = parseGuards(exchange.header(GUARDS_HEADER));
  return {
    user,
    signal,
    warn: (text) => response.warn(text),
    ...(userAgent !== undefined && { userAgent }),
    ...(guards && { guards }),
  };
}

function notServed(response: Response): void {
  response.send(404, 'text/plain; charset=utf-8', '404 page not found\n');
}
