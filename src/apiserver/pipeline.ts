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

/** `api` behind `authorizer`: refuses with 403 and upstream's wording. */
export function createPipeline(api: ResourceApi, authorizer: Authorizer): ResourceApi {
  const check = (ctx: RequestContext, verb: string, target: Target): void => {
    const { allowed, reason } = authorizer.authorize(ctx.user, attributesOf(verb, target));
    if (!allowed) throw forbidden(target.resource, target.name ?? '', reason);
  };
  return {
    async get(ctx, target, options) {
      check(ctx, 'get', target);
      return api.get(ctx, target, options);
    },
    async list(ctx, target, options) {
      check(ctx, 'list', target);
      return api.list(ctx, target, options);
    },
    async watch(ctx, target, options, sink) {
      check(ctx, 'watch', target);
      return api.watch(ctx, target, options, sink);
    },
    async create(ctx, target, body, options) {
      check(ctx, 'create', target);
      return api.create(ctx, target, body, options);
    },
    async update(ctx, target, body, options) {
      check(ctx, 'update', target);
      return api.update(ctx, target, body, options);
    },
    async patch(ctx, target, patch, options) {
      check(ctx, 'patch', target);
      return api.patch(ctx, target, patch, options);
    },
    async delete(ctx, target, options) {
      check(ctx, 'delete', target);
      return api.delete(ctx, target, options);
    },
    async deleteCollection(ctx, target, options) {
      check(ctx, 'deletecollection', target);
      return api.deleteCollection(ctx, target, options);
    },
  };
}
