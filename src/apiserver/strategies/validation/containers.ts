// Containers: what holds for one by itself is in the table, what depends on the pod around it is checked from there (pods.ts).
import type {
  Container,
  EnvFromSource,
  EnvVar,
  Lifecycle,
  LifecycleHandler,
  Probe,
  SecurityContext,
  VolumeMount,
} from '../../../api/generated/types.ts';
import { FORMATS } from './formats.ts';
import type { FieldRule, RuleTable, TypeRules, Union } from './rules.ts';
import type { Run } from './run.ts';
import { checkFieldRef, checkResourceRef } from './volumes.ts';

const COUNT: FieldRule = { min: 0 };
const ID: FieldRule = { format: 'userId' };
const HANDLERS: Union = {
  of: ['exec', 'httpGet', 'tcpSocket', 'grpc', 'sleep'],
  none: 'must specify a handler type',
  many: 'may not specify more than 1 handler type',
};
const PROFILES = ['Localhost', 'RuntimeDefault', 'Unconfined'];
const FIELDS_OF_VARIABLES = [
  'metadata.name', 'metadata.namespace', 'metadata.uid', 'spec.nodeName', 'spec.serviceAccountName', 'status.hostIP',
  'status.hostIPs', 'status.podIP', 'status.podIPs',
]; // biome-ignore format: a table

function checkEnv(variable: EnvVar, run: Run): void {
  const from = variable.valueFrom;
  if (!from) return;
  if (from.fieldRef) checkFieldRef(from.fieldRef, 'valueFrom.fieldRef', FIELDS_OF_VARIABLES, run);
  if (from.resourceFieldRef) checkResourceRef(from.resourceFieldRef, 'valueFrom.resourceFieldRef', false, run);
  const sources = Object.values(from).filter((s) => s !== undefined && s !== null).length;
  if (sources === 0) {
    run.invalid(
      'valueFrom',
      '',
      'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`',
    );
  } else if (variable.value) run.invalid('valueFrom', '', 'may not be specified when `value` is not empty');
  else if (sources > 1) run.invalid('valueFrom', '', 'may not have more than one field specified at a time');
}

const KEY_SELECTOR: TypeRules = {
  fields: { key: { format: 'configKey' } },
  check(ref: { name?: string }, run: Run) {
    run.invalidEach('name', ref.name ?? '', FORMATS.dnsSubdomain(ref.name ?? ''));
  },
};
const ENV_SOURCE: TypeRules = { fields: { name: { required: true, format: 'dnsSubdomain' } } };

/** What the type of a profile asks of the name of a profile on the node. */
function checkSeccomp(profile: { type: string; localhostProfile?: string }, run: Run): void {
  const { type, localhostProfile: local } = profile;
  if (type !== 'Localhost') {
    const text = 'can only be set when seccomp type is Localhost';
    if (local !== undefined) run.invalid('localhostProfile', profile, text);
  } else if (local === undefined) run.required('localhostProfile', 'must be set when seccomp type is Localhost');
  else run.invalidEach('localhostProfile', local, FORMATS.descendingPath(local));
}

function checkAppArmor({ type, localhostProfile: local }: { type: string; localhostProfile?: string }, run: Run): void {
  const wanted = 'must be set when AppArmor type is Localhost';
  if (type === 'Localhost') {
    if (local === undefined || local === '') run.required('localhostProfile', wanted);
    else if (local.trim() !== local) run.invalid('localhostProfile', local, 'must not be padded with whitespace');
    else if (local.length > 4095) run.tooLong('localhostProfile', 4095);
  } else if (local !== undefined && PROFILES.includes(type)) {
    run.invalid('localhostProfile', local, 'can only be set when AppArmor type is Localhost');
  }
}

function checkSecurity(sc: SecurityContext, run: Run): void {
  if (sc.allowPrivilegeEscalation !== false) return;
  if (sc.privileged) run.invalid('', sc, 'cannot set `allowPrivilegeEscalation` to false and `privileged` to true');
  if (sc.capabilities?.add?.includes('CAP_SYS_ADMIN')) {
    const text = 'cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN';
    run.invalid('', sc, text);
  }
}

