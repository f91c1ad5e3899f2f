import type {
  CSIDriver,
  CSINode,
  PersistentVolume,
  PersistentVolumeClaim,
  StorageClass,
  VolumeAttachment,
} from '../../api/generated/types.ts';
import { ageColumn, columns, nameColumn } from './column.ts';

const SHORT_MODES: { readonly [mode: string]: string } = {
  ReadWriteOnce: 'RWO',
  ReadOnlyMany: 'ROX',
  ReadWriteMany: 'RWX',
  ReadWriteOncePod: 'RWOP',
};

const accessModes = (modes: readonly string[] | undefined): string =>
  Object.entries(SHORT_MODES)
    .filter(([mode]) => modes?.includes(mode))
    .map(([, short]) => short)
    .join(',');

const BETA_CLASS = 'volume.beta.kubernetes.io/storage-class';

export const persistentVolumeColumns = columns<PersistentVolume>([
  nameColumn,
  { name: 'Capacity', cell: (pv) => pv.spec?.capacity?.storage ?? '0' },
  { name: 'Access Modes', cell: (pv) => accessModes(pv.spec?.accessModes) },
  { name: 'Reclaim Policy', cell: (pv) => pv.spec?.persistentVolumeReclaimPolicy ?? '' },
  { name: 'Status', cell: (pv) => (pv.metadata.deletionTimestamp ? 'Terminating' : (pv.status?.phase ?? '')) },
  {
    name: 'Claim',
    cell: ({ spec }) => (spec?.claimRef ? `${spec.claimRef.namespace ?? ''}/${spec.claimRef.name ?? ''}` : ''),
  },
  { name: 'StorageClass', cell: (pv) => pv.metadata.annotations?.[BETA_CLASS] ?? pv.spec?.storageClassName ?? '' },
  { name: 'VolumeAttributesClass', cell: (pv) => pv.spec?.volumeAttributesClassName || '<unset>' },
  { name: 'Reason', cell: (pv) => pv.status?.reason ?? '' },
  ageColumn,
  { name: 'VolumeMode', wide: true, cell: (pv) => pv.spec?.volumeMode ?? '<unset>' },
]);

export const persistentVolumeClaimColumns = columns<PersistentVolumeClaim>([
  nameColumn,
  { name: 'Status', cell: (claim) => (claim.metadata.deletionTimestamp ? 'Terminating' : (claim.status?.phase ?? '')) },
  { name: 'Volume', cell: (claim) => claim.spec.volumeName ?? '' },
  { name: 'Capacity', cell: (claim) => (claim.spec.volumeName ? (claim.status?.capacity?.storage ?? '0') : '') },
  { name: 'Access Modes', cell: (claim) => (claim.spec.volumeName ? accessModes(claim.status?.accessModes) : '') },
  {
    name: 'StorageClass',
    cell: (claim) => claim.metadata.annotations?.[BETA_CLASS] ?? claim.spec.storageClassName ?? '',
  },
  { name: 'VolumeAttributesClass', cell: (claim) => claim.spec.volumeAttributesClassName || '<unset>' },
  ageColumn,
  { name: 'VolumeMode', wide: true, cell: (claim) => claim.spec.volumeMode ?? '<unset>' },
]);

const DEFAULT_MARK = 'storageclass.kubernetes.io/is-default-class';

export const storageClassColumns = columns<StorageClass>([
  {
    ...nameColumn,
    cell: ({ metadata }) =>
      metadata.annotations?.[DEFAULT_MARK] === 'true' ? `${metadata.name} (default)` : metadata.name,
  },
  { name: 'Provisioner', cell: (sc) => sc.provisioner },
  { name: 'ReclaimPolicy', cell: (sc) => sc.reclaimPolicy ?? 'Delete' },
  { name: 'VolumeBindingMode', cell: (sc) => sc.volumeBindingMode ?? 'Immediate' },
  { name: 'AllowVolumeExpansion', cell: (sc) => sc.allowVolumeExpansion ?? false },
  ageColumn,
]);

export const volumeAttachmentColumns = columns<VolumeAttachment>([
  nameColumn,
  { name: 'Attacher', format: 'name', cell: (va) => va.spec.attacher },
  { name: 'PV', cell: (va) => va.spec.source.persistentVolumeName ?? '' },
  { name: 'Node', cell: (va) => va.spec.nodeName },
  { name: 'Attached', type: 'boolean', cell: (va) => va.status?.attached ?? false },
  ageColumn,
]);

export const csiNodeColumns = columns<CSINode>([
  nameColumn,
  { name: 'Drivers', type: 'integer', cell: (n) => n.spec?.drivers?.length ?? 0 },
  ageColumn,
]);

export const csiDriverColumns = columns<CSIDriver>([
  nameColumn,
  { name: 'AttachRequired', type: 'boolean', cell: (d) => d.spec?.attachRequired ?? true },
  { name: 'PodInfoOnMount', type: 'boolean', cell: (d) => d.spec?.podInfoOnMount ?? false },
  { name: 'StorageCapacity', type: 'boolean', cell: (d) => d.spec?.storageCapacity ?? false },
  {
    name: 'TokenRequests',
    cell: (d) => (d.spec?.tokenRequests ?? []).map((t) => t.audience || '<default>').join(',') || '<unset>',
  },
  { name: 'RequiresRepublish', type: 'boolean', cell: (d) => d.spec?.requiresRepublish ?? false },
  { name: 'Modes', cell: (d) => (d.spec?.volumeLifecycleModes ?? []).join(',') || '<none>' },
  ageColumn,
]);
