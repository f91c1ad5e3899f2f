// The parameters that a binding hands to its policy (upstream: generic.CollectParams).
import type { ParamKind, ParamRef } from '../../../api/generated/types.ts';
import type { KubeObject } from '../../../api/object.ts';
import { apiVersionOf, type Resource, type Tables } from '../../../api/tables.ts';
import { labelSelectorFromObject } from '../../../machinery/selector-parse.ts';
import type { AdmissionWorld } from '../plugin.ts';

/** The resource of a paramKind; undefined: there is none. */
export function paramResource(tables: Tables, { apiVersion, kind }: ParamKind): Resource | undefined {
  for (const row of tables.resources()) {
    if (row.kind === kind && apiVersionOf(row) === apiVersion) return row;
  }
  return undefined;
}

export function unknownParamKind({ apiVersion, kind }: ParamKind): Error {
  return new Error(`failed to find resource referenced by paramKind: '${apiVersion}, Kind=${kind}'`);
}

/** The policy is asked once for each; [undefined]: without parameters; []: not at all. Throws an Error that says why not. */
export async function paramsFor(
  world: AdmissionWorld,
  kind: Resource | undefined,
  ref: ParamRef | undefined,
  requestNamespace: string,
): Promise<readonly (KubeObject | undefined)[]> {
  if (!kind || !ref) return [undefined];
  if (kind.namespaced && !ref.namespace && requestNamespace === '') {
    throw new Error('cannot use namespaced paramRef in policy binding that matches cluster-scoped resources');
  }
  if (!kind.namespaced && ref.namespace) {
    throw new Error('paramRef.namespace must not be provided for a cluster-scoped `paramKind`');
  }
  const namespace = kind.namespaced ? ref.namespace || requestNamespace : undefined;
  const found = await world.objects(kind, namespace, ref.name || undefined);
  const selector = ref.name ? undefined : labelSelectorFromObject(ref.selector ?? {});
  const params = selector ? found.filter(({ metadata }) => selector.matches(metadata.labels)) : found;
  if (params.length === 0 && ref.parameterNotFoundAction === 'Deny') {
    throw new Error('no params found for policy binding with `Deny` parameterNotFoundAction');
  }
  return params;
}
