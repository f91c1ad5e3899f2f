import { isPlanted } from '../../lib/planted.ts';
import { notFound } from '../../machinery/status.ts';
import type { CachedObject, GetOptions, RequestContext, Target } from '../contract.ts';
import { answered, type Core, cacheOf, inVersion, inVersionOf } from './context.ts';
import { parseRevision, waitForRevision } from './resource-version.ts';
import { scaleOf } from './scale.ts';
import { isPersisted, subresourceOf } from './targets.ts';

/** "" reads the linearizable present, "0" whatever the cache shows, N at least that. */
export async function get(core: Core, ctx: RequestContext, target: Target, options: GetOptions): Promise<CachedObject> {
  const { resource, namespace, name = '' } = target;
  const subresource = subresourceOf(target, 'get');
  if (!isPersisted(resource)) {
    const found = (await answered(core, ctx, resource)).find((one) => one.name === name);
    if (!found) throw notFound(resource, name);
    return found;
  }
  const cache = cacheOf(core, resource);
  const revision = parseRevision(options.resourceVersion);
  const isPresent = core.caches.fresh || isPlanted('stale-read');
  if (!options.resourceVersion && !isPresent) await core.caches.consistent(ctx.signal);
  else if (revision > 0) await waitForRevision(cache, revision, { clock: core.env.clock, signal: ctx.signal });
  const found = cache.get(resource.namespaced ? namespace : undefined, name);
  if (!found) throw notFound(resource, name);
  const object = resource.custom ? await inVersionOf(core, ctx, found, resource) : inVersion(core, found, resource);
  return subresource?.kind === 'Scale' ? scaleOf(object, resource) : object;
}
