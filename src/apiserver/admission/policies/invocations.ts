// Which policies a request concerns: each with the binding and the parameter that it is asked with.
import type { KubeObject } from '../../../api/object.ts';
import type { Resource } from '../../../api/tables.ts';
import type { AdmissionRequest, AdmissionWorld } from '../plugin.ts';
import { askedOf, namespaceOf } from '../webhooks/matching.ts';
import { namespaceWanted, versionWanted } from './criteria.ts';
import { paramResource, paramsFor, unknownParamKind } from './params.ts';
import type { Binding, BoundPolicy, Policy } from './policies.ts';

export interface Invocation {
  readonly policy: Policy;
  readonly binding: Binding;
  readonly param: KubeObject | undefined;
  /** The version in which the policy sees the request. */
  readonly as: Resource;
}

/** A policy that could not be asked. */
export interface Misconfigured {
  readonly policy: Policy;
  /** Absent: the fault is the policy's. */
  readonly binding: Binding | undefined;
  readonly why: string;
}

const POLICIES = new Set([
  'validatingadmissionpolicies',
  'validatingadmissionpolicybindings',
  'mutatingadmissionpolicies',
  'mutatingadmissionpolicybindings',
]);
const NEVER = new Set(['tokenreviews', 'selfsubjectreviews', 'subjectaccessreviews', 'selfsubjectaccessreviews']);

/** A policy cannot keep itself from being mended; questions about who may do what are not written. */
export function isBeyondPolicies({ target: { resource } }: AdmissionRequest): boolean {
  if (resource.group === 'admissionregistration.k8s.io') return POLICIES.has(resource.resource);
  return resource.group.endsWith('.k8s.io') && NEVER.has(resource.resource);
}

/** The policies of which the rules want the request: nearly always none, and then nothing waits. */
export function wantedBy(
  world: AdmissionWorld,
  policies: readonly BoundPolicy[],
  request: AdmissionRequest,
  object: KubeObject | undefined,
): readonly BoundPolicy[] {
  const asked = askedOf(request, object);
  return policies.filter(({ policy }) => versionWanted(world, policy.criteria, request, { asked, object }));
}

type Collected = readonly (Invocation | Misconfigured)[];

/** What of these policies is to be asked, in order, and what cannot be. */
export async function invocationsOf(
  world: AdmissionWorld,
  wanted: readonly BoundPolicy[],
  request: AdmissionRequest,
  object: KubeObject | undefined,
): Promise<Collected> {
  const collected: (Invocation | Misconfigured)[] = [];
  for (const bound of wanted) collected.push(...(await invocations(world, bound, request, object)));
  return collected;
}

async function invocations(
  world: AdmissionWorld,
  { policy, bindings }: BoundPolicy,
  request: AdmissionRequest,
  object: KubeObject | undefined,
): Promise<Collected> {
  const asked = askedOf(request, object);
  const as = versionWanted(world, policy.criteria, request, { asked, object });
  if (!as || !(await namespaceWanted(world, policy.criteria, request, object))) return [];
  const { paramKind } = policy;
  const kind = paramKind && paramResource(world.tables, paramKind);
  if (paramKind && !kind) {
    return [{ policy, binding: undefined, why: `failed to configure policy: ${unknownParamKind(paramKind).message}` }];
  }
  const collected: (Invocation | Misconfigured)[] = [];
  for (const binding of bindings) {
    const { criteria, paramRef } = binding;
    if (criteria && !versionWanted(world, criteria, request, { asked, object })) continue;
    if (criteria && !(await namespaceWanted(world, criteria, request, object))) continue;
    try {
      const params = await paramsFor(world, kind, paramRef, namespaceOf(request, object));
      collected.push(...params.map((param) => ({ policy, binding, param, as })));
    } catch (error) {
      world.ctx.signal.throwIfAborted();
      collected.push({ policy, binding, why: `failed to configure binding: ${(error as Error).message}` });
    }
  }
  return collected;
}

export const isInvocation = (one: Invocation | Misconfigured): one is Invocation => 'as' in one;
