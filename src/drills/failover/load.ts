// Everything that clients do during one drill, and what they saw of it.
import { sleep } from '../../lib/clock.ts';
import type { Environment } from '../../lib/environment.ts';
import { checkHistories, checkWatch, newestVersion } from '../checkers/history.ts';
import { ApiProbe, askTwice } from '../probes/api.ts';
import type { Connection } from '../probes/connection.ts';
import { type Attempt, type OpenLoop, runOpenLoop, type Sample } from '../probes/open-loop.ts';
import { longestGap, summarize } from '../probes/outage.ts';
import { askService } from '../probes/service.ts';
import { WatchProbe } from '../probes/watch.ts';

const WRITES_A_SECOND = 50;
const READS_A_SECOND = 50;
const SERVICE_A_SECOND = 20;
const CACHED_A_SECOND = 20;
const KEYS = 25;
const MAX_IN_FLIGHT = 500;
const TIMEOUT_MS = 1_000;
const PING_MS = 300;
/** Long enough for a new connection. */
const MOVE_MS = 100;
/** For the last reads: the cluster is whole by then. */
const END_WITHIN_MS = 20_000;

/** What clients saw in a time. Milliseconds without a good answer; at rest about the time between two questions. */
export interface Seen {
  readonly writesGoneMs: number;
  readonly readsGoneMs: number;
  /** Reads with resourceVersion=0, which need no quorum. */
  readonly cachedReadsGoneMs: number;
  /** 0 when every request was answered. */
  readonly serviceGoneMs: number;
  readonly asked: number;
  readonly retried: number;
  /** Writes and reads that failed twice. */
  readonly failed: number;
  readonly serviceAsked: number;
  readonly serviceRetried: number;
  readonly serviceFailed: number;
  /** By text, how often. */
  readonly errors: Readonly<Record<string, number>>;
}

/** Where clients are at work. */
export interface LoadPlace {
  readonly env: Pick<Environment, 'clock'>;
  /** Of the ConfigMaps that are written. */
  readonly namespace: string;
  /** A connection of its own to the API's address. */
  connect(pingMs?: number): Promise<Connection>;
  /** A service by node port, through one host. */
  serviceUrl(host: string): Promise<string>;
}

interface Samples {
  readonly writes: Sample[];
  readonly reads: Sample[];
  readonly cached: Sample[];
  readonly service: Sample[];
}

export class Load {
  readonly #place: LoadPlace;
  readonly #stop = new AbortController();
  readonly #watchStop = new AbortController();
  readonly #connections: readonly Connection[];
  readonly #api: ApiProbe;
  readonly #watch: WatchProbe;
  readonly #samples: Samples = { writes: [], reads: [], cached: [], service: [] };
  readonly #running: readonly Promise<unknown>[];
  #serviceUrl: string;

  private constructor(
    place: LoadPlace,
    parts: { connections: readonly Connection[]; api: ApiProbe; watch: WatchProbe; url: string },
  ) {
    this.#place = place;
    this.#connections = parts.connections;
    this.#api = parts.api;
    this.#watch = parts.watch;
    this.#serviceUrl = parts.url;
    this.#running = this.#start();
  }

  /** `name` begins the names of the objects that it writes; `via` is the host whose node port it asks the service by. */
  static async start(place: LoadPlace, name: string, via: string, signal: AbortSignal): Promise<Load> {
    const [main, watching, cached] = [await place.connect(), await place.connect(PING_MS), await place.connect()];
    const { namespace } = place;
    const { clock } = place.env;
    const options = { connection: main, clock, namespace, prefix: name, keys: KEYS, timeoutMs: TIMEOUT_MS };
    const api = await ApiProbe.start(options, signal);
    const path = `/api/v1/namespaces/${namespace}/configmaps?labelSelector=drill%3D${name}`;
    const watch = new WatchProbe({ connection: watching, clock, path, resourceVersion: api.resourceVersion });
    return new Load(place, { connections: [main, watching, cached], api, watch, url: await place.serviceUrl(via) });
  }

