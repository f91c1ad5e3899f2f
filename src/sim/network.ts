// The network between components and API servers: it delays, loses, and breaks, by the seed.
import type {
  CachedObject,
  RequestContext,
  ResourceApi,
  Target,
  WatchDelivery,
  WatchOptions,
  WatchSink,
} from '../apiserver/contract.ts';
import type { Random } from '../lib/random.ts';
import { type History, requestOrigin } from './history.ts';
import { randomOf, type SimulatedProcess, type World } from './process.ts';
import type { WatchOrder } from './watch-order.ts';

/** How the network behaves now. */
export interface NetworkBehaviour {
  /** One way, at least; up to three times as much. */
  readonly latencyMs: number;
  /** Shares of all messages. */
  readonly late: number;
  readonly lost: number;
  /** The mean life of a watch's connection; absent: it does not break by itself. */
  readonly watchLifeMs?: number;
}

export const SOUND_NETWORK: NetworkBehaviour = { latencyMs: 0.2, late: 0, lost: 0 };
export const BAD_NETWORK: NetworkBehaviour = { latencyMs: 1, late: 0.02, lost: 0.005, watchLifeMs: 60_000 };
/** A message that is late takes up to this long. */
const LATE_MS = 4_000;
/** When a client gives up on a request that is not answered. */
const REQUEST_TIMEOUT_MS = 30_000;
/** When a client notices that nothing comes on a connection any more. */
const SILENCE_MS = 15_000;

/** What a client sees when its connection breaks: not a Status, and it says nothing about what the server did. */
export class ConnectionLostError extends Error {
  override name = 'ConnectionLostError';
}

/** One life of an API server. */
export interface ServerLife {
  readonly api: ResourceApi;
  readonly program: SimulatedProcess;
}

export class Network {
  behaviour: NetworkBehaviour = SOUND_NETWORK;
  /** Nobody listens while it is undefined. */
  server: ServerLife | undefined;
  readonly world: World;
  readonly history: History;
  readonly order: WatchOrder;
  readonly #links: Link[] = [];

  constructor(world: World, history: History, order: WatchOrder) {
    this.world = world;
    this.history = history;
    this.order = order;
  }

  /** A component's connection. */
  connect(program: SimulatedProcess): Link {
    const link = new Link(this, program);
    this.#links.push(link);
    return link;
  }

