import type { Container, Pod } from '../../api/generated/types.ts';
import type { ContainerConfig, ContainerSecurityContext, Image, LinuxResources, Mount } from '../cri/types.ts';
import type { EnvEntry } from '../env/environment.ts';
import { expandReferences } from '../env/expand.ts';
import { containerAnnotations, containerLabels } from './labels.ts';
import { namespaceOptions, securityProfile } from './sandbox-config.ts';

/** A container that cannot be made as it is specified: CreateContainerConfigError. */
export class ContainerConfigError extends Error {
  override name = 'ContainerConfigError';
}

export interface ContainerFacts {
  readonly pod: Pod;
  readonly container: Container;
  readonly image: Image;
  readonly restartCount: number;
  readonly environment: readonly EnvEntry[];
  readonly mounts: readonly Mount[];
  readonly resources: LinuxResources;
  readonly terminationHostPath: string;
  readonly seccompDir: string;
  /** The container whose process namespace an ephemeral container joins. */
  readonly targetId?: string;
}

const MASKED_PATHS = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
];
const READONLY_PATHS = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

export function containerConfig(facts: ContainerFacts): ContainerConfig {
  const { pod, container, image, restartCount, environment, mounts } = facts;
  const variables = new Map(environment.map(({ name, value }) => [name, value]));
  const expand = (text: string): string =>
    expandReferences(text, (name) => {
      const value = variables.get(name);
      return value && Buffer.from(value).toString();
    });
  return {
    metadata: { name: container.name, attempt: restartCount },
    image: { image: image.id },
    command: (container.command ?? []).map(expand),
    args: (container.args ?? []).map(expand),
    ...(container.workingDir && { workingDir: container.workingDir }),
    envs: environment.map(({ name, value }) => ({ key: name, value })),
    mounts,
    labels: containerLabels(pod, container),
    annotations: containerAnnotations(pod, container, restartCount, facts.terminationHostPath),
    logPath: `${container.name}/${restartCount}.log`,
    stdin: container.stdin ?? false,
    stdinOnce: container.stdinOnce ?? false,
    tty: container.tty ?? false,
    linux: { resources: facts.resources, securityContext: securityContext(facts) },
  };
}

function securityContext(facts: ContainerFacts): ContainerSecurityContext {
  const { pod, container, image, targetId } = facts;
  const own = container.securityContext ?? {};
  const ofPod = pod.spec.securityContext ?? {};
  const runAsUser = own.runAsUser ?? ofPod.runAsUser;
  const runAsGroup = own.runAsGroup ?? ofPod.runAsGroup;
  const groups = [...(ofPod.supplementalGroups ?? []), ...(ofPod.fsGroup === undefined ? [] : [ofPod.fsGroup])];
  const privileged = own.privileged ?? false;
  const unmasked = own.procMount === 'Unmasked';
  const namespaces = namespaceOptions(pod);
  return {
    ...(own.capabilities && {
      capabilities: {
        addCapabilities: own.capabilities.add ?? [],
        dropCapabilities: own.capabilities.drop ?? [],
      },
    }),
    privileged,
    namespaceOptions: targetId ? { ...namespaces, pid: 'TARGET', targetId } : namespaces,
    ...userOf(runAsUser, image),
    ...(runAsGroup !== undefined && { runAsGroup: { value: runAsGroup } }),
    readonlyRootfs: own.readOnlyRootFilesystem ?? false,
    supplementalGroups: groups,
    ...(ofPod.supplementalGroupsPolicy && { supplementalGroupsPolicy: ofPod.supplementalGroupsPolicy }),
    noNewPrivs: own.allowPrivilegeEscalation === false,
    maskedPaths: unmasked ? [] : MASKED_PATHS,
    readonlyPaths: unmasked ? [] : READONLY_PATHS,
    seccomp: privileged
      ? { profileType: 'Unconfined' }
      : securityProfile(own.seccompProfile ?? ofPod.seccompProfile, facts.seccompDir, 'Unconfined'),
  };
}

type UserFields = Pick<ContainerSecurityContext, 'runAsUser' | 'runAsUsername'>;

/** The image's user where the pod names none: a group alone would otherwise be refused by the runtime. */
function userOf(runAsUser: number | undefined, image: Image): UserFields {
  if (runAsUser !== undefined) return { runAsUser: { value: runAsUser } };
  if (image.uid) return { runAsUser: { value: image.uid.value } };
  return image.username === '' ? {} : { runAsUsername: image.username };
}

/** Throws ContainerConfigError when the container must not run as root and would, or might. */
export function verifyRunAsNonRoot(pod: Pod, container: Container, image: Image): void {
  const own = container.securityContext;
  if (!(own?.runAsNonRoot ?? pod.spec.securityContext?.runAsNonRoot)) return;
  const { name, namespace, uid } = pod.metadata;
  const where = `(pod: "${name}_${namespace}(${uid})", container: ${container.name})`;
  const user = own?.runAsUser ?? pod.spec.securityContext?.runAsUser;
  if (user !== undefined) {
    if (user === 0) throw new ContainerConfigError(`container's runAsUser breaks non-root policy ${where}`);
    return;
  }
  if (image.uid?.value === '0' || (!image.uid && image.username === '')) {
    throw new ContainerConfigError(`container has runAsNonRoot and image will run as root ${where}`);
  }
  if (!image.uid) {
    throw new ContainerConfigError(
      `container has runAsNonRoot and image has non-numeric user (${image.username}), cannot verify user is non-root ${where}`,
    );
  }
}
