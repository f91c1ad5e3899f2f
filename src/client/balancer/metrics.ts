import { Gauge, type Registry } from 'prom-client';
import type { HttpsClient } from '../https.ts';

/** Shows what a client knows of the API servers: 1 for each that new connections go to. */
export function balancerMetrics(registry: Registry, client: Pick<HttpsClient, 'servers'>): void {
  new Gauge({
    name: 'tsukube_apiserver_healthy',
    help: 'Whether this client sends new connections to the API server.',
    labelNames: ['server'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { url, isHealthy } of client.servers()) this.labels(url).set(isHealthy ? 1 : 0);
    },
  });
  new Gauge({
    name: 'tsukube_apiserver_connections',
    help: 'Connections of this client to the API server.',
    labelNames: ['server'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { url, connections } of client.servers()) this.labels(url).set(connections);
    },
  });
}
