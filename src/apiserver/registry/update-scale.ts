// Updates through the scale subresource: the number of replicas, and who manages it.
import { cloneJson } from '../../api/json.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import { apiVersionOf, type Resource } from '../../api/tables.ts';
import { managedAfterUpdate } from '../../machinery/apply/field-manager.ts';
import { type ManagedFields, NOBODY } from '../../machinery/apply/managed-fields.ts';
import type { FieldScope } from '../../machinery/apply/ownership.ts';
import { fromScale, type ReplicasPath, SCALE_VERSION, toScale } from '../../machinery/apply/scale-fields.ts';
import { setOfPaths } from '../../machinery/field-sets/field-set.ts';
import { fieldSchemaOf } from '../../machinery/field-sets/table-schema.ts';
import { plainMembers } from '../../machinery/json-path.ts';
import { conflict, OBJECT_MODIFIED } from '../../machinery/status.ts';
import { admit, reviewAdmission } from '../admission/admit.ts';
import type { CachedObject, RequestContext, Target, WriteOptions, WriteResult } from '../contract.ts';
import { AnswerObject } from './answer-object.ts';
import { change } from './change.ts';
import { type Core, nowText } from './context.ts';
import { managerOf, setManaged, versionRow } from './field-scope.ts';
import { applyScale, scaleOf } from './scale.ts';
import { decideUpdate } from './update.ts';
import { storageRow } from './versions.ts';

export const SCALE_TYPE = 'io.k8s.api.autoscaling.v1.Scale';

/** What a write makes of the present Scale. `managed` is left to the update itself unless it is given. */
export type ScaleWrite = (
  current: CachedObject,
  scope: FieldScope,
) => { readonly scale: KubeObject; readonly managed?: ManagedFields };

export async function updateScale(
  core: Core,
  ctx: RequestContext,
  target: Target,
  write: ScaleWrite,
  options: WriteOptions,
): Promise<WriteResult> {
  const { resource, name = '' } = target;
  const row = storageRow(core.tables, resource);
  const dryRun = options.dryRun === true;
  const changed = await change(
    core,
    ctx,
    { row, namespace: target.namespace, name },
    async (current) => {
      const present = presentScale(core, current, row);
      const scope = scaleScope(core);
      const { scale, managed } = write(present, scope);
      const { resourceVersion, uid } = scale.metadata;
      const stale = resourceVersion && resourceVersion !== current.object.metadata.resourceVersion;
      if (stale || (uid && uid !== current.object.metadata.uid)) throw conflict(resource, name, OBJECT_MODIFIED);
      const admission = { operation: 'UPDATE' as const, target, row, old: present.object, dryRun, options };
      await admit(core, ctx, admission, scale as Draft<KubeObject>);
      await reviewAdmission(core, ctx, admission, scale);
      const manager = managerOf(ctx, options);
      const after = managed ?? managedAfterUpdate(scope, { live: present.object, object: scale, manager }) ?? NOBODY;
      const object = withoutSharing(current.object);
      applyScale(object, scale, row);
      const before = (current.object.metadata.managedFields ?? NOBODY) as ManagedFields;
      setManaged(object, fromScale(before, after, apiVersionOf(row), replicasPath(core, row)));
      const { subresource: _, ...whole } = target;
      return decideUpdate(core, ctx, { target: whole, row, options, admitted: true }, object, current);
    },
    { dryRun, asked: resource },
  );
  return { object: scaleOf(changed.object, row), created: false };
}

function withoutSharing(object: KubeObject): Draft<KubeObject> {
  const { managedFields: _, ...metadata } = object.metadata;
  return cloneJson({ ...object, metadata }) as Draft<KubeObject>;
}

/** The Scale with its managers, which readers do not see. */
function presentScale(core: Core, current: CachedObject, row: Resource): CachedObject {
  const scale = scaleOf(current, row);
  const managed = toScale((current.object.metadata.managedFields ?? NOBODY) as ManagedFields, replicasPath(core, row));
  if (managed.length === 0) return scale;
  return new AnswerObject({ ...scale.object, metadata: { ...scale.object.metadata, managedFields: managed } }, current);
}

const REPLICAS = ['f:spec', 'f:replicas'];
const NONE: readonly string[] = [];

/** Built-in kinds have their replicas at the same place in every version; a custom one where its versions say, if at all. */
function replicasPath(core: Core, row: Resource): ReplicasPath {
  return (apiVersion) => {
    const found = versionRow(core, row, apiVersion);
    if (!found?.custom) return found && REPLICAS;
    const path = found.custom.scale?.specReplicasPath;
    return path === undefined ? NONE : plainMembers(path)?.map((name) => `f:${name}`);
  };
}

const IGNORED = setOfPaths(
  ['name', 'namespace', 'creationTimestamp', 'uid', 'resourceVersion', 'managedFields', 'selfLink', 'generation']
    .map((name) => ['f:metadata', `f:${name}`])
    .concat([['f:apiVersion'], ['f:kind']]),
);

function scaleScope(core: Core): FieldScope {
  return {
    apiVersion: SCALE_VERSION,
    schema: fieldSchemaOf(core.tables, SCALE_TYPE),
    ignored: IGNORED,
    subresource: 'scale',
    now: nowText(core),
    other: () => undefined,
  };
}
