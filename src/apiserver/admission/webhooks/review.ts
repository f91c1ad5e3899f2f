// AdmissionReview: what a webhook is asked, and what its answer means.
import type { KubeObject } from '../../../api/object.ts';
import type { Resource } from '../../../api/tables.ts';
import { badRequest, errorFromStatus, StatusError, type StatusObject } from '../../../machinery/status.ts';
import type { RequestContext } from '../../contract.ts';
import type { AdmissionRequest } from '../plugin.ts';
import { namespaceOf } from './matching.ts';

const VERSIONS = ['v1', 'v1beta1'] as const;
export type ReviewVersion = (typeof VERSIONS)[number];

/** The first version that both sides know; undefined: none. */
export function knownReviewVersion(versions: readonly string[] | undefined): ReviewVersion | undefined {
  for (const version of versions ?? []) {
    const known = VERSIONS.find((one) => one === version);
    if (known) return known;
  }
  return undefined;
}

interface Subject {
  readonly uid: string;
  /** The version that the webhook is asked about. */
  readonly as: Resource;
  readonly object: unknown;
  readonly oldObject: unknown;
}

/** The request of a review, without its objects where expressions look at it. */
export function reviewRequest(
  ctx: RequestContext,
  request: AdmissionRequest,
  { uid, as, object, oldObject }: Subject,
): { readonly [member: string]: unknown } {
  const { target, operation, dryRun } = request;
  const { subresource, resource: asked } = target;
  const sub = subresource === undefined ? {} : { subResource: subresource };
  const requestSub = subresource === undefined ? {} : { requestSubResource: subresource };
  const named = object as KubeObject | undefined;
  const name = target.name ?? named?.metadata?.name;
  const namespace = namespaceOf(request, named);
  const { username, uid: userUid, groups, extra } = ctx.user;
  return {
    uid,
    kind: kindOf(as, subresource),
    resource: resourceOf(as),
    ...sub,
    requestKind: kindOf(asked, subresource),
    requestResource: resourceOf(asked),
    ...requestSub,
    ...(name && { name }),
    ...(namespace !== '' && { namespace }),
    operation,
    userInfo: { username, ...(userUid !== undefined && { uid: userUid }), groups, ...(extra && { extra }) },
    object: object ?? null,
    oldObject: oldObject ?? null,
    dryRun,
    options: optionsOf(request),
  };
}

function kindOf(row: Resource, subresource: string | undefined): object {
  const { group, version, kind } = (subresource !== undefined && row.subresources.get(subresource)) || row;
  return { group, version, kind };
}

function resourceOf({ group, version, resource }: Resource): object {
  return { group, version, resource };
}

const OPTIONS_KINDS = { CREATE: 'CreateOptions', UPDATE: 'UpdateOptions', DELETE: 'DeleteOptions' } as const;

function optionsOf({ operation, dryRun, options }: AdmissionRequest): object | null {
  if (operation === 'CONNECT') return null;
  const { dryRun: _, ...more } = (options ?? {}) as { readonly dryRun?: boolean };
  return { kind: OPTIONS_KINDS[operation], apiVersion: 'meta.k8s.io/v1', ...more, ...(dryRun && { dryRun: ['All'] }) };
}

export interface Answer {
  readonly allowed: boolean;
  /** Why not. */
  readonly status: Partial<StatusObject> | undefined;
  /** Text of a JSON patch; undefined: the object stays as it is. */
  readonly patch: string | undefined;
  readonly warnings: readonly string[];
}

interface Review {
  readonly kind?: string;
  readonly apiVersion?: string;
  readonly response?: {
    readonly uid?: string;
    readonly allowed?: boolean;
    readonly status?: Partial<StatusObject>;
    readonly patch?: string;
    readonly patchType?: string;
    readonly warnings?: readonly string[];
  };
}

/** What a webhook said; throws a plain Error for an answer that is none. */
export function readAnswer(
  said: unknown,
  asked: { readonly uid: string; readonly version: ReviewVersion; readonly mutating: boolean },
): Answer {
  const { kind = '', apiVersion = '', response } = (said ?? {}) as Review;
  if (!response) throw new Error('webhook response was absent');
  const { patch, patchType, uid = '', warnings } = response;
  if (asked.version === 'v1') {
    if (uid !== asked.uid)
      throw new Error(`expected response.uid=${JSON.stringify(asked.uid)}, got ${JSON.stringify(uid)}`);
    if (kind !== 'AdmissionReview' || apiVersion !== 'admission.k8s.io/v1') {
      const got = `${apiVersion}, Kind=${kind}`;
      throw new Error(`expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got ${got}`);
    }
    if (asked.mutating && patch && patchType === undefined) {
      throw new Error('webhook returned response.patch but not response.patchType');
    }
    if (asked.mutating && !patch && patchType !== undefined) {
      throw new Error('webhook returned response.patchType but not response.patch');
    }
    if (!asked.mutating && patch) throw new Error('validating webhook may not return response.patch');
    if (!asked.mutating && patchType !== undefined)
      throw new Error('validating webhook may not return response.patchType');
  }
  if (patch && patchType !== undefined && patchType !== 'JSONPatch') {
    throw new Error(`webhook returned invalid response.patchType of ${JSON.stringify(patchType)}`);
  }
  return {
    allowed: response.allowed === true,
    status: response.status,
    patch: asked.mutating && patch ? Buffer.from(patch, 'base64').toString('utf8') : undefined,
    warnings: warnings ?? [],
  };
}

/** The refusal of a request that a webhook denied. */
export function denied(hook: string, status: Partial<StatusObject> | undefined): StatusError {
  const denial = `admission webhook ${JSON.stringify(hook)} denied the request`;
  const why = status?.message || status?.reason;
  const code = Math.max(status?.code ?? 0, 400);
  return errorFromStatus(
    { ...status, message: why ? `${denial}: ${why}` : `${denial} without explanation`, code },
    code,
  );
}

/** The failure of a request because a webhook could not be asked, or did not answer properly. */
export function failedCall(hook: string, cause: Error): StatusError {
  const message = `Internal error occurred: failed calling webhook ${JSON.stringify(hook)}: ${cause.message}`;
  return new StatusError('InternalError', message, undefined, { cause });
}

export function noDryRun(hook: string): StatusError {
  return badRequest(`admission webhook ${JSON.stringify(hook)} does not support dry run`);
}

/** A patch of something that this operation does not store. */
export function nothingToModify(hook: string): StatusError {
  const why = `admission webhook ${JSON.stringify(hook)} attempted to modify the object, which is not supported for this operation`;
  return new StatusError('InternalError', `Internal error occurred: ${why}`);
}
