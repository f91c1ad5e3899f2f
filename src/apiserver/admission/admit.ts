// Runs the plugins that a request concerns, in order: first those that change, later those that judge.
import type { Draft, KubeObject } from '../../api/object.ts';
import { groupResource } from '../../api/tables.ts';
import type { RequestContext } from '../contract.ts';
import { change } from '../registry/change.ts';
import { builtIn, type Core, cacheOf } from '../registry/context.ts';
import type { AdmissionPlugin, AdmissionRequest, AdmissionWorld } from './plugin.ts';

export async function admit(
  core: Core,
  ctx: RequestContext,
  request: AdmissionRequest,
  object: Draft<KubeObject>,
): Promise<void> {
  const world = worldOf(core, ctx);
  for (const plugin of core.admission)
    if (plugin.admit && concerns(plugin, request)) await plugin.admit(world, request, object);
}

export async function reviewAdmission(
  core: Core,
  ctx: RequestContext,
  request: AdmissionRequest,
  object: KubeObject | undefined,
): Promise<void> {
  const world = worldOf(core, ctx);
  for (const plugin of core.admission) {
    if (plugin.validate && concerns(plugin, request)) await plugin.validate(world, request, object);
  }
}

function concerns(plugin: AdmissionPlugin, { operation, target, row }: AdmissionRequest): boolean {
  if (!plugin.operations.includes(operation)) return false;
  const { subresource } = target;
  if (!plugin.resources) return subresource === undefined;
  const name = groupResource(row);
  const path = subresource === undefined ? name : `${name}/${subresource}`;
  return plugin.resources.includes(path) || (subresource !== undefined && plugin.resources.includes(`${name}/*`));
}

function worldOf(core: Core, ctx: RequestContext): AdmissionWorld {
  const cached: AdmissionWorld['get'] = (group, resource, namespace, name) =>
    cacheOf(core, builtIn(core, group, resource)).get(namespace, name)?.object;
  return {
    ctx,
    env: core.env,
    rbac: core.rbac,
    get: cached,
    async present(...at) {
      await core.caches.consistent(ctx.signal);
      return cached(...at);
    },
    list: (group, resource, namespace) =>
      cacheOf(core, builtIn(core, group, resource))
        .list(namespace === undefined ? {} : { namespace })
        .items.map((item) => item.object),
    async change(group, resource, at, decide) {
      const place = { row: builtIn(core, group, resource), ...at };
      await change(
        core,
        ctx,
        place,
        async ({ object }) => {
          const draft = decide(object);
          return draft ? { kind: 'put', object: draft } : { kind: 'keep' };
        },
        { dryRun: false },
      );
    },
  };
}
