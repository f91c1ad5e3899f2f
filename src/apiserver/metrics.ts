// The API server's metrics, under upstream's names.
import type { Registry } from 'prom-client';
import type { RequestInfo } from './http/request-info.ts';
import { counters, type Durations, gauges, histograms, type Series } from './series.ts';

const DURATION_BUCKETS = [
  0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
];

export type InFlightKind = 'mutating' | 'readOnly';

export interface ApiServerMetrics {
  /** One request has been answered. `seconds` is left out for long-running ones. */
  request(info: RequestInfo, code: number, seconds: number | undefined): void;
  /** How many requests are under way, for whoever enters and leaves them to count. */
  readonly inFlight: { readonly [kind in InFlightKind]: Series };
  /** A request turned away because too many are under way. */
  rejected(kind: InFlightKind): void;
  /** A long-running request (watch, exec, log ...) began; the answer is to be called when it ends. */
  longRunning(info: RequestInfo): () => void;
  /** The events sent in watches of a resource. */
  watchEvents(group: string, version: string, resource: string): Series;
}

/** Registers the metrics. Several servers of one process share them. */
export function apiServerMetrics(registry: Registry): ApiServerMetrics {
  const requests = counters(
    registry,
    'apiserver_request_total',
    'Counter of apiserver requests broken out for each verb, group, version, resource, scope, component and HTTP response code.',
  );
  const durations = histograms(
    registry,
    'apiserver_request_duration_seconds',
    'Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.',
    DURATION_BUCKETS,
  );
  const current = gauges(
    registry,
    'apiserver_current_inflight_requests',
    'Maximal number of currently used inflight request limit of this apiserver per request kind in last second.',
  );
  const dropped = counters(
    registry,
    'apiserver_dropped_requests_total',
    'Requests turned away because too many were under way.',
  );
  const running = gauges(
    registry,
    'apiserver_longrunning_requests',
    'Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and component.',
  );
  const events = counters(registry, 'apiserver_watch_events_total', 'Number of events sent in watch clients');
  const answered = new Map<string, { readonly count: Series; readonly duration: Durations }>();
  return {
    request(info, code, seconds) {
      const { verb, group, version, resource, subresource } = info;
      const key = `${verb} ${code} ${scopeOf(info)} ${resource} ${subresource} ${version} ${group}`;
      let series = answered.get(key);
      if (!series) {
        const labels = labelsOf(info, reportedVerb(info));
        series = { count: requests.of({ ...labels, code, dry_run: '' }), duration: durations.of(labels) };
        answered.set(key, series);
      }
      series.count.value++;
      if (seconds !== undefined) series.duration.observe(seconds);
    },
    inFlight: {
      mutating: current.of({ request_kind: 'mutating' }),
      readOnly: current.of({ request_kind: 'readOnly' }),
    },
    rejected(kind) {
      dropped.of({ request_kind: kind }).value++;
    },
    longRunning(info) {
      const series = running.of(labelsOf(info, reportedVerb(info)));
      series.value++;
      return () => series.value--;
    },
    watchEvents: (group, version, resource) => events.of({ group, version, resource }),
  };
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
