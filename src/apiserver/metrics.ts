// The API server's metrics, under upstream's names.
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { RequestInfo } from './http/request-info.ts';

const REQUEST_LABELS = ['verb', 'group', 'version', 'resource', 'subresource', 'scope', 'component'] as const;
const DURATION_BUCKETS = [
  0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
];

export type InFlightKind = 'mutating' | 'readOnly';

export interface ApiServerMetrics {
  /** One request has been answered. `seconds` is left out for long-running ones. */
  request(info: RequestInfo, code: number, seconds: number | undefined): void;
  inFlight(kind: InFlightKind, now: number): void;
  /** A request turned away because too many are under way. */
  rejected(kind: InFlightKind): void;
  /** A long-running request (watch, exec, log ...) began; the answer is to be called when it ends. */
  longRunning(info: RequestInfo): () => void;
  watchEvents(group: string, version: string, resource: string, count: number): void;
}

/** Registers the metrics. Several servers of one process share them. */
export function apiServerMetrics(registry: Registry): ApiServerMetrics {
  const requests = once(registry, 'apiserver_request_total', (name) => {
    const help =
      'Counter of apiserver requests broken out for each verb, group, version, resource, scope, component and HTTP response code.';
    return new Counter({ name, help, labelNames: [...REQUEST_LABELS, 'code', 'dry_run'], registers: [registry] });
  });
  const durations = once(registry, 'apiserver_request_duration_seconds', (name) => {
    const help =
      'Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.';
    return new Histogram({ name, help, labelNames: REQUEST_LABELS, buckets: DURATION_BUCKETS, registers: [registry] });
  });
  const current = once(registry, 'apiserver_current_inflight_requests', (name) => {
    const help =
      'Maximal number of currently used inflight request limit of this apiserver per request kind in last second.';
    return new Gauge({ name, help, labelNames: ['request_kind'], registers: [registry] });
  });
  const dropped = once(registry, 'apiserver_dropped_requests_total', (name) => {
    const help = 'Requests turned away because too many were under way.';
    return new Counter({ name, help, labelNames: ['request_kind'], registers: [registry] });
  });
  const running = once(registry, 'apiserver_longrunning_requests', (name) => {
    const help =
      'Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and component.';
    return new Gauge({ name, help, labelNames: REQUEST_LABELS, registers: [registry] });
  });
  const events = once(registry, 'apiserver_watch_events_total', (name) => {
    const help = 'Number of events sent in watch clients';
    return new Counter({ name, help, labelNames: ['group', 'version', 'resource'], registers: [registry] });
  });
  const children = new Map<string, { count: { inc(): void }; duration: { observe(seconds: number): void } }>();
  return {
    request(info, code, seconds) {
      const verb = reportedVerb(info);
      const { group, version, resource, subresource } = info;
      const key = `${verb} ${group}/${version}/${resource}/${subresource} ${scopeOf(info)} ${code}`;
      let child = children.get(key);
      if (!child) {
        const labels = labelsOf(info, verb);
        child = { count: requests.labels({ ...labels, code, dry_run: '' }), duration: durations.labels(labels) };
        children.set(key, child);
      }
      child.count.inc();
      if (seconds !== undefined) child.duration.observe(seconds);
    },
    inFlight: (kind, now) => current.set({ request_kind: kind }, now),
    rejected: (kind) => dropped.inc({ request_kind: kind }),
    longRunning(info) {
      const labels = labelsOf(info, reportedVerb(info));
      running.inc(labels);
      return () => running.dec(labels);
    },
    watchEvents: (group, version, resource, count) => events.inc({ group, version, resource }, count),
  };
}

function once<M>(registry: Registry, name: string, make: (name: string) => M): M {
  return (registry.getSingleMetric(name) as M | undefined) ?? make(name);
}

const REPORTED: { readonly [verb: string]: string } = { create: 'POST', update: 'PUT' };

function reportedVerb(info: RequestInfo): string {
  return REPORTED[info.verb] ?? info.verb.toUpperCase();
}

function scopeOf({ isResource, name, namespace }: RequestInfo): string {
  if (!isResource) return '';
  if (name !== '') return 'resource';
  return namespace === '' ? 'cluster' : 'namespace';
}

/** Paths that are no resources are counted together: their names are the client's to choose. */
function labelsOf(info: RequestInfo, verb: string) {
  const { group, version, resource, subresource } = info;
  return { verb, group, version, resource, subresource, scope: scopeOf(info), component: 'apiserver' };
}
