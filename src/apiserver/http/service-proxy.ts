// The proxy subresources of pods, services and nodes: requests to /…/proxy/path go to /path of the thing itself.
import type { Agent } from 'node:https';
import { Agent as HttpsAgent } from 'node:https';
import type { EndpointSlice, Node, ObjectReference, Pod, Service } from '../../api/generated/types.ts';
import type { Random } from '../../lib/random.ts';
import { badRequest, isReason, StatusError } from '../../machinery/status.ts';
import type { ResponseHeaders } from './exchange.ts';
import { type Destination, forward, forwardUpgrade, relay, returnedHeaders } from './forward.ts';
import type { Connector } from './handler.ts';
import { kubeletAddress, type ProxyLookups } from './kubelet-proxy.ts';
import { checkProxyable, type IsProxyable } from './proxyable.ts';
import type { ResourceRequest } from './resource-handler.ts';
import { withLinks } from './rewrite-answer.ts';

export interface ServiceProxyLookups extends ProxyLookups {
  service(namespace: string, name: string, signal: AbortSignal): Promise<Service>;
  /** The slices of a service, as the server knows them now. */
  endpointSlices(namespace: string, service: string): readonly EndpointSlice[];
}

export interface ServiceProxyOptions {
  readonly lookups: ServiceProxyLookups;
  /** For nodes: the API server's identity towards kubelets. */
  readonly kubelet: Agent;
  readonly random: Random;
  readonly isProxyable: IsProxyable;
}

/** `[scheme:]name[:port]` */
interface ProxyName {
  readonly scheme: 'http' | 'https';
  readonly name: string;
  readonly port: string;
}

type Place = Pick<Destination, 'scheme' | 'host' | 'port' | 'agent'>;
type Locate = (asked: ProxyName, request: ResourceRequest) => Promise<Place>;

/** The connectors of pods/proxy, services/proxy and nodes/proxy. */
export function proxyConnectors(options: ServiceProxyOptions): Map<string, Connector> {
  // Pods and services show certificates of their own making: who proxies to them by https cannot check them, as upstream.
  const unchecked = new HttpsAgent({ rejectUnauthorized: false });
  const { lookups, isProxyable } = options;
  const toPod: Locate = async (asked, { target, ctx }) => {
    const pod = await lookups.pod(target.namespace ?? '', asked.name, ctx.signal);
    const host = podAddress(pod);
    await checkProxyable(host, isProxyable);
    return { scheme: asked.scheme, host, port: podPort(pod, asked.port), agent: unchecked };
  };
  const toService: Locate = async (asked, { target, ctx }) => {
    const namespace = target.namespace ?? '';
    const service = await lookups.service(namespace, asked.name, ctx.signal);
    const slices = lookups.endpointSlices(namespace, asked.name);
    const places = servicePlaces(service, slices, asked.port);
    while (places.length > 0) {
      const [place] = places.splice(Math.floor(options.random.next() * places.length), 1);
      if (!place || !isProxyable(place.host) || !(await isOfPod(lookups, place, namespace, ctx.signal))) continue;
      return { scheme: asked.scheme, host: place.host, port: place.port, agent: unchecked };
    }
    throw noEndpoints(service);
  };
  const toNode: Locate = async (asked, { ctx }) => {
    const node: Node = await lookups.node(asked.name, ctx.signal);
    const { host, port } = kubeletAddress(node);
    await checkProxyable(host, isProxyable);
    if (asked.port === '' || asked.port === String(port))
      return { scheme: 'https', host, port, agent: options.kubelet };
    // Whatever else listens on the node is not to see who the API server is to kubelets.
    return { scheme: asked.scheme, host, port: portNumber(asked.port, asked.name), agent: unchecked };
  };
  return new Map([
    ['pods/proxy', proxy(toPod)],
    ['services/proxy', proxy(toService)],
    ['nodes/proxy', proxy(toNode)],
  ]);
}

function proxy(locate: Locate): Connector {
  return async (request) => {
    const { info, response, parameters } = request;
    const { exchange } = response;
    const prefix = proxyPrefix(info.path);
    const isChanged = parameters !== exchange.query;
    const rest = isChanged ? encodedPath(parameters.get('path') ?? '') : exchange.path.slice(prefix.length);
    const search = exchange.rawQuery === '' ? '' : `?${exchange.rawQuery}`;
    // Relative links of the answer only work below a slash.
    if (rest === '' && (exchange.method === 'GET' || exchange.method === 'HEAD') && !exchange.upgrade) {
      return response.send(301, 'text/plain', '', { location: `${exchange.path}/${search}` });
    }
    const place = await locate(parseProxyName(info.name), request);
    const destination: Destination = { ...place, path: `${rest === '' ? '/' : rest}${search}` };
    if (exchange.upgrade) return forwardUpgrade(response, onlyHttpsAgent(destination));
    const host = exchange.header('host') ?? exchange.header(':authority') ?? '';
    const further = { 'x-forwarded-uri': exchange.path, 'x-forwarded-host': host, 'x-forwarded-proto': 'https' };
    const answer = await forward(exchange, onlyHttpsAgent(destination), further);
    const from = { prefix, host: authority(destination), clientHost: host };
    const { headers, body } = withLinks(answer, withoutCors(returnedHeaders(answer)), from, exchange.method !== 'HEAD');
    await relay(answer, response, headers, body);
  };
}

