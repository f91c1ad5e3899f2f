// Everything that clients do during a drill, each kind at its own rate, and what they were told.
import type { Clock } from '../../lib/clock.ts';
import { sleep } from '../../lib/clock.ts';
import { checkHistories, checkWatch, newestVersion } from '../checkers/history.ts';
import { ApiProbe } from '../probes/api.ts';
import type { Connection } from '../probes/connection.ts';
import { askDns } from '../probes/dns.ts';
import { type Attempt, runOpenLoop, type Sample } from '../probes/open-loop.ts';
import { longestGap, summarize } from '../probes/outage.ts';
import { askService } from '../probes/service.ts';
import { WatchProbe } from '../probes/watch.ts';
import type { DrillResult, ProbeResult } from './result.ts';
import { IMAGE, type Stage } from './stage.ts';
import { NAMESPACE } from './workload.ts';

const KEYS = 25;
const TIMEOUT_MS = 1_000;
/** Slow is not gone: how slow, the latency shows. */
const SERVICE_TIMEOUT_MS = 2_000;
const DNS_TIMEOUT_MS = 2_000;
const POD_TIMEOUT_MS = 30_000;
const PING_MS = 300;
const MAX_IN_FLIGHT = 200;
const END_WITHIN_MS = 30_000;
const POD_LOOK_MS = 100;

/** What answers every question is not gone, however slow; a write that waits is. */
const ANSWERED_IS_THERE = new Set(['service', 'dns', 'pods']);
/** Questions a second. */
const RATES = { writes: 25, reads: 25, server: 5, service: 20, dns: 10, pods: 0.4 } as const;

interface Loop {
  readonly name: string;
  readonly perSecond: number;
  readonly ask: (index: number, signal: AbortSignal) => Promise<Attempt>;
}

export interface Hearing {
  readonly probes: readonly ProbeResult[];
  readonly checks: DrillResult['checks'];
  /** The longest time from an acknowledgement to the event. */
  readonly watchMs: number | undefined;
  readonly podsMs: number | undefined;
}

export class Clients {
  readonly samples = new Map<string, Sample[]>();
  readonly #stage: Stage;
  readonly #connections: Connection[] = [];
  readonly #stop = new AbortController();
  readonly #watchStop = new AbortController();
  readonly #serviceHosts: string[];
  #api: ApiProbe | undefined;
  #watch: WatchProbe | undefined;
  #running: Promise<unknown> = Promise.resolve();
  #watching: Promise<unknown> = Promise.resolve();

  /** The service is asked through these hosts, which no fault hits. */
  constructor(stage: Stage, serviceHosts: readonly string[]) {
    this.#stage = stage;
    this.#serviceHosts = [...serviceHosts];
  }

