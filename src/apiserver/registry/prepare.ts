// What the server itself does to an object between decoding and storing, on create and on update.
import type { ObjectMeta } from '../../api/generated/types.ts';
import { sameJson } from '../../api/json.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import { apiVersionOf, type Resource } from '../../api/tables.ts';
import { rfc3339 } from '../../lib/clock.ts';
import { nameSuffix, uuid } from '../../lib/random.ts';
import { badRequest, conflict, type FieldError, invalid, OBJECT_MODIFIED } from '../../machinery/status.ts';
import type { Target } from '../contract.ts';
import { sameMeaning } from '../strategies/equality.ts';
import { dnsSubdomainName } from '../strategies/name-rules.ts';
import { validateObjectMeta, validateObjectMetaUpdate } from '../strategies/object-meta.ts';
import { strategyOf } from '../strategies/strategies.ts';
import type { StrategyScope, UpdateRules } from '../strategies/strategy.ts';
import type { Core } from './context.ts';

/** Longest part of a generateName that is used: names that become labels have 63 characters. */
const MAX_GENERATED_PREFIX = 58;

/** The namespace of the request and of the object must agree; the request's fills in. */
export function settleNamespace(object: Draft<KubeObject>, target: Target): void {
  const metadata = object.metadata;
  if (!target.resource.namespaced) {
    if (metadata.namespace)
      throw badRequest('namespace provided in the object but not allowed: the resource is cluster-scoped');
    return;
  }
  if (metadata.namespace && target.namespace && metadata.namespace !== target.namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }
  if (!metadata.namespace && target.namespace) metadata.namespace = target.namespace;
}

/** Fills in a new object's metadata. A name is generated when only a prefix is given. */
export function fillNewMetadata(core: Core, object: Draft<KubeObject>, resource: Resource): void {
  const metadata = object.metadata;
  if (metadata.resourceVersion) throw badRequest('resourceVersion should not be set on objects to be created');
  if (!metadata.name && metadata.generateName) {
    metadata.name = metadata.generateName.slice(0, MAX_GENERATED_PREFIX) + nameSuffix(core.env.random);
  }
  metadata.uid = uuid(core.env.random);
  metadata.creationTimestamp = rfc3339(core.env.clock.now());
  delete metadata.deletionTimestamp;
  delete metadata.deletionGracePeriodSeconds;
  delete metadata.selfLink;
  delete metadata.generation;
  if (strategyOf(resource).countsGenerations) metadata.generation = 1;
  object.apiVersion = apiVersionOf(resource);
  object.kind = resource.kind;
}

/** A new object as its kind wants it: status cleared, and what the strategy does. */
export function prepareCreate(object: Draft<KubeObject>, scope: StrategyScope): void {
  const strategy = strategyOf(scope.resource);
  const clears = scope.resource.subresources.has('status') && !strategy.keepsStatusOnCreate;
  if (clears) delete (object as { status?: unknown }).status;
  strategy.prepareForCreate?.(object, scope);
}

export function validateCreate(object: KubeObject, scope: StrategyScope): void {
  const { resource } = scope;
  const strategy = strategyOf(resource);
  const nameRule = strategy.nameRule ?? dnsSubdomainName;
  const errors: FieldError[] = validateObjectMeta(object.metadata, { namespaced: resource.namespaced, nameRule });
  errors.push(...(strategy.validate?.(object, scope) ?? []));
  if (errors.length > 0) throw invalid(resource, object.metadata.name ?? '', errors);
}

/** The caller's idea of the object's revision and identity must be right, where it has one. */
export function checkPreconditions(object: KubeObject, old: KubeObject, resource: Resource): void {
  const { resourceVersion, uid, name } = object.metadata;
  const strategy = strategyOf(resource);
  if (!resourceVersion && strategy.unconditionalUpdate === false) {
    const message = 'Invalid value: 0: must be specified for an update';
    throw invalid(resource, name, [{ reason: 'FieldValueInvalid', field: 'metadata.resourceVersion', message }]);
  }
  if (uid && uid !== old.metadata.uid) {
    const why = `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${old.metadata.uid}`;
    throw conflict(resource, name, why);
  }
  if (resourceVersion && resourceVersion !== old.metadata.resourceVersion) {
    throw conflict(resource, name, OBJECT_MODIFIED);
  }
}

