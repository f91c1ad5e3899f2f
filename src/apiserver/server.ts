// An API server: caches, registry, authorization and HTTPS put together over a store.
import { generateKeyPairSync } from 'node:crypto';
import type { CustomResourceDefinition, EndpointSlice, Node, Pod, Service } from '../api/generated/types.ts';
import type { Resource, Tables } from '../api/tables.ts';
import { abortable } from '../lib/abort.ts';
import { invariant } from '../lib/assert.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import type { Environment } from '../lib/environment.ts';
import type { Random } from '../lib/random.ts';
import { nextTurn } from '../lib/turns.ts';
import { StatusError } from '../machinery/status.ts';
import type { Store } from '../store/contract.ts';
import type { TolerationSeconds } from './admission/pod-defaults.ts';
import { keepPolicyStatus } from './admission/policies/status.ts';
import { ApiServices } from './aggregation/api-services.ts';
import { aggregationProxy, type FrontProxy } from './aggregation/proxy.ts';
import { type AuditOptions, Auditor } from './audit/auditor.ts';
import { createAuthenticator } from './auth/authenticate.ts';
import { reconcileBootstrapRoles } from './auth/bootstrap-reconcile.ts';
import { createCa, issue, type KeyedCertificate } from './auth/certificates.ts';
import { alwaysAllow, PRIVILEGED_GROUP, type RbacAuthorizer, rbacAuthorizer } from './auth/rbac.ts';
import { createReviews } from './auth/reviews.ts';
import {
  createTokenAuthority,
  type LiveObject,
  type TokenAuthority,
  type TokenLookups,
} from './auth/service-account-tokens.ts';
import { bootstrap, publishServers } from './bootstrap/bootstrap.ts';
import { startCaches } from './cache/cache-set.ts';
import { COMPONENT_STATUSES, type Components, componentStatuses } from './component-status.ts';
import type { Authorizer, CacheSet, RequestContext, ResourceApi, UserInfo } from './contract.ts';
import { conversionByWebhook } from './custom/conversion-webhook.ts';
import { serveDefinitions } from './custom/definitions.ts';
import type { HealthCheck, HealthChecks } from './discovery/health.ts';
import { discoveryPaths, type OtherServers } from './discovery/paths.ts';
import { ensureFlowControlObjects, FlowControlConfiguration } from './flow-control/configuration.ts';
import { FlowControl } from './flow-control/flow-control.ts';
import { Handler, type PathHandler } from './http/handler.ts';
import { type KubeletCredentials, kubeletAgent, kubeletConnectors } from './http/kubelet-proxy.ts';
import { type InFlightLimits, MAX_MUTATING_IN_FLIGHT, MAX_READ_ONLY_IN_FLIGHT } from './http/limits.ts';
import { type ConnectionCare, type ListenerTimeouts, listen, type TlsOptions } from './http/listener.ts';
import { type IsProxyable, isProxyableIP } from './http/proxyable.ts';
import { proxyConnectors, type ServiceProxyLookups, servicePlace } from './http/service-proxy.ts';
import { apiServerMetrics } from './metrics.ts';
import { createPipeline } from './pipeline.ts';
import { keepPresence, type Presence, type PresenceOptions } from './presence/presence.ts';
import { createPrinter } from './printers/printer.ts';
import { DEFAULT_SERVICE_NETWORK } from './registry/context.ts';
import { createRegistry, type ServiceNetwork } from './registry/registry.ts';
import type { ConvertByWebhook } from './registry/shown.ts';
import { fieldsOf } from './strategies/strategies.ts';
import { type CallWebhook, type ResolveService, webhookCaller } from './webhooks/client.ts';

