// Paths that are no resources: discovery, OpenAPI, version, health, metrics, and what issues service account tokens.
import { createHash } from 'node:crypto';
import type { Registry } from 'prom-client';
import type { Tables } from '../../api/tables.ts';
import { StatusError } from '../../machinery/status.ts';
import type { RemoteVersion } from '../aggregation/api-services.ts';
import type { TokenAuthority } from '../auth/service-account-tokens.ts';
import type { UserInfo } from '../contract.ts';
import { encodeValue } from '../http/encode.ts';
import type { ResponseHeaders } from '../http/exchange.ts';
import type { PathHandler } from '../http/handler.ts';
import { type Accepted, JSON_TYPE, negotiate, PLAIN_OFFER, PROTOBUF_TYPE, parseMediaRanges } from '../http/media.ts';
import { methodNotAllowed } from '../http/resource-handler.ts';
import type { Response } from '../http/response.ts';
import { type Descriptions, descriptionsHash, readDescriptions } from './descriptions.ts';
import { apiGroup, apiGroupList, apiResourceList, apiVersions, groupDiscoveryList } from './documents.ts';
import { type HealthChecks, healthAnswer } from './health.ts';
import { createOpenApi, type OpenApiDocument } from './openapi.ts';
import { OPENAPI_2_PROTOBUF, OPENAPI_2_PROTOBUF_SENT } from './openapi-protobuf.ts';
import { madeFromResources, servedGroups, withRemote } from './served-groups.ts';
import { VERSION } from './version.ts';

export interface PathOptions {
  readonly tables: Tables;
  /** "host:port", for clients that ask where the server is. */
  readonly address: () => string;
  readonly health: HealthChecks;
  readonly metrics: Registry;
  readonly tokens: TokenAuthority;
  readonly others?: OtherServers;
}

/** Group versions that other API servers serve. */
export interface OtherServers {
  /** Best first. */
  versions(): readonly RemoteVersion[];
  /** Passes the request on. */
  pass(version: RemoteVersion, response: Response, user: UserInfo): Promise<void>;
}

type Route = (response: Response, rest: string, user: UserInfo) => Promise<boolean>;

export function discoveryPaths(options: PathOptions): PathHandler {
  const { tables, tokens, metrics } = options;
  const discovery = discoveryRoutes(options);
  const openApi = openApiRoutes(tables, options.others);
  const health: Route = async (response) => {
    const { exchange } = response;
    const answer = await healthAnswer(options.health, exchange.path, exchange.query, exchange.signal);
    if (answer) response.send(answer.code, 'text/plain; charset=utf-8', answer.text, answer.headers);
    return answer !== undefined;
  };
  const routes: { readonly [first: string]: Route } = {
    '': async (response) => {
      await response.sendValue(200, { paths: ROOT_PATHS });
      return true;
    },
    api: discovery.api,
    apis: discovery.apis,
    openapi: openApi,
    version: async (response) => {
      await response.sendValue(200, VERSION);
      return true;
    },
    healthz: health,
    livez: health,
    readyz: health,
    metrics: async (response) => {
      response.send(200, metrics.contentType, await metrics.metrics());
      return true;
    },
    '.well-known': async (response, rest) => {
      if (rest !== 'openid-configuration') return false;
      await response.sendValue(200, openIdConfiguration(tokens.issuer));
      return true;
    },
    openid: async (response, rest) => {
      if (rest !== 'v1/jwks') return false;
      response.send(200, 'application/jwk-set+json', JSON.stringify(await tokens.keySet()));
      return true;
    },
  };
  return async (info, response, user) => {
    const [first = '', ...rest] = info.path.split('/').filter((part) => part !== '');
    const route = Object.hasOwn(routes, first) ? routes[first] : undefined;
    if (!route) return false;
    if (info.verb !== 'get' && info.verb !== 'head') throw methodNotAllowed();
    return route(response, rest.join('/'), user);
  };
}

