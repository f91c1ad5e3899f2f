// What priority and fairness does, under upstream's names. Counts are kept as plain numbers by each server and read when
// somebody asks: a request pays for two histograms only.
import { Counter, Gauge, type Registry } from 'prom-client';
import { type Durations, type Histograms, histograms } from '../series.ts';

const FLOW = ['priority_level', 'flow_schema'] as const;
const SECONDS = [0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30];
const PREFIX = 'apiserver_flowcontrol_';

export type RejectReason = 'queue-full' | 'concurrency-limit' | 'time-out' | 'cancelled';

/** The counts of one flow schema at one priority level. */
export class FlowCounts {
  readonly level: string;
  readonly schema: string;
  dispatched = 0;
  executing = 0;
  waiting = 0;
  readonly rejected = new Map<RejectReason, number>();
  readonly waited: Durations;
  readonly executed: Durations;

  constructor(level: string, schema: string, { waits, executions }: FlowHistograms) {
    this.level = level;
    this.schema = schema;
    const labels = { priority_level: level, flow_schema: schema };
    this.waited = waits.of({ ...labels, execute: 'true' });
    this.executed = executions.of({ ...labels, type: 'regular' });
  }

  reject(reason: RejectReason): void {
    this.rejected.set(reason, (this.rejected.get(reason) ?? 0) + 1);
  }
}

export interface LevelSeats {
  readonly name: string;
  readonly nominal: number;
  readonly lendable: number;
  readonly borrowing: number;
  /** That its requests hold. */
  readonly executing: number;
}

/** One server's counts. */
export interface FlowSource {
  flows(): Iterable<FlowCounts>;
  levels(): Iterable<LevelSeats>;
}

export interface FlowHistograms {
  readonly waits: Histograms;
  readonly executions: Histograms;
}

/** The servers of one process share a registry. */
const sourcesOf = new WeakMap<Registry, Set<FlowSource>>();

/** Shows the source's counts from now on, until the signal aborts. */
export function flowControlMetrics(registry: Registry, source: FlowSource, signal: AbortSignal): FlowHistograms {
  let sources = sourcesOf.get(registry);
  if (!sources) {
    sources = new Set();
    sourcesOf.set(registry, sources);
    register(registry, sources);
  }
  const own = sources;
  own.add(source);
  signal.addEventListener('abort', () => own.delete(source), { once: true });
  return {
    waits: durations(registry, 'request_wait_duration_seconds', 'Length of time a request spent waiting.'),
    executions: durations(registry, 'request_execution_seconds', 'Duration of request execution.'),
  };
}

function register(registry: Registry, sources: Set<FlowSource>): void {
  const registers = [registry];
  const flows = function* (): Iterable<FlowCounts> {
    for (const source of sources) yield* source.flows();
  };
  const flowGauge = (name: string, help: string, value: (flow: FlowCounts) => number): void => {
    new Gauge({
      ...{ name: PREFIX + name, help, labelNames: FLOW, registers },
      collect() {
        this.reset();
        for (const flow of flows()) this.inc({ priority_level: flow.level, flow_schema: flow.schema }, value(flow));
      },
    });
  };
  flowGauge('current_inqueue_requests', 'Number of requests currently pending in queues.', (flow) => flow.waiting);
  flowGauge('current_executing_requests', 'Number of requests in execution.', (flow) => flow.executing);
  new Counter({
    ...{
      name: `${PREFIX}dispatched_requests_total`,
      help: 'Number of requests executed.',
      labelNames: FLOW,
      registers,
    },
    collect() {
      this.reset();
      for (const flow of flows()) this.inc({ priority_level: flow.level, flow_schema: flow.schema }, flow.dispatched);
    },
  });
  new Counter({
    name: `${PREFIX}rejected_requests_total`,
    ...{ help: 'Number of requests rejected.', labelNames: [...FLOW, 'reason'], registers },
    collect() {
      this.reset();
      for (const { level, schema, rejected } of flows())
        for (const [reason, count] of rejected) this.inc({ priority_level: level, flow_schema: schema, reason }, count);
    },
  });
  registerLevels(registry, sources);
}

function durations(registry: Registry, name: string, help: string): Histograms {
  return histograms(registry, PREFIX + name, help, SECONDS);
}

function registerLevels(registry: Registry, sources: Set<FlowSource>): void {
  const levelGauge = (name: string, help: string, value: (level: LevelSeats) => number): void => {
    new Gauge({
      ...{ name: PREFIX + name, help, labelNames: ['priority_level'], registers: [registry] },
      collect() {
        this.reset();
        for (const source of sources)
          for (const level of source.levels()) this.inc({ priority_level: level.name }, value(level));
      },
    });
  };
  levelGauge('nominal_limit_seats', 'Nominal number of execution seats of each priority level.', (one) => one.nominal);
  levelGauge(
    'lower_limit_seats',
    'Lower bound on the number of execution seats available to each priority level.',
    (one) => one.nominal - one.lendable,
  );
  levelGauge(
    'upper_limit_seats',
    'Upper bound on the number of execution seats available to each priority level.',
    (one) => one.nominal + one.borrowing,
  );
  levelGauge(
    'current_executing_seats',
    'Seats occupied by the currently executing requests of each priority level.',
    (one) => one.executing,
  );
}
