import { cloneJson } from '../../api/json.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import type { Resource } from '../../api/tables.ts';
import { alreadyExists, conflict, isReason, OBJECT_MODIFIED, StatusError } from '../../machinery/status.ts';
import { admit, reviewAdmission } from '../admission/admit.ts';
import type { RequestContext, Target, WriteOptions, WriteResult } from '../contract.ts';
import { strategyOf } from '../strategies/strategies.ts';
import { allocatorOf } from './allocators.ts';
import { AnswerObject } from './answer-object.ts';
import { putObject, storedBytes, waitForTurn } from './commit.ts';
import { type Core, inVersionOf, scopeOf } from './context.ts';
import { createOnSubresource, createUnpersisted } from './create-on.ts';
import { managedFieldsOf, setManaged } from './field-scope.ts';
import { storeKey } from './keys.ts';
import { fillNewMetadata, prepareCreate, settleNamespace, validateCreate } from './prepare.ts';
import { inStorageVersion, isCustom } from './shown.ts';
import { definitionTerminates, isPersisted } from './targets.ts';
import { convert, storageRow } from './versions.ts';

/** Names tried for one generateName. */
export const MAX_GENERATED_NAMES = 8;
/** Tries when what the new object was allocated was taken by another server. */
const MAX_ALLOCATION_TRIES = 32;

export async function create(
  core: Core,
  ctx: RequestContext,
  target: Target,
  body: KubeObject,
  options: WriteOptions,
): Promise<WriteResult> {
  if (target.subresource !== undefined) return createOnSubresource(core, ctx, target, body, options);
  if (!isPersisted(target.resource)) return createUnpersisted(core, ctx, target, body, options);
  settleNamespace(body as Draft<KubeObject>, target);
  strategyOf(target.resource).normalize?.(body as Draft<KubeObject>);
  const managed = await managedFieldsOf(core, ctx, target, { live: undefined, object: body, options });
  setManaged(body as Draft<KubeObject>, managed);
  return createManaged(core, ctx, target, body, options);
}

/** Creates an object whose managedFields are what they shall be. */
export async function createManaged(
  core: Core,
  ctx: RequestContext,
  target: Target,
  body: KubeObject,
  options: WriteOptions,
): Promise<WriteResult> {
  if (target.resource.custom?.terminating) throw definitionTerminates();
  const row = storageRow(core.tables, target.resource);
  const pristine = convert(body, target.resource, row) as Draft<KubeObject>;
  const generated = !pristine.metadata.name && Boolean(pristine.metadata.generateName);
  for (let tries = 1; ; tries++) {
    const last = !generated || tries === MAX_GENERATED_NAMES;
    try {
      return await createOnce(core, ctx, { target, row, options }, last ? pristine : cloneJson(pristine));
    } catch (error) {
      if (last || !isReason(error, 'AlreadyExists')) throw generated ? exhausted(error) : error;
    }
  }
}

function exhausted(error: unknown): unknown {
  if (!isReason(error, 'AlreadyExists')) return error;
  const message = `${error.message}, the server was not able to generate a unique name for the object`;
  return new StatusError('AlreadyExists', message, { ...error.details, retryAfterSeconds: 1 });
}

interface Creation {
  readonly target: Target;
  readonly row: Resource;
  readonly options: WriteOptions;
}

async function createOnce(
  core: Core,
  ctx: RequestContext,
  creation: Creation,
  object: Draft<KubeObject>,
): Promise<WriteResult> {
  const { target, row, options } = creation;
  fillNewMetadata(core, object, row);
  const dryRun = options.dryRun === true;
  const admission = { operation: 'CREATE' as const, target, row, old: undefined, dryRun, options };
  await admit(core, ctx, admission, object);
  const scope = scopeOf(core, ctx, row);
  prepareCreate(object, scope);
  validateCreate(object as KubeObject, scope);
  await reviewAdmission(core, ctx, admission, object as KubeObject);
  for (const text of strategyOf(row).warnings?.(object as KubeObject) ?? []) ctx.warn(text);
  const { namespace, name } = object.metadata;
  const key = storeKey(row, namespace, name);
  for (let tries = 0; tries < MAX_ALLOCATION_TRIES; tries++) {
    const draft = allocatorOf(row) ? cloneJson(object) : object;
    const allocation = await allocatorOf(row)?.(core, ctx, draft, undefined, options.dryRun === true);
    try {
      const value = storedBytes(
        core,
        row,
        isCustom(row) ? await inStorageVersion(core, draft, row, ctx.signal) : draft,
      );
      if (options.dryRun) {
        if (await exists(core, ctx, key)) throw alreadyExists(target.resource, name);
        return { object: new AnswerObject(convert(draft as KubeObject, row, target.resource), { key }), created: true };
      }
      const done = await putObject(core, ctx, { row, key, expected: 0, guards: allocation?.guards ?? [] }, value);
      if (done.kind === 'committed') {
        return { object: await inVersionOf(core, ctx, done.object, target.resource), created: true };
      }
      if (done.kind === 'conflict') throw alreadyExists(target.resource, name);
    } finally {
      allocation?.release();
    }
    await waitForTurn(core, ctx, tries);
  }
  throw conflict(target.resource, name, OBJECT_MODIFIED);
}

async function exists(core: Core, ctx: RequestContext, key: string): Promise<boolean> {
  return (await core.store.get(key, ctx.signal)).stored !== undefined;
}
