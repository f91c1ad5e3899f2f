// The one shape of a controller, and what runs it: queues, workers, retries, metrics.
import type { ResourceTypes } from '../api/generated/types.ts';
import type { KubeObject } from '../api/object.ts';
import type { Client, Informer, Informers, ResourceCoordinates } from '../client/contract.ts';
import type { EventRecorder } from '../client/event-recorder.ts';
import { observeQueue } from '../client/queue-metrics.ts';
import { WorkQueue } from '../client/work-queue.ts';
import { isAbort } from '../lib/abort.ts';
import { InvariantError } from '../lib/assert.ts';
import { type BackoffPolicy, backoffMs } from '../lib/backoff.ts';
import { sleep } from '../lib/clock.ts';
import type { Environment } from '../lib/environment.ts';
import { nextTurn } from '../lib/turns.ts';
import { isReason } from '../machinery/status.ts';

/** What a controller works with. `client` acts as the controller's own account; `events` carries its name. */
export interface ControllerContext {
  readonly client: Client;
  readonly informers: Informers;
  readonly env: Environment;
  readonly events: EventRecorder;
}

/** Adds a key to the controller's queue, now or after a time. */
export type Enqueue = (key: string, afterMs?: number) => void;

/** Look at the key again after this time, whether or not anything changes. */
export interface Requeue {
  readonly requeueAfterMs: number;
}

// biome-ignore lint/suspicious/noConfusingVoidType: a reconciler that never asks for another look is Promise<void>.
export type Reconciled = Requeue | undefined | void;

/**
 * A controller: what it watches, how a change maps to keys, and how a key is reconciled. Write it as decide (pure, exported,
 * tested) plus a thin reconcile that reads from informers and applies. A controller object may keep state (Expectations);
 * make it afresh for every run (a lost lease ends a run).
 */
export interface Controller {
  /** Upstream's name: "replicaset-controller". Names the queue's metrics and log lines. */
  readonly name: string;
  /** The service account in kube-system that it acts as. Default: its name. */
  readonly account?: string;
  /** source.component of its events. Default: its name. */
  readonly eventSource?: string;
  /** Keys reconciled at once. Default 5. */
  readonly workers?: number;
  /** Called once, before anything runs. Informers and indexes asked for here are synced before the first reconcile. */
  watches(ctx: ControllerContext): readonly Watch[];
  /**
   * Brings the world of one key nearer to what is declared. Level-triggered: may run at any time, twice, or after the object is
   * gone. A throw backs off this key alone. Must end soon after the signal aborts.
   */
  reconcile(ctx: ControllerContext, key: string, signal: AbortSignal): Promise<Reconciled>;
  /** What goes on beside the queue (a periodic sweep). Begins after the informers are synced; must end with the signal. */
  run?(ctx: ControllerContext, enqueue: Enqueue, signal: AbortSignal): Promise<void>;
}

/** Thrown by a reconcile that can do nothing until something else is there: backed off as any failure, and no line above debug. */
export class NotYetError extends Error {
  override name = 'NotYetError';
}

/** The mapping of one resource's changes to keys. Make it with `watch` or `watchDynamic`. */
export interface Watch {
  /** Declares the informer and its indexes. */
  prepare(informers: Informers): void;
  /** Begins to enqueue. */
  connect(informers: Informers, enqueue: Enqueue, signal: AbortSignal): void;
  /** Enqueues everything there is (after an overflow of the queue). */
  resync(informers: Informers, enqueue: Enqueue): void;
}

export type ChangeKind = 'added' | 'updated' | 'deleted';

export interface WatchMapping<T> {
  /**
   * The keys to reconcile after a change. `previous` is there for an update only: an object that changed its owner maps to
   * both. Absent: the resource is only cached, and read by reconcile.
   */
  readonly keys?: (object: T, previous: T | undefined, change: ChangeKind) => Iterable<string>;
  /** Only objects whose fields match are held and heard of: reconcile asks for the informer by the same selector. */
  readonly fieldSelector?: string;
  /** Indexes that reconcile asks with `informer.byIndex(name, value)`. */
  readonly indexes?: { readonly [name: string]: (object: T) => readonly string[] };
}

/** Watches a built-in resource: `watch('pods', { keys: (pod) => ownersOf(pod) })`. */
export function watch<K extends keyof ResourceTypes>(resource: K, mapping: WatchMapping<ResourceTypes[K]> = {}): Watch {
  return mapped((informers) => informers.for(resource, mapping.fieldSelector), mapping);
}

/** Watches a resource whose objects' metadata is enough (Informers.metadata). */
export function watchMetadata(resource: keyof ResourceTypes, mapping: WatchMapping<KubeObject> = {}): Watch {
  return mapped((informers) => informers.metadata(resource), mapping);
}

/** Watches a resource known only at run time. */
export function watchDynamic(resource: ResourceCoordinates, mapping: WatchMapping<KubeObject> = {}): Watch {
  return mapped((informers) => informers.dynamic(resource), mapping);
}

