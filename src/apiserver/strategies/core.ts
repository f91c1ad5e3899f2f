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
import { eachInvalid, FIELD_IMMUTABLE, forbiddenField, invalidValue, required, tooLong } from './field-errors.ts';
import { anyName, configKey, dnsLabelName, qualifiedName } from './name-rules.ts';
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

export const nodeStrategy = defineStrategy<Node>({
  keepsStatusOnCreate: true,
  returnsDeleted: false,
  selectable: { 'spec.unschedulable': (node) => String(node.spec?.unschedulable ?? false) },
  validateUpdate(node, old) {
    const errors: FieldError[] = [];
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

/** The key whose value is a JSON object. */
const JSON_KEYS: { readonly [type: string]: string | undefined } = {
  'kubernetes.io/dockercfg': '.dockercfg',
  'kubernetes.io/dockerconfigjson': '.dockerconfigjson',
};

function isJsonObject(base64: string): boolean {
  try {
    const value: unknown = JSON.parse(Buffer.from(base64, 'base64').toString());
    return value === null || (typeof value === 'object' && !Array.isArray(value));
  } catch {
    return false;
  }
}

function validateSecret(secret: Secret): FieldError[] {
  const errors = validateKeys(Object.keys(secret.data ?? {}), 'data');
  const total = Object.values(secret.data ?? {}).reduce((sum, value) => sum + decodedBytes(value), 0);
  if (total > MAX_DATA_BYTES) errors.push(tooLong('data', MAX_DATA_BYTES));
  for (const key of SECRET_KEYS[secret.type ?? ''] ?? []) {
    if (secret.data?.[key] === undefined) errors.push(required(`data[${key}]`));
  }
  const json = JSON_KEYS[secret.type ?? ''];
  const text = json === undefined ? undefined : secret.data?.[json];
  if (text !== undefined && !isJsonObject(text)) {
    errors.push(invalidValue(`data[${json}]`, '<secret contents redacted>', 'must be a JSON object'));
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

export const endpointsStrategy = defineStrategy<Endpoints>({ allowCreateOnUpdate: true });

export const limitRangeStrategy = defineStrategy<LimitRange>({ allowCreateOnUpdate: true });

export const resourceQuotaStrategy = defineStrategy<ResourceQuota>({ returnsDeleted: true });

export const podTemplateStrategy = defineStrategy<PodTemplate>({
  countsGenerations: true,
  returnsDeleted: true,
});

const NO_SOURCE = [
  'capacity', 'accessModes', 'claimRef', 'persistentVolumeReclaimPolicy', 'storageClassName', 'mountOptions', 'volumeMode',
  'nodeAffinity', 'volumeAttributesClassName',
]; // biome-ignore format: a table

/** Where a volume's data is never changes; a CSI volume may be given the secret for its expansion once. */
function validateSource(pv: PersistentVolume, old: PersistentVolume): FieldError[] {
  const sourceOf = (spec: PersistentVolume['spec']): Record<string, unknown> =>
    Object.fromEntries(Object.entries(spec ?? {}).filter(([name]) => !NO_SOURCE.includes(name)));
  const now = sourceOf(pv.spec);
  const csi = old.spec?.csi && pv.spec?.csi;
  if (csi && !old.spec?.csi?.controllerExpandSecretRef) now.csi = { ...csi, controllerExpandSecretRef: undefined };
  const errors: FieldError[] = [];
  if (!sameMeaning(now, sourceOf(old.spec))) {
    const text = 'spec.persistentvolumesource is immutable after creation';
    errors.push(forbiddenField('spec.persistentvolumesource', text));
  }
  if (pv.spec?.volumeMode !== old.spec?.volumeMode) {
    errors.push(invalidValue('volumeMode', pv.spec?.volumeMode, FIELD_IMMUTABLE));
  }
  return errors;
}

export const persistentVolumeStrategy = defineStrategy<PersistentVolume>({
  returnsDeleted: true,
  selectable: { name: (pv) => pv.metadata.name },
  prepareForCreate(pv, scope) {
    pv.status = { phase: 'Pending', lastPhaseTransitionTime: scope.now };
  },
  validateUpdate: validateSource,
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

export const persistentVolumeClaimStrategy = defineStrategy<PersistentVolumeClaim>({
  returnsDeleted: true,
  selectable: { name: (claim) => claim.metadata.name },
  prepareForCreate(claim) {
    claim.status = { phase: 'Pending' };
  },
  validateUpdate(claim, old) {
    const errors: FieldError[] = [];
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
