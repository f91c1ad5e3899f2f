// Moves objects through their stages: one heap of due times and one timer for all of them.
import { type KubeObject, keyOf } from '../api/object.ts';
import type { Informer } from '../client/contract.ts';
import { BoundedTasks } from '../lib/bounded-tasks.ts';
import type { Timer } from '../lib/clock.ts';
import type { Environment } from '../lib/environment.ts';
import { Heap } from '../lib/heap.ts';
import { isReason } from '../machinery/status.ts';
import { nextStage, type Stage, type StageOutcome, tickAfter } from './stage.ts';

export interface LifecycleOptions<T extends KubeObject, F> {
  readonly name: string;
  readonly env: Environment;
  readonly informer: Informer<T>;
  readonly stages: readonly Stage<T, F>[];
  /** Undefined: the object is none of ours (now). */
  readonly factsOf: (object: T) => F | undefined;
  readonly perform: (object: T, outcome: StageOutcome, signal: AbortSignal) => Promise<void>;
  readonly gone?: (object: T) => void;
}

interface Due {
  readonly key: string;
  readonly uid: string;
  readonly stage: string;
  readonly atMs: number;
}

/** Writes under way at once, of all objects together. */
const WRITE_LIMIT = 64;
const RETRY_MS = 1_000;

export class LifecycleDriver<T extends KubeObject, F> {
  readonly #options: LifecycleOptions<T, F>;
  readonly #signal: AbortSignal;
  readonly #due = new Heap<Due>(
    (due) => due.key,
    (a, b) => a.atMs - b.atMs,
  );
  /** The version of an object that was acted on: the informer may show it once more before it shows the result. */
  readonly #acted = new Map<string, string>();
  readonly #writes = new BoundedTasks(WRITE_LIMIT);
  #timer: Timer | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #draining = false;

  constructor(options: LifecycleOptions<T, F>, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#timer?.cancel(), { once: true });
    const look = (object: T): void => this.consider(object);
    const gone = (object: T): void => {
      this.#due.delete(keyOf(object));
      this.#acted.delete(keyOf(object));
      options.gone?.(object);
    };
    options.informer.subscribe({ add: look, update: look, delete: gone }, signal);
  }

  /** Looks at the object and notes when its next stage is due. */
  consider(object: T): void {
    const key = keyOf(object);
    const facts = this.#options.factsOf(object);
    const stage = facts && nextStage(this.#options.stages, object, facts);
    const uid = object.metadata.uid ?? '';
    if (!stage || this.#acted.get(key) === versionOf(object)) {
      this.#due.delete(key);
      return;
    }
    const known = this.#due.get(key);
    if (known?.stage === stage.name && known.uid === uid) return;
    const delayMs = stage.afterMs?.(object, facts) ?? 0;
    this.#due.add({ key, uid, stage: stage.name, atMs: tickAfter(this.#options.env.clock, delayMs) });
    this.#arm();
  }

  drained(): Promise<void> {
    return this.#writes.drained();
  }

  #arm(): void {
    const next = this.#due.peek();
    if (!next || this.#signal.aborted || this.#timerAtMs <= next.atMs) return;
    this.#timer?.cancel();
    const { clock } = this.#options.env;
    this.#timerAtMs = next.atMs;
    this.#timer = clock.timer(Math.max(0, next.atMs - clock.monotonic()), () => {
      this.#timerAtMs = Number.POSITIVE_INFINITY;
      void this.#fire();
    });
  }

  async #fire(): Promise<void> {
    if (this.#draining) return;
    this.#draining = true;
    const { clock } = this.#options.env;
    for (let next = this.#due.peek(); next && !this.#signal.aborted; next = this.#due.peek()) {
      if (next.atMs > clock.monotonic()) break;
      this.#due.pop();
      const room = this.#writes.room();
      if (room) await room;
      this.#act(next);
    }
    this.#draining = false;
    this.#arm();
  }

  /** The object as it is now decides; what was due is only a reason to look. */
  #act({ key, uid, stage: due }: Due): void {
    const object = this.#options.informer.get(key);
    if (!object || (object.metadata.uid ?? '') !== uid) return;
    const facts = this.#options.factsOf(object);
    const stage = facts && nextStage(this.#options.stages, object, facts);
    if (!stage) return;
    if (stage.name !== due) {
      this.consider(object);
      return;
    }
    this.#acted.set(key, versionOf(object));
    this.#writes.start(() => this.#perform(object, stage.next(object, facts)));
  }

  async #perform(object: T, outcome: StageOutcome): Promise<void> {
    const key = keyOf(object);
    try {
      await this.#options.perform(object, outcome, this.#signal);
    } catch (error) {
      if (this.#signal.aborted || isReason(error, 'NotFound')) return;
      const { env, name } = this.#options;
      if (!isReason(error, 'Conflict')) env.log.warn(`${name} failed`, { key, error: String(error) });
      this.#retry(object);
    }
  }

  #retry(object: T): void {
    const key = keyOf(object);
    const current = this.#options.informer.get(key);
    if (this.#acted.get(key) === versionOf(object)) this.#acted.delete(key);
    if (!current || this.#due.get(key)) return;
    const facts = this.#options.factsOf(current);
    const stage = facts && nextStage(this.#options.stages, current, facts);
    if (!stage) return;
    const atMs = tickAfter(this.#options.env.clock, RETRY_MS);
    this.#due.add({ key, uid: current.metadata.uid ?? '', stage: stage.name, atMs });
    this.#arm();
  }
}

function versionOf(object: KubeObject): string {
  return `${object.metadata.uid}/${object.metadata.resourceVersion}`;
}
