import { cloneJson } from '../../api/json.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import type { Resource } from '../../api/tables.ts';
import { differOnlyInTime, type ManagedFields } from '../../machinery/apply/managed-fields.ts';
import { badRequest, conflict, forbidden, notFound } from '../../machinery/status.ts';
import { admit, reviewAdmission } from '../admission/admit.ts';
import type { CachedObject, RequestContext, Target, WriteOptions, WriteResult } from '../contract.ts';
import { sameValue } from '../strategies/equality.ts';
import { strategyOf } from '../strategies/strategies.ts';
import { allocatorOf } from './allocators.ts';
import { type Change, type Changed, change } from './change.ts';
import { type Core, inVersion, inVersionOf, scopeOf } from './context.ts';
import { create } from './create.ts';
import { managedFieldsOf, setManaged } from './field-scope.ts';
import {
  carryMetadata,
  checkPreconditions,
  isReleased,
  prepareUpdate,
  settleNamespace,
  validateRules,
  validateUpdate,
} from './prepare.ts';
import { isPersisted, subresourceOf, unsupportedVerb } from './targets.ts';
import { updateScale } from './update-scale.ts';
import { convert, storageRow } from './versions.ts';

export async function update(
  core: Core,
  ctx: RequestContext,
  target: Target,
  body: KubeObject,
  options: WriteOptions,
): Promise<WriteResult> {
  const subresource = subresourceOf(target, 'update');
  const { resource, name = '' } = target;
  if (!isPersisted(resource)) throw unsupportedVerb();
  const metadata = (body as Draft<KubeObject>).metadata;
  if (!metadata.name) metadata.name = name;
  if (metadata.name !== name) {
    throw badRequest(`the name of the object (${metadata.name}) does not match the name on the URL (${name})`);
  }
  settleNamespace(body as Draft<KubeObject>, target);
  if (subresource?.kind === 'Scale') return updateScale(core, ctx, target, () => ({ scale: body }), options);
  const row = storageRow(core.tables, resource);
  strategyOf(row).normalize?.(body as Draft<KubeObject>);
  // Fields are managed in the version in which they were sent.
  const sent = row === resource ? body : cloneJson(body);
  const pristine = convert(body, resource, row);
  const mayCreate = subresource === undefined && strategyOf(row).allowCreateOnUpdate === true;
  const absent = async (): Promise<Changed> => {
    if (!mayCreate) throw notFound(resource, name);
    return createByUpdate(core, ctx, target, cloneJson(body), options);
  };
  let created = false;
  const changed = await change(
    core,
    ctx,
    { row, namespace: target.namespace, name },
    async (current) => {
      const object = cloneJson(pristine) as Draft<KubeObject>;
      const live = inVersion(core, current, resource).object;
      const managed = await managedFieldsOf(core, ctx, target, { live, object: sent, options });
      setManaged(object, managed);
      return decideUpdate(core, ctx, { target, row, options }, object, current);
    },
    {
      dryRun: options.dryRun === true,
      asked: resource,
      absent: () => {
        created = true;
        return absent();
      },
    },
  );
  return { object: created ? changed.object : await inVersionOf(core, ctx, changed.object, resource), created };
}

/** PUT of an absent object, where the kind allows it: needs the right to create as well. */
async function createByUpdate(
  core: Core,
  ctx: RequestContext,
  target: Target,
  body: KubeObject,
  options: WriteOptions,
): Promise<Changed> {
  const { resource, namespace = '', name = '' } = target;
  const { resourceVersion, uid } = body.metadata;
  if (resourceVersion && resourceVersion !== '0') throw notFound(resource, name);
  if (uid) {
    const why = `Precondition failed: UID in precondition: ${uid}, UID in object meta: `;
    throw conflict(resource, name, why);
  }
  const attributes = { verb: 'create', group: resource.group, version: resource.version, resource: resource.resource };
  const decision = core.rbac?.authorize(ctx.user, { ...attributes, subresource: '', namespace, name });
  if (decision && !decision.allowed) throw forbidden(resource, name, decision.reason);
  const { name: _, ...collection } = target;
  delete (body as Draft<KubeObject>).metadata.resourceVersion;
  const { object } = await create(core, ctx, collection, body, options);
  return { kind: 'put', object };
}

export interface Updating {
  readonly target: Target;
  /** The stored version's row; everything here is in that version. */
  readonly row: Resource;
  readonly options: WriteOptions;
  /** Admission has had its say, about the form in which the change was asked for. */
  readonly admitted?: boolean;
}

/** What becomes of `current` when `object`, which this call may change, is put in its place. */
export async function decideUpdate(
  core: Core,
  ctx: RequestContext,
  { target, row, options, admitted = false }: Updating,
  object: Draft<KubeObject>,
  current: CachedObject,
): Promise<Change> {
  const old = current.object;
  checkPreconditions(object as KubeObject, old, row);
  const scope = scopeOf(core, ctx, row);
  carryMetadata(object.metadata, old.metadata);
  object.apiVersion = old.apiVersion!;
  object.kind = old.kind!;
  const admission = { operation: 'UPDATE' as const, target, row, old, dryRun: options.dryRun === true, options };
  if (!admitted) await admit(core, ctx, admission, object);
  keepTimes(object, old);
  prepareUpdate(object, old, scope, target.subresource);
  validateUpdate(object as KubeObject, old, scope, target.subresource);
  if (admitted) await validateRules(object as KubeObject, old, row, target.subresource);
  else await reviewAdmission(core, ctx, admission, object as KubeObject);
  if (isReleased(object as KubeObject) && !strategyOf(row).heldBack?.(object as KubeObject)) return { kind: 'remove' };
  if (target.subresource !== undefined) return { kind: 'put', object };
  const allocation = await allocatorOf(row)?.(core, ctx, object, old, options.dryRun === true);
  return { kind: 'put', object, ...allocation };
}

/** A write that changes nothing but the times in managedFields changes nothing. */
function keepTimes(object: Draft<KubeObject>, old: KubeObject): void {
  const { managedFields, ...metadata } = object.metadata;
  const { managedFields: before, ...oldMetadata } = old.metadata;
  if (managedFields === before || !differOnlyInTime(managedFields, before, sameValue)) return;
  if (!sameValue(metadata, oldMetadata) || !sameValue({ ...object, metadata: null }, { ...old, metadata: null }))
    return;
  setManaged(object, before as ManagedFields);
}
