// Validation of containers and volumes inside a pod spec: the essentials, with upstream's paths and wording.
import type {
  Container,
  ContainerPort,
  EnvVar,
  Probe,
  ResourceRequirements,
  Volume,
} from '../../api/generated/types.ts';
import { milliValue, parseQuantity } from '../../machinery/quantity.ts';
import type { FieldError } from '../../machinery/status.ts';
import {
  duplicate,
  eachInvalid,
  forbiddenField,
  invalidValue,
  nonNegative,
  notFoundValue,
  notSupported,
  required,
} from './field-errors.ts';
import { dnsLabel, portName, portNumber, qualifiedName } from './name-rules.ts';
import { duplicates } from './object-meta.ts';

const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];
const PULL_POLICIES = ['Always', 'IfNotPresent', 'Never'];
const MESSAGE_POLICIES = ['FallbackToLogsOnError', 'File'];

/** Names of the fields of VolumeSource; a volume has exactly one. */
export function volumeSources(volume: Volume): string[] {
  return Object.entries(volume)
    .filter(([key, value]) => key !== 'name' && value !== undefined && value !== null)
    .map(([key]) => key);
}

export function validateVolumes(volumes: readonly Volume[] | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [i, volume] of (volumes ?? []).entries()) {
    const at = `${path}[${i}]`;
    const sources = volumeSources(volume);
    if (sources.length === 0) errors.push(required(at, 'must specify a volume type'));
    for (const extra of sources.slice(1)) {
      errors.push(forbiddenField(`${at}.${extra}`, 'may not specify more than 1 volume type'));
    }
    if (!volume.name) errors.push(required(`${at}.name`));
    else errors.push(...eachInvalid(`${at}.name`, volume.name, dnsLabel(volume.name)));
    errors.push(...validateVolumeSource(volume, at));
  }
  errors.push(
    ...duplicates(
      (volumes ?? []).map((v) => v.name),
      (i) => `${path}[${i}].name`,
    ),
  );
  return errors;
}

function validateVolumeSource(volume: Volume, at: string): FieldError[] {
  const errors: FieldError[] = [];
  if (volume.hostPath && !volume.hostPath.path) errors.push(required(`${at}.hostPath.path`));
  if (volume.secret && !volume.secret.secretName) errors.push(required(`${at}.secret.secretName`));
  if (volume.configMap && !volume.configMap.name) errors.push(required(`${at}.configMap.name`));
  if (volume.persistentVolumeClaim && !volume.persistentVolumeClaim.claimName) {
    errors.push(required(`${at}.persistentVolumeClaim.claimName`));
  }
  if (volume.nfs) {
    if (!volume.nfs.server) errors.push(required(`${at}.nfs.server`));
    if (!volume.nfs.path) errors.push(required(`${at}.nfs.path`));
    else if (!volume.nfs.path.startsWith('/')) {
      errors.push(invalidValue(`${at}.nfs.path`, volume.nfs.path, 'must be an absolute path'));
    }
  }
  if (volume.csi && !volume.csi.driver) errors.push(required(`${at}.csi.driver`));
  return errors;
}

export interface ContainerScope {
  readonly volumes: ReadonlySet<string>;
  /** Names of all containers seen so far, of every list. */
  readonly names: Set<string>;
  readonly hostNetwork: boolean;
}

/** Findings for one list of containers: containers, initContainers or ephemeralContainers. */
export function validateContainers(
  containers: readonly Container[],
  path: string,
  scope: ContainerScope,
): FieldError[] {
  const errors: FieldError[] = [];
  for (const [i, container] of containers.entries()) {
    const at = `${path}[${i}]`;
    errors.push(...validateContainerName(container.name, at, scope.names));
    errors.push(...validateImage(container.image, `${at}.image`));
    errors.push(...validatePorts(container.ports, `${at}.ports`, scope.hostNetwork));
    errors.push(...validateEnv(container.env, `${at}.env`));
    errors.push(...validateMounts(container, at, scope.volumes));
    errors.push(...validateResources(container.resources, `${at}.resources`));
    errors.push(...validateEnum(`${at}.imagePullPolicy`, container.imagePullPolicy, PULL_POLICIES));
    errors.push(
      ...validateEnum(`${at}.terminationMessagePolicy`, container.terminationMessagePolicy, MESSAGE_POLICIES),
    );
    errors.push(...validateProbe(container.livenessProbe, `${at}.livenessProbe`, true));
    errors.push(...validateProbe(container.readinessProbe, `${at}.readinessProbe`, false));
    errors.push(...validateProbe(container.startupProbe, `${at}.startupProbe`, true));
  }
  return errors;
}

