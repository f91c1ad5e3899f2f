// Small strategies of the core group: namespaces, nodes, config, accounts, events, volumes.
import type {
  ConfigMap,
  Endpoints,
  Event,
  LimitRange,
  Namespace,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  PodTemplate,
  ResourceQuota,
  Secret,
  ServiceAccount,
} from '../../api/generated/types.ts';
import { setMember } from '../../api/json.ts';
import type { Draft } from '../../api/object.ts';
import type { FieldError } from '../../machinery/status.ts';
import { sameMeaning } from './equality.ts';
import {
  duplicate,
  eachInvalid,
  FIELD_IMMUTABLE,
  forbiddenField,
  invalidValue,
  required,
  tooLong,
} from './field-errors.ts';
import { anyName, configKey, dnsLabelName, dnsSubdomain, qualifiedName } from './name-rules.ts';
import { validatePodTemplate } from './pod-spec.ts';
import { defineStrategy } from './strategy.ts';

/** Data of a Secret or a ConfigMap together. */
export const MAX_DATA_BYTES = 1024 * 1024;

export const namespaceStrategy = defineStrategy<Namespace>({
  nameRule: dnsLabelName,
  selectable: { 'status.phase': (ns) => ns.status?.phase ?? '' },
  prepareForCreate(ns) {
    ns.status = { phase: 'Active' };
    ns.spec ??= {};
    const finalizers = ns.spec.finalizers ?? [];
    if (!finalizers.includes('kubernetes')) ns.spec.finalizers = [...finalizers, 'kubernetes'];
    nameLabel(ns);
  },
  prepareForUpdate(ns, old) {
    ns.spec = structuredClone(old.spec ?? {}) as NonNullable<Draft<Namespace>['spec']>;
    ns.status = structuredClone(old.status) as Draft<Namespace>['status'];
    nameLabel(ns);
  },
  endpoints: {
    finalize: {
      prepareForUpdate(ns, old) {
        ns.status = structuredClone(old.status) as Draft<Namespace>['status'];
      },
      validateUpdate: (ns) =>
        (ns.spec?.finalizers ?? []).flatMap((f, i) => eachInvalid(`spec.finalizers[${i}]`, f, qualifiedName(f))),
    },
    status: {
      prepareForUpdate(ns, old) {
        ns.spec = structuredClone(old.spec) as Draft<Namespace>['spec'];
      },
      validateUpdate: validatePhase,
    },
  },
  heldBack: (ns) => (ns.spec?.finalizers ?? []).length > 0,
  prepareForDelete(ns) {
    ns.status = { ...ns.status, phase: 'Terminating' };
  },
});

function nameLabel(ns: Draft<Namespace>): void {
  ns.metadata.labels = { ...ns.metadata.labels, 'kubernetes.io/metadata.name': ns.metadata.name };
}

function validatePhase(ns: Namespace): FieldError[] {
  const phase = ns.status?.phase;
  if (!ns.metadata.deletionTimestamp && phase !== 'Active') {
    return [invalidValue('status.Phase', phase ?? '', "may only be 'Active' if `deletionTimestamp` is empty")];
  }
  if (ns.metadata.deletionTimestamp && phase !== 'Terminating') {
    return [invalidValue('status.Phase', phase ?? '', "may only be 'Terminating' if `deletionTimestamp` is not empty")];
  }
  return [];
}

function validateNode(node: Node): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [i, taint] of (node.spec?.taints ?? []).entries()) {
    const at = `spec.taints[${i}]`;
    if (!taint.key) errors.push(required(`${at}.key`));
    else errors.push(...eachInvalid(`${at}.key`, taint.key, qualifiedName(taint.key)));
    if (!['NoSchedule', 'PreferNoSchedule', 'NoExecute'].includes(taint.effect)) {
      errors.push(invalidValue(`${at}.effect`, taint.effect, 'must be NoSchedule, PreferNoSchedule or NoExecute'));
    }
    const id = `${taint.key}/${taint.effect}`;
    if (seen.has(id))
      errors.push({
        ...duplicate(at, taint),
        message: 'Duplicate value: taints must be unique by key and effect pair',
      });
    seen.add(id);
  }
  return errors;
}

export const nodeStrategy = defineStrategy<Node>({
  keepsStatusOnCreate: true,
  returnsDeleted: false,
  selectable: { 'spec.unschedulable': (node) => String(node.spec?.unschedulable ?? false) },
  validate: validateNode,
  validateUpdate(node, old) {
    const errors = validateNode(node);
    const cidr = old.spec?.podCIDR;
    if (cidr && node.spec?.podCIDR !== cidr) {
      errors.push(forbiddenField('spec.podCIDRs', 'node updates may not change podCIDR except from "" to valid'));
    }
    const provider = old.spec?.providerID;
    if (provider && node.spec?.providerID !== provider) {
      errors.push(forbiddenField('spec.providerID', 'node updates may not change providerID except from "" to valid'));
    }
    return errors;
  },
});