  async start(prefix: string, signal: AbortSignal): Promise<void> {
    const { clock } = this.#stage.env;
    const connection = await this.#connect();
    const options = { connection, clock, namespace: NAMESPACE, prefix, keys: KEYS, timeoutMs: TIMEOUT_MS };
    const api = await ApiProbe.start(options, signal);
    this.#api = api;
    const path = `/api/v1/namespaces/${NAMESPACE}/configmaps?labelSelector=drill%3D${prefix}`;
    const watchOptions = {
      connection: await this.#connect(undefined, PING_MS),
      clock,
      path,
      resourceVersion: api.resourceVersion,
    };
    this.#watch = new WatchProbe(watchOptions);
    const loops = [...(await this.#loops(api)), this.#pods(await this.#connect(), prefix)];
    this.#running = Promise.all(loops.map((loop) => this.#run(loop, clock)));
    this.#watching = this.#watch.run(this.#watchStop.signal);
  }

  /** Ends the clients, reads everything once more, and judges what they were told. Times count from `originMs`. */
  async end(originMs: number, fromMs: number, signal: AbortSignal): Promise<Hearing> {
    this.#stop.abort();
    await this.#running;
    const problems: string[] = [];
    const watchProblems: string[] = [];
    const api = this.#api!;
    const watch = this.#watch!;
    try {
      await this.#lastReads(api, signal);
      const histories = api.histories();
      await watch
        .reached(newestVersion(histories), END_WITHIN_MS, signal)
        .catch((error: Error) => watchProblems.push(error.message));
      problems.push(...checkHistories(histories));
      if (watch.tooOld > 0) watchProblems.push(`the watch could not go on where it was ${watch.tooOld} times`);
      else watchProblems.push(...checkWatch(histories, watch.events, api.resourceVersion));
      await api.remove(signal).catch(() => undefined);
    } finally {
      this.close();
      await this.#watching;
    }
    const endMs = this.#stage.env.clock.monotonic();
    const operations = [...api.histories().values()].reduce((sum, { operations }) => sum + operations.length, 0);
    const pods = this.samples.get('pods') ?? [];
    return {
      probes: [...this.samples].map(([name, samples]) => probeResult(name, samples, { originMs, fromMs, endMs })),
      checks: [
        { name: 'linearizable, and no acknowledged write lost', looked: operations, problems },
        { name: 'watch order and completeness', looked: watch.events.length, problems: watchProblems },
      ],
      watchMs: watchLag(api, watch),
      podsMs: pods.length === 0 ? undefined : Math.max(...pods.map((one) => one.ended - one.scheduled)),
    };
  }

  close(): void {
    this.#stop.abort();
    this.#watchStop.abort();
    for (const connection of this.#connections) connection.close();
  }

  /** When the last question of this kind that failed ended; undefined: none did. */
  lastFailure(name: string): number | undefined {
    const bad = (this.samples.get(name) ?? []).filter(({ outcome }) => outcome !== 'ok');
    return bad.length === 0 ? undefined : Math.max(...bad.map(({ ended }) => ended));
  }

  async #connect(server?: string, pingMs?: number): Promise<Connection> {
    const connection = await this.#stage.connect(server, pingMs);
    this.#connections.push(connection);
    return connection;
  }

  #run({ name, perSecond, ask }: Loop, clock: Clock): Promise<unknown> {
    const kept: Sample[] = [];
    this.samples.set(name, kept);
    const loop = {
      clock,
      perSecond,
      maxInFlight: MAX_IN_FLIGHT,
      ask,
      // What the end of the drill cut off says nothing.
      onSample: (sample: Sample) => {
        if (sample.outcome === 'ok' || !this.#stop.signal.aborted) kept.push(sample);
      },
    };
    return runOpenLoop(loop, this.#stop.signal);
  }

  async #loops(api: ApiProbe): Promise<readonly Loop[]> {
    const { clock } = this.#stage.env;
    const { topology, settings } = this.#stage;
    const service = (index: number, signal: AbortSignal): Promise<Attempt> => {
      const url = this.#stage.serviceUrl(this.#serviceHosts[index % this.#serviceHosts.length]!);
      return askService({ url, clock, timeoutMs: SERVICE_TIMEOUT_MS }, signal);
    };
    const name = `web.${NAMESPACE}.svc.${settings.clusterDomain}`;
    const loops: Loop[] = [
      { name: 'writes', perSecond: RATES.writes, ask: (index, signal) => api.write(index, signal) },
      { name: 'reads', perSecond: RATES.reads, ask: (index, signal) => api.read(index, signal) },
      { name: 'service', perSecond: RATES.service, ask: service },
      {
        name: 'dns',
        perSecond: RATES.dns,
        ask: (_, signal) => askDns(name, { server: settings.dnsAddress, clock, timeoutMs: DNS_TIMEOUT_MS }, signal),
      },
    ];
    for (const host of topology.hosts.filter(({ role, destroyed }) => role === 'control-plane' && !destroyed)) {
      const connection = await this.#connect(host.address);
      const path = `/api/v1/namespaces/${NAMESPACE}/services/web`;
      const ask = async (_: number, signal: AbortSignal): Promise<Attempt> => {
        const { code } = await connection.ask({ method: 'GET', path, timeoutMs: TIMEOUT_MS }, signal);
        return code === 200 ? { outcome: 'ok' } : { outcome: 'refused', error: `GET ${code}` };
      };
      loops.push({ name: `reads at ${host.name}`, perSecond: RATES.server, ask });
    }
    return loops;
  }

  /** A pod from its creation until it is ready; then it is removed. */
  #pods(connection: Connection, prefix: string): Loop {
    const { clock } = this.#stage.env;
    const path = `/api/v1/namespaces/${NAMESPACE}/pods`;
    const ask = async (index: number, signal: AbortSignal): Promise<Attempt> => {
      const name = `${prefix}-pod-${index}`;
      const overMs = clock.monotonic() + POD_TIMEOUT_MS;
      // What was begun is waited for: a drill that ends must not count its last pod as lost. Not so one that is broken off.
      const going = this.#watchStop.signal;
      let error = 'not ready in time';
      let isMade = false;
      try {
        while (clock.monotonic() < overMs) {
          const question = isMade
            ? { method: 'GET', path: `${path}/${name}`, timeoutMs: TIMEOUT_MS }
            : { method: 'POST', path, body: podBody(name), timeoutMs: TIMEOUT_MS };
          const answer = await connection.ask(question, going).catch((failure: Error) => failure.message);
          if (typeof answer === 'string') error = answer;
          else if (!isMade && (answer.code === 201 || answer.code === 409)) isMade = true;
          else if (answer.code === 200 && isReadyPod(answer.text)) return { outcome: 'ok' };
          else if (isMade && answer.code === 404) return { outcome: 'refused', error: 'it went with its node' };
          await sleep(clock, POD_LOOK_MS, going);
        }
        return { outcome: 'refused', error };
      } finally {
        const gone = `${path}/${name}?gracePeriodSeconds=0`;
        if (!signal.aborted || isMade)
          await connection.ask({ method: 'DELETE', path: gone, timeoutMs: TIMEOUT_MS }, going).catch(() => undefined);
      }
    };
    return { name: 'pods', perSecond: RATES.pods, ask };
  }

  async #lastReads(api: ApiProbe, signal: AbortSignal): Promise<void> {
    const { clock } = this.#stage.env;
    const overMs = clock.monotonic() + END_WITHIN_MS;
    for (;;) {
      try {
        return await api.readAll(signal);
      } catch (error) {
        if (clock.monotonic() > overMs) throw error;
        await sleep(clock, 200, signal);
      }
    }
  }
}

