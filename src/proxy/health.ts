// What load balancers and people ask a node's proxy: does it keep up, and may this node get new connections.
import { createServer, type Server } from 'node:http';
import type { Node } from '../api/generated/types.ts';

export interface ProxyHealth {
  readonly healthy: boolean;
  /** False while the node is being deleted or scaled away: /healthz fails, so that load balancers stop using it. */
  readonly nodeEligible: boolean;
  readonly lastUpdatedMs: number;
  readonly currentTimeMs: number;
}

const TO_BE_DELETED_TAINT = 'ToBeDeletedByClusterAutoscaler';

export function isNodeEligible(node: Node | undefined): boolean {
  if (!node) return true;
  const leaving = node.spec.taints?.some((taint) => taint.key === TO_BE_DELETED_TAINT) ?? false;
  return !leaving && node.metadata.deletionTimestamp === undefined;
}

export interface HealthAnswer {
  readonly code: number;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The answer to GET /healthz (with the node's eligibility) or /livez (without). */
export function healthAnswer(path: string, health: ProxyHealth): HealthAnswer {
  if (path !== '/healthz' && path !== '/livez') return { code: 404, body: '404 page not found\n' };
  const ok = health.healthy && (path === '/livez' || health.nodeEligible);
  const lastUpdated = new Date(health.lastUpdatedMs).toISOString();
  const currentTime = new Date(health.currentTimeMs).toISOString();
  const eligible = path === '/healthz' ? { nodeEligible: health.nodeEligible } : {};
  return { code: ok ? 200 : 503, body: JSON.stringify({ lastUpdated, currentTime, ...eligible }) };
}

/** Serves plain HTTP until the signal aborts; resolves when it listens. */
export function serveProxyHealth(
  listen: { readonly address: string; readonly port: number },
  health: () => ProxyHealth,
  signal: AbortSignal,
): Promise<Server> {
  const server = httpServer((path) => healthAnswer(path, health()));
  signal.addEventListener('abort', () => server.close().closeAllConnections(), { once: true });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(listen.port, listen.address, () => resolve(server));
  });
}

export function httpServer(answer: (path: string) => HealthAnswer): Server {
  return createServer((request, response) => {
    const { code, body, headers } = answer((request.url ?? '/').replace(/\?.*$/, ''));
    response.writeHead(code, { 'Content-Type': 'application/json', 'X-Content-Type-Options': 'nosniff', ...headers });
    response.end(body);
  });
}
