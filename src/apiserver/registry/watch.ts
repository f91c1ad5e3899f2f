// WATCH: from a revision, or beginning with what is there; with bookmarks; for a limited time.
import type { Resource } from '../../api/tables.ts';
import type { Timer } from '../../lib/clock.ts';
import { onNextTurn, turns } from '../../lib/turns.ts';
import { StatusError } from '../../machinery/status.ts';
import { type Revision, TooOldError } from '../../store/contract.ts';
import type {
  Filter,
  RequestContext,
  ResourceCache,
  Target,
  WatchDelivery,
  WatchOptions,
  WatchSink,
} from '../contract.ts';
import { type Core, cacheOf, inVersion } from './context.ts';
import { filterOf } from './filters.ts';
import { checkWatchOptions, parseRevision, waitForRevision } from './resource-version.ts';
import { isCustom, shown, shownNow } from './shown.ts';
import { isPersisted, unsupportedVerb } from './targets.ts';
import { storageRow } from './versions.ts';

/** A watch without timeoutSeconds ends between this and twice this, so that clients do not all come back at once. */
export const MIN_WATCH_SECONDS = 1800;
/** Bookmarks come about this often, with up to a quarter more or less. */
export const BOOKMARK_INTERVAL_MS = 60_000;

/** First states that are sent in one slice: about a millisecond. */
const INITIAL_PER_SLICE = 100;
/** A watch to whose client so many changes happen before it has taken the first states begins anew. */
const MAX_HELD = 10_000;

export async function watch(
  core: Core,
  ctx: RequestContext,
  target: Target,
  options: WatchOptions,
  sink: WatchSink,
): Promise<void> {
  checkWatchOptions(options);
  const { resource } = target;
  if (!isPersisted(resource)) throw unsupportedVerb();
  const row = storageRow(core.tables, resource);
  const filter = filterOf(target, row, options);
  const cache = cacheOf(core, row);
  const asked = parseRevision(options.resourceVersion);
  if (!options.resourceVersion) await core.caches.consistent(ctx.signal);
  else if (options.sendInitialEvents && asked > 0) {
    await waitForRevision(cache, asked, { clock: core.env.clock, signal: ctx.signal });
  }
  const fromStart = options.sendInitialEvents ?? asked === 0;
  if (fromStart) await cache.prepare(filter);
  ctx.signal.throwIfAborted();
  new Watch(core, { resource, row, filter, cache, options, asked }, sink).start(ctx.signal);
}

interface Request {
  readonly resource: Resource;
  readonly row: Resource;
  readonly filter: Filter;
  readonly cache: ResourceCache;
  readonly options: WatchOptions;
  readonly asked: Revision;
}

class Watch {
  readonly #core: Core;
  readonly #request: Request;
  readonly #sink: WatchSink;
  readonly #stop = new AbortController();
  #bookmarkTimer: Timer | undefined;
  #endTimer: Timer | undefined;
  #ended = false;
  /** Changes that came while the first states are being sent. */
  #held: WatchDelivery[] | undefined;
  /** The conversions under way, one after the other, and how many changes wait for them. */
  #converted: Promise<void> = Promise.resolve();
  #waiting = 0;

  constructor(core: Core, request: Request, sink: WatchSink) {
    this.#core = core;
    this.#request = request;
    this.#sink = sink;
  }

  start(signal: AbortSignal): void {
    const onAbort = (): void => this.#end();
    signal.addEventListener('abort', onAbort, { once: true });
    this.#stop.signal.addEventListener('abort', () => signal.removeEventListener('abort', onAbort), { once: true });
    const { cache, filter, options, asked } = this.#request;
    const initial = options.sendInitialEvents ?? asked === 0;
    // The list and the watch begin in the same turn: nothing can come between them.
    const from = asked > 0 && !initial ? asked : cache.revision;
    const first = initial ? this.#initial(from) : [];
    try {
      cache.watch({
        filter,
        after: from,
        deliver: (batch) => this.#deliver(batch),
        end: (reason) => this.#end(this.#tooOld(reason)),
        signal: this.#stop.signal,
      });
    } catch (error) {
      if (!(error instanceof TooOldError)) throw error;
      this.#end(this.#tooOld(error));
      return;
    }
    if (first.length > INITIAL_PER_SLICE) void this.#deliverInSlices(first).catch((error) => this.#fail(error));
    else if (first.length > 0) this.#pass(first);
    this.#startTimers();
  }

