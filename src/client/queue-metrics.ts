import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Clock } from '../lib/clock.ts';
import type { QueueObserver, WorkQueue } from './work-queue.ts';

interface QueueMetrics {
  readonly adds: Counter<'name'>;
  readonly retries: Counter<'name'>;
  readonly waited: Histogram<'name'>;
  readonly worked: Histogram<'name'>;
  /** Queues whose depth and work under way are read when metrics are scraped. */
  readonly live: Map<string, { queue: WorkQueue; clock: Clock }>;
}

const metricsOf = new WeakMap<Registry, QueueMetrics>();

/** 10 ns to 1000 s in powers of ten: upstream's buckets of both histograms. */
const BUCKETS = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100, 1000];

/** Counts what happens on the queue `name` under upstream's workqueue_* names. Call `attach` with the queue once it is made. */
export function observeQueue(registry: Registry, clock: Clock, name: string): QueueObserver & QueueAttachment {
  const metrics = metricsOf.get(registry) ?? register(registry);
  metricsOf.set(registry, metrics);
  const adds = metrics.adds.labels(name);
  const retries = metrics.retries.labels(name);
  const waited = metrics.waited.labels(name);
  const worked = metrics.worked.labels(name);
  return {
    added: () => adds.inc(),
    retried: () => retries.inc(),
    started: (waitedMs) => waited.observe(waitedMs / 1000),
    finished: (workedMs) => worked.observe(workedMs / 1000),
    attach: (queue) => metrics.live.set(name, { queue, clock }),
    detach: () => metrics.live.delete(name),
  };
}

interface QueueAttachment {
  attach(queue: WorkQueue): void;
  detach(): void;
}

function register(registry: Registry): QueueMetrics {
  const registers = [registry];
  const labelNames = ['name'] as const;
  const live: QueueMetrics['live'] = new Map();
  const gauge = (name: string, help: string, read: (queue: WorkQueue, clock: Clock) => number): void => {
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const [queueName, { queue, clock }] of live) this.labels(queueName).set(read(queue, clock));
      },
    });
  };
  gauge('workqueue_depth', 'Current depth of workqueue', (queue) => queue.depth);
  gauge(
    'workqueue_unfinished_work_seconds',
    'How many seconds of work has been done that is in progress and has not been observed by work_duration.',
    (queue, clock) => secondsSince(queue, clock).reduce((sum, s) => sum + s, 0),
  );
  gauge(
    'workqueue_longest_running_processor_seconds',
    'How many seconds has the longest running processor for workqueue been running.',
    (queue, clock) => Math.max(0, ...secondsSince(queue, clock)),
  );
  const histogram = (name: string, help: string): Histogram<'name'> =>
    new Histogram({ name, help, labelNames, registers, buckets: BUCKETS });
  const counter = (name: string, help: string): Counter<'name'> => new Counter({ name, help, labelNames, registers });
  return {
    adds: counter('workqueue_adds_total', 'Total number of adds handled by workqueue'),
    retries: counter('workqueue_retries_total', 'Total number of retries handled by workqueue'),
    waited: histogram(
      'workqueue_queue_duration_seconds',
      'How long in seconds an item stays in workqueue before being requested.',
    ),
    worked: histogram(
      'workqueue_work_duration_seconds',
      'How long in seconds processing an item from workqueue takes.',
    ),
    live,
  };
}

function secondsSince(queue: WorkQueue, clock: Clock): number[] {
  const nowMs = clock.monotonic();
  return [...queue.workStarts].map((startMs) => (nowMs - startMs) / 1000);
}
