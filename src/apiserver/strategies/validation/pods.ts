// Pod specs: what ties containers, volumes and the pod together. Where a spec sits (a Pod, a template) makes little difference.
import type {
  Container,
  LabelSelector,
  PodAffinityTerm,
  PodDNSConfig,
  PodSpec,
  PodTemplateSpec,
  TopologySpreadConstraint,
} from '../../../api/generated/types.ts';
import { validateAnnotations, validateLabels } from '../object-meta.ts';
import { checkLifecycle } from './containers.ts';
import { FORMATS, IP, POSITIVE } from './formats.ts';
import { checkRequirements, compareAmounts } from './resources.ts';
import type { FieldRule, RuleTable } from './rules.ts';
import type { Run } from './run.ts';
import { checkLabels } from './selectors.ts';

const MAX_INT32 = 2147483647;
const LISTS = ['containers', 'initContainers', 'ephemeralContainers'] as const;
type ListName = (typeof LISTS)[number];

interface Around {
  readonly spec: PodSpec;
  /** By name; undefined: a claim template's. */
  readonly volumes: ReadonlyMap<string, NonNullable<PodSpec['volumes']>[number] | undefined>;
  readonly claims: ReadonlySet<string>;
  readonly names: Set<string>;
}

function checkPodSpec(spec: PodSpec, run: Run): void {
  const volumes = new Map<string, NonNullable<PodSpec['volumes']>[number] | undefined>();
  for (const name of run.claimVolumes) volumes.set(name, undefined);
  for (const volume of spec.volumes ?? []) volumes.set(volume.name, volume);
  const claims = new Set((spec.resourceClaims ?? []).map((c) => c.name));
  const around: Around = { spec, volumes, claims, names: new Set() };
  if (spec.volumes && spec.volumes.length > 1) checkVolumeNames(spec.volumes, run);
  for (const list of LISTS) {
    const containers = spec[list] as readonly Container[] | undefined;
    if (containers) for (let i = 0; i < containers.length; i++) checkContainer(containers[i]!, list, i, around, run);
  }
  checkHostPorts(spec, run);
  if (spec.resources) checkPodResources(spec, around, run);
  checkDns(spec.dnsConfig, spec.dnsPolicy, run);
  checkScalars(spec, run);
  if (spec.nodeSelector) checkLabels(spec.nodeSelector, 'nodeSelector', run);
  checkGates(spec, run);
  if (spec.topologySpreadConstraints) checkSpread(spec.topologySpreadConstraints, run);
  if (spec.hostUsers === false) checkHostUsers(spec, run);
  if (spec.os?.name === 'linux' || spec.os?.name === 'windows') checkOs(spec, run);
}

function checkVolumeNames(volumes: NonNullable<PodSpec['volumes']>, run: Run): void {
  const seen = new Set<string>();
  for (const [i, { name }] of volumes.entries()) {
    if (seen.has(name)) run.duplicate(`volumes[${i}].name`, name);
    seen.add(name);
  }
}

function checkContainer(container: Container, list: ListName, i: number, around: Around, run: Run): void {
  const at = `${list}[${i}]`;
  if (container.name && around.names.has(container.name)) run.duplicate(`${at}.name`, container.name);
  around.names.add(container.name);
  if (container.volumeMounts) checkMounted(container, at, around, run);
  if (container.volumeDevices) checkDevices(container, at, around, run);
  if (container.resources) {
    checkRequirements(container.resources, `${at}.resources`, { claims: around.claims, podLevel: false }, run);
  }
  if (container.resizePolicy) checkResizePolicy(container, at, around.spec, run);
  const trimmed = !run.isPod || container.image === undefined || container.image.trim() === container.image;
  if (!trimmed) run.invalid(`${at}.image`, container.image, 'must not have leading or trailing whitespace');
  if (container.securityContext?.procMount === 'Unmasked' && around.spec.hostUsers !== false) {
    run.invalid(`${at}.securityContext.procMount`, 'Unmasked', '`hostUsers` must be false to use `Unmasked`');
  }
  const sidecar = list === 'initContainers' && container.restartPolicy === 'Always';
  if (list === 'containers' || sidecar) checkRunning(container, at, around.spec, run);
  else if (list === 'initContainers') checkInit(container, at, run);
  else checkEphemeral(container as Container & { targetContainerName?: string }, at, around, run);
  if (container.restartPolicy !== undefined) checkRestartPolicy(container, at, list, run);
}

