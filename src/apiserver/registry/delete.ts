// DELETE: at once, after a grace period, or when the last finalizer is gone.

import { cloneJson } from '../../api/json.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import type { Resource } from '../../api/tables.ts';
import { rfc3339 } from '../../lib/clock.ts';
import { isPlanted } from '../../lib/planted.ts';
import { conflict } from '../../machinery/status.ts';
import { reviewAdmission } from '../admission/admit.ts';
import type { DeleteOptions, DeleteResult, RequestContext, Target } from '../contract.ts';
import { strategyOf } from '../strategies/strategies.ts';
import { type Change, change } from './change.ts';
import { type Core, inVersionOf } from './context.ts';
import { isPersisted, unsupportedVerb } from './targets.ts';
import { storageRow } from './versions.ts';

const ORPHAN = 'orphan';
const FOREGROUND = 'foregroundDeletion';

export async function remove(
  core: Core,
  ctx: RequestContext,
  target: Target,
  options: DeleteOptions,
): Promise<DeleteResult> {
  const { resource, name = '' } = target;
  if (!isPersisted(resource) || target.subresource !== undefined) throw unsupportedVerb();
  const row = storageRow(core.tables, resource);
  const dryRun = options.dryRun === true;
  const changed = await change(
    core,
    ctx,
    { row, namespace: target.namespace, name },
    async (current) => {
      const admission = { operation: 'DELETE' as const, target, row, old: current.object, dryRun, options };
      await reviewAdmission(core, ctx, admission, undefined);
      return decideDelete(current.object, row, options, core.env.clock.now());
    },
    { dryRun, asked: resource },
  );
  const object = await inVersionOf(core, ctx, changed.object, resource);
  const answered = changed.kind !== 'remove' || strategyOf(row).returnsDeleted;
  return { kind: answered ? 'object' : 'deleted', object };
}

/** What a delete does to an object as it is. Throws Conflict when a precondition does not hold. */
export function decideDelete(object: KubeObject, row: Resource, options: DeleteOptions, nowMs: number): Change {
  checkPreconditions(object, row, options);
  const strategy = strategyOf(row);
  const grace = decideGrace(object, row, options, nowMs);
  if (grace.kind === 'pending') return { kind: 'keep' };
  const finalizers = finalizersFor(object, row, options);
  const forgotten = isPlanted('forget-finalizer');
  const held = (finalizers.length > 0 && !forgotten) || strategy.heldBack?.(object) === true;
  if (!held && grace.seconds === 0) return { kind: 'remove' };
  const draft = cloneJson(object) as Draft<KubeObject>;
  const { metadata } = draft;
  if (finalizers.length > 0) metadata.finalizers = [...finalizers];
  else delete metadata.finalizers;
  const first = !metadata.deletionTimestamp;
  if (grace.kind === 'graceful') {
    metadata.deletionTimestamp = rfc3339(grace.untilMs);
    metadata.deletionGracePeriodSeconds = grace.seconds;
  } else if (first) {
    metadata.deletionTimestamp = rfc3339(nowMs);
    metadata.deletionGracePeriodSeconds = 0;
  }
  if (first) {
    if (metadata.generation !== undefined) metadata.generation += 1;
    strategy.prepareForDelete?.(draft);
  }
  return { kind: 'put', object: draft };
}

/** Throws Conflict. */
export function checkPreconditions(object: KubeObject, row: Resource, { preconditions }: DeleteOptions): void {
  const { name, uid, resourceVersion } = object.metadata;
  if (preconditions?.uid !== undefined && preconditions.uid !== uid) {
    const why =
      `the UID in the precondition (${preconditions.uid}) does not match the UID in record (${uid}). ` +
      'The object might have been deleted and then recreated';
    throw conflict(row, name, why);
  }
  if (preconditions?.resourceVersion !== undefined && preconditions.resourceVersion !== resourceVersion) {
    const why =
      `the ResourceVersion in the precondition (${preconditions.resourceVersion}) does not match the ResourceVersion ` +
      `in record (${resourceVersion}). The object might have been modified`;
    throw conflict(row, name, why);
  }
}

type Grace =
  /** This kind knows no grace, or what there was is over. */
  | { readonly kind: 'none'; readonly seconds: 0 }
  /** Deletion is under way and this request does not hasten it. */
  | { readonly kind: 'pending' }
  | { readonly kind: 'graceful'; readonly seconds: number; readonly untilMs: number };

function decideGrace(object: KubeObject, row: Resource, options: DeleteOptions, nowMs: number): Grace {
  const strategy = strategyOf(row);
  if (!strategy.gracePeriodSeconds) return { kind: 'none', seconds: 0 };
  const { deletionTimestamp, deletionGracePeriodSeconds: current } = object.metadata;
  const asked = options.gracePeriodSeconds;
  if (!deletionTimestamp) {
    const seconds = strategy.gracePeriodSeconds(object, asked);
    return { kind: 'graceful', seconds, untilMs: nowMs + seconds * 1000 };
  }
  if (current === undefined) return { kind: 'none', seconds: 0 };
  if (asked === undefined || asked >= current) return { kind: 'pending' };
  // The deletion began when the time given for it, less its grace, was now.
  const seconds = asked < 0 ? 1 : asked;
  return { kind: 'graceful', seconds, untilMs: Date.parse(deletionTimestamp) - current * 1000 + seconds * 1000 };
}

/** The object's finalizers with those of the garbage collector as the caller, the object or its kind wants them. */
function finalizersFor(object: KubeObject, row: Resource, options: DeleteOptions): readonly string[] {
  const present = object.metadata.finalizers ?? [];
  const kept = present.filter((f) => f !== ORPHAN && f !== FOREGROUND);
  const own = object.metadata.deletionTimestamp ? undefined : strategyOf(row).finalizerOnDelete;
  if (own !== undefined && !kept.includes(own)) kept.push(own);
  const wants = dependentsWish(present, row, options);
  if (wants === 'orphan') kept.push(ORPHAN);
  if (wants === 'foreground') kept.push(FOREGROUND);
  const same = kept.length === present.length && kept.every((f) => present.includes(f));
  return same ? present : kept;
}

function dependentsWish(
  finalizers: readonly string[],
  row: Resource,
  options: DeleteOptions,
): 'orphan' | 'foreground' | 'background' {
  if (options.orphanDependents !== undefined) return options.orphanDependents ? 'orphan' : 'background';
  if (options.propagationPolicy === 'Orphan') return 'orphan';
  if (options.propagationPolicy === 'Foreground') return 'foreground';
  if (options.propagationPolicy === 'Background') return 'background';
  const standing = finalizers.find((f) => f === ORPHAN || f === FOREGROUND);
  if (standing) return standing === ORPHAN ? 'orphan' : 'foreground';
  return strategyOf(row).defaultPropagation ?? 'background';
}
