// MutatingAdmissionWebhook: webhooks that change what is stored, or asked of a connection, one after the other, each seeing what those before it made.
import { cloneJson, parseJson, sameJson } from '../../../api/json.ts';
import type { Draft, KubeObject } from '../../../api/object.ts';
import type { Resource } from '../../../api/tables.ts';
import { applyJsonPatch } from '../../../machinery/patch/json.ts';
import { StatusError } from '../../../machinery/status.ts';
import { completed, replaceBy } from '../changed-object.ts';
import type { AdmissionPlugin, AdmissionRequest, AdmissionWorld, Admitted } from '../plugin.ts';
import { ask } from './ask.ts';
import { type Hook, hooksOf } from './hooks.ts';
import { isExempt } from './matching.ts';
import { nothingToModify } from './review.ts';

export const mutatingWebhooks: AdmissionPlugin = {
  name: 'MutatingAdmissionWebhook',
  operations: ['CREATE', 'UPDATE', 'DELETE', 'CONNECT'],
  resources: 'all',
  admit(world, request, object) {
    const hooks = isExempt(request) ? [] : hooksOf(world, 'mutatingwebhookconfigurations');
    return hooks.length === 0 ? undefined : new Round(world, request, object).first(hooks);
  },
  // What is deleted is not written: webhooks may refuse it.
  async validate(world, request) {
    if (isExempt(request) || request.operation !== 'DELETE') return;
    for (const hook of hooksOf(world, 'mutatingwebhookconfigurations')) {
      const consent = await ask(world, hook, request, undefined, true);
      if (consent?.patch !== undefined) throw nothingToModify(hook.name);
    }
  },
};

/** One request's way through the webhooks, and through some of them again when the object changed after they saw it. */
class Round {
  readonly #world: AdmissionWorld;
  readonly #request: AdmissionRequest;
  readonly #object: Draft<KubeObject>;
  /** Webhooks that want to be asked again if the object changes. */
  readonly #seen = new Set<Hook>();
  readonly #again = new Set<Hook>();
  #last: unknown;

  constructor(world: AdmissionWorld, request: AdmissionRequest, object: Draft<KubeObject>) {
    this.#world = world;
    this.#request = request;
    this.#object = object;
  }

  /** Asks all; when one changed the object the plugins before are to look at it once more, and then the webhooks that want to. */
  async first(hooks: readonly Hook[]): Promise<Admitted> {
    const changed = await this.#ask(hooks);
    this.#last = this.#seen.size > 0 ? cloneJson(this.#object) : undefined;
    const again = async (): Promise<void> => {
      if (this.#last && !sameJson(this.#last, this.#object)) this.#recall();
      const again = [...this.#again];
      this.#again.clear();
      this.#seen.clear();
      await this.#ask(again);
    };
    return { changed, again };
  }

  #recall(): void {
    for (const hook of this.#seen) this.#again.add(hook);
    this.#seen.clear();
  }

  async #ask(hooks: readonly Hook[]): Promise<boolean> {
    let changed = false;
    for (const hook of hooks) {
      const consent = await ask(this.#world, hook, this.#request, this.#object as KubeObject, true);
      if (consent?.patch !== undefined && (await this.#apply(consent.as, consent.patch))) {
        changed = true;
        this.#recall();
      }
      if (consent && hook.reinvoked) this.#seen.add(hook);
    }
    return changed;
  }

  /** Puts what the patch makes of the object in its place; says whether anything changed. */
  async #apply(as: Resource, patch: string): Promise<boolean> {
    const world = this.#world;
    const object = this.#object;
    return replaceBy(object, await patchedObject(world, as, this.#request, object as KubeObject, patch));
  }
}

async function patchedObject(
  world: AdmissionWorld,
  as: Resource,
  request: AdmissionRequest,
  object: KubeObject,
  patch: string,
): Promise<Draft<KubeObject>> {
  try {
    const before = cloneJson(await world.inVersion(object, as));
    return await completed(world, as, request, applyJsonPatch(before, parseJson(patch)) as KubeObject);
  } catch (error) {
    const why = error instanceof StatusError ? (error.details?.causes?.[0]?.message ?? error.message) : String(error);
    throw new StatusError('InternalError', `Internal error occurred: ${why}`, undefined, { cause: error });
  }
}