  /** The API server's process is gone, and every connection with it. */
  serverDied(): void {
    this.server = undefined;
    for (const link of this.#links) link.cut('connection reset by peer');
  }

  /** Everything ends with the simulation. */
  close(): void {
    this.server?.program.kill();
    for (const link of [...this.#links]) link.close();
  }

  forget(link: Link): void {
    const at = this.#links.indexOf(link);
    if (at >= 0) this.#links.splice(at, 1);
  }
}

interface Call {
  fail(error: Error, afterMs: number): void;
}

interface OpenWatch {
  break(error: Error | undefined, afterMs: number): void;
}

export class Link {
  readonly #network: Network;
  readonly #program: SimulatedProcess;
  readonly #random: Random;
  readonly #calls = new Set<Call>();
  readonly #watches = new Set<OpenWatch>();
  #partitioned = false;
  #watchSerial = 0;
  /** Grows when connections end: what was sent on one before arrives nowhere. */
  #connection = 0;

  constructor(network: Network, program: SimulatedProcess) {
    this.#network = network;
    this.#program = program;
    this.#random = randomOf(network.world.seed, `link ${program.name}`);
  }

  /** What a component's clients call. */
  readonly api: ResourceApi = {
    get: (ctx, target, options) => this.#get(ctx, target, options),
    list: (ctx, target, options) => this.#call(ctx, 'list', target, (api, c) => api.list(c, target, options)),
    watch: (ctx, target, options, sink) => this.#watch(ctx, target, options, sink),
    create: (ctx, target, body, options) =>
      this.#call(ctx, 'create', target, (api, c) => api.create(c, target, body, options)),
    update: (ctx, target, body, options) =>
      this.#call(ctx, 'update', target, (api, c) => api.update(c, target, body, options)),
    patch: (ctx, target, patch, options) =>
      this.#call(ctx, 'patch', target, (api, c) => api.patch(c, target, patch, options)),
    delete: (ctx, target, options) => this.#call(ctx, 'delete', target, (api, c) => api.delete(c, target, options)),
    deleteCollection: (ctx, target, options) =>
      this.#call(ctx, 'deletecollection', target, (api, c) => api.deleteCollection(c, target, options)),
  };

  /** Nothing gets through any more, in either direction. */
  partition(): void {
    this.#partitioned = true;
    this.cut('i/o timeout', SILENCE_MS);
  }

  heal(): void {
    this.#partitioned = false;
  }

  /** Kills the component's process. What it had sent may yet be done. */
  close(): void {
    this.#program.kill();
    for (const watch of [...this.#watches]) watch.break(undefined, 0);
    this.#network.forget(this);
  }

  /** Ends every connection; the component hears of it after a while. */
  cut(message: string, afterMs = 0): void {
    this.#connection++;
    const error = new ConnectionLostError(message);
    for (const call of [...this.#calls]) call.fail(error, afterMs);
    for (const watch of [...this.#watches]) watch.break(error, afterMs);
  }

  async #get(
    ctx: RequestContext,
    target: Target,
    options: { readonly resourceVersion?: string },
  ): Promise<CachedObject> {
    return this.#call(ctx, 'get', target, (api, c) => api.get(c, target, options));
  }

  #legMs(): number {
    const { latencyMs, late } = this.#network.behaviour;
    if (this.#random.next() < late) return LATE_MS * this.#random.next() ** 2;
    return latencyMs * (1 + 2 * this.#random.next());
  }

  #isLost(): boolean {
    return this.#partitioned || this.#random.next() < this.#network.behaviour.lost;
  }

  #call<T>(
    ctx: RequestContext,
    verb: string,
    target: Target,
    run: (api: ResourceApi, ctx: RequestContext) => Promise<T>,
  ): Promise<T> {
    const { clock } = this.#network.world;
    // The dead send nothing.
    if (this.#program.dead) return new Promise(() => undefined);
    return new Promise<T>((resolve, reject) => {
      const gone = new AbortController();
      let over = false;
      const end = (settle: () => void): void => {
        if (over) return;
        over = true;
        this.#calls.delete(call);
        timeout.cancel();
        ctx.signal.removeEventListener('abort', onAbort);
        settle();
      };
      const call: Call = {
        fail: (error, afterMs) => {
          clock.timer(afterMs + this.#legMs(), () => this.#program.receive(() => end(() => reject(error))));
        },
      };
      const onAbort = (): void => {
        end(() => reject(ctx.signal.reason));
        clock.timer(this.#legMs(), () => gone.abort(ctx.signal.reason));
      };
      const timeout = clock.timer(REQUEST_TIMEOUT_MS, () =>
        this.#program.receive(() => end(() => reject(new ConnectionLostError('request timed out')))),
      );
      this.#calls.add(call);
      ctx.signal.addEventListener('abort', onAbort, { once: true });
      const answer = (settle: () => void): void => {
        if (this.#lose(call)) return;
        clock.timer(this.#legMs(), () => this.#program.receive(() => end(settle)));
      };
      if (this.#lose(call)) return;
      const connection = this.#connection;
      clock.timer(this.#legMs(), () => {
        const { server } = this.#network;
        // A request whose client has given up arrives all the same, unless its connection is gone.
        if (connection !== this.#connection) return;
        if (!server) return call.fail(new ConnectionLostError('connection refused'), 0);
        const { user } = ctx;
        const { resource, subresource = '' } = target;
        const origin = {
          program: this.#program.name,
          user: user.username,
          verb,
          resource: resource.resource,
          subresource,
        };
        const work = requestOrigin.run(origin, () => run(server.api, { ...ctx, signal: gone.signal }));
        // Of a server that was killed meanwhile nothing comes any more: its connections were reset.
        work.then(
          (result) => server.program.dead || answer(() => resolve(result)),
          (error: unknown) => server.program.dead || answer(() => reject(error)),
        );
      });
    });
  }

  /** A message that is lost shows as a connection that breaks, or as silence. */
  #lose(call: Call): boolean {
    if (!this.#isLost()) return false;
    if (!this.#partitioned && this.#random.next() < 0.7)
      call.fail(new ConnectionLostError('connection reset by peer'), 0);
    return true;
  }

  async #watch(ctx: RequestContext, target: Target, options: WatchOptions, sink: WatchSink): Promise<void> {
    const { clock } = this.#network.world;
    const { watchLifeMs } = this.#network.behaviour;
    const name = `${this.#program.name}/${this.#watchSerial++}`;
    const check = this.#network.order.begin(name, target, options);
    const served = new AbortController();
    let broken = false;
    let nextMs = 0;
    // One connection: what is sent first arrives first.
    const arrive = (run: () => void): void => {
      nextMs = Math.max(nextMs, clock.monotonic() + this.#legMs());
      clock.timer(nextMs - clock.monotonic(), () => this.#program.receive(run));
    };
    const watch: OpenWatch = {
      break: (error, afterMs) => {
        if (broken) return;
        broken = true;
        this.#watches.delete(watch);
        served.abort(new Error('the client is gone'));
        clock.timer(afterMs + this.#legMs(), () => this.#program.receive(() => sink.end(error)));
      },
    };
    const onAbort = (): void => watch.break(undefined, 0);
    this.#watches.add(watch);
    ctx.signal.addEventListener('abort', onAbort, { once: true });
    served.signal.addEventListener('abort', () => ctx.signal.removeEventListener('abort', onAbort), { once: true });
    if (watchLifeMs !== undefined) {
      const lifeMs = -Math.log(1 - this.#random.next()) * watchLifeMs;
      // Half of them end in silence, the others with an error, as behind a proxy.
      const error = this.#random.next() < 0.5 ? undefined : new ConnectionLostError('connection reset by peer');
      clock.timer(lifeMs, () => watch.break(error, 0));
    }
    const toClient: WatchSink = {
      deliver: (batch) => {
        if (broken) return;
        arrive(() => {
          if (broken) return;
          this.#deliver(name, target, batch, check);
          sink.deliver(batch);
        });
      },
      end: (error) => {
        if (broken) return;
        arrive(() => {
          if (broken) return;
          broken = true;
          this.#watches.delete(watch);
          sink.end(error);
        });
      },
    };
    try {
      await this.#call(ctx, 'watch', target, (api, c) =>
        api.watch({ ...c, signal: served.signal }, target, options, toClient),
      );
    } catch (error) {
      broken = true;
      this.#watches.delete(watch);
      served.abort(error);
      throw error;
    }
  }

  #deliver(
    name: string,
    target: Target,
    batch: readonly WatchDelivery[],
    check: (delivery: WatchDelivery) => void,
  ): void {
    for (const delivery of batch) {
      const key = delivery.type === 'BOOKMARK' ? '' : delivery.object.key;
      this.#network.history.delivered(
        `D ${name} ${target.resource.resource} ${delivery.type} ${delivery.revision} ${key}`,
      );
      check(delivery);
    }
  }
}
