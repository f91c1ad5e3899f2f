// Requests and limits as the kernel takes them. Pure.
import type { Container, Pod } from '../../api/generated/types.ts';
import { podLimits, podRequestNumbers, podRequests, qosClass } from '../../machinery/pods.ts';
import { milliValue, quantityValue } from '../../machinery/quantity.ts';
import type { LinuxResources, ReportedResources } from '../cri/types.ts';
import type { ActualResources } from '../pod/observed.ts';

const MIN_SHARES = 2;
const MAX_SHARES = 262_144;
const SHARES_PER_CPU = 1024;
const QUOTA_PERIOD_US = 100_000;
const MIN_QUOTA_US = 1000;

export function cpuShares(milliCpu: number): number {
  if (milliCpu === 0) return MIN_SHARES;
  return Math.min(MAX_SHARES, Math.max(MIN_SHARES, Math.floor((milliCpu * SHARES_PER_CPU) / 1000)));
}

/** Microseconds a period; 0: no limit. */
export function cpuQuota(milliCpu: number): number {
  if (milliCpu === 0) return 0;
  return Math.max(MIN_QUOTA_US, Math.floor((milliCpu * QUOTA_PERIOD_US) / 1000));
}

/** cgroup v2's weight for v1's shares, as the kernel's documentation maps them. */
export function cpuWeight(shares: number): number {
  return Math.floor(1 + ((shares - MIN_SHARES) * 9999) / (MAX_SHARES - MIN_SHARES));
}

/** The smallest shares that have this weight. */
export function sharesOfWeight(weight: number): number {
  return Math.ceil(((weight - 1) * (MAX_SHARES - MIN_SHARES)) / 9999) + MIN_SHARES;
}

/** Who the kernel kills first when the node is out of memory. */
export function oomScoreAdj(pod: Pod, container: Container, nodeMemoryBytes: number): number {
  switch (qosClass(pod)) {
    case 'Guaranteed':
      return -997;
    case 'BestEffort':
      return 1000;
    default: {
      const request = quantityValue(container.resources?.requests?.memory ?? '0');
      const share = nodeMemoryBytes > 0 ? Math.floor((1000 * request) / nodeMemoryBytes) : 0;
      return Math.min(999, Math.max(3, 1000 - share));
    }
  }
}

/** What the runtime says that a container has. Shares are rounded down when they are made of milli-CPUs, so here up. */
export function actualResources(linux: ReportedResources): ActualResources {
  const shares = Number(linux.cpuShares);
  const [quota, period] = [Number(linux.cpuQuota), Number(linux.cpuPeriod)];
  return {
    cpuRequestMilli: shares >= MIN_SHARES ? Math.ceil((shares * 1000) / SHARES_PER_CPU) : 0,
    cpuLimitMilli: quota > 0 && period > 0 ? Math.floor((quota * 1000) / period) : 0,
    memoryLimitBytes: Math.max(0, Number(linux.memoryLimitInBytes)),
  };
}

export function desiredResources(container: Container): ActualResources {
  const { requests, limits } = container.resources ?? {};
  const cpuLimitMilli = milliValue(limits?.cpu ?? '0');
  return {
    cpuRequestMilli: requests?.cpu === undefined ? cpuLimitMilli : milliValue(requests.cpu),
    cpuLimitMilli,
    memoryLimitBytes: quantityValue(limits?.memory ?? '0'),
  };
}

/** How the kernel is told. */
export function linuxResources({ cpuRequestMilli, cpuLimitMilli, memoryLimitBytes }: ActualResources): LinuxResources {
  const quota = cpuQuota(cpuLimitMilli);
  return {
    cpuShares: cpuShares(cpuRequestMilli),
    ...(quota > 0 && { cpuQuota: quota, cpuPeriod: QUOTA_PERIOD_US }),
    ...(memoryLimitBytes > 0 && { memoryLimitInBytes: memoryLimitBytes }),
  };
}

/** Requests for less than the kernel's smallest share are the same to it, as are limits below its smallest quota. */
export function sameCpu(a: ActualResources, b: ActualResources): boolean {
  return sameCpuRequest(a.cpuRequestMilli, b.cpuRequestMilli) && sameCpuLimit(a.cpuLimitMilli, b.cpuLimitMilli);
}

export function sameCpuRequest(a: number, b: number): boolean {
  return cpuShares(a) === cpuShares(b);
}

export function sameCpuLimit(a: number, b: number): boolean {
  return cpuQuota(a) === cpuQuota(b);
}

export function containerResources(
  pod: Pod,
  container: Container,
  node: { readonly memoryBytes: number; readonly cgroupV2: boolean },
): LinuxResources {
  return {
    ...linuxResources(desiredResources(container)),
    oomScoreAdj: oomScoreAdj(pod, container, node.memoryBytes),
    // With cgroup v2 a container that runs out of memory ends as a whole.
    ...(node.cgroupV2 && { unified: { 'memory.oom.group': '1' } }),
  };
}

export interface PodCgroup {
  readonly cpuShares: number;
  /** Microseconds a period; absent where a container is unlimited. */
  readonly cpuQuota?: number;
  readonly memoryLimitBytes?: number;
}

/** The limits of the pod as a whole: only where every container has one. */
export function podCgroup(pod: Pod): PodCgroup {
  const requests = podRequestNumbers(pod);
  const limits = podLimits(pod);
  const all = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  const limited = (name: string): boolean =>
    pod.spec.resources?.limits?.[name] !== undefined || all.every((c) => c.resources?.limits?.[name] !== undefined);
  return {
    cpuShares: cpuShares(requests.get('cpu') ?? 0),
    ...(limited('cpu') && limits.cpu && { cpuQuota: cpuQuota(milliValue(limits.cpu)) }),
    ...(limited('memory') && limits.memory && { memoryLimitBytes: quantityValue(limits.memory) }),
  };
}

/** The CPU shares of all Burstable pods together. */
export function burstableShares(pods: readonly Pod[]): number {
  const milli = pods
    .filter((pod) => qosClass(pod) === 'Burstable')
    .reduce((sum, pod) => sum + milliValue(podRequests(pod).cpu ?? '0'), 0);
  return cpuShares(milli);
}
