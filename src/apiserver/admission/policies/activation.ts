// What a request brings to the expressions of policies, made once for all policies that look at it in the same version.
import type { Namespace } from '../../../api/generated/types.ts';
import type { KubeObject } from '../../../api/object.ts';
import type { Resource } from '../../../api/tables.ts';
import { uuid } from '../../../lib/random.ts';
import { nextTurn } from '../../../lib/turns.ts';
import { notFound } from '../../../machinery/status.ts';
import { Budget, MATCH_CONDITIONS_COST_BUDGET } from '../../custom/rules/budget.ts';
import { celTime } from '../../custom/rules/types.ts';
import type { AdmissionRequest, AdmissionWorld } from '../plugin.ts';
import { authorizerOf } from '../webhooks/cel-authorizer.ts';
import { namespaceOf } from '../webhooks/matching.ts';
import { reviewRequest } from '../webhooks/review.ts';
import { type Bindings, type Expression, variablesOf, variableValue } from './expressions.ts';
import type { Invocation } from './invocations.ts';
import type { Policy } from './policies.ts';

/** The variables of one request, in each version as it is asked for. */
export class Activations {
  readonly #world: AdmissionWorld;
  readonly #request: AdmissionRequest;
  readonly #byVersion = new Map<Resource, { of: KubeObject | undefined; bindings: Bindings }>();
  #namespace: unknown;

  constructor(world: AdmissionWorld, request: AdmissionRequest) {
    this.#world = world;
    this.#request = request;
  }

  /** `object` is in the version of the request's row; what it was asked about before may have changed since. */
  async in(as: Resource, object: KubeObject | undefined, isDraft: boolean): Promise<Bindings> {
    const known = isDraft ? undefined : this.#byVersion.get(as);
    if (known && known.of === object) return known.bindings;
    const world = this.#world;
    const request = this.#request;
    const shown = object && (await world.inVersion(object, as));
    const old = request.old && (await world.inVersion(request.old, as));
    this.#namespace ??= await namespaceVariable(world, request, object);
    const asked = { uid: uuid(world.env.random), as, object: shown, oldObject: old };
    const { uid: _, object: __, oldObject: ___, ...described } = reviewRequest(world.ctx, request, asked);
    const bindings = {
      object: variableValue(shown),
      oldObject: variableValue(old),
      request: variableValue(described),
      namespaceObject: this.#namespace,
      authorizer: authorizerFor(world, request, described),
    };
    this.#byVersion.set(as, { of: object, bindings });
    return bindings;
  }
}

/** Runs the expressions of one policy for one request and parameter. */
export class Evaluation {
  readonly #bindings: Bindings;
  readonly #budget: Budget;

  constructor(bindings: Bindings, { policy, param }: Invocation, budget: Budget) {
    this.#budget = budget;
    const all = { ...bindings, params: variableValue(param), variables: {} };
    all.variables = variablesOf(policy.variables, () => all, budget);
    this.#bindings = all;
  }

  /** To be awaited between expressions: lets others go on where these take long. */
  async turn(): Promise<void> {
    if (this.#budget.isLongTurn) await nextTurn();
  }

  run(expression: Expression): unknown {
    return expression.run(this.#bindings, this.#budget);
  }

  /** Whether all conditions hold; throws an Error when none is false, but some cannot be told. */
  async meets({ conditions }: Policy): Promise<boolean> {
    const errors: string[] = [];
    // What they cost is not taken from what validations may.
    const budget = new Budget(MATCH_CONDITIONS_COST_BUDGET);
    for (const condition of conditions) {
      if (budget.isLongTurn) await nextTurn();
      try {
        if (condition.run(this.#bindings, budget) !== true) return false;
      } catch (error) {
        errors.push((error as Error).message);
      }
    }
    if (errors.length === 0) return true;
    throw new Error(errors.length === 1 ? errors[0] : `[${errors.join(', ')}]`);
  }
}

function authorizerFor(
  world: AdmissionWorld,
  { target }: AdmissionRequest,
  described: { readonly [member: string]: unknown },
): unknown {
  const { rbac } = world;
  const authorize = rbac && ((...asked: Parameters<typeof rbac.authorize>) => rbac.authorize(...asked));
  const { group, version, resource } = target.resource;
  const { subresource = '' } = target;
  const text = (member: string): string => String(described[member] ?? '');
  const requestResource = { group, version, resource, subresource, namespace: text('namespace'), name: text('name') };
  return authorizerOf({ authorize, requestResource }, world.ctx.user);
}

/** The request's namespace; null where it has none, or is about one. */
async function namespaceVariable(
  world: AdmissionWorld,
  request: AdmissionRequest,
  object: KubeObject | undefined,
): Promise<unknown> {
  const { group, resource } = request.target.resource;
  const name = group === '' && resource === 'namespaces' ? '' : namespaceOf(request, object);
  if (name === '') return null;
  const found = (world.get('', 'namespaces', undefined, name) ??
    (await world.present('', 'namespaces', undefined, name))) as Namespace | undefined;
  if (!found) throw notFound({ group: '', resource: 'namespaces' }, name);
  const { managedFields: _, ownerReferences: __, ...metadata } = found.metadata;
  const { creationTimestamp, deletionTimestamp } = metadata;
  const value = variableValue({ ...found, metadata }) as { metadata: object };
  const times = {
    ...(creationTimestamp && { creationTimestamp: celTime(creationTimestamp) }),
    ...(deletionTimestamp && { deletionTimestamp: celTime(deletionTimestamp) }),
  };
  return { ...value, metadata: { ...value.metadata, ...times } };
}
