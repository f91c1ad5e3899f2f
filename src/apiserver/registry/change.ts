// Read, decide, write; again when someone else was quicker. Every change of a stored object goes through here.
import { parseJson, sameJson } from '../../api/json.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import type { Resource } from '../../api/tables.ts';
import { conflict, notFound, OBJECT_MODIFIED } from '../../machinery/status.ts';
import type { Guard, Stored } from '../../store/contract.ts';
import { isAsStored, storedLength } from '../cache/bytes.ts';
import { storedObject } from '../cache/cached-object.ts';
import type { CachedObject, RequestContext } from '../contract.ts';
import { storeError } from '../store-error.ts';
import { AnswerObject } from './answer-object.ts';
import { type Committed, putObject, removeObject, storedBytes, waitForTurn } from './commit.ts';
import { type Core, cacheOf, inVersionOf } from './context.ts';
import { storeKey } from './keys.ts';
import { inStorageVersion, isCustom } from './shown.ts';

/** Tries against other writers of one object before the caller is told of the conflict. */
export const MAX_CHANGE_TRIES = 32;

/** What is to become of the object. `release` is called once the write is over, however it ended. */
export type Change =
  | { readonly kind: 'keep' }
  | {
      readonly kind: 'put';
      readonly object: Draft<KubeObject>;
      readonly guards?: readonly Guard[];
      readonly release?: () => void;
    }
  | { readonly kind: 'remove' };

export interface Changed {
  readonly kind: Change['kind'];
  readonly object: CachedObject;
}

interface Place {
  readonly row: Resource;
  readonly namespace: string | undefined;
  readonly name: string;
}

export interface ChangeOptions {
  readonly dryRun: boolean;
  /** For messages: the resource as asked for; default the stored row. */
  readonly asked?: Resource;
  /** Decides what becomes of an absent object; default: NotFound. Throws, or gives the whole answer. */
  readonly absent?: () => Promise<Changed>;
}

/**
 * Changes one object. `decide` gets the object as it is and may be called again with a newer one; it must not change it.
 * A cached object is tried first: when `decide` refuses or finds nothing to do on one that may be old, it is asked again
 * on the present one.
 */
export async function change(
  core: Core,
  ctx: RequestContext,
  place: Place,
  decide: (current: CachedObject) => Promise<Change>,
  options: ChangeOptions,
): Promise<Changed> {
  const key = storeKey(place.row, place.namespace, place.name);
  const asked = options.asked ?? place.row;
  let stored = cacheOf(core, place.row).get(place.row.namespaced ? place.namespace : undefined, place.name);
  let fresh = false;
  for (let tries = 0; tries < MAX_CHANGE_TRIES; tries++) {
    if (!stored && !fresh) {
      stored = await readStored(core, ctx, key);
      fresh = true;
    }
    if (!stored) {
      if (options.absent) return options.absent();
      throw notFound(asked, place.name);
    }
    // Decisions on a custom resource are made in the row's version, whichever it is stored in.
    const current = place.row.custom ? await inVersionOf(core, ctx, stored, place.row) : stored;
    const decided = await decideOn(current, decide, fresh);
    if (decided instanceof Refusal) {
      stored = await readStored(core, ctx, key);
      fresh = true;
      if (stored?.revision === current.revision) throw decided.why;
      continue;
    }
    const stores = place.row.custom ? await asStored(core, ctx, place.row, decided) : decided;
    const change = withoutIdleWrite(core, place.row, stores, stored);
    if (change.kind === 'keep' && !fresh) {
      const present = await readStored(core, ctx, key);
      fresh = true;
      if (present?.revision === current.revision) return { kind: 'keep', object: current };
      stored = present;
      continue;
    }
    if (change.kind === 'keep') return { kind: 'keep', object: current };
    if (options.dryRun) return dryRun(change, current);
    const done = await perform(core, ctx, { row: place.row, key }, change, current);
    if (done.kind === 'committed') return { kind: change.kind, object: done.object };
    if (done.kind === 'guard') await waitForTurn(core, ctx, tries);
    fresh = done.kind === 'conflict';
    stored = done.kind === 'conflict' ? asObject(done.current) : await readStored(core, ctx, key);
  }
  throw conflict(asked, place.name, OBJECT_MODIFIED);
}

