// Admission policies with their bindings, each compiled once for each version of its object.
import type {
  MatchCondition,
  MatchResources,
  Mutation,
  ParamKind,
  ParamRef,
  ValidatingAdmissionPolicySpec,
  Validation,
  Variable as VariableSource,
} from '../../../api/generated/types.ts';
import type { KubeObject } from '../../../api/object.ts';
import type { Tables } from '../../../api/tables.ts';
import type { AdmissionWorld } from '../plugin.ts';
import { criteriaOf, type ResourceCriteria } from './criteria.ts';
import { type Expression, expressionOf, type Variable } from './expressions.ts';

/** What both kinds of policies have. */
export interface Policy {
  readonly name: string;
  /** What cannot be told refuses the request (else the policy is passed over). */
  readonly failsClosed: boolean;
  readonly criteria: ResourceCriteria;
  readonly paramKind: ParamKind | undefined;
  readonly conditions: readonly Expression[];
  readonly variables: readonly Variable[];
  readonly validations: readonly CompiledValidation[];
  readonly auditAnnotations: readonly { readonly key: string; readonly value: Expression }[];
  readonly mutations: readonly CompiledMutation[];
  /** A mutating policy that is asked again when the object changed after it. */
  readonly reinvoked: boolean;
}

export interface CompiledValidation {
  readonly source: Validation;
  readonly expression: Expression;
  readonly message: Expression | undefined;
}

export interface CompiledMutation {
  readonly patchType: string;
  readonly expression: Expression;
}

export interface Binding {
  readonly name: string;
  readonly policyName: string;
  /** Absent: whatever the policy is for. */
  readonly criteria: ResourceCriteria | undefined;
  readonly paramRef: ParamRef | undefined;
  readonly actions: readonly string[];
}

/** A policy that has a binding: without one it does nothing. */
export interface BoundPolicy {
  readonly policy: Policy;
  readonly bindings: readonly Binding[];
}

export type PolicyKind = 'validating' | 'mutating';

const GROUP = 'admissionregistration.k8s.io';
const RESOURCES = {
  validating: ['validatingadmissionpolicies', 'validatingadmissionpolicybindings'],
  mutating: ['mutatingadmissionpolicies', 'mutatingadmissionpolicybindings'],
} as const;

interface Known {
  readonly policies: readonly KubeObject[];
  readonly bindings: readonly KubeObject[];
  readonly bound: readonly BoundPolicy[];
}

/** What was put together last for a server: it knows its tables only. */
const known = new WeakMap<Tables, { [kind in PolicyKind]?: Known }>();
const compiledPolicies = new WeakMap<KubeObject, Policy>();
const compiledBindings = new WeakMap<KubeObject, Binding>();
const NONE: readonly BoundPolicy[] = [];

const sameList = (a: readonly KubeObject[], b: readonly KubeObject[]): boolean =>
  a.length === b.length && a.every((one, i) => one === b[i]);

/** All policies that have bindings, by name. */
export function boundPolicies(world: AdmissionWorld, kind: PolicyKind): readonly BoundPolicy[] {
  const [resource, bindingResource] = RESOURCES[kind];
  const policies = world.list(GROUP, resource);
  if (policies.length === 0) return NONE;
  const bindings = world.list(GROUP, bindingResource);
  const last = known.get(world.tables) ?? {};
  known.set(world.tables, last);
  const before = last[kind];
  if (before && sameList(before.policies, policies) && sameList(before.bindings, bindings)) return before.bound;
  const bound = bind(policies, bindings);
  last[kind] = { policies, bindings, bound };
  return bound;
}

function bind(policies: readonly KubeObject[], bindings: readonly KubeObject[]): readonly BoundPolicy[] {
  const byPolicy = Map.groupBy(
    bindings.map((one) => once(compiledBindings, one, bindingOf)),
    ({ policyName }) => policyName,
  );
  return policies.flatMap((one) => {
    const its = byPolicy.get(one.metadata.name);
    return its ? [{ policy: once(compiledPolicies, one, policyOf), bindings: its }] : [];
  });
}

/** Cached objects are never changed: a new version is a new object. */
function once<T>(made: WeakMap<KubeObject, T>, object: KubeObject, make: (object: KubeObject) => T): T {
  const value = made.get(object) ?? make(object);
  made.set(object, value);
  return value;
}

/** The specs of both kinds. */
interface PolicySpec extends Pick<ValidatingAdmissionPolicySpec, 'auditAnnotations' | 'failurePolicy'> {
  readonly paramKind?: ParamKind;
  readonly matchConstraints?: MatchResources;
  readonly matchConditions?: readonly MatchCondition[];
  readonly variables?: readonly VariableSource[];
  readonly validations?: readonly Validation[];
  readonly mutations?: readonly Mutation[];
  readonly reinvocationPolicy?: string;
}

function policyOf(object: KubeObject): Policy {
  const { spec = {} } = object as KubeObject & { readonly spec?: PolicySpec };
  return {
    name: object.metadata.name,
    failsClosed: spec.failurePolicy !== 'Ignore',
    criteria: criteriaOf(spec.matchConstraints ?? {}),
    paramKind: spec.paramKind,
    conditions: (spec.matchConditions ?? []).map(({ expression }) => expressionOf(expression)),
    variables: (spec.variables ?? []).map(({ name, expression }) => ({ name, expression: expressionOf(expression) })),
    validations: (spec.validations ?? []).map((source) => ({
      source,
      expression: expressionOf(source.expression),
      message: source.messageExpression ? expressionOf(source.messageExpression) : undefined,
    })),
    auditAnnotations: (spec.auditAnnotations ?? []).map(({ key, valueExpression }) => ({
      key,
      value: expressionOf(valueExpression),
    })),
    mutations: (spec.mutations ?? []).map(({ patchType, applyConfiguration, jsonPatch }) => ({
      patchType,
      expression: expressionOf((patchType === 'JSONPatch' ? jsonPatch : applyConfiguration)?.expression ?? ''),
    })),
    reinvoked: spec.reinvocationPolicy === 'IfNeeded',
  };
}

interface BindingSpec {
  readonly policyName?: string;
  readonly paramRef?: ParamRef;
  readonly matchResources?: MatchResources;
  readonly validationActions?: readonly string[];
}

function bindingOf(object: KubeObject): Binding {
  const { spec = {} } = object as KubeObject & { readonly spec?: BindingSpec };
  return {
    name: object.metadata.name,
    policyName: spec.policyName ?? '',
    criteria: spec.matchResources && criteriaOf(spec.matchResources),
    paramRef: spec.paramRef,
    actions: spec.validationActions ?? [],
  };
}