interface DataHolder {
  readonly data?: { readonly [key: string]: string };
  readonly binaryData?: { readonly [key: string]: string };
}

const decodedBytes = (base64: string): number => Buffer.byteLength(base64, 'base64');

function validateKeys(keys: readonly string[], path: string): FieldError[] {
  return keys.flatMap((key) => eachInvalid(`${path}[${key}]`, key, configKey(key)));
}

/** An object marked immutable keeps its data and its mark. */
function validateImmutable(
  object: DataHolder & { readonly immutable?: boolean },
  old: DataHolder & { readonly immutable?: boolean },
): FieldError[] {
  if (!old.immutable) return [];
  const text = 'field is immutable when `immutable` is set';
  const errors: FieldError[] = [];
  if (!object.immutable) errors.push(forbiddenField('immutable', text));
  for (const field of ['data', 'binaryData'] as const) {
    if (!sameMeaning(object[field], old[field])) errors.push(forbiddenField(field, text));
  }
  return errors;
}

function validateConfigMap(map: ConfigMap): FieldError[] {
  const errors = validateKeys(Object.keys(map.data ?? {}), 'data');
  errors.push(...validateKeys(Object.keys(map.binaryData ?? {}), 'binaryData'));
  let total = 0;
  for (const [key, value] of Object.entries(map.data ?? {})) {
    total += Buffer.byteLength(value);
    if (Object.hasOwn(map.binaryData ?? {}, key))
      errors.push(invalidValue(`data[${key}]`, key, 'duplicate of key present in binaryData'));
  }
  for (const value of Object.values(map.binaryData ?? {})) total += decodedBytes(value);
  if (total > MAX_DATA_BYTES) errors.push(tooLong('', MAX_DATA_BYTES));
  return errors;
}

export const configMapStrategy = defineStrategy<ConfigMap>({
  validate: validateConfigMap,
  validateUpdate: (map, old) => [...validateConfigMap(map), ...validateImmutable(map, old)],
});

/** stringData is a way to write data; it is never stored. */
function foldStringData(secret: Draft<Secret>): void {
  if (!secret.stringData) return;
  secret.data ??= {};
  for (const [key, value] of Object.entries(secret.stringData))
    setMember(secret.data, key, Buffer.from(value).toString('base64'));
  delete secret.stringData;
}

/** Keys that a type of secret must have. */
const SECRET_KEYS: { readonly [type: string]: readonly string[] } = {
  'kubernetes.io/dockercfg': ['.dockercfg'],
  'kubernetes.io/dockerconfigjson': ['.dockerconfigjson'],
  'kubernetes.io/ssh-auth': ['ssh-privatekey'],
  'kubernetes.io/tls': ['tls.crt', 'tls.key'],
};

function validateSecret(secret: Secret): FieldError[] {
  const errors = validateKeys(Object.keys(secret.data ?? {}), 'data');
  const total = Object.values(secret.data ?? {}).reduce((sum, value) => sum + decodedBytes(value), 0);
  if (total > MAX_DATA_BYTES) errors.push(tooLong('data', MAX_DATA_BYTES));
  for (const key of SECRET_KEYS[secret.type ?? ''] ?? []) {
    if (secret.data?.[key] === undefined) errors.push(required(`data[${key}]`));
  }
  if (secret.type === 'kubernetes.io/service-account-token') {
    const at = 'metadata.annotations[kubernetes.io/service-account.name]';
    if (!secret.metadata.annotations?.['kubernetes.io/service-account.name']) errors.push(required(at));
  }
  if (secret.type === 'kubernetes.io/basic-auth') {
    const found = secret.data?.username !== undefined || secret.data?.password !== undefined;
    if (!found) errors.push(required('data[username]'), required('data[password]'));
  }
  return errors;
}

export const secretStrategy = defineStrategy<Secret>({
  selectable: { type: (secret) => secret.type ?? '' },
  normalize: foldStringData,
  prepareForUpdate(secret, old) {
    // A type that the client leaves out stays.
    if (!secret.type && old.type) secret.type = old.type;
  },
  validate: validateSecret,
  validateUpdate(secret, old) {
    const errors = [...validateSecret(secret), ...validateImmutable(secret, old)];
    if (secret.type !== old.type) errors.push(invalidValue('type', secret.type, FIELD_IMMUTABLE));
    return errors;
  },
});

export const serviceAccountStrategy = defineStrategy<ServiceAccount>({ returnsDeleted: true });

/** Events are kept for an hour after their last write, as upstream's --event-ttl. */
export const EVENT_TTL_SECONDS = 3600;

const eventSource = (event: Event): string => event.source?.component || event.reportingComponent || '';