/** Metadata that an update may leave out, and metadata that it may not touch. */
export function carryMetadata(metadata: Draft<ObjectMeta>, old: ObjectMeta): void {
  metadata.uid ||= old.uid!;
  metadata.creationTimestamp ||= old.creationTimestamp!;
  if (old.deletionTimestamp) metadata.deletionTimestamp = old.deletionTimestamp;
  else delete metadata.deletionTimestamp;
  if (old.deletionGracePeriodSeconds === undefined) delete metadata.deletionGracePeriodSeconds;
  else metadata.deletionGracePeriodSeconds ??= old.deletionGracePeriodSeconds;
  delete metadata.selfLink;
  if (old.generation === undefined) delete metadata.generation;
  else metadata.generation = old.generation;
  if (old.resourceVersion !== undefined) metadata.resourceVersion = old.resourceVersion;
}

/** How updates through an endpoint behave when the strategy says nothing. */
function defaultRules(resource: Resource, subresource: string | undefined): UpdateRules {
  if (subresource === 'status') {
    // Everything but metadata and status stays as it is.
    return { prepareForUpdate: (object, old) => keepAllBut(object, old, ['metadata', 'status']) };
  }
  const splits = resource.subresources.has('status');
  return splits ? { prepareForUpdate: keepStatus } : {};
}

function keepAllBut(object: Draft<KubeObject>, old: KubeObject, fields: readonly string[]): void {
  const target = object as unknown as Record<string, unknown>;
  const source = old as unknown as Record<string, unknown>;
  for (const key of Object.keys(target)) if (!fields.includes(key) && !(key in source)) delete target[key];
  for (const key of Object.keys(source)) if (!fields.includes(key)) target[key] = structuredClone(source[key]);
}

function keepStatus(object: Draft<KubeObject>, old: KubeObject): void {
  const target = object as { status?: unknown };
  const { status } = old as { status?: unknown };
  if (status === undefined) delete target.status;
  else target.status = structuredClone(status);
}

/** The rules of an endpoint: the strategy's own on top of what every kind does. */
export function prepareUpdate(
  object: Draft<KubeObject>,
  old: KubeObject,
  scope: StrategyScope,
  subresource: string | undefined,
): void {
  const strategy = strategyOf(scope.resource);
  const own: UpdateRules | undefined = subresource === undefined ? strategy : strategy.endpoints?.[subresource];
  const rules = own?.prepareForUpdate ? own : defaultRules(scope.resource, subresource);
  if (own !== strategy || !own.prepareForUpdate) rules.prepareForUpdate?.(object, old, scope);
  else {
    defaultRules(scope.resource, undefined).prepareForUpdate?.(object, old, scope);
    own.prepareForUpdate(object, old, scope);
  }
  const counted = strategy.countsStatus ? withoutMetadata : withoutCounted;
  // In a custom resource a null, or an empty list, may mean something.
  const same = scope.resource.custom ? sameJson : sameMeaning;
  if (strategy.countsGenerations && !same(counted(object), counted(old))) {
    object.metadata.generation = (old.metadata.generation ?? 0) + 1;
  }
}

function withoutMetadata(object: unknown): object {
  const { metadata: _m, apiVersion: _a, kind: _k, ...rest } = object as Record<string, unknown>;
  return rest;
}

/** What the generation counts: everything but metadata and status. */
function withoutCounted(object: unknown): object {
  const { metadata: _m, status: _s, apiVersion: _a, kind: _k, ...rest } = object as Record<string, unknown>;
  return rest;
}

export function validateUpdate(
  object: KubeObject,
  old: KubeObject,
  scope: StrategyScope,
  subresource: string | undefined,
): void {
  const { resource } = scope;
  const strategy = strategyOf(resource);
  const errors: FieldError[] = validateObjectMetaUpdate(object.metadata, old.metadata);
  if (subresource === undefined) {
    const found = strategy.validateUpdate
      ? strategy.validateUpdate(object, old, scope)
      : strategy.validate?.(object, scope);
    errors.push(...(found ?? []));
  } else {
    errors.push(...(strategy.endpoints?.[subresource]?.validateUpdate?.(object, old, scope) ?? []));
  }
  if (errors.length > 0) throw invalid(resource, object.metadata.name ?? '', errors);
}

/** After all else of validation: rules are written for values that are right in themselves. */
export function validateRules(
  object: KubeObject,
  old: KubeObject | undefined,
  resource: Resource,
  subresource: string | undefined,
): Promise<void> | undefined {
  if (subresource !== undefined && subresource !== 'status') return undefined;
  const found = strategyOf(resource).rules?.(object, old);
  return found?.then((errors) => {
    if (errors.length > 0) throw invalid(resource, object.metadata.name ?? '', errors);
  });
}

/** True when nothing keeps an object that is being deleted: its update is its end. */
export function isReleased(object: KubeObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = object.metadata;
  if (!deletionTimestamp || (finalizers ?? []).length > 0) return false;
  return (deletionGracePeriodSeconds ?? 0) === 0;
}
