// Server-side apply: a configuration laid over the object as it is, or the object made of it.
import { decode } from '../../api/codec.ts';
import { applyDefaults } from '../../api/defaults.ts';
import { cloneJson, isJsonObject } from '../../api/json.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import { applyConfiguration } from '../../machinery/apply/field-manager.ts';
import type { FieldScope } from '../../machinery/apply/ownership.ts';
import { badRequest, conflict, forbidden, notFound, OBJECT_MODIFIED } from '../../machinery/status.ts';
import type { RequestContext, Target, WriteOptions, WriteResult } from '../contract.ts';
import { strategyOf } from '../strategies/strategies.ts';
import { type ConvertNow, withConversions } from './awaited-conversions.ts';
import { type Changed, change } from './change.ts';
import { type Core, inVersion, inVersionOf } from './context.ts';
import { createManaged } from './create.ts';
import { fieldScope, managerOf, setManaged } from './field-scope.ts';
import { settleNamespace } from './prepare.ts';
import { decideUpdate } from './update.ts';
import { convert, storageRow } from './versions.ts';

export interface ApplyRequest {
  readonly body: unknown;
  readonly force?: boolean;
}

export async function applyPatch(
  core: Core,
  ctx: RequestContext,
  target: Target,
  request: ApplyRequest,
  options: WriteOptions,
): Promise<WriteResult> {
  const { resource, name = '', subresource } = target;
  const row = storageRow(core.tables, resource);
  const manager = managerOf(ctx, options);
  const kind = { kind: resource.kind, type: resource.type, normalize: strategyOf(row).normalize };
  const applied = (live: KubeObject | undefined): Promise<Draft<KubeObject>> => {
    const decide = (byWebhook: ConvertNow): Draft<KubeObject> => {
      const scope = fieldScope(core, resource, subresource, byWebhook);
      return appliedObject(core, scope, { live, request, manager, ...kind });
    };
    return withConversions(core, resource, decide, ctx.signal);
  };
  let created = false;
  const absent = async (): Promise<Changed> => {
    created = true;
    return createByApply(core, ctx, target, await applied(undefined), options);
  };
  const changed = await change(
    core,
    ctx,
    { row, namespace: target.namespace, name },
    async (current) => {
      const object = await applied(inVersion(core, current, resource).object);
      const { resourceVersion } = object.metadata;
      if (resourceVersion && resourceVersion !== current.object.metadata.resourceVersion) {
        throw conflict(resource, name, OBJECT_MODIFIED);
      }
      checkPlace(object, target);
      object.metadata.resourceVersion = current.object.metadata.resourceVersion!;
      return decideUpdate(
        core,
        ctx,
        { target, row, options },
        convert(object as KubeObject, resource, row) as Draft<KubeObject>,
        current,
      );
    },
    { dryRun: options.dryRun === true, asked: resource, ...(subresource === undefined && { absent }) },
  );
  return { object: created ? changed.object : await inVersionOf(core, ctx, changed.object, resource), created };
}

export interface Application {
  /** In the scope's version. */
  readonly live: KubeObject | undefined;
  readonly request: ApplyRequest;
  readonly manager: string;
  readonly kind: string;
  /** Name in the table of types. */
  readonly type: string;
  readonly normalize?: ((object: Draft<KubeObject>) => void) | undefined;
}

/** What applying makes of the live object: decoded, with defaults and its managers. */
export function appliedObject(core: Core, scope: FieldScope, application: Application): Draft<KubeObject> {
  const { live, request, manager, kind, type, normalize } = application;
  const { body, force = false } = request;
  if (!isJsonObject(body)) throw badRequest('error decoding YAML: the body is not an object');
  const { object } = applyConfiguration(scope, live, { config: body, manager, force, kind });
  const { managedFields, ...metadata } = object.metadata;
  const plain = cloneJson({ ...object, metadata });
  const { object: decoded } = decode<KubeObject>(core.tables, type, plain, { fieldValidation: 'Ignore' });
  applyDefaults(core.tables, type, decoded);
  normalize?.(decoded);
  setManaged(decoded, managedFields as Parameters<typeof setManaged>[1]);
  return decoded;
}

function checkPlace(object: Draft<KubeObject>, target: Target): void {
  const { name = '' } = target;
  settleNamespace(object, target);
  object.metadata.name ||= name;
  if (object.metadata.name !== name) {
    throw badRequest(`the name of the object (${object.metadata.name}) does not match the name on the URL (${name})`);
  }
}

async function createByApply(
  core: Core,
  ctx: RequestContext,
  target: Target,
  object: Draft<KubeObject>,
  options: WriteOptions,
): Promise<Changed> {
  const { resource, namespace = '', name = '' } = target;
  const { uid, resourceVersion } = object.metadata;
  if (uid) {
    const why = `uid mismatch: the provided object specified uid ${uid}, and no existing object was found`;
    throw conflict(resource, name, why);
  }
  if (resourceVersion) throw notFound(resource, name);
  checkPlace(object, target);
  const attributes = { verb: 'create', group: resource.group, version: resource.version, resource: resource.resource };
  const decision = core.rbac?.authorize(ctx.user, { ...attributes, subresource: '', namespace, name });
  if (decision && !decision.allowed) throw forbidden(resource, name, decision.reason);
  const { name: _, ...collection } = target;
  const { object: created } = await createManaged(core, ctx, collection, object as KubeObject, options);
  return { kind: 'put', object: created };
}
