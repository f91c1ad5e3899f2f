// LIST: consistent by default, paged at one revision.
import type { Resource } from '../../api/tables.ts';
import { inSlices, turns } from '../../lib/turns.ts';
import { StatusError } from '../../machinery/status.ts';
import { type Revision, TooOldError } from '../../store/contract.ts';
import { storedObject } from '../cache/cached-object.ts';
import type { CachedObject, Filter, ListOptions, ListResult, RequestContext, Target } from '../contract.ts';
import { answered, type Core, cacheOf, inVersion } from './context.ts';
import { type ContinueToken, decodeContinue, encodeContinue } from './continue-token.ts';
import { filterOf, matchesFilter, selects } from './filters.ts';
import { listPrefix } from './keys.ts';
import { checkListOptions, listMode, tooLargeRevision, waitForRevision } from './resource-version.ts';
import { isCustom, shown } from './shown.ts';
import { isPersisted } from './targets.ts';
import { storageRow } from './versions.ts';

/** Keys read from the store at once for an old page with selectors. */
const STORE_CHUNK = 250;
/** Objects read from the store, or written as another version, in one slice: one or two milliseconds. */
const READ_PER_SLICE = 50;
const CONVERTED_PER_SLICE = 30;

/** One list under way. */
interface Query {
  readonly row: Resource;
  readonly prefix: string;
  readonly filter: Filter;
  /** 0: no limit. */
  readonly limit: number;
}

interface Page {
  readonly items: readonly CachedObject[];
  readonly revision: Revision;
  /** How many follow; more than 0 makes a continue token. */
  readonly remaining: number;
}

export async function list(core: Core, ctx: RequestContext, target: Target, options: ListOptions): Promise<ListResult> {
  checkListOptions(options);
  const { resource } = target;
  if (!isPersisted(resource)) {
    const items = await answered(core, ctx, resource);
    return { items, revision: await core.caches.consistent(ctx.signal) };
  }
  const row = storageRow(core.tables, resource);
  const filter = filterOf(target, row, options);
  const limit = Math.max(0, options.limit ?? 0);
  const query: Query = { row, prefix: listPrefix(row, filter.namespace), filter, limit };
  const page = options.continue
    ? await nextPage(core, ctx, query, decodeContinue(options.continue))
    : await firstPage(core, ctx, query, options);
  const items = await inVersionAsked(core, ctx, page.items, row, resource);
  const last = page.items.at(-1);
  if (page.remaining === 0 || !last) return { items, revision: page.revision };
  return {
    items,
    revision: page.revision,
    continue: encodeContinue({ rv: page.revision, start: last.key.slice(query.prefix.length) }),
    // A count that selectors narrow would have to be found out by reading everything.
    ...(!selects(filter) && { remainingItemCount: page.remaining }),
  };
}

async function inVersionAsked(
  core: Core,
  ctx: RequestContext,
  items: readonly CachedObject[],
  row: Resource,
  asked: Resource,
): Promise<readonly CachedObject[]> {
  if (isCustom(asked)) return shown(core, items, asked, ctx.signal);
  return row === asked ? items : converted(core, items, asked);
}

async function converted(core: Core, items: readonly CachedObject[], resource: Resource): Promise<CachedObject[]> {
  const all: CachedObject[] = [];
  await inSlices(items, CONVERTED_PER_SLICE, (item) => {
    all.push(inVersion(core, item, resource));
    return 1;
  });
  return all;
}

async function firstPage(core: Core, ctx: RequestContext, query: Query, options: ListOptions): Promise<Page> {
  const cache = cacheOf(core, query.row);
  const mode = listMode(options);
  if (mode.kind === 'exact') {
    const { revision } = mode;
    if (revision > cache.revision) {
      const now = await core.store.revision(ctx.signal);
      if (revision > now) throw tooLargeRevision(revision, now);
    }
    return pageAt(core, ctx, query, { revision, after: undefined }, () => {
      throw new StatusError('Expired', `The resourceVersion for the provided list is too old.`);
    });
  }
  if (mode.kind === 'present' && !core.caches.fresh) await core.caches.consistent(ctx.signal);
  if (mode.kind === 'notOlderThan') {
    await waitForRevision(cache, mode.revision, { clock: core.env.clock, signal: ctx.signal });
  }
  return cachePage(core, query, undefined);
}

async function nextPage(core: Core, ctx: RequestContext, query: Query, token: ContinueToken): Promise<Page> {
  const after = query.prefix + token.start;
  if (token.rv === -1) {
    await core.caches.consistent(ctx.signal);
    return cachePage(core, query, after);
  }
  if (cacheOf(core, query.row).revision === token.rv) return cachePage(core, query, after);
  return pageAt(core, ctx, query, { revision: token.rv, after }, () => {
    throw expiredToken(token);
  });
}

async function cachePage(core: Core, query: Query, after: string | undefined): Promise<Page> {
  const cache = cacheOf(core, query.row);
  await cache.prepare(query.filter);
  const page = { ...(after !== undefined && { after }), ...(query.limit > 0 && { limit: query.limit }) };
  const { items, remaining } = cache.list(query.filter, page);
  return { items, remaining, revision: cache.revision };
}

/** A page as of one revision, from the store's history. */
async function pageAt(
  core: Core,
  ctx: RequestContext,
  query: Query,
  at: { readonly revision: Revision; readonly after: string | undefined },
  onTooOld: () => never,
): Promise<Page> {
  const cache = cacheOf(core, query.row);
  const items: CachedObject[] = [];
  let after = at.after;
  // Everything below the prefix is in the namespace.
  const narrowed = selects(query.filter);
  const chunk = query.limit > 0 && !selects(query.filter) ? query.limit : STORE_CHUNK;
  try {
    for (;;) {
      // The store goes through everything that follows, to count it.
      await turns.next();
      const found = await core.store.list({
        prefix: query.prefix,
        limit: chunk,
        revision: at.revision,
        signal: ctx.signal,
        ...(after !== undefined && { after }),
      });
      for (const [i, stored] of found.items.entries()) {
        if (i > 0 && i % READ_PER_SLICE === 0) await turns.next();
        after = stored.key;
        // Most objects are as they were: what the cache has made of them need not be made again.
        const cached = cache.at(stored.key);
        const object = cached?.revision === stored.revision ? cached : storedObject(stored);
        if (narrowed && !matchesFilter(query.filter, query.row, object.object)) continue;
        items.push(object);
        if (items.length !== query.limit) continue;
        return { items, revision: at.revision, remaining: found.remaining + found.items.length - i - 1 };
      }
      if (found.remaining === 0) return { items, revision: at.revision, remaining: 0 };
    }
  } catch (error) {
    if (error instanceof TooOldError) return onTooOld();
    throw error;
  }
}

const EXPIRED_TOKEN =
  'The provided continue parameter is too old to display a consistent list result. You can start a new list without ' +
  'the continue parameter, or use the continue token in this response to retrieve the remainder of the results. ' +
  'Continuing with the provided token results in an inconsistent list - objects that were created, modified, or ' +
  'deleted between the time the first chunk was returned and now may show up in the list.';

/** 410 with a token that goes on at the present. */
function expiredToken(token: ContinueToken): StatusError {
  const next = encodeContinue({ rv: -1, start: token.start });
  return new StatusError('Expired', EXPIRED_TOKEN, undefined, { continue: next });
}
