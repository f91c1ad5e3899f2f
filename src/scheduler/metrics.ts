import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** The scheduler's metrics, under upstream's names. Made once for a registry: a new term of leadership goes on counting. */
export interface SchedulerMetrics {
  readonly attempts: Counter<'result' | 'profile'>;
  readonly attemptDuration: Histogram<'result' | 'profile'>;
  readonly algorithmDuration: Histogram;
  readonly sliDuration: Histogram<'attempts'>;
  readonly podAttempts: Histogram;
  readonly incoming: Counter<'queue' | 'event'>;
  readonly pending: Gauge<'queue'>;
  readonly cacheSize: Gauge<'type'>;
  readonly unschedulable: Gauge<'plugin' | 'profile'>;
  readonly preemptionAttempts: Counter;
  readonly preemptionVictims: Histogram;
}

const known = new WeakMap<Registry, SchedulerMetrics>();

export function schedulerMetrics(registry: Registry): SchedulerMetrics {
  let metrics = known.get(registry);
  if (!metrics) {
    metrics = make(registry);
    known.set(registry, metrics);
  }
  return metrics;
}

const exponential = (start: number, factor: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => start * factor ** i);

function make(registry: Registry): SchedulerMetrics {
  const registers = [registry];
  return {
    attempts: new Counter({
      name: 'scheduler_schedule_attempts_total',
      help: 'Number of attempts to schedule pods, by the result.',
      labelNames: ['result', 'profile'],
      registers,
    }),
    attemptDuration: new Histogram({
      name: 'scheduler_scheduling_attempt_duration_seconds',
      help: 'Scheduling attempt latency in seconds (scheduling algorithm + binding).',
      labelNames: ['result', 'profile'],
      buckets: exponential(0.001, 2, 15),
      registers,
    }),
    algorithmDuration: new Histogram({
      name: 'scheduler_scheduling_algorithm_duration_seconds',
      help: 'Scheduling algorithm latency in seconds.',
      buckets: exponential(0.00001, 2, 20),
      registers,
    }),
    sliDuration: new Histogram({
      name: 'scheduler_pod_scheduling_sli_duration_seconds',
      help: 'E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue.',
      labelNames: ['attempts'],
      buckets: exponential(0.01, 2, 20),
      registers,
    }),
    podAttempts: new Histogram({
      name: 'scheduler_pod_scheduling_attempts',
      help: 'Number of attempts to successfully schedule a pod.',
      buckets: exponential(1, 2, 5),
      registers,
    }),
    incoming: new Counter({
      name: 'scheduler_queue_incoming_pods_total',
      help: 'Number of pods added to scheduling queues by event and queue type.',
      labelNames: ['queue', 'event'],
      registers,
    }),
    ...makeStateMetrics(registers),
  };
}

function makeStateMetrics(
  registers: Registry[],
): Pick<SchedulerMetrics, 'pending' | 'cacheSize' | 'unschedulable' | 'preemptionAttempts' | 'preemptionVictims'> {
  return {
    pending: new Gauge({
      name: 'scheduler_pending_pods',
      help: 'Number of pending pods, by the queue type.',
      labelNames: ['queue'],
      registers,
    }),
    cacheSize: new Gauge({
      name: 'scheduler_cache_size',
      help: 'Number of nodes, pods, and assumed (bound) pods in the scheduler cache.',
      labelNames: ['type'],
      registers,
    }),
    unschedulable: new Gauge({
      name: 'scheduler_unschedulable_pods',
      help: 'The number of unschedulable pods broken down by plugin name.',
      labelNames: ['plugin', 'profile'],
      registers,
    }),
    preemptionAttempts: new Counter({
      name: 'scheduler_preemption_attempts_total',
      help: 'Total preemption attempts in the cluster till now.',
      registers,
    }),
    preemptionVictims: new Histogram({
      name: 'scheduler_preemption_victims',
      help: 'Number of selected preemption victims.',
      buckets: exponential(1, 2, 7),
      registers,
    }),
  };
}
