// MutatingAdmissionWebhook: webhooks that change what is stored, one after the other, each seeing what those before it made.
import { decode } from '../../../api/codec.ts';
import { applyDefaults } from '../../../api/defaults.ts';
import { cloneJson, parseJson, sameJson } from '../../../api/json.ts';
import type { Draft, KubeObject } from '../../../api/object.ts';
import { apiVersionOf, type Resource } from '../../../api/tables.ts';
import { applyJsonPatch } from '../../../machinery/patch/json.ts';
import { StatusError } from '../../../machinery/status.ts';
import type { AdmissionPlugin, AdmissionRequest, AdmissionWorld, AdmitAgain } from '../plugin.ts';
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
  // What is deleted or connected to is not written: webhooks may refuse it.
  async validate(world, request) {
    if (isExempt(request) || (request.operation !== 'DELETE' && request.operation !== 'CONNECT')) return;
    for (const hook of hooksOf(world, 'mutatingwebhookconfigurations')) {
      const consent = await ask(world, hook, request, request.connect, true);
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
  async first(hooks: readonly Hook[]): Promise<AdmitAgain | undefined> {
    if (!(await this.#ask(hooks))) return undefined;
    this.#last = cloneJson(this.#object);
    return async () => {
      if (!sameJson(this.#last, this.#object)) this.#recall();
      const again = [...this.#again];
      this.#again.clear();
      this.#seen.clear();
      await this.#ask(again);
    };
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
    const patched = await patchedObject(world, { as, ...this.#typeAndRow() }, object as KubeObject, patch);
    if (sameJson(patched, object)) return false;
    const members = object as unknown as { [member: string]: unknown };
    for (const member of Object.keys(members)) delete members[member];
    Object.assign(members, patched);
    return true;
  }

  #typeAndRow(): { readonly row: Resource; readonly subresource: string | undefined } {
    return { row: this.#request.row, subresource: this.#request.target.subresource };
  }
}

interface Versions {
  /** The webhook's version, and the one that is kept. */
  readonly as: Resource;
  readonly row: Resource;
  readonly subresource: string | undefined;
}

async function patchedObject(
  world: AdmissionWorld,
  { as, row, subresource }: Versions,
  object: KubeObject,
  patch: string,
): Promise<Draft<KubeObject>> {
  try {
    const before = cloneJson(await world.inVersion(object, as));
    const document = applyJsonPatch(before, parseJson(patch)) as KubeObject;
    const sub = subresource === undefined ? undefined : as.subresources.get(subresource);
    const type = (sub && world.tables.typeOfKind(apiVersionOf(sub), sub.kind)) ?? as.type;
    const { object: decoded } = decode<KubeObject>(world.tables, type, cloneJson(document), {
      fieldValidation: 'Ignore',
    });
    applyDefaults(world.tables, type, decoded);
    return cloneJson(await world.inVersion(decoded as KubeObject, row, as)) as Draft<KubeObject>;
  } catch (error) {
    const why = error instanceof StatusError ? (error.details?.causes?.[0]?.message ?? error.message) : String(error);
    throw new StatusError('InternalError', `Internal error occurred: ${why}`, undefined, { cause: error });
  }
}
