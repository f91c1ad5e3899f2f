// A container's environment. Pure: what it refers to is looked up in a snapshot.
import type { ConfigMap, Container, EnvVar, Secret } from '../../api/generated/types.ts';
import { ownMember } from '../../api/json.ts';
import { expandReferences } from './expand.ts';
import { type FieldContext, FieldError, fieldValue, resourceValue } from './fields.ts';
import type { EnvVariable } from './services.ts';

export interface EnvironmentContext extends FieldContext {
  readonly container: Container;
  readonly services: readonly EnvVariable[];
  readonly allocatable: { readonly [resource: string]: string };
  /** Objects of the pod's namespace; undefined when they do not exist. */
  readonly configMap: (name: string) => ConfigMap | undefined;
  readonly secret: (name: string) => Secret | undefined;
}

/** Bytes, because a secret's value need not be text. */
export interface EnvEntry {
  readonly name: string;
  readonly value: Uint8Array;
}

/** Something that the environment refers to does not exist: CreateContainerConfigError. */
export class EnvironmentError extends Error {
  override name = 'EnvironmentError';
}

/**
 * The variables in upstream's order of precedence: service variables, then envFrom, then env. A value may refer to
 * variables that are set before it.
 */
export function containerEnvironment(context: EnvironmentContext): readonly EnvEntry[] {
  const { container, services } = context;
  const known = new Map<string, Buffer>(services.map(({ name, value }) => [name, Buffer.from(value)]));
  const result = new Map<string, Buffer>();
  for (const source of container.envFrom ?? []) {
    for (const [name, value] of entriesFrom(source, context)) result.set(`${source.prefix ?? ''}${name}`, value);
  }
  const lookup = (name: string): string | undefined => (result.get(name) ?? known.get(name))?.toString();
  for (const variable of container.env ?? []) {
    const value = variableValue(variable, context, lookup);
    if (value !== undefined) result.set(variable.name, value);
  }
  for (const [name, value] of known) if (!result.has(name)) result.set(name, value);
  return [...result].map(([name, value]) => ({ name, value }));
}

type EnvFrom = NonNullable<Container['envFrom']>[number];

function entriesFrom({ configMapRef, secretRef }: EnvFrom, context: EnvironmentContext): readonly [string, Buffer][] {
  if (configMapRef) {
    const { name = '', optional } = configMapRef;
    const found = context.configMap(name);
    if (!found && !optional) throw new EnvironmentError(`configmap "${name}" not found`);
    return Object.entries(found?.data ?? {}).map(([key, value]) => [key, Buffer.from(value)]);
  }
  if (secretRef) {
    const { name = '', optional } = secretRef;
    const found = context.secret(name);
    if (!found && !optional) throw new EnvironmentError(`secret "${name}" not found`);
    return Object.entries(found?.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64')]);
  }
  return [];
}

function variableValue(
  variable: EnvVar,
  context: EnvironmentContext,
  lookup: (name: string) => string | undefined,
): Buffer | undefined {
  const { value, valueFrom } = variable;
  if (!valueFrom) return Buffer.from(expandReferences(value ?? '', lookup));
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = valueFrom;
  const namespace = context.pod.metadata.namespace ?? '';
  try {
    if (fieldRef) return Buffer.from(fieldValue(fieldRef.fieldPath, context));
    if (resourceFieldRef) {
      const { containerName, resource, divisor } = resourceFieldRef;
      const named = [...(context.pod.spec.initContainers ?? []), ...context.pod.spec.containers];
      const container = containerName ? named.find((c) => c.name === containerName) : context.container;
      if (!container) throw new EnvironmentError(`container ${containerName} not found`);
      return Buffer.from(resourceValue(resource, divisor, container, context.allocatable));
    }
  } catch (error) {
    if (error instanceof FieldError) throw new EnvironmentError(error.message, { cause: error });
    throw error;
  }
  if (configMapKeyRef) {
    const { name = '', key, optional } = configMapKeyRef;
    const found = context.configMap(name);
    if (!found && !optional) throw new EnvironmentError(`configmap "${name}" not found`);
    const text = ownMember(found?.data, key);
    if (text !== undefined) return Buffer.from(text);
    if (optional) return undefined;
    throw new EnvironmentError(`couldn't find key ${key} in ConfigMap ${namespace}/${name}`);
  }
  if (secretKeyRef) {
    const { name = '', key, optional } = secretKeyRef;
    const found = context.secret(name);
    if (!found && !optional) throw new EnvironmentError(`secret "${name}" not found`);
    const text = ownMember(found?.data, key);
    if (text !== undefined) return Buffer.from(text, 'base64');
    if (optional) return undefined;
    throw new EnvironmentError(`couldn't find key ${key} in Secret ${namespace}/${name}`);
  }
  throw new EnvironmentError(`environment variable ${variable.name}: this source of values is not supported`);
}