function validateContainerName(name: string, at: string, names: Set<string>): FieldError[] {
  if (!name) return [required(`${at}.name`)];
  const errors = eachInvalid(`${at}.name`, name, dnsLabel(name));
  if (names.has(name)) errors.push(duplicate(`${at}.name`, name));
  names.add(name);
  return errors;
}

export function validateImage(image: string | undefined, path: string): FieldError[] {
  if (!image) return [required(path)];
  if (image.trim() !== image) return [invalidValue(path, image, 'must not have leading or trailing whitespace')];
  return [];
}

/** Required and one of a closed set. */
export function validateEnum(path: string, value: string | undefined, supported: readonly string[]): FieldError[] {
  if (!value) return [required(path)];
  return supported.includes(value) ? [] : [notSupported(path, value, supported)];
}

function validatePorts(ports: readonly ContainerPort[] | undefined, path: string, hostNetwork: boolean): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  for (const [i, port] of (ports ?? []).entries()) {
    const at = `${path}[${i}]`;
    if (port.name) {
      errors.push(...eachInvalid(`${at}.name`, port.name, portName(port.name)));
      if (names.has(port.name)) errors.push(duplicate(`${at}.name`, port.name));
      names.add(port.name);
    }
    if (!port.containerPort) errors.push(required(`${at}.containerPort`));
    else errors.push(...eachInvalid(`${at}.containerPort`, port.containerPort, portNumber(port.containerPort)));
    if (port.hostPort) {
      errors.push(...eachInvalid(`${at}.hostPort`, port.hostPort, portNumber(port.hostPort)));
      if (hostNetwork && port.hostPort !== port.containerPort) {
        errors.push(
          invalidValue(`${at}.hostPort`, port.hostPort, 'must match `containerPort` when `hostNetwork` is true'),
        );
      }
    }
    errors.push(...validateEnum(`${at}.protocol`, port.protocol, PROTOCOLS));
  }
  return errors;
}

function validateEnv(env: readonly EnvVar[] | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [i, variable] of (env ?? []).entries()) {
    const at = `${path}[${i}]`;
    if (!variable.name) errors.push(required(`${at}.name`));
    if (!variable.valueFrom) continue;
    if (variable.value)
      errors.push(invalidValue(`${at}.valueFrom`, '', 'may not be specified when `value` is not empty'));
    const sources = Object.values(variable.valueFrom).filter((source) => source !== undefined && source !== null);
    if (sources.length === 0) {
      const one =
        'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`';
      errors.push(invalidValue(`${at}.valueFrom`, '', one));
    } else if (sources.length > 1) {
      errors.push(invalidValue(`${at}.valueFrom`, '', 'may not have more than one field specified at a time'));
    }
  }
  return errors;
}

function validateMounts(container: Container, at: string, volumes: ReadonlySet<string>): FieldError[] {
  const errors: FieldError[] = [];
  const paths = new Set<string>();
  for (const [i, mount] of (container.volumeMounts ?? []).entries()) {
    const path = `${at}.volumeMounts[${i}]`;
    if (!mount.name) errors.push(required(`${path}.name`));
    else if (!volumes.has(mount.name)) errors.push(notFoundValue(`${path}.name`, mount.name));
    if (!mount.mountPath) errors.push(required(`${path}.mountPath`));
    if (mount.mountPath && paths.has(mount.mountPath)) {
      errors.push(invalidValue(`${path}.mountPath`, mount.mountPath, 'must be unique'));
    }
    paths.add(mount.mountPath);
    if (mount.subPath) errors.push(...localPath(mount.subPath, `${path}.subPath`));
    if (mount.subPath && mount.subPathExpr) {
      errors.push(
        invalidValue(`${path}.subPathExpr`, mount.subPathExpr, 'subPathExpr and subPath are mutually exclusive'),
      );
    }
    if (mount.mountPropagation === 'Bidirectional' && !container.securityContext?.privileged) {
      const text = 'Bidirectional mount propagation is available only to privileged containers';
      errors.push(forbiddenField(`${path}.mountPropagation`, text));
    }
  }
  return errors;
}

