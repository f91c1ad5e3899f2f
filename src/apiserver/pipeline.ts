// Every operation is authorized, then carried out. What the edge and the in-process clients call.
import { forbidden } from '../machinery/status.ts';
import type { Attributes, Authorizer, RequestContext, ResourceApi, Target } from './contract.ts';

/** What an authorizer is asked for a request of `verb` on `target`. */
export function attributesOf(verb: string, { resource, namespace, name, subresource }: Target): Attributes {
  return {
    verb,
    group: resource.group,
    version: resource.version,
    resource: resource.resource,
    subresource: subresource ?? '',
    // A namespace counts as within itself: a role in it may allow reading it.
    namespace: namespace ?? (resource.group === '' && resource.resource === 'namespaces' ? (name ?? '') : ''),
    name: name ?? '',
  };
}

/** A list or watch of one name is a request for that name, so that a rule with resource names may allow it. As upstream. */
function named(target: Target, { fieldSelector }: { readonly fieldSelector?: string }): Target {
  const name =
    target.name === undefined && fieldSelector ? /^metadata\.name==?([^,=!]+)$/.exec(fieldSelector)?.[1] : undefined;
  return name === undefined ? target : { ...target, name };
}

/** `api` behind `authorizer`: refuses with 403 and upstream's wording. */
export function createPipeline(api: ResourceApi, authorizer: Authorizer): ResourceApi {
  /** The refusal, or undefined. */
  const refusal = (ctx: RequestContext, verb: string, target: Target): Error | undefined => {
    const { allowed, reason } = authorizer.authorize(ctx.user, attributesOf(verb, target));
    return allowed ? undefined : forbidden(target.resource, target.name ?? '', reason);
  };
  /** Without a promise of its own: what every request goes through should cost next to nothing. */
  const allowed = <T>(ctx: RequestContext, verb: string, target: Target, run: () => Promise<T>): Promise<T> => {
    const refused = refusal(ctx, verb, target);
    return refused ? Promise.reject(refused) : run();
  };
  return {
    get: (ctx, target, options) => allowed(ctx, 'get', target, () => api.get(ctx, target, options)),
    list: (ctx, target, options) => allowed(ctx, 'list', named(target, options), () => api.list(ctx, target, options)),
    watch: (ctx, target, options, sink) =>
      allowed(ctx, 'watch', named(target, options), () => api.watch(ctx, target, options, sink)),
    create: (ctx, target, body, options) =>
      allowed(ctx, 'create', target, () => api.create(ctx, target, body, options)),
    update: (ctx, target, body, options) =>
      allowed(ctx, 'update', target, () => api.update(ctx, target, body, options)),
    patch: (ctx, target, patch, options) => allowed(ctx, 'patch', target, () => api.patch(ctx, target, patch, options)),
    delete: (ctx, target, options) => allowed(ctx, 'delete', target, () => api.delete(ctx, target, options)),
    deleteCollection: (ctx, target, options) =>
      allowed(ctx, 'deletecollection', target, () => api.deleteCollection(ctx, target, options)),
  };
}
