// CONNECT: exec, attach, port-forward and proxy go elsewhere, but admission has a say in them.
import { decode } from '../../api/codec.ts';
import { cloneJson, sameJson } from '../../api/json.ts';
import type { KubeObject } from '../../api/object.ts';
import { apiVersionOf } from '../../api/tables.ts';
import { admit, reviewAdmission } from '../admission/admit.ts';
import { optionsType } from '../admission/changed-object.ts';
import type { RequestContext, Target } from '../contract.ts';
import type { Core } from './context.ts';

/**
 * `parameters` say what is asked of the connection; `path` is what follows the subresource: to admission the options' path,
 * whatever the parameters say. Resolves with what admission made of them when the caller may connect;
 * throws a StatusError otherwise.
 */
export type Connect = (
  ctx: RequestContext,
  target: Target,
  parameters: URLSearchParams,
  path?: string,
) => Promise<URLSearchParams>;

export async function connect(
  core: Core,
  ctx: RequestContext,
  target: Target,
  parameters: URLSearchParams,
  path = '',
): Promise<URLSearchParams> {
  const { resource, subresource = '' } = target;
  const sub = resource.subresources.get(subresource);
  // Logs are read, and what is read is not admitted.
  if (!sub?.kind.endsWith('Options')) return parameters;
  const admission = { operation: 'CONNECT' as const, target, row: resource, old: undefined, dryRun: false };
  const type = optionsType(resource, sub);
  const asked = { kind: sub.kind, apiVersion: apiVersionOf(sub), ...membersOf(core, type, withPath(parameters, path)) };
  const { object } = decode<KubeObject>(core.tables, type, asked, { fieldValidation: 'Ignore' });
  const before = cloneJson(object);
  await admit(core, ctx, { ...admission, connect: object as KubeObject }, object);
  await reviewAdmission(core, ctx, { ...admission, connect: object as KubeObject }, undefined);
  return sameJson(before, object) ? parameters : parametersOf(core, type, object);
}

/** The members of the options' type as parameters. */
function parametersOf(core: Core, type: string, options: object): URLSearchParams {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(options)) {
    if (name === 'kind' || name === 'apiVersion' || !core.tables.type(type).fields?.has(name)) continue;
    for (const one of Array.isArray(value) ? value : [value]) parameters.append(name, String(one));
  }
  return parameters;
}

function withPath(parameters: URLSearchParams, path: string): URLSearchParams {
  const all = new URLSearchParams(parameters);
  all.delete('path');
  if (path !== '') all.set('path', path);
  return all;
}

/** Parameters as members of the options' type. */
function membersOf(core: Core, type: string, parameters: URLSearchParams): object {
  const members: { [name: string]: unknown } = {};
  for (const field of core.tables.type(type).fields?.values() ?? []) {
    const values = parameters.getAll(field.name);
    if (values.length === 0) continue;
    const [first = ''] = values;
    if (field.code === '[]string') members[field.name] = values;
    else if (field.code === '[]int32') members[field.name] = values.map(Number);
    else members[field.name] = field.code === 'bool' ? first === 'true' || first === '1' : first;
  }
  return members;
}
