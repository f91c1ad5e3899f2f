// The files of ConfigMap, Secret and downward API volumes, from the objects. Pure.
import type { ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret } from '../../api/generated/types.ts';
import { type FieldContext, fieldValue, resourceValue } from '../env/fields.ts';
import type { Payload, VolumeFile } from './atomic-writer.ts';

/** A volume that cannot be filled (yet): FailedMount. */
export class VolumeError extends Error {
  override name = 'VolumeError';
}

export interface KeyOptions {
  readonly items: readonly KeyToPath[] | undefined;
  readonly defaultMode: number;
  readonly optional: boolean;
}

export function configMapPayload(object: ConfigMap | undefined, name: string, options: KeyOptions): Payload {
  if (!object && !options.optional) throw new VolumeError(`configmap "${name}" not found`);
  const data = new Map<string, Uint8Array>();
  for (const [key, text] of Object.entries(object?.data ?? {})) data.set(key, Buffer.from(text));
  for (const [key, text] of Object.entries(object?.binaryData ?? {})) data.set(key, Buffer.from(text, 'base64'));
  return select(data, options, (key) => `configmap references non-existent config key: ${key}`);
}

export function secretPayload(object: Secret | undefined, name: string, options: KeyOptions): Payload {
  if (!object && !options.optional) throw new VolumeError(`secret "${name}" not found`);
  const entries = Object.entries(object?.data ?? {});
  const data = new Map(entries.map(([key, text]) => [key, Buffer.from(text, 'base64')] as const));
  return select(data, options, (key) => `references non-existent secret key: ${key}`);
}

function select(
  data: ReadonlyMap<string, Uint8Array>,
  { items, defaultMode, optional }: KeyOptions,
  missing: (key: string) => string,
): Payload {
  const files = new Map<string, VolumeFile>();
  if (!items?.length) {
    for (const [key, value] of data) files.set(key, { data: value, mode: defaultMode });
    return files;
  }
  for (const { key, path, mode } of items) {
    const value = data.get(key);
    if (value) files.set(path, { data: value, mode: mode ?? defaultMode });
    else if (!optional) throw new VolumeError(missing(key));
  }
  return files;
}

export function downwardPayload(
  items: readonly DownwardAPIVolumeFile[],
  defaultMode: number,
  fields: FieldContext,
  allocatable: { readonly [resource: string]: string },
): Payload {
  const files = new Map<string, VolumeFile>();
  for (const { path, fieldRef, resourceFieldRef, mode } of items) {
    let text: string;
    if (fieldRef) text = fieldValue(fieldRef.fieldPath, fields);
    else if (resourceFieldRef) {
      const { containerName = '', resource, divisor } = resourceFieldRef;
      const container = containerOf(fields.pod, containerName);
      text = resourceValue(resource, divisor, container, allocatable);
    } else continue;
    files.set(path, { data: Buffer.from(text), mode: mode ?? defaultMode });
  }
  return files;
}

function containerOf(pod: Pod, name: string): Pod['spec']['containers'][number] {
  const found = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].find((c) => c.name === name);
  if (!found) throw new VolumeError(`container ${name} not found`);
  return found;
}
