// Metrics that cost a request nothing but additions: every series is a plain number (or an array of them) that whoever counts
// holds on to; labels are looked at when somebody reads the metrics.
import type { Metric, Registry } from 'prom-client';

type Labels = { readonly [label: string]: string | number };

/** One series of a counter or gauge. */
export interface Series {
  value: number;
}

interface Sample {
  readonly labels: Labels;
  readonly value: number;
  readonly metricName?: string;
}

/** A metric family in a registry. Several users of one registry share it. */
abstract class Family<S> {
  readonly name: string;
  readonly help: string;
  abstract readonly type: string;
  readonly aggregator = 'sum';
  readonly #series = new Map<string, { readonly labels: Labels; readonly series: S }>();

  constructor(name: string, help: string) {
    this.name = name;
    this.help = help;
  }

  /** The series of these labels. To be kept by the caller: looking it up costs more than counting. */
  of(labels: Labels): S {
    const key = JSON.stringify(Object.entries(labels));
    const known = this.#series.get(key);
    if (known) return known.series;
    const series = this.make();
    this.#series.set(key, { labels, series });
    return series;
  }

  protected abstract make(): S;
  protected abstract samples(labels: Labels, series: S): Iterable<Sample>;

  /** What the registry asks. */
  get(): object {
    const values = [...this.#series.values()].flatMap(({ labels, series }) => [...this.samples(labels, series)]);
    const { name, help, type, aggregator } = this;
    return { name, help, type, aggregator, values };
  }

  reset(): void {
    this.#series.clear();
  }
}

class NumberFamily extends Family<Series> {
  readonly type: 'counter' | 'gauge';

  constructor(type: 'counter' | 'gauge', name: string, help: string) {
    super(name, help);
    this.type = type;
  }

  protected make(): Series {
    return { value: 0 };
  }

  protected samples(labels: Labels, { value }: Series): Iterable<Sample> {
    return [{ labels, value }];
  }
}

/** One series of a histogram. */
export class Durations {
  readonly #bounds: readonly number[];
  /** How many fell within each bound and above the one before; the last: above all. */
  readonly counts: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let i = 0;
    while (i < bounds.length && value > bounds[i]!) i++;
    this.counts[i]!++;
    this.sum += value;
  }
}

/** A family of histograms. */
export type Histograms = Family<Durations>;

class HistogramFamily extends Family<Durations> {
  readonly type = 'histogram';
  readonly #bounds: readonly number[];

  constructor(name: string, help: string, bounds: readonly number[]) {
    super(name, help);
    this.#bounds = bounds;
  }

  protected make(): Durations {
    return new Durations(this.#bounds);
  }

  protected *samples(labels: Labels, { counts, sum }: Durations): Iterable<Sample> {
    let total = 0;
    for (const [i, count] of counts.entries()) {
      total += count;
      const le = this.#bounds[i] ?? '+Inf';
      yield { labels: { ...labels, le }, value: total, metricName: `${this.name}_bucket` };
    }
    yield { labels, value: sum, metricName: `${this.name}_sum` };
    yield { labels, value: total, metricName: `${this.name}_count` };
  }
}

export function counters(registry: Registry, name: string, help: string): Family<Series> {
  return registered(registry, name, () => new NumberFamily('counter', name, help));
}

export function gauges(registry: Registry, name: string, help: string): Family<Series> {
  return registered(registry, name, () => new NumberFamily('gauge', name, help));
}

export function histograms(registry: Registry, name: string, help: string, bounds: readonly number[]): Histograms {
  return registered(registry, name, () => new HistogramFamily(name, help, bounds));
}

function registered<F extends Family<unknown>>(registry: Registry, name: string, make: () => F): F {
  const known = registry.getSingleMetric(name) as unknown as F | undefined;
  if (known) return known;
  const family = make();
  registry.registerMetric(family as unknown as Metric<string>);
  return family;
}
