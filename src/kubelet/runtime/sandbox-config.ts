import type { Pod, PodSecurityContext, SeccompProfile } from '../../api/generated/types.ts';
import type { DnsConfig, NamespaceOptions, PortMapping, SandboxConfig, SecurityProfile } from '../cri/types.ts';
import { podLabels } from './labels.ts';

export interface SandboxFacts {
  readonly pod: Pod;
  readonly attempt: number;
  readonly hostname: string;
  readonly dns: DnsConfig;
  readonly logDirectory: string;
  readonly cgroupParent: string;
  /** Where Localhost seccomp profiles are. */
  readonly seccompDir: string;
}

export function sandboxConfig(facts: SandboxFacts): SandboxConfig {
  const { pod, attempt, hostname, dns, logDirectory, cgroupParent, seccompDir } = facts;
  const security: PodSecurityContext = pod.spec.securityContext ?? {};
  const { runAsUser, runAsGroup, supplementalGroups = [], fsGroup, sysctls } = security;
  const groups = fsGroup === undefined ? supplementalGroups : [...supplementalGroups, fsGroup];
  return {
    metadata: {
      name: pod.metadata.name,
      namespace: pod.metadata.namespace ?? '',
      uid: pod.metadata.uid ?? '',
      attempt,
    },
    // On the host network the pod has the host's name.
    ...(!pod.spec.hostNetwork && { hostname }),
    logDirectory,
    dnsConfig: dns,
    portMappings: portMappings(pod),
    labels: podLabels(pod),
    annotations: { ...pod.metadata.annotations },
    linux: {
      cgroupParent,
      securityContext: {
        namespaceOptions: namespaceOptions(pod),
        ...(runAsUser !== undefined && { runAsUser: { value: runAsUser } }),
        ...(runAsGroup !== undefined && runAsUser !== undefined && { runAsGroup: { value: runAsGroup } }),
        supplementalGroups: groups,
        privileged: hasPrivileged(pod),
        seccomp: securityProfile(security.seccompProfile, seccompDir, 'RuntimeDefault'),
      },
      ...(sysctls && { sysctls: Object.fromEntries(sysctls.map((s) => [s.name, s.value])) }),
    },
  };
}

export function namespaceOptions(pod: Pod): NamespaceOptions {
  const { hostNetwork, hostPID, hostIPC, shareProcessNamespace } = pod.spec;
  return {
    network: hostNetwork ? 'NODE' : 'POD',
    pid: hostPID ? 'NODE' : shareProcessNamespace ? 'POD' : 'CONTAINER',
    ipc: hostIPC ? 'NODE' : 'POD',
  };
}

export function securityProfile(
  profile: SeccompProfile | undefined,
  seccompDir: string,
  otherwise: 'Unconfined' | 'RuntimeDefault',
): SecurityProfile {
  if (!profile) return { profileType: otherwise };
  if (profile.type !== 'Localhost') return { profileType: profile.type };
  return { profileType: 'Localhost', localhostRef: `${seccompDir}/${profile.localhostProfile ?? ''}` };
}

function hasPrivileged(pod: Pod): boolean {
  const all = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  return all.some((c) => c.securityContext?.privileged === true);
}

function portMappings(pod: Pod): readonly PortMapping[] {
  if (pod.spec.hostNetwork) return [];
  const sidecars = (pod.spec.initContainers ?? []).filter((c) => c.restartPolicy === 'Always');
  return [...sidecars, ...pod.spec.containers].flatMap((container) =>
    (container.ports ?? [])
      .filter((port) => (port.hostPort ?? 0) > 0)
      .map((port) => ({
        protocol: port.protocol ?? 'TCP',
        containerPort: port.containerPort,
        hostPort: port.hostPort!,
        hostIp: port.hostIP ?? '',
      })),
  );
}