/** Findings of mounts, which upstream reports partly at the list and partly at the element. */
function checkMounts(container: Container, run: Run): void {
  const devices = container.volumeDevices ?? [];
  const paths = new Set<string>();
  for (const [i, mount] of (container.volumeMounts ?? []).entries()) {
    const at = `volumeMounts[${i}]`;
    if (mount.mountPath && paths.has(mount.mountPath))
      run.invalid(`${at}.mountPath`, mount.mountPath, 'must be unique');
    paths.add(mount.mountPath);
    if (devices.some((d) => d.name === mount.name)) {
      run.invalid(`${at}.name`, mount.name, 'must not already exist in volumeDevices');
    }
    if (devices.some((d) => d.devicePath === mount.mountPath)) {
      run.invalid(`${at}.mountPath`, mount.mountPath, 'must not already exist as a path in volumeDevices');
    }
    const { subPath, subPathExpr } = mount;
    if (subPath) run.invalidEach('volumeMounts.subPath', subPath, FORMATS.descendingPath(subPath));
    if (subPathExpr) {
      const text = 'subPathExpr and subPath are mutually exclusive';
      if (subPath) run.invalid(`${at}.subPathExpr`, subPathExpr, text);
      run.invalidEach('volumeMounts.subPathExpr', subPathExpr, FORMATS.descendingPath(subPathExpr));
    }
    checkPropagation(mount, container, run);
  }
}

const PROPAGATIONS = ['Bidirectional', 'HostToContainer', 'None'];

function checkPropagation(mount: VolumeMount, container: Container, run: Run): void {
  const mode = mount.mountPropagation;
  if (mode !== undefined && !PROPAGATIONS.includes(mode)) {
    run.unsupported('volumeMounts.mountPropagation', mode, PROPAGATIONS);
  }
  if (mode === 'Bidirectional' && !container.securityContext?.privileged) {
    const text = 'Bidirectional mount propagation is available only to privileged containers';
    run.forbidden('volumeMounts.mountPropagation', text);
  }
  const recursive = mount.recursiveReadOnly;
  if (recursive === undefined || recursive === 'Disabled') return;
  const at = 'volumeMounts.recursiveReadOnly';
  if (recursive !== 'Enabled' && recursive !== 'IfPossible') {
    run.unsupported(at, recursive, ['Disabled', 'Enabled', 'IfPossible']);
    return;
  }
  if (!mount.readOnly) run.forbidden(at, 'may only be specified when readOnly is true');
  if (mode !== undefined && mode !== 'None') {
    run.forbidden(at, 'may only be specified when mountPropagation is None or not specified');
  }
}

function checkDevices(container: Container, run: Run): void {
  const mounts = container.volumeMounts ?? [];
  const names = new Set<string>();
  const paths = new Set<string>();
  for (const [i, device] of (container.volumeDevices ?? []).entries()) {
    const at = `volumeDevices[${i}]`;
    if (names.has(device.name)) run.invalid(`${at}.name`, device.name, 'must be unique');
    if (paths.has(device.devicePath)) run.invalid(`${at}.devicePath`, device.devicePath, 'must be unique');
    const back = FORMATS.noBacksteps(device.devicePath).length > 0;
    if (back) run.invalid(`${at}.devicePath`, device.devicePath, "can not contain backsteps ('..')");
    else paths.add(device.devicePath);
    if (mounts.some((m) => m.name === device.name)) {
      run.invalid(`${at}.name`, device.name, 'must not already exist in volumeMounts');
    }
    if (mounts.some((m) => m.mountPath === device.devicePath)) {
      run.invalid(`${at}.devicePath`, device.devicePath, 'must not already exist as a path in volumeMounts');
    }
    if (device.name) names.add(device.name);
  }
}

function checkEnvFrom(list: readonly EnvFromSource[], run: Run): void {
  for (const source of list) {
    const count = Number(source.configMapRef !== undefined) + Number(source.secretRef !== undefined);
    if (count === 0) run.invalid('envFrom', '', 'must specify one of: `configMapRef` or `secretRef`');
    if (count > 1) run.invalid('envFrom', '', 'may not have more than one field specified at a time');
  }
}

function checkPorts(container: Container, run: Run): void {
  const names = new Set<string>();
  for (const [i, port] of container.ports!.entries()) {
    if (!port.name) continue;
    if (names.has(port.name)) run.duplicate(`ports[${i}].name`, port.name);
    names.add(port.name);
  }
}

function checkContainer(container: Container, run: Run): void {
  if (container.volumeMounts) checkMounts(container, run);
  if (container.volumeDevices) checkDevices(container, run);
  if (container.envFrom) checkEnvFrom(container.envFrom, run);
  if (container.ports) checkPorts(container, run);
}

const CONTAINER: TypeRules = {
  fields: {
    name: { format: 'dnsLabel' },
    image: { required: true },
    imagePullPolicy: { required: true },
    terminationMessagePolicy: { required: true, oneOf: ['File', 'FallbackToLogsOnError'] },
  },
  check: checkContainer,
};

/** Handlers of probes and of a container's lifecycle. */
const LIFECYCLE: TypeRules = { union: HANDLERS };
export type Handlers = LifecycleHandler | Probe;

