// Requests for group versions that extension API servers serve: passed on to an endpoint of their Service, in the name of who
// asked, which the front proxy's certificate vouches for.
import { Agent, request } from 'node:https';
import type { APIService } from '../../api/generated/types.ts';
import { parseJson } from '../../api/json.ts';
import { StatusError } from '../../machinery/status.ts';
import type { UserInfo } from '../contract.ts';
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
const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024;
const MAX_IDLE = 16;
/** Settings of extension API servers that connections are kept for. */
const MAX_AGENTS = 64;

export function aggregationProxy(resolve: ResolveService, identity: FrontProxy | undefined): AggregationProxy {
  const agents = new Map<string, Agent>();
  const agentOf = ({ spec }: APIService): Agent => {
    const { caBundle, insecureSkipTLSVerify, service } = spec ?? {};
    const servername = `${service?.name}.${service?.namespace}.svc`;
    const key = JSON.stringify([caBundle, insecureSkipTLSVerify, servername]);
    const known = agents.get(key);
    if (known) return known;
    if (agents.size >= MAX_AGENTS) {
      for (const agent of agents.values()) agent.destroy();
      agents.clear();
    }
    const agent = new Agent({
      keepAlive: true,
      maxFreeSockets: MAX_IDLE,
      servername,
      ...(identity && { cert: identity.certificate, key: identity.key }),
      ...(caBundle && { ca: Buffer.from(caBundle, 'base64') }),
      ...(insecureSkipTLSVerify && { rejectUnauthorized: false }),
    });
    agents.set(key, agent);
    return agent;
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

function askJson({ host, port, path, agent }: Destination, headers: object, signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const accept = { ...headers, accept: 'application/json' };
    const asked = request({ host, port, path, method: 'GET', headers: accept as never, agent, signal }, (answer) => {
      const chunks: Buffer[] = [];
      let size = 0;
      answer.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_DOCUMENT_BYTES) answer.destroy(new Error('the document is too large'));
        else chunks.push(chunk);
      });
      answer.on('error', reject);
      answer.on('end', () => {
        if (answer.statusCode !== 200)
          reject(new Error(`https://${host}:${port}${path}: bad status code ${answer.statusCode}`));
        else resolve(Promise.try(() => parseJson(Buffer.concat(chunks).toString('utf8'))));
      });
    });
    asked.on('error', (error) =>
      reject(new Error(`https://${host}:${port}${path}: ${error.message}`, { cause: error })),
    );
    asked.end();
  });
}
