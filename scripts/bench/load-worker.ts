// The load, in a process of its own: gets one Task after another over its channel and answers each.
import { type Lane, openLanes } from './lanes.ts';
import type { Answer, LoadResult, RequestLoad, Task, WatchLoad } from './protocol.ts';

/** Latencies beyond these are not kept; the first ones tell enough. */
const SAMPLES = 200_000;
/** Every event is counted at every watcher, but read for its time only at these. */
const TIMED_WATCHERS = 8;

let unused = process.pid * 1_000_000;

/** What was counted, from the end of the warm-up on. */
class Meter {
  count = 0;
  bodyBytes = 0;
  #samples: number[] = [];

  restart(): void {
    this.count = 0;
    this.bodyBytes = 0;
    this.#samples = [];
  }

  took(ms: number): void {
    if (this.#samples.length < SAMPLES) this.#samples.push(ms);
  }

  result(elapsedMs: number): LoadResult {
    const sorted = this.#samples.sort((a, b) => a - b);
    const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
    return { count: this.count, bodyBytes: this.bodyBytes, p50Ms: at(0.5), p99Ms: at(0.99), elapsedMs };
  }
}

async function run(task: Task): Promise<void> {
  const meter = new Meter();
  const { load } = task;
  const extra = load.kind === 'watch' ? load.writers : load.concurrency;
  const requests = await openLanes(task.protocol, task.target, extra);
  const watches = load.kind === 'watch' ? await openLanes(task.protocol, task.target, load.watchers) : undefined;
  let stopped = false;
  const failed = new Promise<never>((_, reject) => {
    const isStopped = (): boolean => stopped;
    const work =
      load.kind === 'watch'
        ? fanOut(load, watches?.lanes ?? [], requests.lanes, meter, isStopped)
        : requestLoop(load, requests.lanes, meter, isStopped);
    work.catch((error: unknown) => {
      if (!stopped) reject(error);
    });
  });
  try {
    await Promise.race([pause(task.warmUpMs), failed]);
    meter.restart();
    const start = performance.now();
    answer({ kind: 'warm' });
    await Promise.race([pause(task.measureMs), failed]);
    answer({ kind: 'done', ...meter.result(performance.now() - start) });
  } finally {
    stopped = true;
    requests.close();
    watches?.close();
  }
}

async function requestLoop(
  load: RequestLoad,
  lanes: readonly Lane[],
  meter: Meter,
  stopped: () => boolean,
): Promise<void> {
  const sink = (piece: Buffer): void => {
    meter.bodyBytes += piece.length;
  };
  await Promise.all(
    lanes.map(async (lane, number) => {
      const fill = (text: string, n: number): string =>
        text.replaceAll('{n}', `${n}`).replaceAll('{lane}', `${number}`);
      while (!stopped()) {
        const n = unused++;
        const start = performance.now();
        const status = await lane.request(
          {
            method: load.method,
            path: fill(load.path, n),
            body: load.body === undefined ? undefined : fill(load.body, n),
            contentType: load.contentType,
          },
          sink,
        );
        if (status >= 300) throw new Error(`${load.method} ${load.path} was answered with ${status}`);
        meter.count++;
        meter.took(performance.now() - start);
      }
    }),
  );
}

async function fanOut(
  load: WatchLoad,
  watchers: readonly Lane[],
  writers: readonly Lane[],
  meter: Meter,
  stopped: () => boolean,
): Promise<void> {
  const watching = watchers.map(async (lane, number) => {
    const sink = eventCounter(meter, number < TIMED_WATCHERS);
    await lane.request({ method: 'GET', path: load.watchPath }, sink);
    if (!stopped()) throw new Error('the server ended a watch');
  });
  const padding = 'x'.repeat(700);
  const writing = writers.map(async (lane, number) => {
    const path = load.path.replaceAll('{lane}', `${number}`);
    while (!stopped()) {
      const body = `{"data":{"sent":"${performance.now()};","padding":"${padding}"}}`;
      const status = await lane.request({ method: 'PATCH', path, body, contentType: 'application/merge-patch+json' });
      if (status >= 300) throw new Error(`PATCH ${path} was answered with ${status}`);
    }
  });
  await Promise.all([...watching, ...writing]);
}

/** Counts events by their line ends. A timed one also looks for the time at which the patch was sent. */
function eventCounter(meter: Meter, timed: boolean): (piece: Buffer) => void {
  const mark = Buffer.from('"sent":"');
  return (piece) => {
    for (let at = piece.indexOf(10); at >= 0; at = piece.indexOf(10, at + 1)) meter.count++;
    meter.bodyBytes += piece.length;
    if (!timed) return;
    const now = performance.now();
    for (let at = piece.indexOf(mark); at >= 0; at = piece.indexOf(mark, at + mark.length)) {
      const sent = Number.parseFloat(piece.toString('latin1', at + mark.length, at + mark.length + 20));
      // A time cut in two by the end of the piece is left out.
      if (piece.indexOf(';', at) >= 0 && sent <= now) meter.took(now - sent);
    }
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function answer(value: Answer): void {
  process.send?.(value);
}

process.on('message', (task: Task) => {
  run(task).catch((error: unknown) => answer({ kind: 'failed', message: String(error) }));
});