export interface ApiServerOptions {
  readonly store: Store;
  readonly tables: Tables;
  readonly env: Environment;
  /** Absent: a certificate of an authority made on the spot, which lives as long as the server (`ca` of the answer). */
  readonly tls?: TlsOptions;
  /** PEM of the authority of `tls`, for clients. */
  readonly caCertificate?: string;
  /** Further names and addresses in a certificate made on the spot. */
  readonly sans?: readonly string[];
  /** PEM private key of service account tokens; absent: made on the spot, so that tokens die with the server. */
  readonly signingKey?: string;
  /** PEM keys of tokens issued earlier. */
  readonly verificationKeys?: readonly string[];
  readonly issuer?: string;
  readonly audiences?: readonly string[];
  /** Default RBAC. */
  readonly authorizationMode?: 'RBAC' | 'AlwaysAllow';
  readonly staticTokens?: ReadonlyMap<string, UserInfo>;
  /** Default true. */
  readonly anonymous?: boolean;
  /** Default 127.0.0.1. */
  readonly address?: string;
  /** Default 0: any free one. */
  readonly port?: number;
  /** Where others reach this server; default: address. */
  readonly advertiseAddress?: string;
  /** What the kubernetes Service leads to; default: this server alone. */
  readonly servers?: { readonly addresses: readonly string[]; readonly port: number };
  /** PEM authority of the proxy in front of extension API servers. */
  readonly requestHeaderCa?: string;
  /** What the server shows to extension API servers, of that authority. */
  readonly frontProxy?: FrontProxy;
  /** What the plugin DefaultTolerationSeconds gives to pods; default 300 each. */
  readonly tolerationSeconds?: TolerationSeconds;
  /** Service addresses and node ports. */
  readonly network?: ServiceNetwork;
  /** The API server's identity towards kubelets; absent: the authority made on the spot issues one. */
  readonly kubelet?: KubeletCredentials;
  readonly limits?: InFlightLimits;
  /** Why the kubelet of a node cannot be asked; default: every node's can. */
  readonly nodeRefusal?: (node: Node) => string | undefined;
  /** Which addresses the proxy subresources go to; default: upstream's rule. */
  readonly isProxyable?: IsProxyable;
  /** Milliseconds that events to one watcher are apart at least, so that a busy watch costs few writes; default 0. */
  readonly watchPaceMs?: number;
  /** How dead and long-lived connections are treated. */
  readonly connection?: Partial<ConnectionCare>;
  /** How this server lets others know that it lives; absent: it does not, and `servers` is what the kubernetes Service leads to. */
  readonly presence?: PresenceOptions;
  /** /readyz and /livez say that the store is gone when it has not answered for this long; default: upstream's 2 s. */
  readonly storeCheckTimeoutMs?: number;
  /** How long clients may take over a connection. */
  readonly timeouts?: ListenerTimeouts;
  /** What is told of requests, and to whom; absent: nothing. */
  readonly audit?: AuditOptions;
}

export interface ApiServer {
  readonly url: string;
  readonly address: string;
  readonly port: number;
  /** PEM; what clients trust. */
  readonly caCertificate: string;
  /** The authority made on the spot, for issuing client certificates; absent when `tls` was given. */
  readonly ca: KeyedCertificate | undefined;
  /** Every operation, authorized as the context's user: what in-process clients call. */
  readonly pipeline: ResourceApi;
  readonly caches: CacheSet;
  readonly tables: Tables;
  readonly authorizer: RbacAuthorizer;
  readonly tokens: TokenAuthority;
  /** Fails /readyz from now on, so that balancers turn away before connections end. */
  drain(): void;
  /**
   * Leaves in order, as upstream: /readyz fails and the endpoints forget this server; after `delayMs`, in which it serves as
   * before, no connection takes further requests, those under way are answered (for `graceMs` at most) and watches end.
   */
  leave(timing: { readonly delayMs: number; readonly graceMs: number }): Promise<void>;
  /** Ends every connection and the caches. The store stays open: it is the caller's. */
  close(): Promise<void>;
}

export const DEFAULT_ISSUER = 'https://kubernetes.default.svc.cluster.local';
const CERTIFICATE_VALIDITY_MS = 365 * 86_400_000;
const SERVING_NAMES = [
  'kubernetes',
  'kubernetes.default',
  'kubernetes.default.svc',
  'kubernetes.default.svc.cluster.local',
  'localhost',
];

/** The server's own identity, for what it does on nobody's behalf. */
export const API_SERVER_USER: UserInfo = {
  username: 'system:apiserver',
  groups: [PRIVILEGED_GROUP, 'system:authenticated'],
};

