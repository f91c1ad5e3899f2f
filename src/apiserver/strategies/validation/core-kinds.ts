// Kinds of the core group besides pods and services.
import { isIP } from 'node:net';
import type {
  EndpointSubset,
  Event,
  LimitRangeItem,
  LimitRangeSpec,
  Node,
  PersistentVolumeClaimSpec,
  PersistentVolumeSpec,
  ResourceQuotaSpec,
  ScopedResourceSelectorRequirement,
  Taint,
} from '../../../api/generated/types.ts';
import { CIDR, FORMATS, isCidr } from './formats.ts';
import {
  type Amounts,
  checkAmount,
  checkContainerResourceName,
  checkResourceName,
  compareAmounts,
  isQuotaName,
} from './resources.ts';
import type { FieldRule, RuleTable } from './rules.ts';
import type { Run } from './run.ts';
import { EFFECTS } from './selectors.ts';
import { PERSISTENT_UNION } from './volumes.ts';

const MODES = ['ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod'];
const CLASS: FieldRule = { format: 'dnsSubdomain' };

function checkModes(modes: readonly string[] | undefined, run: Run): void {
  for (const mode of modes ?? []) if (!MODES.includes(mode)) run.unsupported('accessModes', mode, MODES);
  const others = (modes ?? []).some((m) => m !== 'ReadWriteOncePod' && MODES.includes(m));
  if (others && modes?.includes('ReadWriteOncePod')) {
    run.forbidden('accessModes', 'may not use ReadWriteOncePod with other access modes');
  }
}

