// ValidatingAdmissionPolicy: expressions that judge what is about to be stored, deleted or connected to.
import type { KubeObject } from '../../../api/object.ts';
import { forbidden, REASONS, type Reason, StatusError } from '../../../machinery/status.ts';
import { Budget, OutOfBudget } from '../../custom/rules/budget.ts';
import type { AdmissionPlugin, AdmissionRequest, AdmissionWorld } from '../plugin.ts';
import { Activations, Evaluation } from './activation.ts';
import {
  type Invocation,
  invocationsOf,
  isBeyondPolicies,
  isInvocation,
  type Misconfigured,
  wantedBy,
} from './invocations.ts';
import { type BoundPolicy, boundPolicies, type CompiledValidation } from './policies.ts';

export const validatingPolicies: AdmissionPlugin = {
  name: 'ValidatingAdmissionPolicy',
  operations: ['CREATE', 'UPDATE', 'DELETE', 'CONNECT'],
  resources: 'all',
  validate(world, request, object) {
    const policies = boundPolicies(world, 'validating');
    if (policies.length === 0 || isBeyondPolicies(request)) return undefined;
    const subject = object ?? request.connect;
    const wanted = wantedBy(world, policies, request, subject);
    return wanted.length === 0 ? undefined : judge(world, request, subject, wanted);
  },
};

/** Characters of one value. */
const MAX_ANNOTATION = 10 * 1024;

/** What policies have to say to the audit: the values of a key, each once. */
class Annotations {
  readonly #values = new Map<string, Set<string>>();

  add(key: string, value: string): void {
    this.#values.set(key, (this.#values.get(key) ?? new Set()).add(value));
  }

  publish({ ctx }: AdmissionWorld): void {
    for (const [key, values] of this.#values) ctx.annotate?.(key, [...values].join(', '));
  }
}

/** Why a policy refuses. */
interface Denial {
  readonly message: string;
  readonly reason?: string;
  /** Refuses whatever the binding's actions are. */
  readonly always?: true;
}

async function judge(
  world: AdmissionWorld,
  request: AdmissionRequest,
  object: KubeObject | undefined,
  wanted: readonly BoundPolicy[],
): Promise<void> {
  const activations = new Activations(world, request);
  const refusals: StatusError[] = [];
  const told = new Annotations();
  for (const one of await invocationsOf(world, wanted, request, object)) {
    if (!isInvocation(one)) {
      if (one.policy.failsClosed) refusals.push(refusal(request, object, one, { message: one.why }));
      continue;
    }
    const evaluation = new Evaluation(await activations.in(one.as, object, false), one, new Budget());
    for (const [i, denial] of (await denials(told, one, evaluation)).entries()) {
      if (denial) refusals.push(...act(world, request, object, one, denial, i));
    }
  }
  told.publish(world);
  if (refusals[0]) throw refusals[0];
}

/** Does what the binding says of a denial; answers the refusal of the request, if it is to be refused. */
function act(
  world: AdmissionWorld,
  request: AdmissionRequest,
  object: KubeObject | undefined,
  one: Invocation,
  denial: Denial,
  index: number,
): StatusError[] {
  const { policy, binding } = one;
  if (denial.always) return [refusal(request, object, one, denial)];
  const refused: StatusError[] = [];
  for (const action of binding.actions) {
    if (action === 'Deny') refused.push(refusal(request, object, one, denial));
    else if (action === 'Warn') {
      const who = `ValidatingAdmissionPolicy '${policy.name}' with binding '${binding.name}'`;
      world.ctx.warn(`Validation failed for ${who}: ${denial.message}`);
    } else if (action === 'Audit') {
      const { name } = policy;
      const failure = { message: denial.message, policy: name, binding: binding.name, expressionIndex: index };
      const told = [{ ...failure, validationActions: binding.actions }];
      world.ctx.annotate?.('validation.policy.admission.k8s.io/validation_failure', JSON.stringify(told));
    }
  }
  return refused;
}

/** One entry for each validation, then what audit annotations refuse. */
async function denials(
  told: Annotations,
  one: Invocation,
  evaluation: Evaluation,
): Promise<readonly (Denial | undefined)[]> {
  const { policy } = one;
  const failed = (error: unknown): Denial[] => (policy.failsClosed ? [{ message: (error as Error).message }] : []);
  try {
    if (!(await evaluation.meets(policy))) return [];
  } catch (error) {
    return failed(error);
  }
  const found: (Denial | undefined)[] = [];
  try {
    for (const validation of policy.validations) {
      await evaluation.turn();
      found.push(verdict(validation, evaluation, policy.failsClosed));
    }
  } catch (error) {
    return failed(error);
  }
  return [...found, ...(await auditProblems(told, one, evaluation))];
}

/** Throws OutOfBudget: then no other validation has a say either. */
function verdict(validation: CompiledValidation, evaluation: Evaluation, failsClosed: boolean): Denial | undefined {
  const { source } = validation;
  try {
    if (evaluation.run(validation.expression) === true) return undefined;
  } catch (error) {
    if (error instanceof OutOfBudget) throw error;
    return failsClosed ? { message: (error as Error).message } : undefined;
  }
  try {
    return { message: messageOf(validation, evaluation), ...(source.reason && { reason: source.reason }) };
  } catch (error) {
    return failsClosed ? { message: `failed messageExpression: ${(error as Error).message}` } : undefined;
  }
}

/** Bytes that a worked-out message may have. */
const MAX_MESSAGE_BYTES = 5 * 1024;

function messageOf({ source, message }: CompiledValidation, evaluation: Evaluation): string {
  let made: unknown;
  try {
    made = message && evaluation.run(message);
  } catch (error) {
    if (error instanceof OutOfBudget) throw error;
  }
  const text = typeof made === 'string' ? made.trim() : '';
  if (text !== '' && Buffer.byteLength(text) <= MAX_MESSAGE_BYTES && !text.includes('\n')) return text;
  return source.message?.trim() || `failed expression: ${source.expression.trim()}`;
}

async function auditProblems(told: Annotations, { policy }: Invocation, evaluation: Evaluation): Promise<Denial[]> {
  const problems: Denial[] = [];
  for (const { key, value } of policy.auditAnnotations) {
    await evaluation.turn();
    try {
      const said = evaluation.run(value);
      if (typeof said !== 'string' && said !== null) {
        const why = `valueExpression '${value.text}' resulted in unsupported return type`;
        problems.push({ message: `${why}. Return type must be either string or null.`, always: true });
      } else if (said?.trim()) told.add(`${policy.name}/${key}`, said.trim().slice(0, MAX_ANNOTATION));
    } catch (error) {
      if (policy.failsClosed) problems.push({ message: (error as Error).message, always: true });
    }
  }
  return problems;
}

function refusal(
  { target }: AdmissionRequest,
  object: KubeObject | undefined,
  { policy, binding }: Invocation | Misconfigured,
  { message, reason = 'Invalid' }: Denial,
): StatusError {
  const by = binding ? ` with binding '${binding.name}'` : '';
  const why = `ValidatingAdmissionPolicy '${policy.name}'${by} denied request: ${message}`;
  const base = forbidden(target.resource, target.name ?? nameOf(object), why);
  const details = { ...base.details, causes: [{ message: why }] };
  return new StatusError(reason as Reason, base.message, details, { code: REASONS[reason as Reason]?.code ?? 422 });
}

/** The name of what is asked about; a name that is yet to be made up is not known. */
export function nameOf(object: KubeObject | undefined): string {
  const { name, generateName } = object?.metadata ?? {};
  return name || (generateName ? `${generateName}Unknown` : '');
}
