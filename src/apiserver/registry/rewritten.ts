// Objects that are not stored (yet) as another version of their resource.
import type { KubeObject } from '../../api/object.ts';
import type { Resource } from '../../api/tables.ts';
import type { RequestContext } from '../contract.ts';
import { AnswerObject } from './answer-object.ts';
import type { Core } from './context.ts';
import { isCustom, shown } from './shown.ts';
import { convert } from './versions.ts';

/** An object of `from` as `as`; the object itself when they are the same, else a copy. */
export async function rewritten(
  core: Core,
  ctx: RequestContext,
  object: KubeObject,
  { from, as }: { readonly from: Resource; readonly as: Resource },
): Promise<KubeObject> {
  if (from === as) return object;
  if (!isCustom(as)) return convert(structuredClone(object), from, as);
  return (await shown(core, [new AnswerObject(object)], as, ctx.signal))[0]!.object;
}