export const CONTAINER_RULES: RuleTable = {
  'core.v1.Container': CONTAINER,
  'core.v1.EphemeralContainer': CONTAINER,
  'core.v1.ContainerPort': {
    fields: {
      name: { format: 'portName' },
      containerPort: { required: true, zeroIsAbsent: true, format: 'portNumber' },
      hostPort: { zeroIsAbsent: true, format: 'portNumber' },
      protocol: { required: true },
    },
  },
  'core.v1.EnvVar': { fields: { name: { format: 'envName' } }, check: checkEnv },
  'core.v1.ObjectFieldSelector': { fields: { fieldPath: { required: false } } },
  'core.v1.ResourceFieldSelector': { fields: { resource: { required: false } } },
  'core.v1.ConfigMapKeySelector': KEY_SELECTOR,
  'core.v1.SecretKeySelector': KEY_SELECTOR,
  'core.v1.FileKeySelector': { fields: { path: { format: 'localPath' }, key: { format: 'envName' } } },
  'core.v1.EnvFromSource': { fields: { prefix: { format: 'envName' } } },
  'core.v1.ConfigMapEnvSource': ENV_SOURCE,
  'core.v1.SecretEnvSource': ENV_SOURCE,
  'core.v1.VolumeMount': { fields: { mountPropagation: { closed: false } } },
  'core.v1.Probe': {
    union: HANDLERS,
    fields: {
      initialDelaySeconds: COUNT,
      timeoutSeconds: COUNT,
      periodSeconds: COUNT,
      successThreshold: COUNT,
      failureThreshold: COUNT,
      terminationGracePeriodSeconds: { min: 1, range: 'must be greater than 0' },
    },
  },
  'core.v1.LifecycleHandler': LIFECYCLE,
  'core.v1.ExecAction': { fields: { command: { required: true } } },
  'core.v1.HTTPGetAction': {
    fields: { path: { required: true }, port: { format: 'port' }, httpHeaders: { opaque: true } },
    check(http: { httpHeaders?: readonly { name: string }[] }, run: Run) {
      for (const { name } of http.httpHeaders ?? []) run.invalidEach('httpHeaders', name, FORMATS.httpHeader(name));
    },
  },
  'core.v1.TCPSocketAction': { fields: { port: { format: 'port' } } },
  'core.v1.GRPCAction': { fields: { port: { format: 'portNumber' } } },
  'core.v1.SecurityContext': {
    fields: { runAsUser: ID, runAsGroup: ID, procMount: { oneOf: ['Default', 'Unmasked'] } },
    check: checkSecurity,
  },
  'core.v1.PodSecurityContext': {
    fields: {
      fsGroup: ID,
      runAsUser: ID,
      runAsGroup: ID,
      supplementalGroups: { each: ID },
      sysctls: { unique: 'name' },
      fsGroupChangePolicy: { oneOf: ['Always', 'OnRootMismatch'] },
      seLinuxChangePolicy: { oneOf: ['MountOption', 'Recursive'] },
    },
  },
  'core.v1.Sysctl': { fields: { name: { format: 'sysctl' }, value: { required: false } } },
  'core.v1.HTTPHeader': { fields: { value: { required: false } } },
  'core.v1.SeccompProfile': {
    fields: { type: { required: 'type is required when seccompProfile is set', oneOf: PROFILES } },
    check: checkSeccomp,
  },
  'core.v1.AppArmorProfile': {
    fields: { type: { required: 'type is required when appArmorProfile is set', oneOf: PROFILES } },
    check: checkAppArmor,
  },
  'core.v1.WindowsSecurityContextOptions': { fields: { gmsaCredentialSpecName: { format: 'dnsSubdomain' } } },
  'core.v1.ContainerResizePolicy': {
    fields: { resourceName: { required: false }, restartPolicy: { required: false } },
  },
  'core.v1.ResourceClaim': { fields: { name: { required: false } } },
  'core.v1.ContainerRestartRule': { fields: { action: { oneOf: ['Restart', 'RestartAllContainers'] } } },
  'core.v1.ContainerRestartRuleOnExitCodes': {
    fields: { operator: { oneOf: ['In', 'NotIn'] }, values: { required: true } },
  },
};

/** A hook's sleep may not outlast the pod's grace period. */
export function checkLifecycle(lifecycle: Lifecycle, at: string, graceSeconds: number | undefined, run: Run): void {
  for (const name of ['postStart', 'preStop'] as const) {
    const seconds = lifecycle[name]?.sleep?.seconds;
    if (seconds === undefined || graceSeconds === undefined) continue;
    if (seconds >= 0 && seconds <= graceSeconds) continue;
    const text = `must be non-negative and less than terminationGracePeriodSeconds (${graceSeconds})`;
    run.invalid(`${at}.${name}.sleep`, seconds, text);
  }
}
