// Volumes: the sources of a pod's volumes and of persistent volumes.
import type {
  AzureDiskVolumeSource,
  DownwardAPIVolumeFile,
  FCVolumeSource,
  FlockerVolumeSource,
  ISCSIVolumeSource,
  ProjectedVolumeSource,
  QuobyteVolumeSource,
  Volume,
} from '../../../api/generated/types.ts';
import { FORMATS } from './formats.ts';
import type { FieldRule, RuleTable, TypeRules, Union } from './rules.ts';
import type { Run } from './run.ts';

const MORE = 'may not specify more than 1 volume type';
const MODE: FieldRule = { format: 'fileMode' };
const LUN: FieldRule = { min: 0, max: 255 };
const PARTITION: FieldRule = { min: 0, max: 255, range: 'must be between 1 and 255, inclusive' };
const KEYED: TypeRules = { fields: { name: { required: true } } };

/** In upstream's order: the first that is there counts, the others are too many. */
const VOLUME_UNION: Union = {
  of: [
    'emptyDir', 'hostPath', 'gitRepo', 'gcePersistentDisk', 'awsElasticBlockStore', 'secret', 'nfs', 'iscsi', 'glusterfs',
    'flocker', 'persistentVolumeClaim', 'rbd', 'cinder', 'cephfs', 'quobyte', 'downwardAPI', 'fc', 'flexVolume', 'configMap',
    'azureFile', 'vsphereVolume', 'photonPersistentDisk', 'portworxVolume', 'azureDisk', 'storageos', 'projected', 'scaleIO',
    'csi', 'ephemeral', 'image',
  ],
  none: 'must specify a volume type',
  many: MORE,
}; // biome-ignore format: a table

export const PERSISTENT_UNION: Union = {
  of: [
    'hostPath', 'gcePersistentDisk', 'awsElasticBlockStore', 'glusterfs', 'flocker', 'nfs', 'rbd', 'quobyte', 'cephfs', 'iscsi',
    'cinder', 'fc', 'flexVolume', 'azureFile', 'vsphereVolume', 'photonPersistentDisk', 'portworxVolume', 'azureDisk', 'scaleIO',
    'local', 'storageos', 'csi',
  ],
  none: 'must specify a volume type',
  many: MORE,
}; // biome-ignore format: a table

const IQN = /^iqn\.\d{4}-\d{2}\.([a-zA-Z0-9-.]+)(:([^,;*&$|\s]+))$/;
const EUI = /^eui\.[a-fA-F0-9]{16}$/;
const NAA = /^naa\.[a-fA-F0-9]{32}$/;

function checkInitiator(path: string, value: string, run: Run): void {
  const known = { iqn: IQN, eui: EUI, naa: NAA }[value.slice(0, 3)];
  if (!known) run.invalid(path, value, 'must be valid format starting with iqn, eui, or naa');
  else if (!known.test(value)) run.invalid(path, value, 'must be valid format');
}

const ISCSI: TypeRules = {
  fields: { lun: LUN },
  check(iscsi: ISCSIVolumeSource, run: Run) {
    if (iscsi.iqn) checkInitiator('iqn', iscsi.iqn, run);
    if ((iscsi.chapAuthDiscovery || iscsi.chapAuthSession) && !iscsi.secretRef) run.required('secretRef');
    if (iscsi.initiatorName !== undefined) checkInitiator('initiatorname', iscsi.initiatorName, run);
  },
};

const MANAGED_DISK = '/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}';
const BLOB_DISK = 'https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd';

const FLEX: TypeRules = {
  check(flex: { options?: { readonly [key: string]: string } }, run: Run) {
    for (const key of Object.keys(flex.options ?? {})) {
      const namespace = `.${key.split('/')[0]!.toLowerCase()}`;
      if (!namespace.endsWith('.kubernetes.io') && !namespace.endsWith('.k8s.io')) continue;
      run.invalid(`options[${key}]`, key, 'kubernetes.io and k8s.io namespaces are reserved');
    }
  },
};

