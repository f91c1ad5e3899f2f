// What the node and its pods use, in the shapes of /stats/summary and /metrics/resource.
import { readFile } from 'node:fs/promises';
import type { Clock } from '../../lib/clock.ts';
import { formatTime } from '../../machinery/time.ts';
import { type CriClient, CriError } from '../cri/client.ts';
import type { ContainerStats, CpuUsage, MemoryUsage, PodSandboxStats, UInt64Value } from '../cri/types.ts';
import { memoryInfo, readPressure } from '../node/machine.ts';
import { POD_UID } from '../runtime/labels.ts';

export interface StatsOptions {
  readonly cri: CriClient;
  readonly clock: Clock;
  readonly nodeName: string;
  readonly directory: string;
}

interface Sample {
  readonly atNanos: bigint;
  readonly usedNanos: bigint;
}

/** Samples kept for rates; at the limit all are forgotten. */
const MAX_SAMPLES = 10_000;
const USER_HZ = 100;

export class StatsReader {
  readonly #o: StatsOptions;
  readonly #samples = new Map<string, Sample>();
  readonly #startedMs: number;

  constructor(options: StatsOptions) {
    this.#o = options;
    this.#startedMs = options.clock.now();
  }

  async summary(signal: AbortSignal): Promise<object> {
    const { cri, nodeName, directory } = this.#o;
    const [pods, node, pressure] = await Promise.all([
      podStats(cri, signal),
      this.#nodeUsage(),
      readPressure(directory),
    ]);
    if (this.#samples.size > MAX_SAMPLES) this.#samples.clear();
    const time = formatTime(this.#o.clock.now());
    const { diskAvailableBytes, diskCapacityBytes } = pressure;
    return {
      node: {
        nodeName,
        startTime: formatTime(this.#startedMs),
        cpu: {
          time,
          usageNanoCores: this.#rate('node', BigInt(this.#o.clock.now()) * 1_000_000n, node.cpuNanos),
          usageCoreNanoSeconds: Number(node.cpuNanos),
        },
        memory: {
          time,
          availableBytes: node.availableBytes,
          usageBytes: node.usedBytes,
          workingSetBytes: node.usedBytes,
        },
        fs: {
          time,
          availableBytes: diskAvailableBytes,
          capacityBytes: diskCapacityBytes,
          usedBytes: diskCapacityBytes - diskAvailableBytes,
          inodesFree: pressure.inodesFree,
          inodes: pressure.inodes,
        },
        rlimit: { time, maxpid: pressure.maxProcesses, curproc: pressure.processes },
      },
      pods: pods.map((pod) => this.#pod(pod)),
    };
  }

  /** Prometheus text of what pods and containers use. */
  async resourceMetrics(signal: AbortSignal): Promise<string> {
    const [pods, node] = await Promise.all([podStats(this.#o.cri, signal), this.#nodeUsage()]);
    const families = new Map<string, string[]>();
    const add = (name: string, labels: object, value: number): void => {
      const text = Object.entries(labels).map(([key, label]) => `${key}=${JSON.stringify(label)}`);
      const lines = families.get(name) ?? [];
      lines.push(`${name}${text.length > 0 ? `{${text.join(',')}}` : ''} ${value}`);
      families.set(name, lines);
    };
    for (const { attributes, linux } of pods) {
      const labels = { namespace: attributes?.metadata?.namespace ?? '', pod: attributes?.metadata?.name ?? '' };
      for (const container of linux?.containers ?? []) {
        const own = { container: container.attributes?.metadata?.name ?? '', ...labels };
        const cpu = nanos(container.cpu?.usageCoreNanoSeconds);
        if (cpu !== undefined) add('container_cpu_usage_seconds_total', own, Number(cpu) / 1e9);
        const memory = value(container.memory?.workingSetBytes);
        if (memory !== undefined) add('container_memory_working_set_bytes', own, memory);
      }
      const cpu = nanos(linux?.cpu?.usageCoreNanoSeconds);
      if (cpu !== undefined) add('pod_cpu_usage_seconds_total', labels, Number(cpu) / 1e9);
      const memory = value(linux?.memory?.workingSetBytes);
      if (memory !== undefined) add('pod_memory_working_set_bytes', labels, memory);
    }
    add('node_cpu_usage_seconds_total', {}, Number(node.cpuNanos) / 1e9);
    add('node_memory_working_set_bytes', {}, node.usedBytes);
    add('resource_scrape_error', {}, 0);
    const type = (name: string): string => (name.endsWith('_total') ? 'counter' : 'gauge');
    return [...families].map(([name, lines]) => `# TYPE ${name} ${type(name)}\n${lines.join('\n')}\n`).join('');
  }

  async #nodeUsage(): Promise<{ cpuNanos: bigint; usedBytes: number; availableBytes: number }> {
    const [stat, meminfo] = await Promise.all([readFile('/proc/stat', 'utf8'), readFile('/proc/meminfo', 'utf8')]);
    const [, user, nice, system, , , irq, softirq] = stat.split('\n', 1)[0]!.split(/\s+/).map(Number);
    const ticks = user! + nice! + system! + irq! + softirq!;
    const { totalBytes, availableBytes } = memoryInfo(meminfo);
    return {
      cpuNanos: BigInt(ticks) * BigInt(1e9 / USER_HZ),
      usedBytes: totalBytes - availableBytes,
      availableBytes,
    };
  }

  #pod({ attributes, linux }: PodSandboxStats): object {
    const { name = '', namespace = '', uid = '' } = attributes?.metadata ?? {};
    const id = attributes?.id ?? '';
    const network = linux?.network;
    const traffic = network?.defaultInterface;
    return {
      podRef: { name, namespace, uid: uid || attributes?.labels[POD_UID] },
      startTime: formatTime(this.#startedMs),
      containers: (linux?.containers ?? []).map((container) => this.#container(container)),
      cpu: this.#cpu(id, linux?.cpu ?? null),
      memory: memory(linux?.memory ?? null),
      ...(network &&
        traffic && {
          network: {
            time: nanosTime(network.timestamp),
            name: traffic.name,
            rxBytes: value(traffic.rxBytes),
            rxErrors: value(traffic.rxErrors),
            txBytes: value(traffic.txBytes),
            txErrors: value(traffic.txErrors),
          },
        }),
      ...(linux?.process && { process_stats: { process_count: value(linux.process.processCount) } }),
    };
  }

  #container(stats: ContainerStats): object {
    const disk = stats.writableLayer;
    return {
      name: stats.attributes?.metadata?.name ?? '',
      startTime: formatTime(this.#startedMs),
      cpu: this.#cpu(stats.attributes?.id ?? '', stats.cpu),
      memory: memory(stats.memory),
      ...(disk && {
        rootfs: {
          time: nanosTime(disk.timestamp),
          usedBytes: value(disk.usedBytes),
          inodesUsed: value(disk.inodesUsed),
        },
      }),
    };
  }

  #cpu(id: string, cpu: CpuUsage | null): object | undefined {
    const used = nanos(cpu?.usageCoreNanoSeconds);
    if (!cpu || used === undefined) return undefined;
    const usageNanoCores = value(cpu.usageNanoCores) ?? this.#rate(id, BigInt(cpu.timestamp), used);
    return { time: nanosTime(cpu.timestamp), usageNanoCores, usageCoreNanoSeconds: Number(used) };
  }

  /** Nano-cores since the last sample; undefined for the first. */
  #rate(id: string, atNanos: bigint, usedNanos: bigint): number | undefined {
    const before = this.#samples.get(id);
    this.#samples.set(id, { atNanos, usedNanos });
    if (!before || atNanos <= before.atNanos) return undefined;
    return Number(((usedNanos - before.usedNanos) * 1_000_000_000n) / (atNanos - before.atNanos));
  }
}

function memory(usage: MemoryUsage | null): object | undefined {
  if (!usage) return undefined;
  return {
    time: nanosTime(usage.timestamp),
    availableBytes: value(usage.availableBytes),
    usageBytes: value(usage.usageBytes) ?? value(usage.workingSetBytes),
    workingSetBytes: value(usage.workingSetBytes),
    rssBytes: value(usage.rssBytes),
    pageFaults: value(usage.pageFaults),
    majorPageFaults: value(usage.majorPageFaults),
  };
}

function nanos(from: UInt64Value | null | undefined): bigint | undefined {
  return from ? BigInt(from.value) : undefined;
}

function value(from: UInt64Value | null | undefined): number | undefined {
  return from ? Number(from.value) : undefined;
}

function nanosTime(timestamp: string): string {
  return formatTime(Number(BigInt(timestamp) / 1_000_000n));
}

/**
 * What sandboxes use. containerd answers nothing at all when the cgroup of one has gone, be it one that ended: then each is
 * asked for alone, and those that cannot be told are left out.
 */
async function podStats(cri: CriClient, signal: AbortSignal): Promise<readonly PodSandboxStats[]> {
  const orNothing = (error: unknown): readonly PodSandboxStats[] => {
    if (error instanceof CriError) return [];
    throw error;
  };
  try {
    return await cri.listPodSandboxStats({ signal });
  } catch (error) {
    orNothing(error);
    signal.throwIfAborted();
  }
  const sandboxes = (await cri.listPodSandboxes({ signal })).filter(({ state }) => state === 'SANDBOX_READY');
  const each = sandboxes.map(({ id }) => cri.listPodSandboxStats({ signal, id }).catch(orNothing));
  return (await Promise.all(each)).flat();
}