function encodedPath(path: string): string {
  const encoded = path.split('/').map(encodeURIComponent).join('/');
  return encoded === '' || encoded.startsWith('/') ? encoded : `/${encoded}`;
}

/** An agent's kind must be the request's. */
function onlyHttpsAgent(destination: Destination): Destination {
  if (destination.scheme === 'https') return destination;
  const { agent: _, ...plain } = destination;
  return plain;
}

/** The path up to and including `/proxy`: …/namespaces/NS/pods/NAME/proxy, or …/nodes/NAME/proxy. */
function proxyPrefix(path: string): string {
  const parts = path.split('/');
  // "", api, v1, namespaces, NS, resource, NAME, proxy
  const length = parts[3] === 'namespaces' ? 8 : 6;
  return parts.slice(0, length).join('/');
}

function authority({ host, port }: Destination): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

const CORS = ['credentials', 'headers', 'methods', 'origin'].map((what) => `access-control-allow-${what}`);

/** Whom a thing trusts is not whom the API server trusts, whose origin the answer has. */
function withoutCors(headers: ResponseHeaders): ResponseHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !CORS.includes(name)));
}

export function parseProxyName(text: string): ProxyName {
  const parts = text.split(':');
  if (parts.length > 3) throw badRequest(`invalid proxy name ${JSON.stringify(text)}`);
  if (parts.length === 3) {
    const [scheme = '', name = '', port = ''] = parts;
    if (scheme !== '' && scheme !== 'http' && scheme !== 'https')
      throw badRequest(`invalid scheme ${JSON.stringify(scheme)}`);
    return { scheme: scheme === 'https' ? 'https' : 'http', name, port };
  }
  const [name = '', port = ''] = parts;
  return { scheme: 'http', name, port };
}

function podAddress(pod: Pod): string {
  const address = pod.status?.podIP;
  if (!address) throw new StatusError('ServiceUnavailable', 'address not allowed');
  return address;
}

function podPort(pod: Pod, asked: string): number {
  if (/^\d+$/.test(asked)) return Number(asked);
  const ports = (pod.spec?.containers ?? []).flatMap((container) => container.ports ?? []);
  const found = asked === '' ? ports[0] : ports.find((port) => port.name === asked);
  if (!found && asked !== '') throw badRequest(`pod ${pod.metadata.name} has no port named ${JSON.stringify(asked)}`);
  return found?.containerPort ?? 80;
}

function portNumber(text: string, name: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port > 0 && port < 65_536) return port;
  throw badRequest(`invalid node request ${JSON.stringify(`${name}:${text}`)}`);
}

interface ServicePlace {
  readonly host: string;
  readonly port: number;
  readonly pod: ObjectReference | undefined;
}

/** Slices are anybody's to write: an address counts only when a pod of the namespace has it. */
async function isOfPod(
  lookups: ProxyLookups,
  { host, pod }: ServicePlace,
  namespace: string,
  signal: AbortSignal,
): Promise<boolean> {
  if (pod?.kind !== 'Pod' || pod.name === undefined || pod.namespace !== namespace) return false;
  try {
    const { status } = await lookups.pod(namespace, pod.name, signal);
    return status?.podIP === host || (status?.podIPs ?? []).some(({ ip }) => ip === host);
  } catch (error) {
    if (isReason(error, 'NotFound')) return false;
    throw error;
  }
}

function noEndpoints(service: Service): StatusError {
  const { name } = service.metadata;
  return new StatusError('ServiceUnavailable', `no endpoints available for service ${JSON.stringify(name)}`);
}

/** A ready endpoint of a service's port, by name or number. Throws ServiceUnavailable. */
export function servicePlace(
  service: Service,
  slices: readonly EndpointSlice[],
  asked: string,
  random: Random,
): { readonly host: string; readonly port: number } {
  const places = servicePlaces(service, slices, asked);
  const chosen = places[Math.floor(random.next() * places.length)];
  if (!chosen) throw noEndpoints(service);
  return chosen;
}

/** Every ready endpoint of the port. */
function servicePlaces(service: Service, slices: readonly EndpointSlice[], asked: string): ServicePlace[] {
  const { name } = service.metadata;
  const ports = service.spec?.ports ?? [];
  const port =
    asked === '' && ports.length === 1
      ? ports[0]
      : ports.find((one) => one.name === asked || String(one.port) === asked);
  if (!port)
    throw asked === '' && ports.length !== 0
      ? noEndpoints(service)
      : new StatusError(
          'ServiceUnavailable',
          `no service port ${JSON.stringify(asked)} found for service ${JSON.stringify(name)}`,
        );
  return slices.flatMap((slice) => {
    const target = slice.ports?.find((one) => (one.name ?? '') === (port.name ?? ''))?.port;
    if (target === undefined) return [];
    const ready = (slice.endpoints ?? []).filter((endpoint) => endpoint.conditions?.ready !== false);
    return ready.flatMap(({ addresses, targetRef }) =>
      addresses.map((host) => ({ host, port: target, pod: targetRef })),
    );
  });
}
