// PATCH: the patch is applied to the object as it is; when someone else was quicker, to the newer one.
import { decode } from '../../api/codec.ts';
import { applyDefaults } from '../../api/defaults.ts';
import { cloneJson } from '../../api/json.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import { apiVersionOf, type Resource } from '../../api/tables.ts';
import { keepReset, type ManagedFields, NOBODY } from '../../machinery/apply/managed-fields.ts';
import { applyJsonPatch } from '../../machinery/patch/json.ts';
import { applyMergePatch } from '../../machinery/patch/merge.ts';
import { applyStrategicPatch } from '../../machinery/patch/strategic.ts';
import { conflict, OBJECT_MODIFIED, StatusError } from '../../machinery/status.ts';
import type { CachedObject, PatchType, RequestContext, Target, WriteOptions, WriteResult } from '../contract.ts';
import { strategyOf } from '../strategies/strategies.ts';
import { appliedObject, applyPatch } from './apply.ts';
import { change } from './change.ts';
import { type Core, inVersion, inVersionOf } from './context.ts';
import { managedFieldsOf, managerOf, setManaged } from './field-scope.ts';
import { isPersisted, subresourceOf, unsupportedVerb } from './targets.ts';
import { decideUpdate } from './update.ts';
import { SCALE_TYPE, type ScaleWrite, updateScale } from './update-scale.ts';
import { convert, storageRow } from './versions.ts';

interface Patch {
  readonly type: PatchType;
  readonly body: unknown;
  readonly force?: boolean;
}

export async function patch(
  core: Core,
  ctx: RequestContext,
  target: Target,
  patch: Patch,
  options: WriteOptions,
): Promise<WriteResult> {
  const subresource = subresourceOf(target, 'patch');
  const { resource } = target;
  if (!isPersisted(resource)) throw unsupportedVerb();
  checkType(core, resource, patch.type);
  const scale = subresource?.kind === 'Scale';
  if (patch.type === APPLY) {
    if (!scale) return applyPatch(core, ctx, target, patch, options);
    const manager = managerOf(ctx, options);
    const kind = { kind: 'Scale', type: SCALE_TYPE };
    const write: ScaleWrite = ({ object: live }, scope) => {
      const applied = appliedObject(core, scope, { live, request: patch, manager, ...kind }) as KubeObject;
      return { scale: applied, managed: (applied.metadata.managedFields ?? NOBODY) as ManagedFields };
    };
    return updateScale(core, ctx, target, write, options);
  }
  const warnings = new Set<string>();
  const patched = (doc: CachedObject, type: string): KubeObject => {
    const { object, problems } = apply(core, type, patch, doc, options);
    for (const problem of problems) warnings.add(problem);
    return object;
  };
  const result = await (scale
    ? updateScale(core, ctx, target, (current) => ({ scale: patched(current, SCALE_TYPE) }), options)
    : patchObject(core, ctx, target, (doc) => patched(doc, resource.type), options));
  for (const text of warnings) ctx.warn(text);
  return result;
}

async function patchObject(
  core: Core,
  ctx: RequestContext,
  target: Target,
  patched: (doc: CachedObject) => KubeObject,
  options: WriteOptions,
): Promise<WriteResult> {
  const { resource, name = '' } = target;
  const row = storageRow(core.tables, resource);
  const changed = await change(
    core,
    ctx,
    { row, namespace: target.namespace, name },
    async (current) => {
      const live = inVersion(core, current, resource);
      const object = patched(live);
      const { resourceVersion } = object.metadata;
      if (resourceVersion && resourceVersion !== current.object.metadata.resourceVersion) {
        throw conflict(resource, name, OBJECT_MODIFIED);
      }
      // A patch that says nothing of the revision is made on the one it was applied to.
      (object as Draft<KubeObject>).metadata.resourceVersion = current.object.metadata.resourceVersion!;
      strategyOf(row).normalize?.(object as Draft<KubeObject>);
      const managed = await managedFieldsOf(core, ctx, target, { live: live.object, object, options });
      const stored = convert(object, resource, row) as Draft<KubeObject>;
      setManaged(stored, managed);
      return decideUpdate(core, ctx, { target, row, options }, stored, current);
    },
    { dryRun: options.dryRun === true, asked: resource },
  );
  return { object: await inVersionOf(core, ctx, changed.object, resource), created: false };
}

const JSON_PATCH = 'application/json-patch+json';
const MERGE_PATCH = 'application/merge-patch+json';
const APPLY = 'application/apply-patch+yaml';
const STRATEGIC_PATCH = 'application/strategic-merge-patch+json';

/** Patch types that a resource takes: a strategic merge needs the merge keys of a built-in type. */
function checkType(core: Core, resource: Resource, type: PatchType): void {
  const builtInType = core.tables.typeOfKind(apiVersionOf(resource), resource.kind) !== undefined;
  const accepted = [JSON_PATCH, MERGE_PATCH, ...(builtInType ? [STRATEGIC_PATCH] : []), APPLY];
  if (accepted.includes(type)) return;
  const message = `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`;
  throw new StatusError('UnsupportedMediaType', message);
}

/** The patched document as a decoded object of its type. */
function apply(
  core: Core,
  type: string,
  patch: Patch,
  doc: CachedObject,
  options: WriteOptions,
): { object: KubeObject; problems: readonly string[] } {
  const before = cloneJson(namesManagedFields(patch) ? doc.object : withoutManagedFields(doc.object));
  const after = applyTo(core, type, patch, before);
  const document = after as { apiVersion?: unknown; kind?: unknown; metadata?: { managedFields?: unknown } };
  document.apiVersion = doc.object.apiVersion;
  document.kind = doc.object.kind;
  const sent = { metadata: { managedFields: document.metadata?.managedFields } };
  const validation = options.fieldValidation;
  const { object, problems } = decode<KubeObject>(core.tables, type, document, {
    ...(validation && { fieldValidation: validation }),
  });
  keepReset(sent, object);
  applyDefaults(core.tables, type, object);
  return { object: object as KubeObject, problems };
}

/** Most patches say nothing of the managers: what is not looked at need not be copied. */
function namesManagedFields({ type, body }: Patch): boolean {
  if (type !== JSON_PATCH) {
    const { metadata } = (body ?? {}) as { metadata?: { managedFields?: unknown } | null };
    return metadata === null || metadata?.managedFields !== undefined;
  }
  if (!Array.isArray(body)) return false;
  return body.some(({ path, from }: { path?: unknown; from?: unknown }) =>
    [path, from].some(
      (pointer) => pointer === '' || pointer === '/metadata' || /^\/metadata\/managedFields/.test(`${pointer}`),
    ),
  );
}

function withoutManagedFields(object: KubeObject): KubeObject {
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}

function applyTo(core: Core, type: string, patch: Patch, before: KubeObject): unknown {
  switch (patch.type) {
    case JSON_PATCH:
      return applyJsonPatch(before, patch.body as never);
    case MERGE_PATCH:
      return applyMergePatch(before, patch.body as never);
    default:
      return applyStrategicPatch(core.tables, type, before, patch.body as never);
  }
}