/** Starts serving; resolves when /readyz would say ok. Ends when the signal aborts or close() is called. */
export async function startApiServer(options: ApiServerOptions, signal: AbortSignal): Promise<ApiServer> {
  const { store, tables, env } = options;
  const stop = new AbortController();
  const ends = AbortSignal.any([signal, stop.signal]);
  const caches = await startCaches(store, tables, fieldsOf, env, ends);
  const authorizer = options.authorizationMode === 'AlwaysAllow' ? alwaysAllow : rbacAuthorizer(caches, tables, ends);
  const tokens = tokenAuthority(options, caches);
  const { anonymous, staticTokens } = options;
  const authenticator = createAuthenticator({
    tokens,
    ...(anonymous !== undefined && { anonymous }),
    ...(staticTokens && { staticTokens }),
  });
  const callWebhook = webhookCaller(serviceResolver(cachedServices(tables, caches), env.random), env.clock, ends);
  const state: State = { ready: false, draining: false, port: 0 };
  const health = healthChecks(store, env.clock, state, options.storeCheckTimeoutMs);
  const components = componentSources(options, caches, health);
  const registry = createRegistry({
    answered: new Map([[COMPONENT_STATUSES, (signal) => componentStatuses(components, signal)]]),
    tables,
    store,
    caches,
    env,
    reviews: createReviews(authorizer, authenticator),
    tokens,
    rbac: authorizer,
    convertByWebhook: conversions(options, caches, callWebhook),
    callWebhook,
    ...(options.network && { network: options.network }),
    ...(options.tolerationSeconds && { tolerationSeconds: options.tolerationSeconds }),
  });
  const pipeline = createPipeline(registry, authorizer);
  const identity = servingIdentity(options);
  const address = options.address ?? '127.0.0.1';
  const host = options.advertiseAddress ?? address;
  const aggregation = aggregate(options, { registry, caches, frontProxy: identity.frontProxy }, ends);
  const limits = options.limits ?? { readOnly: MAX_READ_ONLY_IN_FLIGHT, mutating: MAX_MUTATING_IN_FLIGHT };
  const flowControl = new FlowControl(limits.readOnly + limits.mutating, env, ends);
  const flowSources = { api: registry, tables, caches, env, ctx: ownContext(ends) };
  const flowConfiguration = new FlowControlConfiguration(flowSources, flowControl);
  const auditor = options.audit && new Auditor({ ...options.audit, env, authorizer });
  const handler = new Handler({
    env,
    auditor,
    tables,
    api: pipeline,
    authenticator,
    authorizer,
    printer: createPrinter(env.clock),
    paths: discoveryPaths({
      tables,
      tokens,
      metrics: env.metrics,
      health,
      address: () => `${host}:${state.port}`,
      ...(aggregation && { others: aggregation.others }),
    }),
    ...(aggregation && { otherGroups: aggregation.otherGroups }),
    mayConnect: registry.connect,
    connectors: connectors(options, registry, caches, { kubelet: identity.kubelet, authorizer }),
    flowControl,
    // What is only answered, never kept, costs a list nothing.
    objects: (row) => (row.etcdPrefix === undefined ? 0 : caches.for(row).size),
    metrics: apiServerMetrics(env.metrics),
    watchPaceMs: options.watchPaceMs,
  });
  const listener = await listen({
    tls: identity.tls,
    address,
    port: options.port ?? 0,
    handle: (exchange) => handler.handle(exchange),
    log: env.log.child('apiserver'),
    clock: env.clock,
    random: env.random,
    ...(options.connection && { connection: options.connection }),
    ...(options.timeouts && { timeouts: options.timeouts }),
  });
  state.port = listener.port;
  let presence: Presence | undefined;
  const close = async (): Promise<void> => {
    state.draining = true;
    stop.abort(new Error('the API server is closed'));
    await presence?.ended;
    handler.close();
    await listener.close();
    await auditor?.flush();
  };
  signal.addEventListener('abort', () => void close(), { once: true });
  try {
    await prepare(options, registry, identity, listener.port, ends);
    await ensureFlowControlObjects(flowSources);
    presence = await joinServers(options, registry, { address: host, port: listener.port }, ends);
  } catch (error) {
    await close();
    throw error;
  }
  const keepOwn = (): void => aggregation?.services.keepOwn();
  await serveDefinitions({ tables, caches, api: registry, env, context: ownContext, changed: keepOwn }, ends);
  keepPolicyStatus({ tables, caches, api: registry, env, context: ownContext }, ends);
  aggregation?.services.follow();
  keepOwn();
  // The authorizer reads the caches: it must have seen the standard roles before anybody relies on them.
  await caches.consistent(ends);
  await nextTurn();
  state.ready = true;
  flowConfiguration.startWriting();
  return {
    url: `https://${host.includes(':') ? `[${host}]` : host}:${listener.port}`,
    address: listener.address,
    port: listener.port,
    caCertificate: identity.caCertificate,
    ca: identity.ca,
    pipeline,
    caches,
    tables,
    authorizer,
    tokens,
    drain: () => {
      state.draining = true;
    },
    async leave({ delayMs, graceMs }) {
      if (stop.signal.aborted) return;
      state.draining = true;
      const delay = sleep(env.clock, delayMs, stop.signal).catch(() => undefined);
      await presence?.leave();
      await delay;
      listener.stopAccepting();
      const late = sleep(env.clock, graceMs, stop.signal).catch(() => undefined);
      await Promise.race([handler.drained(), late]);
      // What was written last is still to leave.
      await nextTurn();
    },
    close,
  };
}