function mapped<T>(informerOf: (informers: Informers) => Informer<T>, mapping: WatchMapping<T>): Watch {
  const { keys, indexes = {} } = mapping;
  return {
    prepare(informers) {
      const informer = informerOf(informers);
      for (const [name, values] of Object.entries(indexes)) informer.addIndex(name, values);
    },
    connect(informers, enqueue, signal) {
      if (!keys) return;
      const all = (found: Iterable<string>): void => {
        for (const key of found) enqueue(key);
      };
      informerOf(informers).subscribe(
        {
          add: (object) => all(keys(object, undefined, 'added')),
          update: (object, previous) => all(keys(object, previous, 'updated')),
          delete: (object) => all(keys(object, undefined, 'deleted')),
        },
        signal,
      );
    },
    resync(informers, enqueue) {
      if (!keys) return;
      for (const object of informerOf(informers).list()) {
        for (const key of keys(object, undefined, 'added')) enqueue(key);
      }
    },
  };
}

export interface RunOptions {
  readonly informers: Informers;
  readonly env: Environment;
  readonly events: EventRecorder;
  /** The client for a service account of kube-system (Controller.account). */
  readonly clientFor: (account: string) => Client;
}

/**
 * Runs controllers until the signal aborts; settles when everything that they began has ended. Rejects only when an
 * invariant broke or an informer cannot start.
 */
export async function runControllers(
  controllers: readonly Controller[],
  options: RunOptions,
  signal: AbortSignal,
): Promise<void> {
  const stop = new AbortController();
  const running = AbortSignal.any([signal, stop.signal]);
  const prepared = controllers.map((controller) => new Running(controller, options));
  try {
    await options.informers.start(running);
  } catch (error) {
    if (isAbort(error, signal)) return;
    throw error;
  }
  const results = await Promise.allSettled(
    prepared.map((one) =>
      one.run(running).catch((error: unknown) => {
        stop.abort(error);
        throw error;
      }),
    ),
  );
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/** Reconciles that one worker does before it lets others have the event loop. */
const KEYS_PER_TURN = 8;

/** Between two beginnings of what runs beside a queue, when it throws. */
const BESIDE_BACKOFF: BackoffPolicy = { initialMs: 1_000, maximumMs: 60_000, factor: 2, jitter: 0.2 };

class Running {
  readonly #controller: Controller;
  readonly #ctx: ControllerContext;
  readonly #watches: readonly Watch[];
  readonly #queue: WorkQueue;
  readonly #metrics: ReturnType<typeof observeQueue>;

  constructor(controller: Controller, { informers, env, events, clientFor }: RunOptions) {
    this.#controller = controller;
    this.#ctx = {
      client: clientFor(controller.account ?? controller.name),
      informers,
      env: { ...env, log: env.log.child(controller.name) },
      events: events.as(controller.eventSource ?? controller.name),
    };
    this.#watches = controller.watches(this.#ctx);
    for (const one of this.#watches) one.prepare(informers);
    this.#metrics = observeQueue(env.metrics, env.clock, controller.name);
    this.#queue = new WorkQueue(env.clock, this.#metrics);
  }

  async run(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const queue = this.#queue;
    this.#metrics.attach(queue);
    const close = (): void => queue.close();
    signal.addEventListener('abort', close, { once: true });
    try {
      for (const one of this.#watches) one.connect(this.#ctx.informers, this.#enqueue, signal);
      const workers = Array.from({ length: this.#controller.workers ?? 5 }, () => this.#work(signal));
      await Promise.all([...workers, this.#runBeside(signal)]);
    } finally {
      close();
      signal.removeEventListener('abort', close);
      this.#metrics.detach();
    }
  }

  readonly #enqueue: Enqueue = (key, afterMs = 0) => {
    this.#queue.addAfter(key, afterMs);
  };

  async #work(signal: AbortSignal): Promise<void> {
    for (let count = 1; ; count++) {
      const key = await this.#queue.take();
      if (key === undefined) return;
      try {
        await this.#reconcile(key, signal);
      } finally {
        this.#queue.done(key);
      }
      if (this.#queue.takeOverflow()) this.#resync();
      if (count % KEYS_PER_TURN === 0) await nextTurn();
    }
  }

  #resync(): void {
    for (const one of this.#watches) {
      try {
        one.resync(this.#ctx.informers, this.#enqueue);
      } catch (error) {
        this.#ctx.env.log.error('looking at everything again failed', error);
      }
    }
  }

  /** A throw beside the queue harms this controller's sweep alone, which begins anew after a while. */
  async #runBeside(signal: AbortSignal): Promise<void> {
    const { clock, log, random } = this.#ctx.env;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        return await this.#controller.run?.(this.#ctx, this.#enqueue, signal);
      } catch (error) {
        if (error instanceof InvariantError) throw error;
        if (isAbort(error, signal) || signal.aborted) return;
        log.error('what runs beside the queue failed, will begin anew', error);
      }
      const ended = await Promise.allSettled([sleep(clock, backoffMs(BESIDE_BACKOFF, failures, random), signal)]);
      if (ended[0].status === 'rejected') return;
    }
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<void> {
    const { log } = this.#ctx.env;
    try {
      const requeue = await this.#controller.reconcile(this.#ctx, key, signal);
      this.#queue.forget(key);
      if (requeue) this.#queue.addAfter(key, requeue.requeueAfterMs);
    } catch (error) {
      if (error instanceof InvariantError) throw error;
      if (isAbort(error, signal) || signal.aborted) return;
      // A conflict is the ordinary answer to a stale cache; everything else is worth a line.
      if (isReason(error, 'Conflict')) log.debug('conflict, will retry', { key });
      else if (error instanceof NotYetError) log.debug(`${error.message}, will retry`, { key });
      else log.error('reconcile failed, will retry', error, { key, failures: this.#queue.failures(key) + 1 });
      this.#queue.retry(key);
    }
  }
}
