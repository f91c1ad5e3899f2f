// MutatingAdmissionPolicy: expressions that change what is stored, or asked of a connection, one after the other, each seeing what those before it made.
import { cloneJson, sameJson } from '../../../api/json.ts';
import type { Draft, KubeObject } from '../../../api/object.ts';
import { applyJsonPatch } from '../../../machinery/patch/json.ts';
import { forbidden, StatusError } from '../../../machinery/status.ts';
import { Budget } from '../../custom/rules/budget.ts';
import { completed, replaceBy, writtenType } from '../changed-object.ts';
import type { AdmissionPlugin, AdmissionRequest, AdmissionWorld, Admitted } from '../plugin.ts';
import { Activations, Evaluation } from './activation.ts';
import { mergedConfiguration } from './apply-configuration.ts';
import {
  type Invocation,
  invocationsOf,
  isBeyondPolicies,
  isInvocation,
  type Misconfigured,
  wantedBy,
} from './invocations.ts';
import { appliedConfiguration, jsonPatchOperations } from './messages.ts';
import { boundPolicies, type CompiledMutation } from './policies.ts';
import { nameOf } from './validating.ts';

export const mutatingPolicies: AdmissionPlugin = {
  name: 'MutatingAdmissionPolicy',
  operations: ['CREATE', 'UPDATE', 'CONNECT'],
  resources: 'all',
  admit(world, request, object) {
    const policies = boundPolicies(world, 'mutating');
    if (policies.length === 0 || isBeyondPolicies(request)) return undefined;
    const wanted = wantedBy(world, policies, request, object as KubeObject);
    return wanted.length === 0 ? undefined : new Round(world, request, object).first(wanted);
  },
};

/** What came of one invocation. */
interface Outcome {
  /** Its conditions are met. */
  readonly asked: boolean;
  readonly changed: boolean;
  /** It put an object in the object's place, if only the same one. */
  readonly written: boolean;
  readonly problems: readonly string[];
}

/** One request's way through the policies, and through some of them again when the object changed after they saw it. */
class Round {
  readonly #world: AdmissionWorld;
  readonly #request: AdmissionRequest;
  readonly #object: Draft<KubeObject>;
  /** Invocations that want to be repeated if the object changes. */
  readonly #seen = new Set<string>();
  readonly #again = new Set<string>();

  constructor(world: AdmissionWorld, request: AdmissionRequest, object: Draft<KubeObject>) {
    this.#world = world;
    this.#request = request;
    this.#object = object;
  }

  async first(wanted: Parameters<typeof invocationsOf>[1]): Promise<Admitted> {
    const changed = await this.#run(wanted, () => true);
    const last = this.#seen.size > 0 ? cloneJson(this.#object) : undefined;
    const again = async (): Promise<void> => {
      if (last && !sameJson(last, this.#object)) this.#recall();
      const repeated = new Set(this.#again);
      this.#again.clear();
      this.#seen.clear();
      if (repeated.size > 0) await this.#run(wanted, (key) => repeated.has(key));
    };
    return { changed, again };
  }

  #recall(): void {
    for (const key of this.#seen) this.#again.add(key);
    this.#seen.clear();
  }

  async #run(wanted: Parameters<typeof invocationsOf>[1], isMeant: (key: string) => boolean): Promise<boolean> {
    const problems: Misconfigured[] = [];
    let written = false;
    for (const one of await invocationsOf(this.#world, wanted, this.#request, this.#object as KubeObject)) {
      if (!isInvocation(one)) {
        problems.push(one);
        continue;
      }
      const key = keyOf(one);
      if (!isMeant(key)) continue;
      const outcome = await this.#invoke(one);
      problems.push(...outcome.problems.map((why) => ({ ...one, why, isInvalid: true })));
      if (outcome.changed) this.#recall();
      if (one.policy.reinvoked && outcome.asked) this.#seen.add(key);
      written ||= outcome.written;
    }
    // As upstream: what a policy wrote itself has it asked again too.
    if (written) this.#recall();
    const refused = problems.filter(({ policy }) => policy.failsClosed);
    if (refused.length > 0) throw refusal(this.#request, this.#object as KubeObject, refused);
    return written;
  }

  async #invoke(one: Invocation): Promise<Outcome> {
    const problems: string[] = [];
    let changed = false;
    let written = false;
    const evaluation = (): Promise<Evaluation> => this.#evaluation(one);
    try {
      if (!(await (await evaluation()).meets(one.policy))) return { asked: false, changed, written, problems };
    } catch (error) {
      if (error instanceof StatusError) throw error;
      return { asked: false, changed, written, problems: [(error as Error).message] };
    }
    for (const mutation of one.policy.mutations) {
      try {
        if (await this.#mutate(one, mutation, await evaluation())) changed = true;
        written = true;
      } catch (error) {
        this.#world.ctx.signal.throwIfAborted();
        if (error instanceof StatusError) throw error;
        problems.push((error as Error).message);
      }
    }
    return { asked: true, changed, written, problems };
  }

  async #evaluation(one: Invocation): Promise<Evaluation> {
    const bindings = await new Activations(this.#world, this.#request).in(one.as, this.#object as KubeObject, true);
    return new Evaluation(bindings, one, new Budget());
  }

  async #mutate({ as }: Invocation, mutation: CompiledMutation, evaluation: Evaluation): Promise<boolean> {
    const world = this.#world;
    const request = this.#request;
    const value = evaluation.run(mutation.expression);
    const before = cloneJson(await world.inVersion(this.#object as KubeObject, as));
    const document =
      mutation.patchType === 'JSONPatch'
        ? patched(before, jsonPatchOperations(value))
        : mergedConfiguration(world.tables, writtenType(world, as, request), before, appliedConfiguration(value));
    if (document === before) return false;
    return replaceBy(this.#object, await completed(world, as, request, document));
  }
}

/** A test that fails leaves everything as it is. */
function patched(object: KubeObject, operations: readonly object[]): KubeObject {
  try {
    return applyJsonPatch(object, operations);
  } catch (error) {
    const { cause } = error as { cause?: Error };
    if (cause && /^testing .* failed/i.test(cause.message)) return object;
    throw new Error(`JSONPath: ${(cause ?? (error as Error)).message}`, { cause: error });
  }
}

const keyOf = ({ policy, binding, param }: Invocation): string =>
  JSON.stringify([policy.name, binding.name, param?.metadata.namespace, param?.metadata.name]);

function refusal(
  { target }: AdmissionRequest,
  object: KubeObject,
  problems: readonly (Misconfigured & { readonly isInvalid?: boolean })[],
): StatusError {
  const messages = problems.map(({ policy, binding, why }) =>
    binding
      ? `policy '${policy.name}' with binding '${binding.name}' denied request: ${why}`
      : `policy ${JSON.stringify(policy.name)} denied request: ${why}`,
  );
  const { details, code } = forbidden(target.resource, target.name ?? nameOf(object), '');
  const reason = problems[0]?.isInvalid ? 'Invalid' : 'Forbidden';
  const causes = messages.map((message) => ({ message }));
  return new StatusError(reason, messages[0]!, { ...details, causes }, { code });
}
