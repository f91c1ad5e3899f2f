// The proxy's metrics, under upstream's names.
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { IpFamily } from '../network/address.ts';

const SYNC_BUCKETS = [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192];
const PROGRAMMING_BUCKETS = [0.25, 0.5, 1, 2, 3, 5, 10, 15, 30, 60, 120, 180, 240, 300];

export interface ProxyMetrics {
  synced(family: IpFamily, kind: 'full' | 'partial', seconds: number): void;
  failed(family: IpFamily): void;
  finished(family: IpFamily, nowSeconds: number): void;
  queued(family: IpFamily, nowSeconds: number): void;
  serviceChanged(): void;
  endpointsChanged(): void;
  programmed(seconds: number): void;
  flowsDeleted(family: IpFamily, count: number): void;
}

/** Several proxies of one process share the metrics of its registry. */
export function proxyMetrics(registry: Registry): ProxyMetrics {
  const make = <T>(name: string, create: () => T): T => (registry.getSingleMetric(name) as T | undefined) ?? create();
  const registers = [registry];
  const counter = (name: string, help: string, labelNames: string[] = []): Counter =>
    make(name, () => new Counter({ name, help, labelNames, registers }));
  const gauge = (name: string, help: string, labelNames: string[]): Gauge =>
    make(name, () => new Gauge({ name, help, labelNames, registers }));
  const histogram = (name: string, help: string, buckets: number[], labelNames: string[] = []): Histogram =>
    make(name, () => new Histogram({ name, help, buckets, labelNames, registers }));

  const prefix = 'kubeproxy_sync_';
  const all = histogram(`${prefix}proxy_rules_duration_seconds`, 'SyncProxyRules latency in seconds', SYNC_BUCKETS, [
    'ip_family',
  ]);
  const full = histogram(`${prefix}full_proxy_rules_duration_seconds`, 'Full resync latency in seconds', SYNC_BUCKETS, [
    'ip_family',
  ]);
  const partial = histogram(`${prefix}partial_proxy_rules_duration_seconds`, 'Partial sync latency', SYNC_BUCKETS, [
    'ip_family',
  ]);
  const failures = counter(`${prefix}proxy_rules_nftables_sync_failures_total`, 'Failed nftables transactions', [
    'ip_family',
  ]);
  const last = gauge(`${prefix}proxy_rules_last_timestamp_seconds`, 'Time of the last successful sync', ['ip_family']);
  const queued = gauge(`${prefix}proxy_rules_last_queued_timestamp_seconds`, 'Time of the last queued sync', [
    'ip_family',
  ]);
  const services = counter(`${prefix}proxy_rules_service_changes_total`, 'Service changes seen');
  const endpoints = counter(`${prefix}proxy_rules_endpoint_changes_total`, 'Endpoint changes seen');
  const programming = histogram(
    'kubeproxy_network_programming_duration_seconds',
    'Time from the change of a pod or service to the rules that follow it',
    PROGRAMMING_BUCKETS,
  );
  const flows = counter(
    'kubeproxy_conntrack_reconciler_deleted_entries_total',
    'Conntrack deletions that found flows',
    ['ip_family'],
  );
  return {
    synced(ip_family, kind, seconds) {
      all.observe({ ip_family }, seconds);
      (kind === 'full' ? full : partial).observe({ ip_family }, seconds);
    },
    failed: (ip_family) => failures.inc({ ip_family }),
    finished: (ip_family, nowSeconds) => last.set({ ip_family }, nowSeconds),
    queued: (ip_family, nowSeconds) => queued.set({ ip_family }, nowSeconds),
    serviceChanged: () => services.inc(),
    endpointsChanged: () => endpoints.inc(),
    programmed: (seconds) => programming.observe(seconds),
    flowsDeleted: (ip_family, count) => flows.inc({ ip_family }, count),
  };
}
