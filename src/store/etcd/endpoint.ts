// One member as seen from here: its connection, made again whenever it breaks, and its health, asked for all the time.
import { type BackoffPolicy, backoffMs } from '../../lib/backoff.ts';
import { sleep, type Timer } from '../../lib/clock.ts';
import type { Environment } from '../../lib/environment.ts';
import { Connection, type EtcdTls } from './connection.ts';
import { METHODS } from './messages.ts';
import type { PatienceTimings } from './patience.ts';
import { type EndpointHealth, EtcdError, GRPC, type MemberStatus, NO_LEADER } from './rpc.ts';

/** How soon a member that is no use is left. */
export interface EtcdTimings extends PatienceTimings {
  readonly dialTimeoutMs: number;
  /** How often each member is asked how it does, and how long it may take to say: one that does not is left. */
  readonly healthIntervalMs: number;
  readonly healthTimeoutMs: number;
  /** So long after a change of leader, requests from before it are given up: they may have died with the old one. */
  readonly leaderChangeGraceMs: number;
  /** How long one request may take. */
  readonly requestTimeoutMs: number;
}

const RECONNECT: BackoffPolicy = { initialMs: 50, maximumMs: 1_000, factor: 2, jitter: 0.3 };

export interface EndpointOptions {
  readonly url: string;
  readonly tls: EtcdTls | undefined;
  readonly env: Pick<Environment, 'clock' | 'random' | 'log'>;
  readonly timings: EtcdTimings;
  /** Called whenever `usable` or `healthy` has changed. */
  readonly changed: () => void;
}

export class Endpoint {
  readonly url: string;
  readonly #options: EndpointOptions;
  #connection: Connection | undefined;
  #healthy = false;
  #reason = 'not connected yet';
  #status: MemberStatus | undefined;
  #grace: Timer | undefined;
  readonly #stop = new AbortController();

  constructor(options: EndpointOptions, signal: AbortSignal) {
    this.#options = options;
    this.url = options.url;
    void this.#run(AbortSignal.any([signal, this.#stop.signal]));
  }

  /** The member is no member any more: streams go on elsewhere at once, calls under way have their time. */
  retire(): void {
    const { clock } = this.#options.env;
    this.connection?.endStreams(new EtcdError(GRPC.UNAVAILABLE, 'the member has left etcd', true));
    clock.timer(this.#options.timings.requestTimeoutMs, () => this.#stop.abort(new Error('the member has left etcd')));
  }

  /** The connection, when there is one that takes calls. */
  get connection(): Connection | undefined {
    return this.#connection?.usable ? this.#connection : undefined;
  }

  /** Connected, answers, and knows a leader. */
  get healthy(): boolean {
    return this.#healthy && this.connection !== undefined;
  }

  get health(): EndpointHealth {
    const { healthy } = this;
    return {
      url: this.url,
      connected: this.connection !== undefined,
      healthy,
      ...(!healthy && { reason: this.#reason }),
      ...(this.#status && { status: this.#status }),
    };
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#options.env;
    let failures = 0;
    while (!signal.aborted) {
      const { url, tls, timings } = this.#options;
      const connection = new Connection({ url, tls, clock, connectTimeoutMs: timings.dialTimeoutMs });
      const onAbort = (): void => connection.close(new Error('the client is closed'));
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
      try {
        await connection.ready;
        this.#connection = connection;
        await this.#probe(connection, signal, () => {
          if (failures > 0) log.info('connected to etcd again', { endpoint: url });
          failures = 0;
        });
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        connection.close(new Error(reason));
        this.#set(false, reason);
        if (failures === 0 && !signal.aborted) log.warn('an etcd endpoint is lost', { endpoint: url, reason });
      }
      signal.removeEventListener('abort', onAbort);
      this.#connection = undefined;
      this.#grace?.cancel();
      if (signal.aborted) return;
      await sleep(clock, backoffMs(RECONNECT, failures++, random), signal).catch(() => undefined);
    }
  }

  /** Asks until the connection is over, or does not answer: then it throws. */
  async #probe(connection: Connection, signal: AbortSignal, answered: () => void): Promise<never> {
    const { timings, env } = this.#options;
    const over = new AbortController();
    void connection.over.then((cause) => over.abort(cause));
    for (;;) {
      const call = { timeoutMs: timings.healthTimeoutMs, signal, read: true };
      this.#take((await connection.unary(METHODS.status, {}, call)) as unknown as MemberStatus, connection);
      answered();
      await sleep(env.clock, timings.healthIntervalMs, over.signal);
    }
  }

  #take(status: MemberStatus, connection: Connection): void {
    const before = this.#status;
    this.#status = status;
    const leaderless = status.leader === 0n;
    this.#set(!leaderless, leaderless ? NO_LEADER : '');
    const now = this.#options.env.clock.monotonic();
    // A read that waits for a leader may be answered elsewhere.
    if (leaderless) connection.failOlder(now, 'reads', new EtcdError(GRPC.UNAVAILABLE, NO_LEADER, true));
    if (!before || (before.leader === status.leader && before.raftTerm === status.raftTerm)) return;
    this.#grace?.cancel();
    this.#grace = this.#options.env.clock.timer(this.#options.timings.leaderChangeGraceMs, () => {
      const error = new EtcdError(GRPC.UNAVAILABLE, 'the leader changed while the request was under way', true);
      connection.failOlder(now, 'all', error);
    });
  }

  #set(healthy: boolean, reason: string): void {
    this.#reason = reason;
    this.#healthy = healthy;
    this.#options.changed();
  }
}