interface State {
  ready: boolean;
  draining: boolean;
  port: number;
}

/** A store that takes longer to answer cannot be served from. */
const STORE_CHECK_TIMEOUT_MS = 2_000;

function healthChecks(store: Store, clock: Clock, state: State, storeTimeoutMs = STORE_CHECK_TIMEOUT_MS): HealthChecks {
  const stored: HealthCheck = async (signal) => {
    const late = new AbortController();
    const timer = clock.timer(storeTimeoutMs, () => late.abort(new Error('the store did not answer in time')));
    const either = AbortSignal.any([signal, late.signal]);
    try {
      await abortable(store.revision(either), either);
    } finally {
      timer.cancel();
    }
  };
  const bootstrapped: HealthCheck = () => {
    if (!state.ready) throw new Error('not finished');
  };
  const serving: HealthCheck = () => {
    if (state.draining) throw new Error('process is shutting down');
  };
  return {
    live: new Map<string, HealthCheck>([
      ['ping', () => undefined],
      ['etcd', stored],
    ]),
    ready: new Map([
      ['poststarthook/rbac/bootstrap-roles', bootstrapped],
      ['shutdown', serving],
    ]),
  };
}

interface ServingIdentity {
  readonly tls: TlsOptions;
  readonly caCertificate: string;
  readonly ca: KeyedCertificate | undefined;
  readonly kubelet: KubeletCredentials | undefined;
  readonly frontProxy: FrontProxy | undefined;
  /** PEM of the authority of `frontProxy`. */
  readonly requestHeaderCa: string | undefined;
}

function servingIdentity({
  tls,
  network,
  caCertificate,
  kubelet,
  frontProxy,
  requestHeaderCa,
  env,
  sans = [],
  address,
  advertiseAddress,
}: ApiServerOptions): ServingIdentity {
  if (tls) {
    const trusted = caCertificate ?? tls.clientCa ?? tls.certificate;
    return { tls, caCertificate: trusted, ca: undefined, kubelet, frontProxy, requestHeaderCa };
  }
  const common = { nowMs: env.clock.now(), validityMs: CERTIFICATE_VALIDITY_MS, random: env.random };
  const ca = createCa({ commonName: 'kubernetes-ca', ...common });
  const frontCa = createCa({ commonName: 'front-proxy-ca', ...common });
  const addresses = ['127.0.0.1', '::1', address, advertiseAddress].filter((one) => one !== undefined);
  const service = firstAddress((network ?? DEFAULT_SERVICE_NETWORK).cidr);
  const names = [...new Set([...SERVING_NAMES, service, ...addresses, ...sans])];
  const serving = issue(ca, { commonName: 'kube-apiserver', sans: names, usages: ['server'], ...common });
  const own = {
    commonName: 'kube-apiserver-kubelet-client',
    organizations: [PRIVILEGED_GROUP],
    usages: ['client'] as const,
  };
  return {
    tls: { ...serving, clientCa: ca.certificate },
    caCertificate: ca.certificate,
    ca,
    kubelet: kubelet ?? issue(ca, { ...own, ...common }),
    frontProxy: issue(frontCa, { commonName: 'front-proxy-client', usages: ['client'], ...common }),
    requestHeaderCa: frontCa.certificate,
  };
}