function podBody(name: string): object {
  const container = { name: 'web', image: IMAGE, imagePullPolicy: 'Never' };
  const spec = { terminationGracePeriodSeconds: 0, containers: [container] };
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, labels: { app: 'started' } }, spec };
}

function isReadyPod(text: string): boolean {
  const { status } = JSON.parse(text) as { status?: { conditions?: readonly { type: string; status: string }[] } };
  return status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true;
}

function probeResult(
  name: string,
  samples: readonly Sample[],
  { originMs, fromMs, endMs }: { readonly originMs: number; readonly fromMs: number; readonly endMs: number },
): ProbeResult {
  const summary = summarize(samples);
  const failed = summary.refused + summary.unknown;
  return {
    name,
    asked: summary.asked,
    ok: summary.ok,
    failed,
    retried: summary.retried,
    p50: Math.round(summary.p50),
    p99: Math.round(summary.p99),
    worst: Math.round(summary.worst),
    goneMs: failed === 0 && ANSWERED_IS_THERE.has(name) ? 0 : Math.round(goneFor(samples, fromMs, endMs)),
    errors: Object.fromEntries(summary.errors),
    samples: samples.map(({ scheduled, ended, outcome }) => [
      Math.round(scheduled - originMs),
      Math.round(ended - scheduled),
      outcome === 'ok' ? 1 : 0,
    ]),
  };
}

/** Until the last question's end, not until everything was judged. */
function goneFor(samples: readonly Sample[], fromMs: number, endMs: number): number {
  const last = Math.max(fromMs, ...samples.map(({ scheduled }) => scheduled));
  return longestGap(samples, fromMs, Math.min(endMs, last)).ms;
}

function watchLag(api: ApiProbe, watch: WatchProbe): number | undefined {
  // What is removed at the end is shown once more, as it was last.
  const written = watch.events.filter(({ type }) => type !== 'DELETED');
  const shown = new Map(written.map((event) => [`${event.name} ${event.value}`, event.atMs]));
  let worst: number | undefined;
  for (const [name, { operations }] of api.histories()) {
    for (const { input, output, return: end } of operations) {
      if (input.kind !== 'swap' || output.kind !== 'done' || end === Number.POSITIVE_INFINITY) continue;
      const at = shown.get(`${name} ${input.value}`);
      if (at !== undefined) worst = Math.max(worst ?? 0, at - end);
    }
  }
  return worst;
}
