import type { Container, Pod } from '../../api/generated/types.ts';
import type { Mount } from '../cri/types.ts';
import type { Directories } from '../directories.ts';
import { expandReferences } from '../env/expand.ts';
import { bindSubPath } from './sub-path.ts';

const PROPAGATION = {
  None: 'PROPAGATION_PRIVATE',
  HostToContainer: 'PROPAGATION_HOST_TO_CONTAINER',
  Bidirectional: 'PROPAGATION_BIDIRECTIONAL',
} as const;

export interface MountFacts {
  readonly pod: Pod;
  readonly container: Container;
  readonly volumes: ReadonlyMap<string, string>;
  readonly directories: Directories;
  /** Value of an environment variable, for subPathExpr. */
  readonly variable: (name: string) => string | undefined;
}

/** The container's volume mounts, with sub-paths bound. Throws for a volume that the pod does not have. */
export async function volumeMounts(facts: MountFacts): Promise<readonly Mount[]> {
  const { pod, container, volumes, directories } = facts;
  const mounts: Mount[] = [];
  for (const [index, mount] of (container.volumeMounts ?? []).entries()) {
    const volume = volumes.get(mount.name);
    if (volume === undefined) throw new Error(`volume ${JSON.stringify(mount.name)} is not mounted`);
    const subPath = mount.subPathExpr ? expandReferences(mount.subPathExpr, facts.variable) : (mount.subPath ?? '');
    let hostPath = volume;
    if (subPath !== '') {
      hostPath = directories.subPath(pod.metadata.uid!, mount.name, container.name, index);
      await bindSubPath(volume, subPath, hostPath);
    }
    mounts.push({
      hostPath,
      containerPath: mount.mountPath.startsWith('/') ? mount.mountPath : `/${mount.mountPath}`,
      readonly: mount.readOnly ?? false,
      propagation: PROPAGATION[mount.mountPropagation ?? 'None'],
    });
  }
  return mounts;
}
