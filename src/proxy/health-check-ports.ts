// For each LoadBalancer Service of policy Local: a port that says whether this node has endpoints, so that a load balancer
// outside sends its traffic only to nodes that do.
import type { Server } from 'node:http';
import type { EndpointSlice, Service } from '../api/generated/types.ts';
import type { Log } from '../lib/log.ts';
import { type HealthAnswer, httpServer } from './health.ts';
import { healthCheckPort } from './service-port.ts';

interface Check {
  readonly port: number;
  readonly server: Server;
  localEndpoints: number;
}

/** Addresses on this node that are ready, whatever their ports. */
export function localEndpointCount(slices: readonly EndpointSlice[], nodeName: string): number {
  const endpoints = slices.flatMap((slice) => slice.endpoints ?? []);
  const here = endpoints.filter((e) => e.nodeName === nodeName && (e.conditions?.ready ?? true));
  return new Set(here.map((endpoint) => endpoint.addresses[0])).size;
}

export function healthCheckAnswer(key: string, localEndpoints: number, proxyHealthy: boolean): HealthAnswer {
  const [namespace, name] = key.split('/');
  const body = { service: { namespace, name }, localEndpoints, serviceProxyHealthy: proxyHealthy };
  return {
    code: localEndpoints > 0 && proxyHealthy ? 200 : 503,
    body: JSON.stringify(body),
    headers: { 'X-Load-Balancing-Endpoint-Weight': String(localEndpoints) },
  };
}

export class HealthCheckPorts {
  readonly #nodeName: string;
  readonly #log: Log;
  readonly #proxyHealthy: () => boolean;
  readonly #checks = new Map<string, Check>();

  constructor(nodeName: string, log: Log, proxyHealthy: () => boolean) {
    this.#nodeName = nodeName;
    this.#log = log;
    this.#proxyHealthy = proxyHealthy;
  }

  update(
    key: string,
    state: { readonly service: Service | undefined; readonly slices: readonly EndpointSlice[] },
  ): void {
    const port = state.service ? healthCheckPort(state.service) : 0;
    let check = this.#checks.get(key);
    if (check && check.port !== port) {
      check.server.close().closeAllConnections();
      this.#checks.delete(key);
      check = undefined;
    }
    if (port === 0) return;
    check ??= this.#open(key, port);
    check.localEndpoints = localEndpointCount(state.slices, this.#nodeName);
  }

  close(): void {
    for (const { server } of this.#checks.values()) server.close().closeAllConnections();
    this.#checks.clear();
  }

  #open(key: string, port: number): Check {
    const server = httpServer(() => healthCheckAnswer(key, check.localEndpoints, this.#proxyHealthy()));
    const check: Check = { port, server, localEndpoints: 0 };
    server.on('error', (error) =>
      this.#log.error('cannot serve the health check of a service', error, { service: key, port }),
    );
    server.listen(port);
    this.#checks.set(key, check);
    return check;
  }
}