function checkVolume(spec: PersistentVolumeSpec, run: Run): void {
  checkModes(spec.accessModes, run);
  const capacity = (spec.capacity ?? {}) as NonNullable<Amounts>;
  const names = Object.keys(capacity);
  if (names.length === 0) run.required('capacity');
  if (capacity.storage === undefined || names.length > 1) run.unsupported('capacity', capacity, ['storage']);
  for (const name of names) {
    const problems = FORMATS.positiveQuantity(capacity[name]!);
    run.invalidEach(`capacity[${name}]`, capacity[name], problems);
  }
  if (spec.local && !spec.nodeAffinity) run.required('nodeAffinity', 'Local volume requires node affinity');
  const root = spec.hostPath && /^\/+(\.?\/*)*$/.test(spec.hostPath.path);
  if (root && spec.persistentVolumeReclaimPolicy === 'Recycle') {
    run.forbidden('persistentVolumeReclaimPolicy', "may not be 'recycle' for a hostPath mount of '/'");
  }
  if (spec.volumeAttributesClassName === undefined) return;
  if (spec.volumeAttributesClassName === '') {
    run.required('volumeAttributesClassName', 'an empty string is disallowed');
  }
  if (!spec.csi) run.required('csi', 'has to be specified when using volumeAttributesClassName');
}

type DataSource = {
  readonly apiGroup?: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
};

function checkDataSource(source: DataSource, at: string, run: Run): void {
  if (!source.apiGroup) {
    const text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
    if (source.kind !== 'PersistentVolumeClaim') run.invalid(at, source.kind, text);
  } else run.invalidEach(`${at}.apiGroup`, source.apiGroup, FORMATS.dnsSubdomain(source.apiGroup));
  if (source.namespace) run.invalidEach(`${at}.namespace`, source.namespace, FORMATS.dnsLabel(source.namespace));
}

function checkClaim(spec: PersistentVolumeClaimSpec, run: Run): void {
  checkModes(spec.accessModes, run);
  const storage = (spec.resources?.requests as Amounts)?.storage;
  if (storage === undefined) run.required('resources[storage]');
  else run.invalidEach('resources[storage]', storage, FORMATS.positiveQuantity(storage));
  const { dataSource, dataSourceRef } = spec;
  if (dataSource) checkDataSource(dataSource as DataSource, 'dataSource', run);
  if (dataSourceRef) checkDataSource(dataSourceRef as DataSource, 'dataSourceRef', run);
  if (!dataSource || !dataSourceRef) return;
  const same =
    dataSource.kind === dataSourceRef.kind &&
    dataSource.name === dataSourceRef.name &&
    (dataSource.apiGroup ?? '') === (dataSourceRef.apiGroup ?? '');
  if (dataSourceRef.namespace) {
    run.invalid('', 'dataSource', 'may not be specified when dataSourceRef.namespace is specified');
  } else if (!same) run.invalid('', 'dataSource', 'must match dataSourceRef');
}

const PROTOCOL: FieldRule = { required: true };

/** The API server's own endpoints: on one machine it is reached on the loopback address. */
function isApiServer(run: Run): boolean {
  const { name, namespace } = run.root.metadata as { name?: string; namespace?: string };
  return name === 'kubernetes' && namespace === 'default';
}

export const isLoopback = (ip: string): boolean => ip.startsWith('127.') || ip === '::1';

/** Addresses that mean something on one machine only. */
export function checkOrdinaryAddress(ip: string, at: string, run: Run): void {
  const family = isIP(ip);
  if (family === 0 || isApiServer(run)) return;
  const low = ip.toLowerCase();
  if (low === '0.0.0.0' || low === '::') run.invalid(at, ip, `may not be unspecified (${ip})`);
  if (isLoopback(low)) {
    run.invalid(at, ip, 'may not be in the loopback range (127.0.0.0/8, ::1/128)');
  }
  if (low.startsWith('169.254.') || /^fe[89ab]/.test(low)) {
    run.invalid(at, ip, 'may not be in the link-local range (169.254.0.0/16, fe80::/10)');
  }
  if (low.startsWith('224.0.0.') || low.startsWith('ff02:')) {
    run.invalid(at, ip, 'may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)');
  }
}

function checkSubset(subset: EndpointSubset, run: Run): void {
  const { addresses = [], notReadyAddresses = [], ports = [] } = subset;
  if (addresses.length + notReadyAddresses.length === 0) {
    run.required('', 'must specify `addresses` or `notReadyAddresses`');
  }
  if (ports.length < 2) return;
  for (const [i, port] of ports.entries()) if (!port.name) run.required(`ports[${i}].name`);
}

const RANGES = ['max', 'min', 'default', 'defaultRequest', 'maxLimitRequestRatio'] as const;
const LIMIT_TYPES = ['Pod', 'Container', 'PersistentVolumeClaim'];

function checkLimits(spec: LimitRangeSpec, run: Run): void {
  const types = new Set<string>();
  for (const [i, { type }] of (spec.limits ?? []).entries()) {
    if (types.has(type)) run.duplicate(`limits[${i}].type`, type);
    types.add(type);
  }
}

function checkLimit(limit: LimitRangeItem, run: Run): void {
  const problems = FORMATS.qualifiedName(limit.type);
  run.invalidEach('type', limit.type, problems);
  if (problems.length === 0 && !limit.type.includes('/') && !LIMIT_TYPES.includes(limit.type)) {
    run.invalid('type', limit.type, 'must be a standard limit type or fully qualified');
  }
  const names = new Set<string>();
  const ofContainers = limit.type === 'Pod' || limit.type === 'Container';
  for (const range of RANGES) {
    if (limit.type === 'Pod' && range.startsWith('default')) {
      const found = Object.keys(limit[range] ?? {}).length > 0;
      if (found) run.forbidden(range, "may not be specified when `type` is 'Pod'");
      continue;
    }
    for (const name of Object.keys(limit[range] ?? {})) {
      names.add(name);
      if (ofContainers) checkContainerResourceName(name, `${range}[${name}]`, run);
      else checkResourceName(name, `${range}[${name}]`, run);
    }
  }
  const sized = (limit.min as Amounts)?.storage ?? (limit.max as Amounts)?.storage;
  if (limit.type === 'PersistentVolumeClaim' && sized === undefined) {
    run.required('limits', 'either minimum or maximum storage value is required, but neither was provided');
  }
  for (const name of names) compareLimits(limit, name, run);
}

function compareLimits(limit: LimitRangeItem, name: string, run: Run): void {
  const of = (range: (typeof RANGES)[number]): string | undefined => (limit[range] as Amounts)?.[name];
  const [min, max, preset, request] = [of('min'), of('max'), of('default'), of('defaultRequest')];
  const more = (a: string | undefined, b: string | undefined): boolean =>
    a !== undefined && b !== undefined && compareAmounts(a, b) > 0;
  const say = (range: string, value: unknown, text: string): void => run.invalid(`${range}[${name}]`, value, text);
  if (more(min, max)) say('min', min, `min value ${min} is greater than max value ${max}`);
  if (more(min, request))
    say('defaultRequest', request, `min value ${min} is greater than default request value ${request}`);
  if (more(request, max))
    say('defaultRequest', request, `default request value ${request} is greater than max value ${max}`);
  if (more(request, preset)) {
    say('defaultRequest', request, `default request value ${request} is greater than default limit value ${preset}`);
  }
  if (more(min, preset)) say('default', min, `min value ${min} is greater than default value ${preset}`);
  if (more(preset, max)) say('default', max, `default value ${preset} is greater than max value ${max}`);
  const ratio = of('maxLimitRequestRatio');
  if (more('1', ratio)) say('maxLimitRequestRatio', ratio, `ratio ${ratio} is less than 1`);
}

const SCOPES = [
  'BestEffort', 'CrossNamespacePodAffinity', 'NotBestEffort', 'NotTerminating', 'PriorityClass', 'Terminating',
  'VolumeAttributesClass',
]; // biome-ignore format: a table
const COMPUTE = new Set([
  'pods', 'cpu', 'memory', 'requests.cpu', 'requests.memory', 'limits.cpu', 'limits.memory', 'ephemeral-storage',
  'requests.ephemeral-storage', 'limits.ephemeral-storage',
]); // biome-ignore format: a table

/** A scope may count this resource. */
function scopeFits(scope: string, name: string): boolean {
  if (scope === 'BestEffort') return name === 'pods';
  if (scope === 'VolumeAttributesClass') return name === 'persistentvolumeclaims' || name === 'requests.storage';
  return COMPUTE.has(name) || name.includes('hugepages-');
}

function checkQuota(spec: ResourceQuotaSpec, run: Run): void {
  const hard = (spec.hard ?? {}) as NonNullable<Amounts>;
  const names = Object.keys(hard);
  for (const name of names) {
    checkQuotaName(name, `hard[${name}]`, run);
    checkAmount(name, hard[name]!, `hard[${name}]`, run);
  }
  const standard = names.filter(isQuotaName).sort();
  for (const scope of spec.scopes ?? []) {
    if (!SCOPES.includes(scope)) run.invalid('scopes', spec.scopes, 'unsupported scope');
    for (const name of standard) {
      if (!scopeFits(scope, name)) run.invalid('scopes', spec.scopes, 'unsupported scope applied to resource');
    }
  }
  checkConflicts(spec.scopes ?? [], 'scopes', spec.scopes, run);
  const selected = spec.scopeSelector?.matchExpressions ?? [];
  for (const rule of selected) checkScope(rule, 'scopeSelector.matchExpressions', run);
  checkConflicts(
    selected.map((s) => s.scopeName),
    'scopeSelector.matchExpressions',
    spec.scopes,
    run,
  );
}

function checkQuotaName(name: string, at: string, run: Run): void {
  checkResourceName(name, at, run);
  if (!name.includes('/') && !isQuotaName(name)) run.invalid(at, name, 'must be a standard resource for quota');
}

function checkConflicts(scopes: readonly string[], at: string, shown: unknown, run: Run): void {
  for (const scope of ['BestEffort', 'Terminating']) {
    if (scopes.includes(scope) && scopes.includes(`Not${scope}`)) run.invalid(at, shown, 'conflicting scopes');
  }
}

const EXISTS_ONLY = ['BestEffort', 'NotBestEffort', 'Terminating', 'NotTerminating', 'CrossNamespacePodAffinity'];

function checkScope(rule: ScopedResourceSelectorRequirement, at: string, run: Run): void {
  const { scopeName, operator, values = [] } = rule;
  if (!SCOPES.includes(scopeName)) run.invalid(`${at}.scopeName`, scopeName, 'unsupported scope');
  if (EXISTS_ONLY.includes(scopeName) && operator !== 'Exists') {
    const text =
      "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, " +
      'ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity';
    run.invalid(`${at}.operator`, operator, text);
  }
  if (operator === 'In' || operator === 'NotIn') {
    const text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
    if (values.length === 0) run.required(`${at}.values`, text);
  } else if (operator === 'Exists' || operator === 'DoesNotExist') {
    const text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
    if (values.length > 0) run.invalid(`${at}.values`, values, text);
  } else run.invalid(`${at}.operator`, operator, 'not a valid selector operator');
}

/** Upstream reports taints below metadata. */
function checkTaints(taints: readonly Taint[], run: Run): void {
  const seen = new Set<string>();
  for (const [i, taint] of taints.entries()) {
    const at = `metadata.taints[${i}]`;
    run.invalidEach(`${at}.key`, taint.key, FORMATS.qualifiedName(taint.key));
    const problems = FORMATS.labelValue(taint.value ?? '');
    if (problems.length > 0) run.invalid(`${at}.value`, taint.value, problems.join(';'));
    if (!taint.effect) run.required(`${at}.effect`);
    else if (!EFFECTS.includes(taint.effect)) run.unsupported(`${at}.effect`, taint.effect, EFFECTS);
    const id = `${taint.key}/${taint.effect}`;
    if (seen.has(id)) run.duplicate(at, taint, 'taints must be unique by key and effect pair');
    seen.add(id);
  }
}

function checkNode(node: Node, run: Run): void {
  if (node.spec?.taints) checkTaints(node.spec.taints, run);
  const cidrs = node.spec?.podCIDRs ?? [];
  const at = 'spec.podCIDRs';
  for (const [i, cidr] of cidrs.entries()) if (!isCidr(cidr)) run.invalid(`${at}[${i}]`, cidr, CIDR);
  if (cidrs.length < 2) return;
  const families = new Set(cidrs.map((c) => c.includes(':')));
  if (families.size < cidrs.length) run.invalid(at, cidrs, 'may specify no more than one CIDR for each IP family');
}

/** An event through the newer API says more, and must. */
function checkEvent(event: Event, run: Run): void {
  if (!event.eventTime || event.source?.component) return;
  if (!event.reportingComponent) run.required('reportingController');
  else {
    const problems = FORMATS.qualifiedName(event.reportingComponent);
    run.invalidEach('reportingController', event.reportingComponent, problems);
  }
  if (!event.reportingInstance) run.required('reportingInstance');
  else if (event.reportingInstance.length > 128) {
    run.invalid('reportingInstance', '', 'can have at most 128 characters');
  }
  if (!event.action) run.required('action');
  else if (event.action.length > 128) run.invalid('action', '', 'can have at most 128 characters');
  if (!event.reason) run.required('reason');
  else if (event.reason.length > 128) run.invalid('reason', '', 'can have at most 128 characters');
  if (Buffer.byteLength(event.message ?? '') > 1024) run.invalid('message', '', 'can have at most 1024 characters');
}

export const CORE_RULES: RuleTable = {
  'core.v1.PersistentVolumeSpec': {
    fields: {
      accessModes: { required: true, closed: false },
      gcePersistentDisk: { shownAs: 'persistentDisk' },
      storageClassName: CLASS,
      volumeAttributesClassName: CLASS,
      persistentVolumeReclaimPolicy: { oneOf: ['Delete', 'Recycle', 'Retain'] },
    },
    union: PERSISTENT_UNION,
    check: checkVolume,
  },
  'core.v1.VolumeNodeAffinity': { fields: { required: { required: 'must specify required node constraints' } } },
  'core.v1.PersistentVolumeClaimSpec': {
    fields: {
      accessModes: { required: 'at least 1 access mode is required', closed: false },
      storageClassName: CLASS,
      volumeAttributesClassName: CLASS,
    },
    check: checkClaim,
  },
  'core.v1.EndpointSubset': { check: checkSubset },
  'core.v1.EndpointAddress': {
    fields: {
      ip: { required: false, format: 'ip' },
      hostname: { format: 'dnsLabel' },
      nodeName: { format: 'dnsSubdomain' },
    },
    check(address: { ip: string }, run: Run) {
      if (!address.ip) run.invalidEach('ip', '', FORMATS.ip(''));
      checkOrdinaryAddress(address.ip, 'ip', run);
    },
  },
  'core.v1.EndpointPort': {
    fields: {
      name: { format: 'dnsLabel' },
      port: { format: 'portNumber' },
      protocol: PROTOCOL,
      appProtocol: { format: 'qualifiedName' },
    },
  },
  'core.v1.LimitRangeSpec': { check: checkLimits },
  'core.v1.LimitRangeItem': { fields: { type: { required: false } }, check: checkLimit },
  'core.v1.ResourceQuotaSpec': {
    fields: { scopes: { closed: false }, scopeSelector: { opaque: true } },
    check: checkQuota,
    checkUpdate(spec: ResourceQuotaSpec, old: ResourceQuotaSpec, run: Run) {
      const same = [...(spec.scopes ?? [])].sort().join() === [...(old.scopes ?? [])].sort().join();
      if (!same) run.invalid('scopes', spec.scopes, 'field is immutable');
    },
  },
  'core.v1.Node': { check: checkNode },
  'core.v1.NodeSpec': { fields: { taints: { opaque: true } } },
  'core.v1.ConfigMapNodeConfigSource': {
    fields: {
      namespace: { required: 'namespace must be set', format: 'dnsLabel' },
      name: { required: 'name must be set', format: 'dnsSubdomain' },
      kubeletConfigKey: { required: 'kubeletConfigKey must be set', format: 'configKey' },
    },
  },
  'core.v1.Event': { check: checkEvent },
  'events.v1.Event': { fields: { series: { opaque: true } } },
};