export const eventStrategy = defineStrategy<Event>({
  nameRule: anyName,
  allowCreateOnUpdate: true,
  ttlSeconds: EVENT_TTL_SECONDS,
  selectable: {
    'involvedObject.kind': (e) => e.involvedObject.kind ?? '',
    'involvedObject.namespace': (e) => e.involvedObject.namespace ?? '',
    'involvedObject.name': (e) => e.involvedObject.name ?? '',
    'involvedObject.uid': (e) => e.involvedObject.uid ?? '',
    'involvedObject.apiVersion': (e) => e.involvedObject.apiVersion ?? '',
    'involvedObject.resourceVersion': (e) => e.involvedObject.resourceVersion ?? '',
    'involvedObject.fieldPath': (e) => e.involvedObject.fieldPath ?? '',
    reason: (e) => e.reason ?? '',
    reportingComponent: (e) => e.reportingComponent ?? '',
    source: eventSource,
    type: (e) => e.type ?? '',
  },
  validate(event) {
    const ours = event.metadata.namespace;
    const theirs = event.involvedObject.namespace || 'default';
    if (ours === theirs) return [];
    return [
      invalidValue('involvedObject.namespace', event.involvedObject.namespace ?? '', 'does not match event.namespace'),
    ];
  },
});

export const endpointsStrategy = defineStrategy<Endpoints>({
  allowCreateOnUpdate: true,
  validate(endpoints) {
    const errors: FieldError[] = [];
    for (const [i, subset] of (endpoints.subsets ?? []).entries()) {
      const none = (subset.addresses ?? []).length === 0 && (subset.notReadyAddresses ?? []).length === 0;
      if (none) errors.push(required(`subsets[${i}]`, 'must specify `addresses` or `notReadyAddresses`'));
    }
    return errors;
  },
});

export const limitRangeStrategy = defineStrategy<LimitRange>({ allowCreateOnUpdate: true });

export const resourceQuotaStrategy = defineStrategy<ResourceQuota>({ returnsDeleted: true });

export const podTemplateStrategy = defineStrategy<PodTemplate>({
  countsGenerations: true,
  returnsDeleted: true,
  validate: (t) => validatePodTemplate(t.template, 'template', ['Always', 'OnFailure', 'Never']),
});

const ACCESS_MODES = ['ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod'];

function validateModes(modes: readonly string[] | undefined): FieldError[] {
  if ((modes ?? []).length === 0) return [required('spec.accessModes', 'at least 1 access mode is required')];
  return (modes ?? [])
    .filter((mode) => !ACCESS_MODES.includes(mode))
    .map((mode) => ({
      reason: 'FieldValueNotSupported' as const,
      field: 'spec.accessModes',
      message: `Unsupported value: ${JSON.stringify(mode)}: supported values: ${ACCESS_MODES.map((m) => JSON.stringify(m)).join(', ')}`,
    }));
}

export const persistentVolumeStrategy = defineStrategy<PersistentVolume>({
  returnsDeleted: true,
  selectable: { name: (pv) => pv.metadata.name },
  prepareForCreate(pv, scope) {
    pv.status = { phase: 'Pending', lastPhaseTransitionTime: scope.now };
  },
  validate(pv) {
    const errors = validateModes(pv.spec?.accessModes);
    if (!pv.spec?.capacity?.storage) errors.push(required('spec.capacity'));
    return errors;
  },
  endpoints: {
    status: {
      prepareForUpdate(pv, old, scope) {
        pv.spec = structuredClone(old.spec) as Draft<PersistentVolume>['spec'];
        if (pv.status && pv.status.phase !== old.status?.phase) pv.status.lastPhaseTransitionTime ??= scope.now;
      },
    },
  },
});

const CLAIM_MUTABLE = ['resources', 'volumeName', 'storageClassName', 'volumeAttributesClassName'] as const;

function validateClaim(claim: PersistentVolumeClaim): FieldError[] {
  const errors = validateModes(claim.spec.accessModes);
  if (!claim.spec.resources?.requests?.storage) errors.push(required('spec.resources[storage]'));
  const storageClass = claim.spec.storageClassName;
  if (storageClass) errors.push(...eachInvalid('spec.storageClassName', storageClass, dnsSubdomain(storageClass)));
  return errors;
}

export const persistentVolumeClaimStrategy = defineStrategy<PersistentVolumeClaim>({
  returnsDeleted: true,
  selectable: { name: (claim) => claim.metadata.name },
  prepareForCreate(claim) {
    claim.status = { phase: 'Pending' };
  },
  validate: validateClaim,
  validateUpdate(claim, old) {
    const errors = validateClaim(claim);
    const allowed: Record<string, unknown> = { ...old.spec };
    for (const field of CLAIM_MUTABLE) {
      if (field === 'volumeName' && old.spec.volumeName) continue;
      if (field === 'storageClassName' && old.spec.storageClassName !== undefined) continue;
      allowed[field] = claim.spec[field];
    }
    if (!sameMeaning(claim.spec, allowed)) {
      const text =
        'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims';
      errors.push(forbiddenField('spec', text));
    }
    return errors;
  },
});