function tokenAuthority(options: ApiServerOptions, caches: CacheSet): TokenAuthority {
  const { env, tables, verificationKeys, issuer = DEFAULT_ISSUER } = options;
  const live = (resource: string) => {
    const cache = caches.for(coreRow(tables, resource));
    return (namespace: string | undefined, name: string): LiveObject | undefined => {
      const metadata = cache.get(namespace, name)?.object.metadata;
      return metadata && { uid: metadata.uid ?? '', deletionTimestamp: metadata.deletionTimestamp };
    };
  };
  const node = live('nodes');
  const lookups: TokenLookups = {
    serviceAccount: live('serviceaccounts'),
    pod: live('pods'),
    secret: live('secrets'),
    node: (name) => node(undefined, name),
  };
  return createTokenAuthority({
    signingKey: options.signingKey ?? newSigningKey(),
    ...(verificationKeys && { verificationKeys }),
    issuer,
    audiences: options.audiences ?? [issuer],
    clock: env.clock,
    random: env.random,
    lookups,
  });
}

function newSigningKey(): string {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
    .privateKey.export({ type: 'pkcs8', format: 'pem' })
    .toString();
}

function coreRow(tables: Tables, resource: string): Resource {
  const row = tables.preferred('', resource);
  invariant(row, `no resource ${resource} in the core group`);
  return row;
}

function componentSources({ tables, env }: ApiServerOptions, caches: CacheSet, health: HealthChecks): Components {
  const leases = tables.resource('coordination.k8s.io', 'v1', 'leases');
  const store = health.live.get('etcd');
  invariant(leases && store, 'leases are served and the store is checked');
  return { store, leases: caches.for(leases), clock: env.clock };
}

/** What the server does in its own name. */
function ownContext(signal: AbortSignal): RequestContext {
  return { user: API_SERVER_USER, signal, warn: () => undefined, userAgent: 'kube-apiserver' };
}

/** Services as the server's own caches show them. */
function cachedServices(
  tables: Tables,
  caches: CacheSet,
): Pick<ServiceProxyLookups, 'endpointSlices'> & {
  service(namespace: string, name: string): Service | undefined;
} {
  const slices = tables.preferred('discovery.k8s.io', 'endpointslices');
  const services = caches.for(coreRow(tables, 'services'));
  return {
    service: (namespace, name) => services.get(namespace, name)?.object as Service | undefined,
    endpointSlices(namespace, service) {
      if (!slices) return [];
      const all = caches
        .for(slices)
        .list({ namespace })
        .items.map((item) => item.object as EndpointSlice);
      return all.filter((slice) => slice.metadata.labels?.['kubernetes.io/service-name'] === service);
    },
  };
}

interface Aggregation {
  readonly services: ApiServices;
  readonly others: OtherServers;
  readonly otherGroups: PathHandler;
}

/** What extension API servers serve; undefined: the tables know no APIServices. */
function aggregate(
  { tables, env }: ApiServerOptions,
  parts: { readonly registry: ResourceApi; readonly caches: CacheSet; readonly frontProxy: FrontProxy | undefined },
  signal: AbortSignal,
): Aggregation | undefined {
  const row = tables.resource('apiregistration.k8s.io', 'v1', 'apiservices');
  if (!row) return undefined;
  const { registry, caches, frontProxy } = parts;
  const known = cachedServices(tables, caches);
  const proxy = aggregationProxy(serviceResolver(known, env.random), frontProxy, signal);
  const options = { tables, caches, api: registry, env, context: ownContext, services: known, ask: proxy.ask };
  const services = new ApiServices(options, row, signal);
  const pass: OtherServers['pass'] = (version, response, user) => proxy.pass(version.apiService, response, user);
  return {
    services,
    others: { versions: () => services.remotes(), pass },
    async otherGroups(info, response, user) {
      const remote = services.remote(info.group, info.version);
      if (!remote) return false;
      await pass(remote, response, user);
      return true;
    },
  };
}

