// Logs, exec, attach and port-forward: the kubelet of the pod's node does the work, reached with the API server's own
// client certificate.
import { Agent } from 'node:https';
import type { Node, Pod } from '../../api/generated/types.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import { badRequest, forbidden, StatusError } from '../../machinery/status.ts';
import type { Authorizer } from '../contract.ts';
import { type Destination, forward, forwardUpgrade, relay } from './forward.ts';
import type { Connector, ConnectRequest } from './handler.ts';
import type { ResourceRequest } from './resource-handler.ts';
import {
  CHANNELS_V5,
  readsMessages,
  sendMessages,
  translateStreams,
  tunnelledProtocols,
  tunnelSpdy,
  type WantedStreams,
  webSocketProtocols,
} from './websocket-streams.ts';

export interface KubeletCredentials {
  /** PEM of the API server's client certificate and key. */
  readonly certificate: string;
  readonly key: string;
  /** PEM authority of the kubelets' serving certificates; absent: they are not checked, as upstream's default. */
  readonly ca?: string;
}

/** Reads the objects that say where a pod runs. Throws NotFound. */
export interface ProxyLookups {
  pod(namespace: string, name: string, signal: AbortSignal): Promise<Pod>;
  node(name: string, signal: AbortSignal): Promise<Node>;
}

/** Idle connections kept to one kubelet. */
const MAX_FREE_SOCKETS = 4;
const DEFAULT_KUBELET_PORT = 10250;

/** Connections to kubelets; without credentials it shows none, and kubelets will refuse. */
export function kubeletAgent(credentials: KubeletCredentials | undefined): Agent {
  return new Agent({
    ...(credentials && { cert: credentials.certificate, key: credentials.key }),
    ...(credentials?.ca === undefined ? { rejectUnauthorized: false } : { ca: credentials.ca }),
    keepAlive: true,
    maxFreeSockets: MAX_FREE_SOCKETS,
  });
}

/** Where a node's kubelet listens. */
export function kubeletAddress(node: Node): { readonly host: string; readonly port: number } {
  const addresses = node.status?.addresses ?? [];
  for (const type of ['InternalIP', 'ExternalIP', 'Hostname']) {
    const found = addresses.find((address) => address.type === type);
    if (found)
      return { host: found.address, port: node.status?.daemonEndpoints?.kubeletEndpoint?.Port || DEFAULT_KUBELET_PORT };
  }
  throw new StatusError('InternalError', `Internal error occurred: no preferred addresses found; known addresses: []`);
}

export interface ConnectorOptions {
  readonly lookups: ProxyLookups;
  readonly agent: Agent;
  readonly authorizer: Authorizer;
  readonly clock: Clock;
}

/** The connectors of pods/log, pods/exec, pods/attach and pods/portforward. */
export function kubeletConnectors({ lookups, agent, authorizer, clock }: ConnectorOptions): Map<string, Connector> {
  const streaming = (path: string, takesContainer: boolean): Connector => {
    return async (request) => {
      const { response } = request;
      const protocols = webSocketProtocols(response.exchange);
      // A browser's GET can be had from people who only meant to look: doing something needs the right to do it.
      if (response.exchange.header('upgrade')?.toLowerCase() === 'websocket') checkCreate(authorizer, request);
      const pod = await podOf(lookups, request);
      if (takesContainer) checkStreams(request);
      const destination = await kubeletDestination(lookups, agent, pod, request, path, takesContainer);
      if (!destination) throw badRequest(`pod ${pod.metadata.name} does not have a host assigned`);
      const tunnelled = tunnelledProtocols(protocols);
      if (takesContainer && protocols.includes(CHANNELS_V5)) {
        const later = (ms: number, work: () => void): Timer => clock.timer(ms, work);
        await translateStreams(response, destination, wantedStreams(request), later);
      } else if (!takesContainer && tunnelled.length > 0) await tunnelSpdy(response, destination, tunnelled);
      else await forwardUpgrade(response, destination);
    };
  };
  return new Map([
    ['pods/log', logs(lookups, agent)],
    ['pods/exec', streaming('exec', true)],
    ['pods/attach', streaming('attach', true)],
    ['pods/portforward', streaming('portForward', false)],
  ]);
}

function checkCreate(authorizer: Authorizer, { ctx, target, info }: ResourceRequest): void {
  if (info.verb === 'create') return;
  const { group, version, resource } = target.resource;
  const { name = '', namespace = '', subresource = '' } = target;
  const attributes = { verb: 'create', group, version, resource, subresource, namespace, name };
  const { allowed, reason } = authorizer.authorize(ctx.user, attributes);
  if (!allowed) throw forbidden(attributes, name, reason);
}