const RESTARTS = ['Always', 'Never', 'OnFailure'];

function checkRestartPolicy(container: Container, at: string, list: ListName, run: Run): void {
  const policy = container.restartPolicy!;
  if (list === 'ephemeralContainers') return;
  if (!RESTARTS.includes(policy)) run.unsupported(`${at}.restartPolicy`, policy, RESTARTS);
}

function checkMounted(container: Container, at: string, { volumes }: Around, run: Run): void {
  for (const [i, mount] of container.volumeMounts!.entries()) {
    const path = `${at}.volumeMounts[${i}]`;
    if (!volumes.has(mount.name)) run.notFound(`${path}.name`, mount.name);
  }
}

function checkDevices(container: Container, at: string, { volumes }: Around, run: Run): void {
  for (const [i, { name }] of container.volumeDevices!.entries()) {
    const path = `${at}.volumeDevices[${i}].name`;
    if (!volumes.has(name)) run.notFound(path, name);
    const volume = volumes.get(name);
    if (!volume || volume.persistentVolumeClaim || volume.ephemeral) continue;
    const text = 'can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode';
    run.invalid(path, name, text);
  }
}

/** Hooks and probes of a container that keeps running. */
function checkRunning(container: Container, at: string, spec: PodSpec, run: Run): void {
  if (container.lifecycle) {
    checkLifecycle(container.lifecycle, `${at}.lifecycle`, spec.terminationGracePeriodSeconds, run);
  }
  for (const name of ['livenessProbe', 'startupProbe'] as const) {
    const threshold = container[name]?.successThreshold;
    if (threshold !== undefined && threshold !== 1)
      run.invalid(`${at}.${name}.successThreshold`, threshold, 'must be 1');
  }
  const grace = container.readinessProbe?.terminationGracePeriodSeconds;
  if (grace !== undefined) {
    const path = `${at}.readinessProbe.terminationGracePeriodSeconds`;
    run.invalid(path, grace, 'must not be set for readinessProbes');
  }
}

const RUNNING_ONLY = ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe'] as const;

function checkInit(container: Container, at: string, run: Run): void {
  for (const name of RUNNING_ONLY) {
    if (container[name] === undefined) continue;
    run.forbidden(`${at}.${name}`, 'may not be set for init containers without restartPolicy=Always');
  }
}

const NOT_EPHEMERAL = [
  'ports',
  'livenessProbe',
  'readinessProbe',
  'startupProbe',
  'lifecycle',
  'restartPolicy',
] as const;

