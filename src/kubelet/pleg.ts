import { sleep } from '../lib/clock.ts';
import type { Environment } from '../lib/environment.ts';
import type { CriClient } from './cri/client.ts';
import { listPods, type PodObserver, type PodRecord } from './runtime/observe.ts';

const RELIST_MS = 1_000;
/** While the runtime tells of events itself, relisting only catches what they miss. */
const RELIST_WITH_EVENTS_MS = 5_000;
/** The runtime's own store is brought up to date by the same events, mostly at once; so it is looked at twice. */
const SETTLE_MS = 30;
const SECOND_LOOK_MS = 300;
const SUBSCRIBE_RETRY_MS = 2_000;

export interface PlegOptions {
  readonly cri: CriClient;
  readonly env: Environment;
  readonly observer: PodObserver;
  readonly onChange: (uid: string) => void;
}

/** Notices what happens to pods in the runtime (the pod lifecycle event generator). */
export class Pleg {
  readonly #options: PlegOptions;
  #known = new Map<string, PodRecord>();
  #eventsFlow = false;
  #trigger: (() => void) | undefined;
  #triggered = false;
  #lastSuccessMs: number | undefined;

  constructor(options: PlegOptions) {
    this.#options = options;
  }

  /** What the last listing found. */
  get pods(): ReadonlyMap<string, PodRecord> {
    return this.#known;
  }

  /** Monotonic time of the last listing that went well; undefined before the first. */
  get lastSuccessMs(): number | undefined {
    return this.#lastSuccessMs;
  }

  /** Lists once. Throws when the runtime does not answer. */
  async relist(signal: AbortSignal): Promise<void> {
    const { cri, env, observer, onChange } = this.#options;
    const fresh = await listPods(cri, undefined, signal);
    const before = this.#known;
    this.#known = fresh;
    this.#lastSuccessMs = env.clock.monotonic();
    observer.retain(fresh);
    for (const uid of new Set([...before.keys(), ...fresh.keys()])) {
      if (before.get(uid)?.fingerprint !== fresh.get(uid)?.fingerprint) onChange(uid);
    }
  }

  /** Runs until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { env } = this.#options;
    void this.#subscribe(signal);
    let secondLook = false;
    while (!signal.aborted) {
      await this.relist(signal).catch((error) => {
        if (!signal.aborted) env.log.debug('listing the runtime failed', { error: String(error) });
      });
      const idleMs = this.#eventsFlow ? RELIST_WITH_EVENTS_MS : RELIST_MS;
      secondLook = await this.#wait(secondLook ? SECOND_LOOK_MS : idleMs, signal);
    }
  }

  /** Waits for an event or for `periodMs`; true: there was an event. */
  async #wait(periodMs: number, signal: AbortSignal): Promise<boolean> {
    const { clock } = this.#options.env;
    if (!this.#triggered) {
      const wake = new AbortController();
      this.#trigger = () => wake.abort();
      await sleep(clock, periodMs, AbortSignal.any([signal, wake.signal])).catch(() => undefined);
      this.#trigger = undefined;
    }
    if (!this.#triggered || signal.aborted) return false;
    await sleep(clock, SETTLE_MS, signal).catch(() => undefined);
    this.#triggered = false;
    return true;
  }

  async #subscribe(signal: AbortSignal): Promise<void> {
    const { cri, env } = this.#options;
    while (!signal.aborted) {
      const onEvent = (): void => {
        this.#eventsFlow = true;
        this.#triggered = true;
        this.#trigger?.();
      };
      await cri.taskEvents(onEvent, signal).catch((error) => {
        env.log.debug('no events from the runtime', { error: String(error) });
      });
      this.#eventsFlow = false;
      await sleep(env.clock, SUBSCRIBE_RETRY_MS, signal).catch(() => undefined);
    }
  }
}
