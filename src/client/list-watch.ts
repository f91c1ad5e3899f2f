import type { KubeObject } from '../api/object.ts';
import { isAbort } from '../lib/abort.ts';
import { type BackoffPolicy, backoffMs } from '../lib/backoff.ts';
import { sleep } from '../lib/clock.ts';
import type { Environment } from '../lib/environment.ts';
import { isReason, StatusError } from '../machinery/status.ts';
import type { Extent, ResourceClient, WatchQuery } from './contract.ts';
import type { ObjectIndex } from './object-index.ts';

/** Between failed tries, where nothing else is said. client-go's reflector has the same shape with 800 ms to 30 s; a lost API server is to be noticed sooner. */
export const RELIST_BACKOFF: BackoffPolicy = { initialMs: 100, maximumMs: 30_000, factor: 2, jitter: 1 };

/** A list and watch that went well for this long starts again at the shortest back-off. */
const BACKOFF_RESET_MS = 120_000;

/** A watch is ended by the server after 5 to 10 minutes, as client-go asks, so that watches spread over servers. */
const WATCH_SECONDS = 300;

/** What of a resource is kept. */
export type Selected = Extent & Pick<WatchQuery, 'fieldSelector'>;

/** Keeps an index equal to the server's objects: a list, then watches from where the last one stopped, a new list when that is too old. */
export class ListWatch {
  readonly #client: ResourceClient<KubeObject>;
  readonly #env: Environment;
  readonly #index: ObjectIndex;
  readonly #backoff: BackoffPolicy;
  readonly #selected: Selected;

  constructor(options: {
    client: ResourceClient<KubeObject>;
    env: Environment;
    index: ObjectIndex;
    backoff?: BackoffPolicy | undefined;
    selected?: Selected;
  }) {
    this.#client = options.client;
    this.#env = options.env;
    this.#index = options.index;
    this.#backoff = options.backoff ?? RELIST_BACKOFF;
    this.#selected = options.selected ?? {};
  }

  /** Runs until the signal aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, random } = this.#env;
    let failures = 0;
    let begunMs = clock.monotonic();
    // "0" is any state the server has: enough to begin with. After an expiry the present is asked for.
    let listFrom: string | undefined = '0';
    let listed = false;
    while (!signal.aborted) {
      try {
        if (!listed) {
          await this.#list(listFrom, signal);
          listed = true;
        }
        await this.#watch(signal);
      } catch (error) {
        if (isAbort(error, signal) || signal.aborted) return;
        // A refusal that is not about a passing state of the server means that the position is of no use.
        const relist = error instanceof StatusError && !isReason(error, 'TooManyRequests', 'ServiceUnavailable');
        const expired = isReason(error, 'Expired', 'Gone');
        if (expired) listFrom = undefined;
        else if (this.#index.resourceVersion !== '') listFrom = this.#index.resourceVersion;
        if (relist) listed = false;
        if (expired) log.debug('watch expired, will list again');
        else log.warn('list and watch failed, will retry', { error: String(error), relist });
        if (clock.monotonic() - begunMs > BACKOFF_RESET_MS) failures = 0;
        const waitMs = backoffMs(this.#backoff, failures++, random);
        try {
          await sleep(clock, waitMs, signal);
        } catch {
          return;
        }
        begunMs = clock.monotonic();
      }
    }
  }

  async #list(resourceVersion: string | undefined, signal: AbortSignal): Promise<void> {
    const query = { ...this.#selected, ...(resourceVersion !== undefined && { resourceVersion }) };
    const list = await this.#client.list(query, signal);
    signal.throwIfAborted();
    await this.#index.replace(list.items, list.resourceVersion, signal);
  }

  /** One watch, to its ordinary end. */
  async #watch(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#env;
    const begunMs = clock.monotonic();
    let received = 0;
    const query = {
      ...this.#selected,
      resourceVersion: this.#index.resourceVersion,
      allowWatchBookmarks: true,
      timeoutSeconds: Math.floor(WATCH_SECONDS * (1 + random.next())),
    };
    for await (const batch of this.#client.watch(query, signal)) {
      if (signal.aborted) return;
      received += batch.length;
      this.#index.apply(batch);
    }
    // A server that ends every watch at once (it is going away) must not be asked in a tight loop.
    if (received === 0 && clock.monotonic() - begunMs < 1000) {
      await sleep(clock, backoffMs(this.#backoff, 0, random), signal);
    }
  }
}