/** A put of a custom resource, in the version that is stored. */
async function asStored(core: Core, ctx: RequestContext, row: Resource, change: Change): Promise<Change> {
  if (change.kind !== 'put' || !isCustom(row)) return change;
  return { ...change, object: await inStorageVersion(core, change.object, row, ctx.signal) };
}

const asObject = (stored: Stored | undefined): CachedObject | undefined => (stored ? storedObject(stored) : undefined);

async function readStored(core: Core, ctx: RequestContext, key: string): Promise<CachedObject | undefined> {
  const { stored } = await core.store.get(key, ctx.signal).catch((error) => {
    throw storeError(error);
  });
  return asObject(stored);
}

/** What was thrown by a decision on an object that may be old. */
class Refusal {
  readonly why: unknown;
  constructor(why: unknown) {
    this.why = why;
  }
}

/** A refusal decided on an object that may be old does not count unless it is the present one. */
async function decideOn(
  current: CachedObject,
  decide: (current: CachedObject) => Promise<Change>,
  fresh: boolean,
): Promise<Change | Refusal> {
  if (fresh) return decide(current);
  try {
    return await decide(current);
  } catch (error) {
    return new Refusal(error);
  }
}

interface Prepared {
  readonly kind: 'put';
  readonly object: Draft<KubeObject>;
  readonly value: Buffer;
  readonly guards?: readonly Guard[];
  readonly release?: () => void;
}

/** Serialises a put; one that would store what is there already is not made. */
function withoutIdleWrite(
  core: Core,
  row: Resource,
  change: Change,
  current: CachedObject,
): Prepared | Exclude<Change, { kind: 'put' }> {
  if (change.kind !== 'put') return change;
  let value: Buffer;
  try {
    value = storedBytes(core, row, change.object);
  } catch (error) {
    change.release?.();
    throw error;
  }
  if (sameStored(row, value, current)) {
    change.release?.();
    return { kind: 'keep' };
  }
  return { ...change, value };
}

/**
 * What is stored has one order, that of its type: equal objects have equal bytes, as upstream compares them. Custom resources
 * keep the order in which their members were sent.
 */
function sameStored(row: Resource, value: Buffer, current: CachedObject): boolean {
  if (isAsStored(current.bytes, current.revision, value)) return true;
  if (!isCustom(row) || value.length !== storedLength(current.bytes, current.revision)) return false;
  const parsed = parseJson(value) as unknown as KubeObject;
  const { resourceVersion: _, ...metadata } = current.object.metadata;
  // A null may mean something here.
  return sameJson(parsed, { ...current.object, metadata });
}

async function perform(
  core: Core,
  ctx: RequestContext,
  at: { readonly row: Resource; readonly key: string },
  change: Prepared | { readonly kind: 'remove' },
  current: CachedObject,
): Promise<Committed> {
  const write = { ...at, expected: current.revision };
  if (change.kind === 'remove') return removeObject(core, ctx, write, current);
  try {
    const guards = change.guards ?? [];
    return await putObject(core, ctx, { ...write, guards }, change.value);
  } finally {
    change.release?.();
  }
}

function dryRun(change: Prepared | { readonly kind: 'remove' }, current: CachedObject): Changed {
  if (change.kind === 'remove') return { kind: 'remove', object: current };
  change.release?.();
  const object = parseJson(change.value) as unknown as Draft<KubeObject>;
  object.metadata.resourceVersion = String(current.revision);
  return { kind: 'put', object: new AnswerObject(object as KubeObject, current) };
}
