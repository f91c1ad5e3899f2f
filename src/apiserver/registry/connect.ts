// CONNECT: exec, attach, port-forward and proxy go elsewhere, but admission has a say in them.
import { decode } from '../../api/codec.ts';
import type { KubeObject } from '../../api/object.ts';
import { apiVersionOf } from '../../api/tables.ts';
import { reviewAdmission } from '../admission/admit.ts';
import type { RequestContext, Target } from '../contract.ts';
import type { Core } from './context.ts';

/** `parameters` say what is asked of the connection. Resolves when the caller may connect; throws a StatusError otherwise. */
export type Connect = (ctx: RequestContext, target: Target, parameters: URLSearchParams) => Promise<void>;

export async function connect(
  core: Core,
  ctx: RequestContext,
  target: Target,
  parameters: URLSearchParams,
): Promise<void> {
  const { resource, subresource = '' } = target;
  const sub = resource.subresources.get(subresource);
  // Logs are read, and what is read is not admitted.
  if (!sub?.kind.endsWith('Options')) return;
  const admission = { operation: 'CONNECT' as const, target, row: resource, old: undefined, dryRun: false };
  // No resource is of the options' kinds: they stand beside the resource's own type.
  const type = resource.type.replace(/[^.]+$/, sub.kind);
  const asked = { kind: sub.kind, apiVersion: apiVersionOf(sub), ...membersOf(core, type, parameters) };
  const { object } = decode<KubeObject>(core.tables, type, asked, { fieldValidation: 'Ignore' });
  await reviewAdmission(core, ctx, { ...admission, connect: object as KubeObject }, undefined);
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