function localPath(path: string, at: string): FieldError[] {
  if (path.startsWith('/')) return [invalidValue(at, path, 'must be a relative path')];
  if (path.split('/').includes('..')) return [invalidValue(at, path, "must not contain '..'")];
  return [];
}

/** A quantity's milli value, or undefined with a finding when it is not one. */
function readQuantity(text: string, at: string, errors: FieldError[]): number | undefined {
  try {
    parseQuantity(String(text));
    return milliValue(String(text));
  } catch (error) {
    errors.push(invalidValue(at, text, error instanceof Error ? error.message : String(error)));
    return undefined;
  }
}

const NATIVE = /^(cpu|memory|ephemeral-storage|hugepages-.+)$/;

export function validateResources(resources: ResourceRequirements | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const limits = new Map<string, number>();
  for (const [name, text] of Object.entries(resources?.limits ?? {})) {
    const milli = readQuantity(text, `${path}.limits[${name}]`, errors);
    errors.push(...validateResourceName(name, `${path}.limits`));
    if (milli === undefined) continue;
    limits.set(name, milli);
    if (milli < 0) errors.push(invalidValue(`${path}.limits[${name}]`, text, 'must be greater than or equal to 0'));
  }
  for (const [name, text] of Object.entries(resources?.requests ?? {})) {
    const at = `${path}.requests[${name}]`;
    const milli = readQuantity(text, at, errors);
    errors.push(...validateResourceName(name, `${path}.requests`));
    if (milli === undefined) continue;
    if (milli < 0) errors.push(invalidValue(at, text, 'must be greater than or equal to 0'));
    const limit = limits.get(name);
    if (limit !== undefined && milli > limit) {
      const text2 = `must be less than or equal to ${name} limit of ${resources?.limits?.[name]}`;
      errors.push(invalidValue(`${path}.requests`, text, text2));
    }
    const overcommits = NATIVE.test(name) && !name.startsWith('hugepages-');
    if (limit === undefined && !overcommits) {
      errors.push(required(`${path}.limits`, 'Limit must be set for non overcommitable resources'));
    }
  }
  return errors;
}

function validateResourceName(name: string, path: string): FieldError[] {
  const errors = eachInvalid(path, name, qualifiedName(name));
  if (errors.length === 0 && !name.includes('/') && !NATIVE.test(name)) {
    errors.push(invalidValue(path, name, 'must be a standard resource type or fully qualified'));
    errors.push(invalidValue(path, name, 'must be a standard resource for containers'));
  }
  return errors;
}

function validateProbe(probe: Probe | undefined, path: string, successMustBeOne: boolean): FieldError[] {
  if (!probe) return [];
  const errors: FieldError[] = [];
  const handlers = [probe.exec, probe.httpGet, probe.tcpSocket, probe.grpc].filter((h) => h !== undefined);
  if (handlers.length === 0) errors.push(required(path, 'must specify a handler type'));
  if (handlers.length > 1) errors.push(forbiddenField(path, 'may not specify more than 1 handler type'));
  for (const field of [
    'initialDelaySeconds',
    'timeoutSeconds',
    'periodSeconds',
    'successThreshold',
    'failureThreshold',
  ] as const) {
    errors.push(...nonNegative(`${path}.${field}`, probe[field]));
  }
  if (probe.terminationGracePeriodSeconds !== undefined && probe.terminationGracePeriodSeconds <= 0) {
    const at = `${path}.terminationGracePeriodSeconds`;
    errors.push(invalidValue(at, probe.terminationGracePeriodSeconds, 'must be greater than 0'));
  }
  if (successMustBeOne && probe.successThreshold !== undefined && probe.successThreshold !== 1) {
    errors.push(invalidValue(`${path}.successThreshold`, probe.successThreshold, 'must be 1'));
  }
  return errors;
}
