// Calls webhooks: a JSON document by POST over HTTPS to a URL, or to an endpoint of a Service, whose certificate is that of
// NAME.NAMESPACE.svc.
import type { Agent } from 'node:https';
import { parseJson, stringifyJson } from '../../api/json.ts';
import type { Clock } from '../../lib/clock.ts';
import { ask, TlsAgents, type WholeAnswer } from '../http/ask.ts';

/** Where a webhook is (WebhookClientConfig of admission registrations and of custom resource definitions). */
export interface WebhookConfig {
  readonly url?: string;
  readonly service?: {
    readonly namespace: string;
    readonly name: string;
    readonly path?: string;
    readonly port?: number;
  };
  /** PEM, in base64; absent: the system's authorities. */
  readonly caBundle?: string;
}

/** Finds an endpoint of a Service's port, as the server knows them now. */
export type ResolveService = (
  namespace: string,
  name: string,
  port: number,
  signal: AbortSignal,
) => Promise<{ readonly host: string; readonly port: number }>;

/** Resolves with the parsed answer; rejects with a plain Error that says what went wrong. */
export type CallWebhook = (
  config: WebhookConfig,
  body: object,
  options: { readonly timeoutMs: number; readonly signal: AbortSignal },
) => Promise<unknown>;

/** Authorities of webhooks that connections are kept for. */
const MAX_AGENTS = 256;

/** `signal` ends the connections that are kept. */
export function webhookCaller(resolve: ResolveService, clock: Clock, signal: AbortSignal): CallWebhook {
  const agents = new TlsAgents(MAX_AGENTS, signal);
  return async (config, body, { timeoutMs, signal }) => {
    const late = new AbortController();
    const timer = clock.timer(timeoutMs, () => late.abort(new Error('context deadline exceeded')));
    const either = AbortSignal.any([signal, late.signal]);
    const shown = shownUrl(config, timeoutMs);
    try {
      const place = await placeOf(config, resolve, either);
      const { code, text } = await post(place, stringifyJson(body), agentOf(agents, config), timeoutMs, either);
      if (code !== 200)
        throw new Error(`the server responded with the status code ${code} but did not return more information`);
      return parseJson(text);
    } catch (error) {
      signal.throwIfAborted();
      const cause = late.signal.aborted ? (late.signal.reason as Error) : (error as Error);
      throw new Error(`Post ${JSON.stringify(shown)}: ${cause.message}`, { cause: error });
    } finally {
      timer.cancel();
    }
  };
}

function agentOf(agents: TlsAgents, { caBundle }: WebhookConfig): Agent {
  return agents.of(caBundle ? { ca: Buffer.from(caBundle, 'base64').toString('utf8') } : {});
}

interface Place {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly serverName: string;
}

async function placeOf({ url, service }: WebhookConfig, resolve: ResolveService, signal: AbortSignal): Promise<Place> {
  if (url) {
    const { hostname, port, pathname, search } = new URL(url);
    const host = hostname.replace(/^\[|\]$/g, '');
    return { host, port: port === '' ? 443 : Number(port), path: `${pathname}${search}`, serverName: host };
  }
  if (!service) throw new Error('a webhook needs a URL or a service');
  const { namespace, name, path, port = 443 } = service;
  const serverName = `${name}.${namespace}.svc`;
  return { ...(await resolve(namespace, name, port, signal)), path: path || '/', serverName };
}

/** As upstream names the webhook in errors. */
function shownUrl({ url, service }: WebhookConfig, timeoutMs: number): string {
  const { namespace, name, path, port = 443 } = service ?? { namespace: '', name: '' };
  const base = url ?? `https://${name}.${namespace}.svc:${port}${path || '/'}`;
  return `${base}${base.includes('?') ? '&' : '?'}timeout=${Math.round(timeoutMs / 1000)}s`;
}

function post(
  { host, port, path, serverName }: Place,
  body: string,
  agent: Agent,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<WholeAnswer> {
  const query = `${path.includes('?') ? '&' : '?'}timeout=${Math.round(timeoutMs / 1000)}s`;
  const headers = { 'content-type': 'application/json', accept: 'application/json', host: serverName };
  // A name of an address may not be asked for in the handshake.
  const servername = /^[\d.]+$|:/.test(serverName) ? undefined : serverName;
  const named = servername === undefined ? {} : { servername };
  return ask({ host, port, path: `${path}${query}`, method: 'POST', headers, agent, signal, ...named }, body);
}