function wantedStreams({ parameters }: ConnectRequest): WantedStreams {
  const is = (name: string): boolean => ['true', '1'].includes(parameters.get(name) ?? '');
  return { stdin: is('stdin'), stdout: is('stdout'), stderr: is('stderr'), tty: is('tty') };
}

function podOf(lookups: ProxyLookups, { target, ctx }: ResourceRequest): Promise<Pod> {
  return lookups.pod(target.namespace ?? '', target.name ?? '', ctx.signal);
}

function logs(lookups: ProxyLookups, agent: Agent): Connector {
  return async (request) => {
    const { response } = request;
    const pod = await podOf(lookups, request);
    const destination = await kubeletDestination(lookups, agent, pod, request, 'containerLogs', true);
    // A pod that is nowhere yet has said nothing.
    if (!destination) return response.send(200, 'text/plain', '');
    const answer = await forward(response.exchange, destination);
    const code = answer.statusCode ?? 502;
    if (code < 400 && readsMessages(response.exchange)) return sendMessages(response, answer);
    if (code < 400) return relay(answer, response, response.headers('text/plain'));
    throw kubeletRefusal(code, await textOf(answer));
  };
}

/** Kubelet's query names for the options of exec and attach; logs keep theirs. */
const STREAM_OPTIONS: ReadonlyMap<string, string> = new Map([
  ['stdin', 'input'],
  ['stdout', 'output'],
  ['stderr', 'error'],
  ['tty', 'tty'],
]);

async function kubeletDestination(
  lookups: ProxyLookups,
  agent: Agent,
  pod: Pod,
  request: ConnectRequest,
  path: string,
  takesContainer: boolean,
): Promise<Destination | undefined> {
  const { parameters: query } = request;
  const { namespace = '', name } = pod.metadata;
  const container = takesContainer ? containerName(pod, query.get('container') ?? '') : undefined;
  const nodeName = pod.spec?.nodeName;
  if (!nodeName) return undefined;
  const node = await lookups.node(nodeName, request.ctx.signal);
  const parts = [path, namespace, name, ...(container === undefined ? [] : [container])].map(encodeURIComponent);
  const text = kubeletQuery(path, query).toString();
  const { host, port } = kubeletAddress(node);
  return { scheme: 'https', host, port, agent, path: `/${parts.join('/')}${text === '' ? '' : `?${text}`}` };
}

function kubeletQuery(path: string, query: URLSearchParams): URLSearchParams {
  const result = new URLSearchParams();
  for (const [key, value] of query) {
    const option = STREAM_OPTIONS.get(key);
    if (key === 'container') continue;
    if (option === undefined || path === 'containerLogs') result.append(key, value);
    else if (value === 'true' || value === '1') result.set(option, '1');
  }
  return result;
}

/** The container asked for, or the only one. Throws BadRequest with upstream's words. */
function containerName(pod: Pod, asked: string): string {
  const { containers = [], initContainers = [], ephemeralContainers = [] } = pod.spec ?? {};
  const names = (list: readonly { readonly name: string }[]): string => `[${list.map((one) => one.name).join(' ')}]`;
  if (asked === '') {
    if (containers.length === 1) return containers[0]!.name;
    const choice = initContainers.length === 0 ? '' : ` or one of the init containers: ${names(initContainers)}`;
    throw badRequest(
      `a container name must be specified for pod ${pod.metadata.name}, choose one of: ${names(containers)}${choice}`,
    );
  }
  const all: readonly { readonly name: string }[] = [...containers, ...initContainers, ...ephemeralContainers];
  if (all.some((one) => one.name === asked)) return asked;
  throw badRequest(`container ${asked} is not valid for pod ${pod.metadata.name}`);
}

function checkStreams({ parameters }: ConnectRequest): void {
  const asked = ['stdin', 'stdout', 'stderr'].filter((name) => ['true', '1'].includes(parameters.get(name) ?? ''));
  if (asked.length === 0) throw badRequest('you must specify at least 1 of stdin, stdout, stderr');
}

/** How much of a kubelet's refusal is read. */
const REFUSAL_LIMIT_BYTES = 2048;

async function textOf(stream: AsyncIterable<unknown> & { destroy(): unknown }): Promise<string> {
  let text = '';
  for await (const chunk of stream) {
    text += (chunk as Buffer).toString('utf8');
    if (text.length > REFUSAL_LIMIT_BYTES) break;
  }
  stream.destroy();
  return text.slice(0, REFUSAL_LIMIT_BYTES).trim();
}

function kubeletRefusal(code: number, text: string): StatusError {
  if (code === 400) return badRequest(text);
  if (code === 404)
    return new StatusError('NotFound', text === '' ? 'the server could not find the requested resource' : text);
  return new StatusError('InternalError', `Internal error occurred: ${text}`);
}
