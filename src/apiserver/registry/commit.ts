// Writes to the store and what their outcomes mean to the caller.

import { serialize } from '../../api/codec.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import type { Resource } from '../../api/tables.ts';
import { type BackoffPolicy, backoffMs } from '../../lib/backoff.ts';
import { sleep } from '../../lib/clock.ts';
import { isPlanted } from '../../lib/planted.ts';
import { conflict, StatusError } from '../../machinery/status.ts';
import type { Guard, Revision, Stored } from '../../store/contract.ts';
import { storedObject } from '../cache/cached-object.ts';
import type { CachedObject, RequestContext } from '../contract.ts';
import { storeError } from '../store-error.ts';
import { strategyOf } from '../strategies/strategies.ts';
import { type Core, cacheOf } from './context.ts';

/** How a write of one object ended: what is stored now, or what was there instead. */
export type Committed =
  | { readonly kind: 'committed'; readonly object: CachedObject }
  | { readonly kind: 'conflict'; readonly current: Stored | undefined }
  /** Something that the write was decided on has changed: decide again. */
  | { readonly kind: 'guard' };

interface ObjectWrite {
  readonly row: Resource;
  readonly key: string;
  readonly expected: Revision;
  /** Guards of this write's own decision, besides those that the request carries. */
  readonly guards?: readonly Guard[];
}

/** Between tries of a write that another server's made void: who comes back at once voids the others' in turn. */
const TURN_BACKOFF: BackoffPolicy = { initialMs: 2, maximumMs: 200, factor: 1.7, jitter: 1 };

export async function waitForTurn({ env }: Core, ctx: RequestContext, tries: number): Promise<void> {
  await sleep(env.clock, backoffMs(TURN_BACKOFF, tries, env.random) * env.random.next(), ctx.signal);
}

/** The bytes to store: everything but the revision, which is known only after the commit. */
export function storedBytes(core: Core, row: Resource, object: Draft<KubeObject>): Buffer {
  const { resourceVersion } = object.metadata;
  delete object.metadata.resourceVersion;
  const bytes = serialize(core.tables, row.type, object);
  if (resourceVersion !== undefined) object.metadata.resourceVersion = resourceVersion;
  return bytes;
}

export async function putObject(
  core: Core,
  ctx: RequestContext,
  write: ObjectWrite,
  value: Buffer,
): Promise<Committed> {
  const { ttlSeconds } = strategyOf(write.row);
  const outcome = await attempt(core, ctx, write, value, ttlSeconds);
  if (outcome.kind !== 'committed') return outcome;
  return { kind: 'committed', object: committedObject(core, write, value, outcome.revision) };
}

/** The cache has mostly seen the write before its writer has: one object serves both. */
function committedObject(core: Core, { row, key }: ObjectWrite, value: Buffer, revision: Revision): CachedObject {
  const cached = cacheOf(core, row).at(key);
  return cached?.revision === revision ? cached : storedObject({ key, value, revision });
}

/** Deletes; `last` is the object as it was, which the answer shows. */
export async function removeObject(
  core: Core,
  ctx: RequestContext,
  write: ObjectWrite,
  last: CachedObject,
): Promise<Committed> {
  const outcome = await attempt(core, ctx, write, null, undefined);
  return outcome.kind === 'committed' ? { kind: 'committed', object: last } : outcome;
}

type Attempt =
  | { readonly kind: 'committed'; readonly revision: Revision }
  | { readonly kind: 'conflict'; readonly current: Stored | undefined }
  | { readonly kind: 'guard' };

async function attempt(
  core: Core,
  ctx: RequestContext,
  write: ObjectWrite,
  value: Buffer | null,
  ttlSeconds: number | undefined,
): Promise<Attempt> {
  const asked = isPlanted('no-fencing') ? [] : (ctx.guards ?? []);
  const guards = [...asked, ...(write.guards ?? [])];
  const outcome = await core.store
    .write(
      {
        key: write.key,
        value,
        expected: write.expected,
        ...(guards.length > 0 && { guards }),
        ...(ttlSeconds !== undefined && { ttlSeconds }),
      },
      ctx.signal,
    )
    .catch((error) => {
      throw storeError(error);
    });
  if (outcome.kind === 'committed') return { kind: 'committed', revision: outcome.revision };
  if (outcome.kind === 'unknown') throw unknownOutcome(outcome.cause);
  if (outcome.guard === undefined) return { kind: 'conflict', current: outcome.current };
  if (write.guards?.some((guard) => guard.key === outcome.guard)) return { kind: 'guard' };
  const { group, resource } = write.row;
  const name = write.key.slice(write.key.lastIndexOf('/') + 1);
  throw conflict({ group, resource }, name, 'the lease under which this write was made is no longer held');
}

/** Never retried here and never called a failure: the caller must look. */
function unknownOutcome(cause: unknown): StatusError {
  const message = 'Timeout: the write may or may not have been made: its outcome is unknown';
  return new StatusError('Timeout', message, undefined, { cause });
}