function serviceResolver(services: ReturnType<typeof cachedServices>, random: Random): ResolveService {
  return async (namespace, name, port) => {
    const service = services.service(namespace, name);
    if (!service) throw new Error(`service ${JSON.stringify(name)} not found`);
    return servicePlace(service, services.endpointSlices(namespace, name), String(port), random);
  };
}

function conversions({ tables, env }: ApiServerOptions, caches: CacheSet, call: CallWebhook): ConvertByWebhook {
  const definitions = tables.resource('apiextensions.k8s.io', 'v1', 'customresourcedefinitions');
  const definition = (name: string): CustomResourceDefinition | undefined =>
    definitions && (caches.for(definitions).get(undefined, name)?.object as CustomResourceDefinition | undefined);
  return conversionByWebhook({ call, definition, random: env.random });
}

function connectors(
  { tables, env, isProxyable = isProxyableIP, nodeRefusal = () => undefined }: ApiServerOptions,
  registry: ResourceApi,
  caches: CacheSet,
  { kubelet, authorizer }: { readonly kubelet: KubeletCredentials | undefined; readonly authorizer: Authorizer },
) {
  const read = async (resource: string, namespace: string | undefined, name: string, signal: AbortSignal) => {
    const target = { resource: coreRow(tables, resource), name, ...(namespace !== undefined && { namespace }) };
    return (await registry.get(ownContext(signal), target, {})).object;
  };
  const lookups: ServiceProxyLookups = {
    endpointSlices: cachedServices(tables, caches).endpointSlices,
    pod: (namespace, name, signal) => read('pods', namespace, name, signal) as Promise<Pod>,
    node: async (name, signal) => {
      const node = (await read('nodes', undefined, name, signal)) as Node;
      const refusal = nodeRefusal(node);
      if (refusal !== undefined)
        throw new StatusError('ServiceUnavailable', `error trying to reach service: ${refusal}`);
      return node;
    },
    service: (namespace, name, signal) => read('services', namespace, name, signal) as Promise<Service>,
  };
  const agent = kubeletAgent(kubelet);
  return new Map([
    ...kubeletConnectors({ lookups, agent, authorizer, clock: env.clock }),
    ...proxyConnectors({ lookups, kubelet: agent, random: env.random, isProxyable }),
  ]);
}

/** Puts this server among the endpoints of Service kubernetes: as one that lives, or as the only one that was told of. */
async function joinServers(
  options: ApiServerOptions,
  registry: ResourceApi,
  self: { readonly address: string; readonly port: number },
  signal: AbortSignal,
): Promise<Presence | undefined> {
  const { store, tables, env, presence, servers } = options;
  if (presence) {
    return keepPresence({ ...presence, ...self, store, api: registry, tables, env, context: ownContext }, signal);
  }
  const told = servers ?? { addresses: [self.address], port: self.port };
  await publishServers(registry, tables, ownContext(signal), told);
  return undefined;
}

/** Makes what every cluster has; any number of servers may do so at once. */
async function prepare(
  options: ApiServerOptions,
  registry: ResourceApi,
  identity: ServingIdentity,
  port: number,
  signal: AbortSignal,
): Promise<void> {
  const { tables, authorizationMode, network = DEFAULT_SERVICE_NETWORK } = options;
  const ctx = ownContext(signal);
  await bootstrap(registry, tables, ctx, {
    port: options.servers?.port ?? port,
    serviceIP: firstAddress(network.cidr),
    serviceCIDR: network.cidr,
    clientCA: identity.tls.clientCa ?? identity.caCertificate,
    rootCA: identity.caCertificate,
    ...(identity.requestHeaderCa !== undefined && { requestHeaderCA: identity.requestHeaderCa }),
  });
  if (authorizationMode !== 'AlwaysAllow') await reconcileBootstrapRoles(registry, tables, ctx);
}

/** The first address of an IPv4 range is the kubernetes Service's. */
function firstAddress(cidr: string): string {
  const bytes = (cidr.split('/')[0] ?? '').split('.').map(Number);
  bytes[3] = (bytes[3] ?? 0) + 1;
  return bytes.join('.');
}