function checkEphemeral(
  container: Container & { targetContainerName?: string },
  at: string,
  { spec }: Around,
  run: Run,
): void {
  const others = [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  const target = container.targetContainerName;
  if (target && !others.some((c) => c.name === target)) run.notFound(`${at}.targetContainerName`, target);
  const text = 'cannot be set for an Ephemeral Container';
  for (const name of NOT_EPHEMERAL) {
    const value = container[name];
    if (value !== undefined && !(Array.isArray(value) && value.length === 0)) run.forbidden(`${at}.${name}`, text);
  }
  const { limits, requests, claims } = container.resources ?? {};
  if ([limits, requests, claims].some((r) => Object.keys(r ?? {}).length > 0)) run.forbidden(`${at}.resources`, text);
  for (const [i, mount] of (container.volumeMounts ?? []).entries()) {
    if (mount.subPath) run.forbidden(`${at}.volumeMounts[${i}].subPath`, text);
    if (mount.subPathExpr) run.forbidden(`${at}.volumeMounts[${i}].subPathExpr`, text);
  }
}

function checkResizePolicy(container: Container, at: string, spec: PodSpec, run: Run): void {
  const path = `${at}.resizePolicy`;
  const seen = new Set<string>();
  for (const [i, { resourceName, restartPolicy }] of container.resizePolicy!.entries()) {
    if (seen.has(resourceName)) run.duplicate(`${path}[${i}]`, resourceName);
    seen.add(resourceName);
    if (!resourceName) run.required(path);
    else if (!['cpu', 'memory'].includes(resourceName)) run.unsupported(path, resourceName, ['cpu', 'memory']);
    const policies = ['NotRequired', 'RestartContainer'];
    if (!restartPolicy) run.required(path);
    else if (!policies.includes(restartPolicy)) run.unsupported(path, restartPolicy, policies);
    if (spec.restartPolicy === 'Never' && restartPolicy !== 'NotRequired') {
      run.invalid(path, restartPolicy, "must be 'NotRequired' when `restartPolicy` is 'Never'");
    }
  }
}

function checkHostPorts(spec: PodSpec, run: Run): void {
  const seen = new Set<string>();
  for (const [i, container] of (spec.containers ?? []).entries()) {
    for (const [j, port] of (container.ports ?? []).entries()) {
      const path = `containers[${i}].ports[${j}].hostPort`;
      const hostPort = port.hostPort ?? 0;
      if (spec.hostNetwork && (run.isPod || hostPort !== 0) && hostPort !== port.containerPort) {
        run.invalid(path, hostPort, 'must match `containerPort` when `hostNetwork` is true');
      }
      if (hostPort === 0) continue;
      const key = `${port.protocol}/${port.hostIP ?? ''}/${hostPort}`;
      if (seen.has(key)) run.duplicate(path, key);
      seen.add(key);
    }
  }
}

function checkPodResources(spec: PodSpec, { claims }: Around, run: Run): void {
  const resources = spec.resources!;
  if (resources.claims) run.forbidden('resources.claims', 'claims cannot be set for Resources at pod-level');
  checkRequirements(resources, 'resources', { claims, podLevel: true }, run);
  const limits = (resources.limits ?? {}) as { readonly [name: string]: string };
  for (const [i, container] of spec.containers.entries()) {
    for (const [name, limit] of Object.entries((container.resources?.limits ?? {}) as typeof limits)) {
      if (limits[name] === undefined || compareAmounts(limit, limits[name]) <= 0) continue;
      const path = `resources.containers[${i}][${name}].limits`;
      run.invalid(path, limit, `must be less than or equal to pod limits of ${limits[name]}`);
    }
  }
}

function checkDns(config: PodDNSConfig | undefined, policy: string | undefined, run: Run): void {
  if (policy === 'None') {
    if (!config) {
      run.required('dnsConfig', 'must provide `dnsConfig` when `dnsPolicy` is None');
      return;
    }
    if ((config.nameservers ?? []).length === 0) {
      const text = 'must provide at least one DNS nameserver when `dnsPolicy` is None';
      run.required('dnsConfig.nameservers', text);
      return;
    }
  }
  if (!config) return;
  const { nameservers = [], searches = [] } = config;
  if (nameservers.length > 3) {
    run.invalid('dnsConfig.nameservers', nameservers, 'must not have more than 3 nameservers');
  }
  for (const [i, server] of nameservers.entries()) {
    if (FORMATS.ip(server).length > 0) run.invalid(`dnsConfig.nameservers[${i}]`, server, IP);
  }
  if (searches.length > 32) run.invalid('dnsConfig.searches', searches, 'must not have more than 32 search paths');
  if (searches.join(' ').length > 2048) {
    const text = 'must not have more than 2048 characters (including spaces) in the search list';
    run.invalid('dnsConfig.searches', searches, text);
  }
  for (const [i, search] of searches.entries()) {
    run.invalidEach(`dnsConfig.searches[${i}]`, search, FORMATS.searchDomain(search));
  }
  for (const [i, option] of (config.options ?? []).entries()) {
    if (!option.name) run.required(`dnsConfig.options[${i}]`, 'must not be empty');
  }
}

function checkScalars(spec: PodSpec, run: Run): void {
  const deadline = spec.activeDeadlineSeconds;
  if (deadline !== undefined && (deadline < 1 || deadline > MAX_INT32)) {
    run.invalid('activeDeadlineSeconds', deadline, `must be between 1 and ${MAX_INT32}, inclusive`);
  }
  if (spec.shareProcessNamespace && spec.hostPID) {
    const text = 'ShareProcessNamespace and HostPID cannot both be enabled';
    run.invalid('securityContext.shareProcessNamespace', true, text);
  }
}

function checkGates(spec: PodSpec, run: Run): void {
  const seen = new Set<string>();
  for (const [i, { name }] of (spec.schedulingGates ?? []).entries()) {
    run.invalidEach(`schedulingGates[${i}]`, name, FORMATS.qualifiedName(name));
    if (seen.has(name)) run.duplicate(`schedulingGates[${i}]`, name);
    seen.add(name);
  }
}

function checkSpread(constraints: readonly TopologySpreadConstraint[], run: Run): void {
  for (const [i, constraint] of constraints.entries()) {
    const at = `topologySpreadConstraints[${i}]`;
    const { topologyKey: key, whenUnsatisfiable: action, minDomains } = constraint;
    const repeated = constraints.slice(i + 1).some((c) => c.topologyKey === key && c.whenUnsatisfiable === action);
    if (repeated) run.duplicate(`${at}.{topologyKey, whenUnsatisfiable}`, `{${key}, ${action}}`);
    if (minDomains !== undefined) {
      if (minDomains <= 0) run.invalid(`${at}.minDomains`, minDomains, POSITIVE);
      const text = `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${action}`;
      if (action !== 'DoNotSchedule') run.invalid(`${at}.minDomains`, minDomains, text);
    }
    checkLabelKeys(constraint.matchLabelKeys, constraint.labelSelector, `${at}.matchLabelKeys`, run);
  }
}

function checkLabelKeys(
  keys: readonly string[] | undefined,
  selector: LabelSelector | undefined,
  at: string,
  run: Run,
): void {
  if (!keys || keys.length === 0) return;
  if (!selector) run.forbidden(at, 'must not be specified when labelSelector is not set');
  const selected = new Set(Object.keys(selector?.matchLabels ?? {}));
  for (const expression of selector?.matchExpressions ?? []) selected.add(expression.key);
  for (const [i, key] of keys.entries()) {
    run.invalidEach(`${at}[${i}]`, key, FORMATS.qualifiedName(key));
    // The server itself adds what it takes from the pod's labels: that is no conflict.
    const added = (selector?.matchExpressions ?? []).some((e) => e.key === key && e.operator === 'In');
    if (selected.has(key) && !added) run.invalid(`${at}[${i}]`, key, 'exists in both matchLabelKeys and labelSelector');
  }
}

function checkHostUsers(spec: PodSpec, run: Run): void {
  const text = 'when `pod.Spec.HostUsers` is false';
  if (spec.hostNetwork) run.forbidden('hostNetwork', text);
  if (spec.hostPID) run.forbidden('HostPID', text);
  if (spec.hostIPC) run.forbidden('HostIPC', text);
}

const NOT_ON_WINDOWS = ['hostUsers', 'shareProcessNamespace'] as const;
const POD_NOT_ON_WINDOWS = [
  'appArmorProfile', 'seLinuxOptions', 'seccompProfile', 'fsGroup', 'fsGroupChangePolicy', 'sysctls', 'runAsUser', 'runAsGroup',
  'supplementalGroups', 'supplementalGroupsPolicy', 'seLinuxChangePolicy',
] as const; // biome-ignore format: a table
const CONTAINER_NOT_ON_WINDOWS = [
  'appArmorProfile', 'seLinuxOptions', 'seccompProfile', 'capabilities', 'readOnlyRootFilesystem', 'privileged',
  'allowPrivilegeEscalation', 'procMount', 'runAsUser', 'runAsGroup',
] as const; // biome-ignore format: a table

/** What a pod that says its operating system may not have. */
function checkOs(spec: PodSpec, run: Run): void {
  const windows = spec.os?.name === 'windows';
  const text = windows ? 'cannot be set for a windows pod' : 'windows options cannot be set for a linux pod';
  const refuse = (holder: object | undefined, names: readonly string[], at: string): void => {
    for (const name of names) {
      if ((holder as Record<string, unknown> | undefined)?.[name] !== undefined) run.forbidden(`${at}${name}`, text);
    }
  };
  if (windows) {
    refuse(spec, NOT_ON_WINDOWS, '');
    if (spec.hostPID) run.forbidden('hostPID', text);
    if (spec.hostIPC) run.forbidden('hostIPC', text);
  }
  refuse(spec.securityContext, windows ? POD_NOT_ON_WINDOWS : ['windowsOptions'], 'securityContext.');
  for (const list of LISTS) {
    for (const [i, container] of (spec[list] ?? []).entries()) {
      const names = windows ? CONTAINER_NOT_ON_WINDOWS : ['windowsOptions'];
      refuse(container.securityContext, names, `${list}[${i}].securityContext.`);
    }
  }
}

function checkAffinityTerm(term: PodAffinityTerm, run: Run): void {
  for (const name of term.namespaces ?? []) run.invalidEach('namespace', name, FORMATS.dnsLabel(name));
  if (!term.topologyKey) run.required('topologyKey', 'can not be empty');
  run.invalidEach('topologyKey', term.topologyKey, FORMATS.qualifiedName(term.topologyKey));
  for (const field of ['matchLabelKeys', 'mismatchLabelKeys'] as const) {
    const keys = term[field] ?? [];
    const text = 'must not be specified when labelSelector is not set';
    if (keys.length > 0 && !term.labelSelector) run.forbidden(field, text);
    else for (const [i, key] of keys.entries()) run.invalidEach(`${field}[${i}]`, key, FORMATS.qualifiedName(key));
  }
  for (const [i, key] of (term.matchLabelKeys ?? []).entries()) {
    const text = 'exists in both matchLabelKeys and mismatchLabelKeys';
    if (term.mismatchLabelKeys?.includes(key)) run.invalid(`matchLabelKeys[${i}]`, key, text);
  }
}

function checkTemplate(template: PodTemplateSpec, run: Run): void {
  const { labels, annotations } = template.metadata ?? {};
  if (labels) run.add(validateLabels(labels, run.at('labels')));
  if (annotations) run.add(validateAnnotations(annotations, run.at('annotations')));
  if (!template.spec) {
    run.required('spec.containers');
    return;
  }
  if ((template.spec.ephemeralContainers ?? []).length === 0) return;
  run.forbidden('spec.ephemeralContainers', 'ephemeral containers not allowed in pod template');
}

const LABEL: FieldRule = { format: 'dnsLabel' };
const SUBDOMAIN: FieldRule = { format: 'dnsSubdomain' };

export const POD_RULES: RuleTable = {
  'core.v1.PodSpec': {
    fields: {
      containers: { required: true },
      restartPolicy: { required: true, oneOf: ['Always', 'OnFailure', 'Never'] },
      dnsPolicy: { required: true, oneOf: ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None'] },
      terminationGracePeriodSeconds: { required: true },
      preemptionPolicy: { oneOf: ['PreemptLowerPriority', 'Never'] },
      hostname: LABEL,
      subdomain: LABEL,
      nodeName: SUBDOMAIN,
      serviceAccountName: SUBDOMAIN,
      priorityClassName: SUBDOMAIN,
      runtimeClassName: SUBDOMAIN,
      resourceClaims: { unique: 'name' },
      overhead: { each: { format: 'quantity' } },
    },
    check: checkPodSpec,
  },
  'core.v1.PodTemplateSpec': { check: checkTemplate },
  'core.v1.PodResourceClaim': {
    fields: { name: LABEL, resourceClaimName: SUBDOMAIN, resourceClaimTemplateName: SUBDOMAIN },
    check(claim: { resourceClaimName?: string; resourceClaimTemplateName?: string }, run: Run) {
      const named = claim.resourceClaimName !== undefined;
      const templated = claim.resourceClaimTemplateName !== undefined;
      if (named !== templated) return;
      const text = named
        ? 'at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified'
        : 'must specify one of: `resourceClaimName`, `resourceClaimTemplateName`';
      run.invalid('', claim, text);
    },
  },
  'core.v1.PodAffinityTerm': { fields: { topologyKey: { required: false } }, check: checkAffinityTerm },
  'core.v1.TopologySpreadConstraint': {
    fields: {
      maxSkew: { min: 1, range: POSITIVE },
      topologyKey: { required: 'can not be empty' },
      whenUnsatisfiable: { required: false },
    },
    check(constraint: TopologySpreadConstraint, run: Run) {
      if (!constraint.whenUnsatisfiable) run.unsupported('whenUnsatisfiable', '', ['DoNotSchedule', 'ScheduleAnyway']);
    },
  },
  'core.v1.HostAlias': { fields: { ip: { required: false, format: 'ip' }, hostnames: { each: SUBDOMAIN } } },
  'core.v1.PodOS': { fields: { name: { required: 'cannot be empty', oneOf: ['linux', 'windows'] } } },
  'core.v1.PodReadinessGate': { fields: { conditionType: { required: false, format: 'qualifiedName' } } },
  'core.v1.PodSchedulingGate': { fields: { name: { required: false } } },
};
