// POST on a subresource, and on resources that are answered without being kept. One row a thing that can be posted.
import type { KubeObject } from '../../api/object.ts';
import { groupResource } from '../../api/tables.ts';
import type { RequestContext, Target, WriteOptions, WriteResult } from '../contract.ts';
import { AnswerObject } from './answer-object.ts';
import { bindPod } from './binding.ts';
import type { Core } from './context.ts';
import { evictPod } from './eviction.ts';
import { reviewOf } from './review.ts';
import { subresourceOf, unsupportedVerb } from './targets.ts';
import { requestToken } from './token.ts';

type Post = (
  core: Core,
  ctx: RequestContext,
  target: Target,
  body: KubeObject,
  options: WriteOptions,
) => Promise<KubeObject>;

const ON_SUBRESOURCE: { readonly [path: string]: Post } = {
  'pods/binding': bindPod,
  'pods/eviction': evictPod,
  'serviceaccounts/token': requestToken,
};

const UNPERSISTED: { readonly [resource: string]: Post } = {
  bindings: bindPod,
  'selfsubjectreviews.authentication.k8s.io': reviewOf,
  'tokenreviews.authentication.k8s.io': reviewOf,
  'localsubjectaccessreviews.authorization.k8s.io': reviewOf,
  'selfsubjectaccessreviews.authorization.k8s.io': reviewOf,
  'selfsubjectrulesreviews.authorization.k8s.io': reviewOf,
  'subjectaccessreviews.authorization.k8s.io': reviewOf,
};

async function answer(post: Post | undefined, ...call: Parameters<Post>): Promise<WriteResult> {
  if (!post) throw unsupportedVerb();
  return { object: new AnswerObject(await post(...call)), created: true };
}

export function createOnSubresource(...call: Parameters<Post>): Promise<WriteResult> {
  const [, , target] = call;
  const subresource = subresourceOf(target, 'create');
  return answer(ON_SUBRESOURCE[`${groupResource(target.resource)}/${subresource?.name}`], ...call);
}

export function createUnpersisted(...call: Parameters<Post>): Promise<WriteResult> {
  return answer(UNPERSISTED[groupResource(call[2].resource)], ...call);
}
