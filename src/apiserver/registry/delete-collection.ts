import { isReason } from '../../machinery/status.ts';
import type { CachedObject, DeleteOptions, ListOptions, ListResult, RequestContext, Target } from '../contract.ts';
import type { Core } from './context.ts';
import { remove } from './delete.ts';
import { list } from './list.ts';

/** Deletes under way at once. */
export const PARALLEL_DELETES = 16;

/** Deletes everything that a list with these options shows; what is gone meanwhile is no failure. */
export async function deleteCollection(
  core: Core,
  ctx: RequestContext,
  target: Target,
  options: DeleteOptions & ListOptions,
): Promise<ListResult> {
  const { labelSelector, fieldSelector, limit, resourceVersion, resourceVersionMatch } = options;
  const found = await list(core, ctx, target, {
    ...(labelSelector !== undefined && { labelSelector }),
    ...(fieldSelector !== undefined && { fieldSelector }),
    ...(limit !== undefined && { limit }),
    ...(options.continue !== undefined && { continue: options.continue }),
    ...(resourceVersion !== undefined && { resourceVersion }),
    ...(resourceVersionMatch !== undefined && { resourceVersionMatch }),
  });
  const deleted: CachedObject[] = [];
  const queue = found.items.values();
  const worker = async (): Promise<void> => {
    for (const { namespace, name } of queue) {
      const one = { resource: target.resource, name, ...(namespace !== undefined && { namespace }) };
      try {
        deleted.push((await remove(core, ctx, one, options)).object);
      } catch (error) {
        if (!isReason(error, 'NotFound')) throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL_DELETES }, worker));
  return { ...found, items: deleted };
}