  #initial(revision: Revision): WatchDelivery[] {
    const { cache, filter, options } = this.#request;
    const batch: WatchDelivery[] = cache
      .list(filter)
      .items.map((object) => ({ type: 'ADDED', object, revision: object.revision }));
    if (options.sendInitialEvents && options.allowWatchBookmarks) {
      batch.push({ type: 'BOOKMARK', revision, initialEventsEnd: true });
    }
    return batch;
  }

  /** Objects that a webhook converts come when it has answered, in their order. */
  #passConverted(batch: readonly WatchDelivery[], asked: Resource): void {
    this.#waiting += batch.length;
    if (this.#waiting > MAX_HELD) {
      this.#end(this.#tooOld(new TooOldError(this.#request.cache.revision)));
      return;
    }
    this.#converted = this.#converted.then(async () => {
      if (this.#ended) return;
      try {
        const objects = batch.flatMap((d) => (d.type === 'BOOKMARK' ? [] : [d.object]));
        const shownObjects = isCustom(asked) ? await shown(this.#core, objects, asked, this.#stop.signal) : objects;
        this.#waiting -= batch.length;
        let next = 0;
        if (this.#ended) return;
        this.#sink.deliver(batch.map((d) => (d.type === 'BOOKMARK' ? d : { ...d, object: shownObjects[next++]! })));
      } catch (error) {
        this.#fail(error);
      }
    });
  }

  #inVersion<T extends Parameters<typeof inVersion>[1]>(object: T): ReturnType<typeof inVersion> {
    const { resource } = this.#request;
    if (!isCustom(resource)) return inVersion(this.#core, object, resource);
    // What a webhook converts is passed on converted later.
    return shownNow(object, resource) ?? object;
  }

  /** Many first states go out as fast as the client takes them, with others' work between them. */
  async #deliverInSlices(first: readonly WatchDelivery[]): Promise<void> {
    this.#held = [];
    for (let i = 0; i < first.length; i += INITIAL_PER_SLICE) {
      if (i > 0) {
        await turns.next();
        // A webhook is given no more than it has time for: what waits for it is what comes meanwhile.
        await this.#converted;
        await this.#sink.ready?.();
      }
      if (this.#ended) return;
      this.#pass(first.slice(i, i + INITIAL_PER_SLICE), true);
    }
    const held = this.#held;
    this.#held = undefined;
    if (held.length > 0 && !this.#ended) this.#pass(held);
  }

  #deliver(batch: readonly WatchDelivery[]): void {
    if (this.#ended) return;
    if (this.#isOutdated) this.#end();
    else if (this.#held) this.#hold(batch);
    else this.#pass(batch);
  }

  /**
   * A definition that changes shows its objects otherwise, one that goes does not show them at all: watches end then, so that
   * their clients begin again with what is served now.
   */
  get #isOutdated(): boolean {
    const { custom, group, version, resource } = this.#request.resource;
    return (
      custom !== undefined && this.#core.tables.resource(group, version, resource)?.custom?.schema !== custom.schema
    );
  }

  #hold(batch: readonly WatchDelivery[]): void {
    for (const delivery of batch) this.#held!.push(delivery);
    if (this.#held!.length > MAX_HELD) this.#end(this.#tooOld(new TooOldError(this.#request.cache.revision)));
  }

  #pass(batch: readonly WatchDelivery[], first = false): void {
    const { row, resource } = this.#request;
    if (resource.custom?.convertsByWebhook) this.#passConverted(batch, resource);
    else if (row === resource && !resource.custom) this.#sink.deliver(batch, first);
    else {
      const shown = batch.map((d) => (d.type === 'BOOKMARK' ? d : { ...d, object: this.#inVersion(d.object) }));
      this.#sink.deliver(shown, first);
    }
  }

  #tooOld(reason: Error): StatusError {
    const oldest = reason instanceof TooOldError ? reason.compacted + 1 : this.#request.cache.revision;
    const message = `too old resource version: ${this.#request.asked} (${oldest})`;
    return new StatusError('Expired', message, undefined, { cause: reason });
  }

  #startTimers(): void {
    const { clock, random } = this.#core.env;
    const { timeoutSeconds, allowWatchBookmarks } = this.#request.options;
    const seconds = timeoutSeconds && timeoutSeconds > 0 ? timeoutSeconds : MIN_WATCH_SECONDS * (1 + random.next());
    this.#endTimer = clock.timer(seconds * 1000, () => this.#bookmark(() => this.#end()));
    if (allowWatchBookmarks) this.#scheduleBookmark();
  }

  #scheduleBookmark(): void {
    const { clock, random } = this.#core.env;
    const delayMs = BOOKMARK_INTERVAL_MS * (0.75 + random.next() / 2);
    this.#bookmarkTimer = clock.timer(delayMs, () => this.#bookmark(() => this.#scheduleBookmark()));
  }

  /**
   * Sends a bookmark, where wanted, and goes on. Events up to the cache's revision may wait for the end of this turn of
   * the event loop: the bookmark goes behind them.
   */
  #bookmark(then: () => void): void {
    const { revision } = this.#request.cache;
    onNextTurn(() =>
      onNextTurn(() => {
        if (this.#isOutdated) this.#end();
        if (this.#ended) return;
        // Before the first states are all there a bookmark would promise what was not sent.
        if (this.#request.options.allowWatchBookmarks && !this.#held) {
          this.#pass([{ type: 'BOOKMARK', revision }]);
        }
        then();
      }),
    );
  }

  #fail(error: unknown): void {
    this.#end(error instanceof StatusError ? error : new StatusError('InternalError', String(error)));
  }

  #end(error?: StatusError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#bookmarkTimer?.cancel();
    this.#endTimer?.cancel();
    this.#stop.abort();
    this.#sink.end(error);
  }
}
