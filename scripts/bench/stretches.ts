// How long the event loop was held at a time, in CPU time of its thread: what other processes take of the machine does not
// count, as it does in how late something came.
import { PerformanceObserver, performance } from 'node:perf_hooks';

interface Stretch {
  readonly cpuMs: number;
  readonly start: number;
  readonly end: number;
}

/** Shorter ones are of no interest. */
const NOTED_MS = 2;

export class Stretches {
  readonly #noted: Stretch[] = [];
  readonly #collections: { readonly start: number; readonly end: number }[] = [];
  readonly #observer = new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) {
      this.#collections.push({ start: startTime, end: startTime + duration });
    }
  });
  #running = true;

  constructor() {
    this.#observer.observe({ entryTypes: ['gc'] });
    let start = performance.now();
    let cpuMs = threadCpuMs();
    // The loop never waits: two calls are one round apart.
    const round = (): void => {
      const end = performance.now();
      const now = threadCpuMs();
      if (now - cpuMs > NOTED_MS) this.#noted.push({ cpuMs: now - cpuMs, start, end });
      [start, cpuMs] = [end, now];
      if (this.#running) setImmediate(round);
    };
    setImmediate(round);
  }

  /** The longest rounds, and how much of each was (at most) spent collecting garbage. */
  stop(count: number): { readonly cpuMs: number; readonly collectingMs: number }[] {
    this.#running = false;
    this.#observer.disconnect();
    return this.#noted
      .sort((a, b) => b.cpuMs - a.cpuMs)
      .slice(0, count)
      .map(({ cpuMs, start, end }) => {
        const within = this.#collections.filter((gc) => gc.start >= start && gc.end <= end);
        return { cpuMs, collectingMs: within.reduce((sum, gc) => sum + gc.end - gc.start, 0) };
      });
  }
}

function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