  #start(): readonly Promise<unknown>[] {
    const { clock } = this.#place.env;
    const { signal } = this.#stop;
    const loop = (kind: keyof Samples, perSecond: number, ask: OpenLoop<unknown>['ask']): Promise<unknown> => {
      const keep = (sample: Sample): void => void this.#samples[kind].push(sample);
      return runOpenLoop({ clock, perSecond, maxInFlight: MAX_IN_FLIGHT, ask, onSample: keep }, signal);
    };
    void this.#watch.run(this.#watchStop.signal);
    return [
      loop('writes', WRITES_A_SECOND, (index) => this.#api.write(index, this.#watchStop.signal)),
      loop('reads', READS_A_SECOND, (index) => this.#api.read(index, this.#watchStop.signal)),
      loop('cached', CACHED_A_SECOND, () => this.#readCached()),
      loop('service', SERVICE_A_SECOND, () => {
        return askService({ url: this.#serviceUrl, clock, timeoutMs: TIMEOUT_MS }, this.#watchStop.signal);
      }),
    ];
  }

  async #readCached(): Promise<Attempt> {
    const path = `/api/v1/namespaces/${this.#place.namespace}/configmaps/kube-root-ca.crt?resourceVersion=0`;
    const question = { method: 'GET', path, timeoutMs: TIMEOUT_MS };
    const { answer, error, retries } = await askTwice(this.#connections[2]!, question, this.#watchStop.signal);
    return answer?.code === 200
      ? { outcome: 'ok', retries }
      : { outcome: 'refused', error: error ?? `${answer?.code}`, retries };
  }

  /** The names of the server that answers writes and reads now. */
  get servedBy(): readonly string[] {
    return this.#connections[0]!.servedBy;
  }

  /** Connects anew until none of these servers answers. */
  async leave(servers: readonly string[], signal: AbortSignal): Promise<void> {
    while (this.servedBy.length === 0 || servers.some((name) => this.servedBy.includes(name))) {
      this.#connections[0]!.renew();
      await sleep(this.#place.env.clock, MOVE_MS, signal);
    }
  }

  /** Asks the service through another host from now on. */
  async askServiceVia(host: string): Promise<void> {
    this.#serviceUrl = await this.#place.serviceUrl(host);
  }

  /** Resolves with the time at which the first write or cached read that is asked after `fromMs` is answered well. */
  firstGoodAfter(what: 'writes' | 'cached', fromMs: number): number | undefined {
    const good = this.#samples[what].filter((one) => one.outcome === 'ok' && one.ended >= fromMs);
    return good.length === 0 ? undefined : Math.min(...good.map((one) => one.ended));
  }

  seen(fromMs: number, toMs: number): Seen {
    const { writes, reads, cached, service } = this.#samples;
    const during = (samples: readonly Sample[]): readonly Sample[] =>
      samples.filter((one) => one.ended >= fromMs && one.scheduled <= toMs);
    const api = summarize([...during(writes), ...during(reads)]);
    const web = summarize(during(service));
    return {
      writesGoneMs: longestGap(writes, fromMs, toMs).ms,
      readsGoneMs: longestGap(reads, fromMs, toMs).ms,
      cachedReadsGoneMs: longestGap(cached, fromMs, toMs).ms,
      serviceGoneMs: web.ok === web.asked ? 0 : longestGap(service, fromMs, toMs).ms,
      asked: api.asked,
      retried: api.retried,
      failed: api.refused + api.unknown,
      serviceAsked: web.asked,
      serviceRetried: web.retried,
      serviceFailed: web.refused + web.unknown,
      errors: Object.fromEntries(api.errors),
    };
  }

  /** Ends the clients, reads everything once more and judges what they were told. Lines; none: everything held. */
  async judge(signal: AbortSignal): Promise<readonly string[]> {
    const problems: string[] = [];
    this.#stop.abort();
    await Promise.all(this.#running);
    const connection = this.#connections[0]!;
    connection.renew();
    try {
      await this.#api.readAll(signal);
      const histories = this.#api.histories();
      await this.#watch.reached(newestVersion(histories), END_WITHIN_MS, signal);
      problems.push(...checkHistories(histories));
      if (this.#watch.tooOld === 0)
        problems.push(...checkWatch(histories, this.#watch.events, this.#api.resourceVersion));
      else problems.push(`a watch could not go on where it was ${this.#watch.tooOld} times`);
      await this.#api.remove(signal);
    } finally {
      this.close();
    }
    return problems;
  }

  /** Ends everything at once. */
  close(): void {
    this.#stop.abort();
    this.#watchStop.abort();
    for (const connection of this.#connections) connection.close();
  }
}
