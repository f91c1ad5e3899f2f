import type { KubeObject } from '../../api/object.ts';
import { apiVersionOf } from '../../api/tables.ts';
import { badRequest } from '../../machinery/status.ts';
import { REVIEW_KINDS, type ReviewKind } from '../auth/reviews.ts';
import type { RequestContext, Target } from '../contract.ts';
import type { Core } from './context.ts';
import { notOffered } from './plain-answers.ts';

interface Review extends KubeObject {
  readonly spec?: { readonly resourceAttributes?: { readonly namespace?: string } };
}

/** Answers an access, rules or token review: the body with its status. */
export async function reviewOf(core: Core, ctx: RequestContext, target: Target, body: Review): Promise<KubeObject> {
  const { resource, namespace } = target;
  const kind = REVIEW_KINDS.find((k): k is ReviewKind => k === resource.kind);
  if (!core.reviews || !kind) throw notOffered(resource.resource);
  const about = body.spec?.resourceAttributes;
  if (resource.namespaced && about && (about.namespace ?? '') !== (namespace ?? '')) {
    throw badRequest(`spec.resourceAttributes.namespace must match namespace: ${namespace ?? ''}`);
  }
  const status = await core.reviews.review(kind, body.spec ?? {}, ctx.user);
  return {
    kind: resource.kind,
    apiVersion: apiVersionOf(resource),
    metadata: body.metadata,
    spec: body.spec,
    status,
  } as KubeObject;
}
