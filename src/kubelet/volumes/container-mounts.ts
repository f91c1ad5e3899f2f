import type { Container, Pod } from '../../api/generated/types.ts';
import type { Mount } from '../cri/types.ts';
import type { Directories } from '../directories.ts';
import { expandReferences } from '../env/expand.ts';
import { VolumeError } from './payload.ts';
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
    const subPath = mount.subPathExpr ? expanded(mount.subPathExpr, mount.name, facts.variable) : (mount.subPath ?? '');
    if (subPath.startsWith('/')) throw new VolumeError(`error SubPath \`${subPath}\` must not be an absolute path`);
    if (subPath.split('/').includes('..')) {
      throw new VolumeError(`unable to provision SubPath \`${subPath}\`: must not contain '..'`);
    }
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

/** A sub-path with its references; every one of them must have a value. */
function expanded(expression: string, volume: string, variable: MountFacts['variable']): string {
  return expandReferences(expression, (name) => {
    const value = variable(name);
    if (value !== undefined) return value;
    const what = `failed to expand subPath for VolumeMount ${JSON.stringify(volume)}`;
    throw new VolumeError(`${what}: missing value for ${JSON.stringify(name)}`);
  });
}
