// Requests for group versions that extension API servers serve: passed on to an endpoint of their Service, in the name of who
// asked, which the front proxy's certificate vouches for.
import type { Agent } from 'node:https';
import type { APIService } from '../../api/generated/types.ts';
import { parseJson } from '../../api/json.ts';
import { StatusError } from '../../machinery/status.ts';
import type { UserInfo } from '../contract.ts';
import { ask, TlsAgents } from '../http/ask.ts';
import { type Destination, forward, forwardUpgrade, relay, returnedHeaders } from '../http/forward.ts';
import type { Response } from '../http/response.ts';
import type { ResolveService } from '../webhooks/client.ts';

export interface FrontProxy {
  /** PEM of the client certificate that extension API servers trust (authority: requestHeaderCa). */
  readonly certificate: string;
  readonly key: string;
}

export interface AggregationProxy {
  /** Passes the exchange on. Throws ServiceUnavailable. */
  pass(apiService: APIService, response: Response, user: UserInfo): Promise<void>;
  /** Fetches a JSON document in the name of the server itself. */
  ask(apiService: APIService, path: string, signal: AbortSignal): Promise<unknown>;
}

const SELF: UserInfo = { username: 'system:kube-aggregator', groups: ['system:masters'] };
/** Settings of extension API servers that connections are kept for. */
const MAX_AGENTS = 64;

/** `signal` ends the connections that are kept. */
export function aggregationProxy(
  resolve: ResolveService,
  identity: FrontProxy | undefined,
  signal: AbortSignal,
): AggregationProxy {
  const agents = new TlsAgents(MAX_AGENTS, signal);
  const agentOf = ({ spec }: APIService): Agent => {
    const { caBundle, insecureSkipTLSVerify, service } = spec ?? {};
    return agents.of({
      servername: `${service?.name}.${service?.namespace}.svc`,
      ...(identity && { cert: identity.certificate, key: identity.key }),
      ...(caBundle && { ca: Buffer.from(caBundle, 'base64').toString('utf8') }),
      ...(insecureSkipTLSVerify && { rejectUnauthorized: false }),
    });
  };
  const destinationOf = async (apiService: APIService, path: string, signal: AbortSignal): Promise<Destination> => {
    const { name = '', namespace = '', port = 443 } = apiService.spec?.service ?? {};
    const place = await resolve(namespace, name, port, signal);
    return { scheme: 'https', ...place, path, agent: agentOf(apiService) };
  };
  return {
    async pass(apiService, response, user) {
      const { exchange } = response;
      const path = exchange.rawQuery === '' ? exchange.path : `${exchange.path}?${exchange.rawQuery}`;
      const destination = await destinationOf(apiService, path, exchange.signal).catch((error) => {
        throw new StatusError('ServiceUnavailable', 'service unavailable', undefined, { cause: error });
      });
      const headers = remoteHeaders(user);
      if (exchange.upgrade) return forwardUpgrade(response, destination, headers);
      const answer = await forward(exchange, destination, headers);
      await relay(answer, response, returnedHeaders(answer));
    },
    async ask(apiService, path, signal) {
      return askJson(await destinationOf(apiService, path, signal), remoteHeaders(SELF), signal);
    },
  };
}

/** Who asks, as request headers (upstream's request header authentication). */
export function remoteHeaders({ username, uid, groups, extra = {} }: UserInfo): { [name: string]: string | string[] } {
  const headers: { [name: string]: string | string[] } = { 'x-remote-user': username };
  if (uid) headers['x-remote-uid'] = uid;
  if (groups.length > 0) headers['x-remote-group'] = [...groups];
  for (const [key, values] of Object.entries(extra)) {
    headers[`x-remote-extra-${encodeURIComponent(key.toLowerCase())}`] = [...values];
  }
  return headers;
}

async function askJson(
  { host, port, path, agent }: Destination,
  asUser: object,
  signal: AbortSignal,
): Promise<unknown> {
  const headers = { ...asUser, accept: 'application/json' };
  try {
    const { code, text } = await ask({ host, port, path, method: 'GET', headers, agent, signal });
    if (code !== 200) throw new Error(`bad status code ${code}`);
    return parseJson(text);
  } catch (error) {
    throw new Error(`https://${host}:${port}${path}: ${(error as Error).message}`, { cause: error });
  }
}
