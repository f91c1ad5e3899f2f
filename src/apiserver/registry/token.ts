// serviceaccounts/token: a TokenRequest is answered with a token bound to the account and, where asked, to an object.
import type { Node, Pod, ServiceAccount, TokenRequest } from '../../api/generated/types.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import { rfc3339 } from '../../lib/clock.ts';
import { badRequest, conflict, type FieldError, invalid, isReason } from '../../machinery/status.ts';
import { admit, reviewAdmission } from '../admission/admit.ts';
import type { Bound, TokenClaims } from '../auth/service-account-tokens.ts';
import type { RequestContext, Target } from '../contract.ts';
import { invalidValue, notSupported } from '../strategies/field-errors.ts';
import { builtIn, type Core } from './context.ts';
import { get } from './get.ts';
import { notOffered } from './plain-answers.ts';

const MIN_SECONDS = 600;
const MAX_SECONDS = 2 ** 32;
const DEFAULT_SECONDS = 3600;

export async function requestToken(
  core: Core,
  ctx: RequestContext,
  target: Target,
  body: KubeObject,
): Promise<KubeObject> {
  if (!core.tokens) throw notOffered('service account tokens');
  const { name = '', namespace = '' } = target;
  const request = body as TokenRequest;
  const { subresource: _, ...account } = target;
  const serviceAccount = (await get(core, ctx, account, {})).object as ServiceAccount;
  const expirationSeconds = Number(request.spec?.expirationSeconds ?? DEFAULT_SECONDS);
  const audiences = request.spec?.audiences?.length ? request.spec.audiences : core.tokens.audiences;
  validate(request, expirationSeconds);
  const admission = { operation: 'CREATE' as const, target, row: target.resource, old: undefined, dryRun: false };
  await admit(core, ctx, admission, request as Draft<KubeObject>);
  await reviewAdmission(core, ctx, admission, request);
  const bound = await boundObjects(core, ctx, target, request);
  const issued = await core.tokens.issue({
    namespace,
    serviceAccount: { name, uid: serviceAccount.metadata.uid ?? '' },
    audiences,
    expirationSeconds,
    ...bound,
  });
  const answer: TokenRequest = {
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: { name, namespace, creationTimestamp: rfc3339(core.env.clock.now()) },
    spec: { ...request.spec, audiences, expirationSeconds },
    status: { token: issued.token, expirationTimestamp: rfc3339(issued.expiresAtMs) },
  };
  return answer;
}

const BINDABLE: { readonly [kind: string]: { readonly resource: string; readonly namespaced: boolean } } = {
  Pod: { resource: 'pods', namespaced: true },
  Secret: { resource: 'secrets', namespaced: true },
  Node: { resource: 'nodes', namespaced: false },
};

function validate(request: TokenRequest, seconds: number): void {
  const errors: FieldError[] = [];
  const at = 'spec.expirationSeconds';
  if (seconds < MIN_SECONDS) errors.push(invalidValue(at, seconds, 'may not specify a duration less than 10 minutes'));
  if (seconds > MAX_SECONDS)
    errors.push(invalidValue(at, seconds, 'may not specify a duration larger than 2^32 seconds'));
  const ref = request.spec?.boundObjectRef;
  if (ref && !(ref.kind && Object.hasOwn(BINDABLE, ref.kind) && (ref.apiVersion ?? 'v1') === 'v1')) {
    errors.push(notSupported('spec.boundObjectRef.kind', ref.kind ?? '', Object.keys(BINDABLE)));
  }
  if (errors.length > 0) throw invalid({ group: 'authentication.k8s.io', kind: 'TokenRequest' }, '', errors);
}

/** The claims of the object that the token is bound to; it must exist and be the one that is meant. */
async function boundObjects(
  core: Core,
  ctx: RequestContext,
  target: Target,
  request: TokenRequest,
): Promise<Pick<TokenClaims, 'pod' | 'secret' | 'node'>> {
  const ref = request.spec?.boundObjectRef;
  const rule = BINDABLE[ref?.kind ?? ''];
  if (!ref || !rule) return {};
  const row = builtIn(core, '', rule.resource);
  const place = { resource: row, name: ref.name ?? '', ...(rule.namespaced && { namespace: target.namespace ?? '' }) };
  const { object } = await get(core, ctx, place, {});
  const { uid = '', name } = object.metadata;
  if (ref.uid && ref.uid !== uid) {
    const why = `the UID in the bound object reference (${ref.uid}) does not match the UID in record. The object might have been deleted and then recreated`;
    throw conflict({ group: '', resource: rule.resource }, name, why);
  }
  const bound: Bound = { name, uid };
  if (ref.kind === 'Secret') return { secret: bound };
  if (ref.kind === 'Node') return { node: bound };
  const pod = object as Pod;
  if (pod.spec.serviceAccountName !== target.name) {
    const text = `cannot bind token for serviceaccount ${JSON.stringify(target.name)} to pod running with different serviceaccount name.`;
    throw badRequest(text);
  }
  const node = await nodeOf(core, ctx, pod);
  return { pod: bound, ...(node && { node }) };
}

/** The pod's node, where there is one; a node that is gone is left out. */
async function nodeOf(core: Core, ctx: RequestContext, pod: Pod): Promise<Bound | undefined> {
  if (!pod.spec.nodeName) return undefined;
  try {
    const target = { resource: builtIn(core, '', 'nodes'), name: pod.spec.nodeName };
    const node = (await get(core, ctx, target, { resourceVersion: '0' })).object as Node;
    return { name: node.metadata.name, uid: node.metadata.uid ?? '' };
  } catch (error) {
    if (isReason(error, 'NotFound')) return { name: pod.spec.nodeName, uid: '' };
    throw error;
  }
}
