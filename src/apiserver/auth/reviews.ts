// The answers of the review resources (authorization.k8s.io, authentication.k8s.io): what may be done, and who someone is.
import type {
  PolicyRule,
  ResourceAttributes,
  SelfSubjectRulesReviewSpec,
  SubjectAccessReviewSpec,
  SubjectAccessReviewStatus,
  SubjectRulesReviewStatus,
  TokenReviewSpec,
  TokenReviewStatus,
} from '../../api/generated/types.ts';
import { badRequest } from '../../machinery/status.ts';
import type { Attributes, UserInfo } from '../contract.ts';
import type { Authenticator } from './authenticate.ts';
import type { RbacAuthorizer } from './rbac.ts';

/** Kinds that a review can be asked of. */
export const REVIEW_KINDS = [
  'SelfSubjectAccessReview',
  'SubjectAccessReview',
  'LocalSubjectAccessReview',
  'SelfSubjectRulesReview',
  'TokenReview',
  'SelfSubjectReview',
] as const;
export type ReviewKind = (typeof REVIEW_KINDS)[number];

export interface Reviews {
  /** The status of a review of `kind` with this spec, asked by `user`. */
  review(kind: ReviewKind, spec: unknown, user: UserInfo): Promise<object>;
}

export function createReviews(authorizer: RbacAuthorizer, authenticator: Authenticator): Reviews {
  return {
    async review(kind, spec, user) {
      switch (kind) {
        case 'SelfSubjectAccessReview':
          return accessReview(authorizer, user, spec as SubjectAccessReviewSpec);
        case 'SubjectAccessReview':
        case 'LocalSubjectAccessReview':
          return accessReview(authorizer, subjectOf(spec as SubjectAccessReviewSpec), spec as SubjectAccessReviewSpec);
        case 'SelfSubjectRulesReview':
          return rulesReview(authorizer, user, spec as SelfSubjectRulesReviewSpec);
        case 'TokenReview':
          return tokenReview(authenticator, spec as TokenReviewSpec);
        case 'SelfSubjectReview':
          return { userInfo: user };
      }
    },
  };
}

function subjectOf(spec: SubjectAccessReviewSpec): UserInfo {
  const { user = '', uid, groups = [], extra } = spec;
  return { username: user, groups, ...(uid && { uid }), ...(extra && { extra }) };
}

function accessReview(
  authorizer: RbacAuthorizer,
  user: UserInfo,
  spec: SubjectAccessReviewSpec,
): SubjectAccessReviewStatus {
  const { allowed, why } = authorizer.decide(user, attributesOf(spec));
  return { allowed, ...(why !== '' && { reason: why }) };
}

function attributesOf(spec: SubjectAccessReviewSpec): Attributes {
  const { nonResourceAttributes, resourceAttributes } = spec;
  if (nonResourceAttributes) {
    return { verb: nonResourceAttributes.verb ?? '', path: nonResourceAttributes.path ?? '' };
  }
  if (!resourceAttributes) {
    throw badRequest('exactly one of nonResourceAttributes or resourceAttributes must be specified');
  }
  return resourceAttributesOf(resourceAttributes);
}

function resourceAttributesOf(asked: ResourceAttributes): Attributes {
  const { verb = '', group = '', version = '', resource = '', subresource = '', namespace = '', name = '' } = asked;
  return { verb, group, version, resource, subresource, namespace, name };
}

function rulesReview(
  authorizer: RbacAuthorizer,
  user: UserInfo,
  spec: SelfSubjectRulesReviewSpec,
): SubjectRulesReviewStatus {
  if (!spec.namespace) throw badRequest('no namespace on request');
  const { rules, problem } = authorizer.rulesFor(user, spec.namespace);
  const resourceRules = rules.filter((rule) => (rule.resources?.length ?? 0) > 0).map(resourceRule);
  const nonResourceRules = rules
    .filter((rule) => (rule.nonResourceURLs?.length ?? 0) > 0)
    .map(({ verbs, nonResourceURLs = [] }) => ({ verbs, nonResourceURLs }));
  return {
    resourceRules,
    nonResourceRules,
    incomplete: problem !== undefined,
    ...(problem !== undefined && { evaluationError: problem }),
  };
}

function resourceRule({ verbs, apiGroups = [], resources = [], resourceNames }: PolicyRule) {
  return { verbs, apiGroups, resources, ...(resourceNames?.length && { resourceNames }) };
}

async function tokenReview(authenticator: Authenticator, spec: TokenReviewSpec): Promise<TokenReviewStatus> {
  const audiences = spec.audiences?.length ? spec.audiences : undefined;
  try {
    const found = await authenticator.authenticateToken(spec.token, audiences);
    if (!found) return { authenticated: false, user: {}, error: 'invalid bearer token' };
    return { authenticated: true, user: found.user, audiences: found.audiences };
  } catch (error) {
    return { authenticated: false, user: {}, error: (error as Error).message };
  }
}
