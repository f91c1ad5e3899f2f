// Asks one webhook about a request that it wants.
import type { KubeObject } from '../../../api/object.ts';
import type { Resource } from '../../../api/tables.ts';
import { uuid } from '../../../lib/random.ts';
import { forbidden } from '../../../machinery/status.ts';
import type { AdmissionRequest, AdmissionWorld } from '../plugin.ts';
import type { Hook } from './hooks.ts';
import { wantedAs } from './matching.ts';
import { type Answer, denied, failedCall, noDryRun, readAnswer, reviewRequest } from './review.ts';

/** A webhook's consent, and the version in which it was asked. */
export interface Consent {
  readonly as: Resource;
  readonly patch: string | undefined;
}

/**
 * What a webhook says to a request; undefined: it was not asked, or could not be and is passed over. Throws a StatusError
 * when it denies the request, or could not be asked and must be. `object` is in the version of the request's row.
 */
export async function ask(
  world: AdmissionWorld,
  hook: Hook,
  request: AdmissionRequest,
  object: KubeObject | undefined,
  mutating: boolean,
): Promise<Consent | undefined> {
  const as = await wantedAs(world, hook, request, object);
  if (!as) return undefined;
  const uid = uuid(world.env.random);
  const shown = object && (await world.inVersion(object, as));
  const oldObject = request.old && (await world.inVersion(request.old, as));
  const subject = reviewRequest(world.ctx, request, { uid, as, object: shown, oldObject });
  if (!(await meetsConditions(world, hook, request, subject))) return undefined;
  if (request.dryRun && !hook.harmless) throw noDryRun(hook.name);
  const answer = await callHook(world, hook, subject, mutating);
  if (!answer) return undefined;
  for (const text of answer.warnings) world.ctx.warn(text);
  if (!answer.allowed) throw denied(hook.name, answer.status);
  return { as, patch: answer.patch };
}

async function callHook(
  world: AdmissionWorld,
  hook: Hook,
  subject: { readonly uid?: unknown },
  mutating: boolean,
): Promise<Answer | undefined> {
  const { signal } = world.ctx;
  const asked = { uid: String(subject.uid), version: hook.reviewVersion, mutating };
  const review = { kind: 'AdmissionReview', apiVersion: `admission.k8s.io/${hook.reviewVersion}`, request: subject };
  const call = async (): Promise<unknown> => {
    if (!world.callWebhook) throw new Error('failed to call webhook: this server asks no webhooks');
    return world.callWebhook(hook.client, review, { timeoutMs: hook.timeoutMs, signal }).catch((error: Error) => {
      throw new Error(`failed to call webhook: ${error.message}`, { cause: error });
    });
  };
  try {
    const said = await call();
    try {
      return readAnswer(said, asked);
    } catch (error) {
      throw new Error(`received invalid webhook response: ${(error as Error).message}`, { cause: error });
    }
  } catch (error) {
    signal.throwIfAborted();
    if (hook.failsClosed) throw failedCall(hook.name, error as Error);
    world.env.log.warn('a webhook is passed over', { webhook: hook.name, reason: (error as Error).message });
    return undefined;
  }
}

async function meetsConditions(
  world: AdmissionWorld,
  hook: Hook,
  request: AdmissionRequest,
  subject: { readonly [member: string]: unknown },
): Promise<boolean> {
  if (hook.conditions.count === 0) return true;
  const { object, oldObject, ...described } = subject;
  const { group, version, resource } = request.target.resource;
  const { subresource = '' } = request.target;
  const text = (member: string): string => String(subject[member] ?? '');
  const place = { group, version, resource, subresource, namespace: text('namespace'), name: text('name') };
  const { rbac } = world;
  const authorize = rbac && ((...asked: Parameters<typeof rbac.authorize>) => rbac.authorize(...asked));
  const authorizer = { authorize, requestResource: place };
  const verdict = await hook.conditions.evaluate({
    request: described,
    object,
    oldObject,
    authorizer,
    user: world.ctx.user,
  });
  if (verdict.kind === 'unclear' && hook.failsClosed) throw forbidden(request.row, place.name, verdict.why);
  return verdict.kind === 'matches';
}
