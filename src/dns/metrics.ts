// DNS metrics, under the names that CoreDNS gave them, so that its dashboards and alerts work.
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Transport } from './forwarder.ts';
import type { Upstream } from './resolv-conf.ts';

export interface DnsMetrics {
  /** `zone` is the cluster's, or "." for everything else. */
  answered(fact: {
    readonly zone: string;
    readonly transport: Transport;
    readonly family: '1' | '2';
    readonly type: string;
    readonly rcode: string;
    readonly plugin: string;
    readonly seconds: number;
    readonly requestBytes: number;
    readonly responseBytes: number;
  }): void;
  failed(): void;
  cacheUsed(hit: boolean, size: number): void;
  forwarded(upstream: Upstream, rcode: number, seconds: number): void;
  forwardFailed(upstream: Upstream): void;
  rejected(): void;
}

/** Types that are counted under their own name; any other is "other", so that clients cannot make new series. */
const COUNTED_TYPES = new Set(
  'A AAAA MX SOA CNAME PTR TXT NS SRV DS DNSKEY RRSIG NSEC NSEC3 AXFR IXFR ANY HTTPS'.split(' '),
);
const SECONDS = Array.from({ length: 16 }, (_, i) => 0.00025 * 2 ** i);
const BYTES = [100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16_000, 32_000, 48_000, 64_000];
const RCODES = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'];

/** Several servers of one process share the metrics of its registry; `server` tells them apart ("dns://10.96.0.10:53"). */
export function dnsMetrics(registry: Registry, server: string): DnsMetrics {
  const registers = [registry];
  const make = <T>(name: string, create: () => T): T => (registry.getSingleMetric(name) as T | undefined) ?? create();
  const counter = (name: string, help: string, labelNames: string[]): Counter =>
    make(name, () => new Counter({ name, help, labelNames, registers }));
  const histogram = (name: string, help: string, buckets: number[], labelNames: string[]): Histogram =>
    make(name, () => new Histogram({ name, help, buckets, labelNames, registers }));

  const requests = counter(
    'coredns_dns_requests_total',
    'Counter of DNS requests made per zone, protocol and family.',
    ['server', 'zone', 'view', 'proto', 'family', 'type'],
  );
  const responses = counter('coredns_dns_responses_total', 'Counter of response status codes.', [
    'server',
    'zone',
    'view',
    'rcode',
    'plugin',
  ]);
  const durations = histogram(
    'coredns_dns_request_duration_seconds',
    'Histogram of the time (in seconds) each request took per zone.',
    SECONDS,
    ['server', 'zone', 'view'],
  );
  const requestBytes = histogram('coredns_dns_request_size_bytes', 'Size of the request in bytes.', BYTES, [
    'server',
    'zone',
    'view',
    'proto',
  ]);
  const responseBytes = histogram('coredns_dns_response_size_bytes', 'Size of the returned response in bytes.', BYTES, [
    'server',
    'zone',
    'view',
    'proto',
  ]);
  const panics = counter('coredns_panics_total', 'A metrics that counts the number of panics.', []);
  const hits = counter('coredns_cache_hits_total', 'The count of cache hits.', ['server', 'type', 'zones', 'view']);
  const misses = counter('coredns_cache_misses_total', 'The count of cache misses.', ['server', 'zones', 'view']);
  const lookUps = counter('coredns_cache_requests_total', 'The count of cache requests.', ['server', 'zones', 'view']);
  const entries = make(
    'coredns_cache_entries',
    () =>
      new Gauge({
        name: 'coredns_cache_entries',
        help: 'The number of elements in the cache.',
        labelNames: ['server', 'type', 'zones', 'view'],
        registers,
      }),
  );
  const proxied = histogram(
    'coredns_proxy_request_duration_seconds',
    'Histogram of the time each request took.',
    SECONDS,
    ['proxy_name', 'to', 'rcode'],
  );
  const unhealthy = counter('coredns_proxy_healthcheck_failures_total', 'The number of failed tries.', [
    'proxy_name',
    'to',
  ]);
  const rejects = counter(
    'coredns_forward_max_concurrent_rejects_total',
    'Counter of the number of queries rejected because the concurrent queries were at maximum.',
    [],
  );
  const view = '';
  const outside = { server, zones: '.', view };
  return {
    answered({ zone, transport, family, type, rcode, plugin, seconds, requestBytes: asked, responseBytes: said }) {
      const where = { server, zone, view };
      requests.inc({ ...where, proto: transport, family, type: COUNTED_TYPES.has(type) ? type : 'other' });
      responses.inc({ ...where, rcode, plugin });
      durations.observe(where, seconds);
      requestBytes.observe({ ...where, proto: transport }, asked);
      responseBytes.observe({ ...where, proto: transport }, said);
    },
    failed: () => panics.inc(),
    cacheUsed(hit, size) {
      lookUps.inc(outside);
      if (hit) hits.inc({ ...outside, type: 'success' });
      else misses.inc(outside);
      entries.set({ ...outside, type: 'success' }, size);
    },
    forwarded: ({ address, port }, rcode, seconds) =>
      proxied.observe(
        { proxy_name: 'forward', to: `${address}:${port}`, rcode: RCODES[rcode] ?? String(rcode) },
        seconds,
      ),
    forwardFailed: ({ address, port }) => unhealthy.inc({ proxy_name: 'forward', to: `${address}:${port}` }),
    rejected: () => rejects.inc(),
  };
}