const FIELDS_OF_FILES = [
  'metadata.annotations',
  'metadata.labels',
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
];
const RESOURCES_OF_FILES = /^(limits|requests)\.(cpu|memory|ephemeral-storage|hugepages-.*)$/;
export const CONTAINER_RESOURCES = [
  'limits.cpu',
  'limits.ephemeral-storage',
  'limits.memory',
  'requests.cpu',
  'requests.ephemeral-storage',
  'requests.memory',
];

/** A field of the pod that a file or a variable shows. */
export function checkFieldRef(
  ref: { readonly apiVersion?: string; readonly fieldPath: string },
  at: string,
  known: readonly string[],
  run: Run,
): void {
  if (ref.apiVersion === '') {
    run.required(`${at}.apiVersion`);
    return;
  }
  if (!ref.fieldPath) {
    run.required(`${at}.fieldPath`);
    return;
  }
  const subscript = /^([^[]*)\['(.*)'\]$/s.exec(ref.fieldPath);
  if (!subscript) {
    if (!known.includes(ref.fieldPath) && !KNOWN_FIELDS.has(ref.fieldPath)) {
      const text = `error converting fieldPath: field label not supported: ${ref.fieldPath}`;
      run.invalid(`${at}.fieldPath`, ref.fieldPath, text);
    } else if (!known.includes(ref.fieldPath)) run.unsupported(`${at}.fieldPath`, ref.fieldPath, known);
    return;
  }
  const [, path, key = ''] = subscript;
  if (path === 'metadata.annotations') run.invalidEach(at, key.toLowerCase(), FORMATS.lowerQualifiedName(key));
  else if (path === 'metadata.labels') run.invalidEach(at, key, FORMATS.qualifiedName(key));
  else run.invalid(at, path, 'does not support subscript');
}

/** What the conversion of field labels knows, whether or not a place allows it. */
const KNOWN_FIELDS = new Set([
  'metadata.annotations', 'metadata.labels', 'metadata.name', 'metadata.namespace', 'metadata.uid', 'spec.nodeName',
  'spec.restartPolicy', 'spec.serviceAccountName', 'spec.schedulerName', 'status.phase', 'status.hostIP', 'status.hostIPs',
  'status.podIP', 'status.podIPs',
]); // biome-ignore format: a table

const BYTE_DIVISORS = ['1', '1k', '1M', '1G', '1T', '1P', '1E', '1Ki', '1Mi', '1Gi', '1Ti', '1Pi', '1Ei'];

/** A resource of a container that a file or a variable shows. */
export function checkResourceRef(
  ref: { readonly containerName?: string; readonly resource: string; readonly divisor?: string },
  at: string,
  volume: boolean,
  run: Run,
): void {
  const { resource } = ref;
  if (volume && !ref.containerName) run.required(`${at}.containerName`);
  else if (!resource) run.required(`${at}.resource`);
  else if (!RESOURCES_OF_FILES.test(resource)) run.unsupported(`${at}.resource`, resource, CONTAINER_RESOURCES);
  const divisor = String(ref.divisor ?? '0');
  if (divisor === '0') return;
  const kind = resource.replace(/^(limits|requests)\./, '');
  if (kind === 'cpu') {
    if (divisor === '1' || divisor === '1m') return;
    run.invalid(`${at}.divisor`, resource, "only divisor's values 1m and 1 are supported with the cpu resource");
  } else if (RESOURCES_OF_FILES.test(resource) && !BYTE_DIVISORS.includes(divisor)) {
    const what = kind === 'ephemeral-storage' ? 'local ephemeral storage' : kind === 'memory' ? kind : 'hugepages';
    const text = `only divisor's values ${BYTE_DIVISORS.join(', ')} are supported with the ${what} resource`;
    run.invalid(`${at}.divisor`, resource, text);
  }
}

/** Findings are at the list's owner, without index, as upstream has it. */
function checkFile(file: DownwardAPIVolumeFile, at: string, run: Run): void {
  const under = (name: string): string => (at === '' ? name : `${at}.${name}`);
  if (!file.path) run.required(under('path'));
  run.invalidEach(under('path'), file.path, FORMATS.localPath(file.path));
  if (file.fieldRef) {
    checkFieldRef(file.fieldRef, under('fieldRef'), FIELDS_OF_FILES, run);
    const text = 'fieldRef and resourceFieldRef can not be specified simultaneously';
    if (file.resourceFieldRef) run.invalid(at, 'resource', text);
  } else if (file.resourceFieldRef) checkResourceRef(file.resourceFieldRef, under('resourceFieldRef'), true, run);
  else run.required(at, 'one of fieldRef and resourceFieldRef is required');
  if (file.mode !== undefined) run.invalidEach(under('mode'), file.mode, FORMATS.fileMode(file.mode));
}

function checkProjected(projected: ProjectedVolumeSource, run: Run): void {
  const paths = new Set<string>();
  const take = (path: string | undefined, shown: string): void => {
    if (!path) return;
    if (paths.has(path)) run.invalid('', shown, 'conflicting duplicate paths');
    paths.add(path);
  };
  for (const [i, source] of (projected.sources ?? []).entries()) {
    const at = `sources[${i}]`;
    for (const item of source.secret?.items ?? []) take(item.path, source.secret?.name ?? '');
    for (const item of source.configMap?.items ?? []) take(item.path, source.configMap?.name ?? '');
    for (const file of source.downwardAPI?.items ?? []) {
      checkFile(file, `${at}.downwardAPI`, run);
      take(file.path, file.path);
    }
    const token = source.serviceAccountToken;
    if (token) {
      const seconds = token.expirationSeconds ?? 3600;
      const field = `${at}.serviceAccountToken.expirationSeconds`;
      if (seconds < 600) run.invalid(field, seconds, 'may not specify a duration less than 10 minutes');
      if (seconds > 2 ** 32) run.invalid(field, seconds, 'may not specify a duration larger than 2^32 seconds');
      if (token.path) run.invalidEach('path', token.path, FORMATS.localPath(token.path));
      else run.required('path');
    }
    take(source.clusterTrustBundle?.path, source.clusterTrustBundle?.path ?? '');
    if (Object.values(source).filter((s) => s !== undefined && s !== null).length > 1) {
      run.forbidden(at, 'may not specify more than 1 volume type per source');
    }
  }
}

/** A reference to a secret that must have both of its parts. */
function checkSecretRef(ref: { name?: string; namespace?: string } | undefined, at: string, run: Run): void {
  if (!ref) return;
  for (const field of ['name', 'namespace'] as const) {
    const value = ref[field];
    if (!value) run.required(`${at}.${field}`);
    else run.invalidEach(`${at}.${field}`, value, FORMATS[field === 'name' ? 'dnsSubdomain' : 'dnsLabel'](value));
  }
}

type SecretRefs = { readonly [name: string]: { name?: string; namespace?: string } | undefined };
const STORAGEOS: FieldRule = { required: true, format: 'dnsLabel' };
const DRIVER: FieldRule = { required: true, format: 'csiDriver' };

export const VOLUME_RULES: RuleTable = {
  'core.v1.Volume': {
    fields: {
      name: { required: true, format: 'dnsLabel' },
      gcePersistentDisk: { shownAs: 'persistentDisk' },
    },
    union: VOLUME_UNION,
    check(volume: Volume, run: Run) {
      const metadata = run.root.metadata as { name?: string } | undefined;
      if (volume.ephemeral && run.isPod && metadata?.name && volume.name) {
        const claim = `${metadata.name}-${volume.name}`;
        for (const problem of FORMATS.dnsSubdomain(claim)) {
          run.invalid('name', volume.name, `PVC name ${JSON.stringify(claim)}: ${problem}`);
        }
      }
      const { iscsi } = volume;
      if (iscsi?.initiatorName !== undefined && `${volume.name}:${iscsi.targetPortal}`.length > 64) {
        const text =
          'Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.';
        run.invalid('name', volume.name, text);
      }
    },
  },
  'core.v1.EmptyDirVolumeSource': {
    check(dir: { sizeLimit?: string }, run: Run) {
      const negative = dir.sizeLimit !== undefined && FORMATS.quantity(dir.sizeLimit).length > 0;
      if (negative) run.forbidden('sizeLimit', 'SizeLimit field must be a valid resource quantity');
    },
  },
  'core.v1.HostPathVolumeSource': { fields: { path: { format: 'noBacksteps' } } },
  'core.v1.LocalVolumeSource': { fields: { path: { format: 'noBacksteps' } } },
  'core.v1.GitRepoVolumeSource': { fields: { directory: { format: 'descendingPath' } } },
  'core.v1.GCEPersistentDiskVolumeSource': { fields: { partition: PARTITION } },
  'core.v1.AWSElasticBlockStoreVolumeSource': { fields: { partition: PARTITION } },
  'core.v1.SecretVolumeSource': { fields: { secretName: { required: true }, defaultMode: MODE } },
  'core.v1.ConfigMapVolumeSource': { fields: { name: { required: true }, defaultMode: MODE } },
  'core.v1.SecretProjection': KEYED,
  'core.v1.ConfigMapProjection': KEYED,
  'core.v1.KeyToPath': { fields: { path: { format: 'localPath' }, mode: MODE } },
  'core.v1.NFSVolumeSource': {
    fields: { path: { required: false } },
    check(nfs: { path: string }, run: Run) {
      if (!nfs.path) run.required('path');
      if (!nfs.path.startsWith('/')) run.invalid('path', nfs.path, 'must be an absolute path');
    },
  },
  'core.v1.ISCSIVolumeSource': ISCSI,
  'core.v1.ISCSIPersistentVolumeSource': {
    ...ISCSI,
    check(iscsi: ISCSIVolumeSource, run: Run) {
      (ISCSI.check as (v: ISCSIVolumeSource, run: Run) => void)(iscsi, run);
      if (iscsi.secretRef && !iscsi.secretRef.name) run.required('secretRef.name');
    },
  },
  'core.v1.RBDVolumeSource': { fields: { monitors: { required: true } } },
  'core.v1.RBDPersistentVolumeSource': { fields: { monitors: { required: true } } },
  'core.v1.CephFSVolumeSource': { fields: { monitors: { required: true } } },
  'core.v1.CephFSPersistentVolumeSource': { fields: { monitors: { required: true } } },
  'core.v1.CinderVolumeSource': {
    check(cinder: { secretRef?: { name?: string } }, run: Run) {
      if (cinder.secretRef && !cinder.secretRef.name) run.required('secretRef.name');
    },
  },
  'core.v1.CinderPersistentVolumeSource': {
    check: (cinder: SecretRefs, run: Run) => checkSecretRef(cinder.secretRef, 'secretRef', run),
  },
  'core.v1.FCVolumeSource': {
    check(fc: FCVolumeSource, run: Run) {
      const names = (fc.targetWWNs ?? []).length;
      const ids = (fc.wwids ?? []).length;
      const neither = 'must specify either targetWWNs or wwids, but not both';
      if (names === 0 && ids === 0) run.required('targetWWNs', neither);
      const both = 'targetWWNs and wwids can not be specified simultaneously';
      if (names > 0 && ids > 0) run.invalid('targetWWNs', fc.targetWWNs, both);
      if (names === 0) return;
      if (fc.lun === undefined) run.required('lun', 'lun is required if targetWWNs is specified');
      else if (fc.lun < 0 || fc.lun > 255) run.invalid('lun', fc.lun, 'must be between 0 and 255, inclusive');
    },
  },
  'core.v1.FlockerVolumeSource': {
    check({ datasetName = '', datasetUUID = '' }: FlockerVolumeSource, run: Run) {
      if (!datasetName && !datasetUUID) run.required('', 'one of datasetName and datasetUUID is required');
      const both = 'datasetName and datasetUUID can not be specified simultaneously';
      if (datasetName && datasetUUID) run.invalid('', 'resource', both);
      if (datasetName.includes('/')) run.invalid('datasetName', datasetName, "must not contain '/'");
    },
  },
  'core.v1.FlexVolumeSource': FLEX,
  'core.v1.FlexPersistentVolumeSource': FLEX,
  'core.v1.GlusterfsPersistentVolumeSource': { fields: { endpointsNamespace: { format: 'dnsLabel' } } },
  'core.v1.QuobyteVolumeSource': {
    fields: { registry: { required: 'must be a host:port pair or multiple pairs separated by commas' } },
    check(quobyte: QuobyteVolumeSource, run: Run) {
      if (!quobyte.registry) return;
      if ((quobyte.tenant ?? '').length >= 65) {
        run.required('tenant', 'must be a UUID and may not exceed a length of 64 characters');
        return;
      }
      const text = 'must be a host:port pair or multiple pairs separated by commas';
      for (const pair of quobyte.registry.split(',')) {
        if (!/^(\[[^\]]*\]|[^:]*):[^:]*$/.test(pair)) run.invalid('registry', quobyte.registry, text);
      }
    },
  },
  'core.v1.AzureDiskVolumeSource': {
    check({ kind, diskURI }: AzureDiskVolumeSource, run: Run) {
      if (kind === undefined) return;
      const managed = kind === 'Managed';
      if (diskURI.startsWith(managed ? '/subscriptions/' : 'https://')) return;
      run.unsupported('diskURI', diskURI, [managed ? MANAGED_DISK : BLOB_DISK]);
    },
  },
  'core.v1.AzureFilePersistentVolumeSource': {
    check(azure: { secretNamespace?: string }, run: Run) {
      if (azure.secretNamespace === '') run.required('secretNamespace');
    },
  },
  'core.v1.ScaleIOVolumeSource': { fields: { volumeName: { required: true }, secretRef: { required: false } } },
  'core.v1.ScaleIOPersistentVolumeSource': {
    fields: { volumeName: { required: true }, secretRef: { required: false } },
  },
  'core.v1.StorageOSVolumeSource': { fields: { volumeName: STORAGEOS, volumeNamespace: { format: 'dnsLabel' } } },
  'core.v1.StorageOSPersistentVolumeSource': {
    fields: { volumeName: STORAGEOS, volumeNamespace: { format: 'dnsLabel' } },
  },
  'core.v1.DownwardAPIVolumeSource': {
    fields: { items: { opaque: true }, defaultMode: MODE },
    check(source: { items?: readonly DownwardAPIVolumeFile[] }, run: Run) {
      for (const file of source.items ?? []) checkFile(file, '', run);
    },
  },
  'core.v1.DownwardAPIProjection': { fields: { items: { opaque: true } } },
  'core.v1.ServiceAccountTokenProjection': { fields: { path: { required: false } } },
  'core.v1.ClusterTrustBundleProjection': {
    fields: { path: { format: 'localPath' } },
    check(bundle: { name?: string; signerName?: string }, run: Run) {
      if (bundle.name === undefined && bundle.signerName === undefined) {
        run.required('', 'either name or signerName must be specified');
      } else if (bundle.name !== undefined && bundle.signerName !== undefined) {
        run.invalid('', bundle, 'only one of name and signerName may be used');
      }
    },
  },
  'core.v1.ProjectedVolumeSource': { fields: { defaultMode: MODE }, check: checkProjected },
  'core.v1.CSIVolumeSource': {
    fields: { driver: DRIVER },
    check(csi: { nodePublishSecretRef?: { name?: string } }, run: Run) {
      if (csi.nodePublishSecretRef && !csi.nodePublishSecretRef.name) run.required('nodePublishSecretRef.name');
    },
  },
  'core.v1.CSIPersistentVolumeSource': {
    fields: { driver: DRIVER },
    check(csi: SecretRefs, run: Run) {
      const refs = [
        'controllerPublishSecretRef',
        'controllerExpandSecretRef',
        'nodePublishSecretRef',
        'nodeExpandSecretRef',
      ];
      for (const name of refs) checkSecretRef(csi[name], name, run);
    },
  },
  'core.v1.EphemeralVolumeSource': { fields: { volumeClaimTemplate: { required: true } } },
  'core.v1.ImageVolumeSource': {
    check(image: { reference?: string }, run: Run) {
      if (run.isPod && !image.reference) run.required('reference');
    },
  },
};
