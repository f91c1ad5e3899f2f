// Makes the standard roles and bindings exist at start. What a user added is kept; what is missing comes back; objects
// whose autoupdate annotation is "false" are left alone.
import type { ClusterRole, PolicyRule, RoleBinding, SubjectRbacV1 } from '../../api/generated/types.ts';
import { type Draft, draft, type KubeObject } from '../../api/object.ts';
import type { Resource, Tables } from '../../api/tables.ts';
import { invariant } from '../../lib/assert.ts';
import { isReason } from '../../machinery/status.ts';
import type { RequestContext, ResourceApi, Target } from '../contract.ts';
import {
  AUTOUPDATE_ANNOTATION,
  clusterRoleBindings,
  clusterRoles,
  namespaceRoleBindings,
  namespaceRoles,
} from './bootstrap-roles.ts';
import { RBAC_GROUP } from './rbac.ts';
import { uncovered } from './rbac-rules.ts';

/** Writes made at once; the store commits them in groups. */
export const PARALLEL_WRITES = 64;
/** Tries against other servers that start at the same time. */
export const MAX_TRIES = 5;

/** Resolves when every standard role and binding is there. The namespaces kube-system and kube-public must exist. */
export async function reconcileBootstrapRoles(api: ResourceApi, tables: Tables, ctx: RequestContext): Promise<void> {
  const row = (resource: string): Resource => {
    const found = tables.preferred(RBAC_GROUP, resource);
    invariant(found, `no resource ${resource} in ${RBAC_GROUP}`);
    return found;
  };
  const wanted: [Resource, KubeObject][] = [];
  for (const object of clusterRoles()) wanted.push([row('clusterroles'), object]);
  for (const object of clusterRoleBindings()) wanted.push([row('clusterrolebindings'), object]);
  for (const object of namespaceRoles()) wanted.push([row('roles'), object]);
  for (const object of namespaceRoleBindings()) wanted.push([row('rolebindings'), object]);
  const queue = wanted.values();
  const worker = async (): Promise<void> => {
    for (const [resource, object] of queue) await reconcileOne(api, resource, object, ctx);
  };
  await Promise.all(Array.from({ length: PARALLEL_WRITES }, worker));
}

async function reconcileOne(
  api: ResourceApi,
  resource: Resource,
  wanted: KubeObject,
  ctx: RequestContext,
): Promise<void> {
  const { namespace, name } = wanted.metadata;
  const target: Target = { resource, name, ...(namespace && { namespace }) };
  for (let attempt = 1; ; attempt++) {
    try {
      const current = await api.get(ctx, target, { resourceVersion: '0' });
      const next = reconciled(current.object, wanted);
      if (next) await api.update(ctx, target, next, {});
      return;
    } catch (error) {
      if (isReason(error, 'NotFound') && (await created(api, target, wanted, ctx))) return;
      if (!isReason(error, 'NotFound', 'Conflict') || attempt >= MAX_TRIES) throw error;
    }
  }
}

async function created(api: ResourceApi, target: Target, wanted: KubeObject, ctx: RequestContext): Promise<boolean> {
  const { name: _, ...collection } = target;
  try {
    await api.create(ctx, collection, draft(wanted), {});
    return true;
  } catch (error) {
    if (isReason(error, 'AlreadyExists')) return false;
    throw error;
  }
}

/** `current` with what `wanted` asks for; undefined when nothing is missing. Pure. */
export function reconciled(current: KubeObject, wanted: KubeObject): KubeObject | undefined {
  if (current.metadata.annotations?.[AUTOUPDATE_ANNOTATION] === 'false') return undefined;
  const next = draft(current as KubeObject & Partial<ClusterRole> & Partial<RoleBinding>);
  let changed = addMissing(next.metadata, 'labels', wanted);
  if (addMissing(next.metadata, 'annotations', wanted)) changed = true;
  const { rules, aggregationRule } = wanted as ClusterRole;
  // The rules of an aggregated role belong to the aggregation controller.
  const missing = aggregationRule ? [] : uncovered(next.rules ?? [], rules ?? []);
  if (missing.length > 0) {
    const lacking = (rules ?? []).filter((rule) => uncovered(next.rules ?? [], [rule]).length > 0);
    next.rules = [...(next.rules ?? []), ...(lacking as Draft<PolicyRule>[])];
    changed = true;
  }
  for (const subject of (wanted as RoleBinding).subjects ?? []) {
    if (next.subjects?.some((one) => sameSubject(one, subject))) continue;
    next.subjects = [...(next.subjects ?? []), subject];
    changed = true;
  }
  return changed ? (next as KubeObject) : undefined;
}

function addMissing(meta: Draft<KubeObject['metadata']>, map: 'labels' | 'annotations', wanted: KubeObject): boolean {
  let changed = false;
  for (const [key, value] of Object.entries(wanted.metadata[map] ?? {})) {
    if (meta[map]?.[key] !== undefined) continue;
    meta[map] = { ...meta[map], [key]: value };
    changed = true;
  }
  return changed;
}

function sameSubject(a: SubjectRbacV1, b: SubjectRbacV1): boolean {
  return a.kind === b.kind && a.name === b.name && (a.namespace ?? '') === (b.namespace ?? '');
}
