// Volumes leave nodes that are out of service: whoever set the taint node.kubernetes.io/out-of-service has promised that the
// machine is off. Until there is an attach/detach controller this is the part of it that a StatefulSet waits for.
import type { Node, PersistentVolumeClaim, Pod, VolumeAttachment } from '../api/generated/types.ts';
import { isReason } from '../machinery/status.ts';
import { isOutOfService } from './pod-gc.ts';
import { type Controller, watch } from './runtime.ts';

const BY_NODE = 'node';

export function forcedDetachController(): Controller {
  return {
    name: 'attachdetach-controller',
    workers: 1,
    watches: () => [
      watch('nodes', { keys: (node) => (isOutOfService(node) ? [node.metadata.name] : []) }),
      watch('volumeattachments.storage.k8s.io', {
        keys: ({ spec }) => [spec.nodeName],
        indexes: { [BY_NODE]: ({ spec }) => [spec.nodeName] },
      }),
      watch('pods', {
        keys: ({ spec }, _previous, change) => (change === 'deleted' && spec.nodeName ? [spec.nodeName] : []),
        indexes: { [BY_NODE]: ({ spec }) => (spec.nodeName ? [spec.nodeName] : []) },
      }),
      watch('persistentvolumeclaims'),
    ],
    async reconcile({ informers, client, env }, nodeName, signal) {
      const claims = informers.for('persistentvolumeclaims');
      const doomed = attachmentsToDelete({
        node: informers.for('nodes').get(nodeName),
        attachments: informers.for('volumeattachments.storage.k8s.io').byIndex(BY_NODE, nodeName),
        pods: informers.for('pods').byIndex(BY_NODE, nodeName),
        claim: (namespace, name) => claims.get(`${namespace}/${name}`),
      });
      for (const { metadata } of doomed) {
        env.log.info('detaching by force', { attachment: metadata.name, node: nodeName });
        try {
          const preconditions = { ...(metadata.uid && { uid: metadata.uid }) };
          await client.resource('volumeattachments.storage.k8s.io').delete(metadata, { preconditions, signal });
        } catch (error) {
          if (!isReason(error, 'NotFound', 'Conflict')) throw error;
        }
      }
    },
  };
}

/** The attachments of an out-of-service node whose volume no pod on it has any more. */
export function attachmentsToDelete(seen: {
  readonly node: Node | undefined;
  readonly attachments: readonly VolumeAttachment[];
  /** All that are bound to the node. */
  readonly pods: readonly Pod[];
  readonly claim: (namespace: string, name: string) => PersistentVolumeClaim | undefined;
}): readonly VolumeAttachment[] {
  if (!isOutOfService(seen.node)) return [];
  const used = new Set(seen.pods.flatMap((pod) => volumesOf(pod, seen.claim)));
  return seen.attachments.filter(({ spec, metadata }) => {
    const volume = spec.source.persistentVolumeName;
    return metadata.deletionTimestamp === undefined && volume !== undefined && !used.has(volume);
  });
}

function volumesOf(
  { metadata, spec }: Pod,
  claim: (namespace: string, name: string) => PersistentVolumeClaim | undefined,
): string[] {
  const names = (spec.volumes ?? []).map(({ name, persistentVolumeClaim, ephemeral }) =>
    ephemeral ? `${metadata.name}-${name}` : persistentVolumeClaim?.claimName,
  );
  return names.flatMap((name) => (name && claim(metadata.namespace ?? '', name)?.spec.volumeName) || []);
}