const ROOT_PATHS = [
  '/.well-known/openid-configuration',
  '/api',
  '/api/v1',
  '/apis',
  '/healthz',
  '/livez',
  '/metrics',
  '/openapi/v2',
  '/openapi/v3',
  '/openid/v1/jwks',
  '/readyz',
  '/version',
];

function openIdConfiguration(issuer: string): object {
  return {
    issuer,
    jwks_uri: `${issuer.replace(/\/$/, '')}/openid/v1/jwks`,
    response_types_supported: ['id_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256', 'ES256'],
  };
}

function discoveryRoutes({ tables, address, others }: PathOptions): { api: Route; apis: Route } {
  const groups = madeFromBoth(tables, others, () => {
    const all = withRemote(servedGroups(tables), others?.versions() ?? []);
    const core = all.filter((group) => group.name === '');
    const named = all.filter((group) => group.name !== '');
    return { core, named, etags: new Map<string, { etag: string; body: Buffer }>() };
  });
  /** The aggregated document when the client takes it. */
  const aggregated = async (response: Response, which: 'core' | 'named'): Promise<boolean> => {
    const wanted = aggregatedForm(response.exchange.header('accept'));
    if (!wanted) return false;
    const { version, encoding } = wanted;
    const state = groups();
    const key = `${which} ${version} ${encoding}`;
    const known = state.etags.get(key) ?? (await withEtag(groupDiscoveryList(state[which], version), wanted));
    state.etags.set(key, known);
    const contentType = `${wanted.contentType};g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;
    const headers = { etag: `"${known.etag}"`, vary: 'Accept', 'cache-control': 'public' };
    const unchanged = response.exchange.header('if-none-match') === headers.etag;
    if (unchanged) response.send(304, contentType, '', headers);
    else response.send(200, contentType, known.body, headers);
    return true;
  };
  const send = async (response: Response, value: object): Promise<boolean> => {
    await response.sendValue(200, value, negotiate(response.exchange.header('accept'), PLAIN_OFFER));
    return true;
  };
  return {
    async api(response, rest) {
      if (rest === '') return (await aggregated(response, 'core')) || send(response, apiVersions(address()));
      const served = groups().core[0]?.versions.find((one) => one.version === rest);
      return served ? send(response, apiResourceList(served)) : false;
    },
    async apis(response, rest, user) {
      const { named } = groups();
      if (rest === '') return (await aggregated(response, 'named')) || send(response, apiGroupList(named));
      const [name, version] = rest.split('/');
      const group = named.find((one) => one.name === name);
      if (!group) return false;
      const remote = others?.versions().find((one) => one.group === name && one.version === version);
      if (remote && others) {
        await others.pass(remote, response, user);
        return true;
      }
      if (version === undefined) return send(response, apiGroup(group));
      const served = group.versions.find((one) => one.version === version);
      return served ? send(response, apiResourceList(served)) : false;
    },
  };
}

/** Made again when the resources that are served here change, or what is known of others'. */
function madeFromBoth<T>(tables: Tables, others: OtherServers | undefined, make: () => T): () => T {
  let known = '';
  let current = madeFromResources(tables, make);
  return () => {
    const now = (others?.versions() ?? []).map((one) => [
      one.group,
      one.version,
      one.available,
      one.resources.map((r) => r.resource),
    ]);
    const text = JSON.stringify(now);
    if (text !== known) current = madeFromResources(tables, make);
    known = text;
    return current();
  };
}

async function withEtag(value: object, as: Accepted): Promise<{ etag: string; body: Buffer }> {
  const body = await encodeValue(value, as);
  return { etag: createHash('sha512').update(body).digest('hex').toUpperCase(), body };
}

interface AggregatedForm extends Accepted {
  readonly version: 'v2' | 'v2beta1';
}

/** The best form of aggregated discovery that an Accept header names before plain JSON. */
function aggregatedForm(accept: string | undefined): AggregatedForm | undefined {
  for (const { type, parameters } of parseMediaRanges(accept ?? '')) {
    const isList = parameters.get('as') === 'APIGroupDiscoveryList' && parameters.get('g') === 'apidiscovery.k8s.io';
    const version = parameters.get('v');
    if (isList && (version === 'v2' || version === 'v2beta1')) {
      if (type === JSON_TYPE) return { version, encoding: 'json', contentType: type };
      if (type === PROTOBUF_TYPE) return { version, encoding: 'protobuf', contentType: type };
    }
    const plain = type === JSON_TYPE || type === PROTOBUF_TYPE || type === '*/*';
    if (plain && !parameters.has('as')) return undefined;
  }
  return undefined;
}

const IMMUTABLE_SECONDS = 31_536_000;

function openApiRoutes(tables: Tables, others: OtherServers | undefined): Route {
  let texts: Promise<Descriptions> | undefined;
  const openApi = createOpenApi(
    tables,
    VERSION.gitVersion,
    () => {
      texts ??= readDescriptions();
      return texts;
    },
    descriptionsHash,
  );
  return async (response, rest, user) => {
    const { exchange } = response;
    if (rest === 'v2') {
      const protobuf = wantsProtobuf(exchange.header('accept'));
      if (!protobuf) requireJson(exchange.header('accept'));
      const type = protobuf ? OPENAPI_2_PROTOBUF_SENT : JSON_TYPE;
      const make = protobuf ? () => openApi.version2Protobuf() : () => openApi.version2();
      await sendDocument(response, { type, hash: openApi.version2Hash() }, make);
      return true;
    }
    if (rest === 'v3') {
      await response.sendValue(200, openApi.index((others?.versions() ?? []).filter((one) => one.available)));
      return true;
    }
    if (!rest.startsWith('v3/')) return false;
    const path = rest.slice('v3/'.length);
    const remote = others?.versions().find((one) => path === `apis/${one.group}/${one.version}`);
    if (remote && others) {
      await others.pass(remote, response, user);
      return true;
    }
    const hash = openApi.hashOf(path);
    if (hash === undefined) return false;
    requireJson(exchange.header('accept'));
    const asked = exchange.query.get('hash');
    if (asked !== null && asked !== hash) {
      response.send(301, 'text/plain', '', { location: `/openapi/v3/${path}?hash=${hash}` });
      return true;
    }
    const kept: ResponseHeaders =
      asked === null ? {} : { 'cache-control': `public, immutable, max-age=${IMMUTABLE_SECONDS}` };
    await sendDocument(response, { type: JSON_TYPE, hash, kept }, () => openApi.document(path));
    return true;
  };
}

/** A document with its entity tag; nothing of it when the client has it already. */
async function sendDocument(
  response: Response,
  of: { readonly type: string; readonly hash: string; readonly kept?: ResponseHeaders },
  make: () => Promise<OpenApiDocument | undefined>,
): Promise<void> {
  const headers = { etag: `"${of.hash}"`, vary: 'Accept', ...of.kept };
  if (response.exchange.header('if-none-match') === headers.etag) {
    response.send(304, of.type, '', headers);
    return;
  }
  const document = await make();
  if (document) await response.sendBig(200, of.type, document.body, headers);
}

/** Whether protobuf is named before JSON. */
function wantsProtobuf(accept: string | undefined): boolean {
  for (const { type } of parseMediaRanges(accept ?? '')) {
    if (type === OPENAPI_2_PROTOBUF || type === OPENAPI_2_PROTOBUF_SENT) return true;
    if (type === JSON_TYPE || type === '*/*') return false;
  }
  return false;
}

/** The other documents are served as JSON only. */
function requireJson(accept: string | undefined): void {
  const ranges = parseMediaRanges(accept ?? '*/*');
  const json = ranges.some(({ type }) => type === '*/*' || type === 'application/*' || type === JSON_TYPE);
  if (!json) throw new StatusError('NotAcceptable', `only the following media types are accepted: ${JSON_TYPE}`);
}
