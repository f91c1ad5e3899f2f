import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Pod } from '../../api/generated/types.ts';
import { qosClass } from '../../machinery/pods.ts';
import type { PodCgroupState, PodSetting } from '../pod/resize.ts';
import { burstableShares, cpuWeight, podCgroup, sharesOfWeight } from './resources.ts';

const ROOT = '/sys/fs/cgroup';
const QUOTA_PERIOD_US = 100_000;
/** cgroup v1 writes "no limit" as the largest multiple of a page in 63 bits. */
const V1_UNLIMITED = 2 ** 62;

export interface CgroupOptions {
  /** Absolute, within the cgroup file system: "/kubepods" unless several kubelets share the machine. */
  readonly root: string;
  /** systemd makes the groups itself, from the runtime's slices. */
  readonly driver: 'cgroupfs' | 'systemd';
}

/** The groups that pods are in: one a QoS class, one a pod below it. */
export class Cgroups {
  readonly v2 = existsSync(join(ROOT, 'cgroup.controllers'));
  readonly #options: CgroupOptions;

  constructor(options: CgroupOptions) {
    this.#options = options;
  }

  /** The sandbox's cgroup parent: a path, or with systemd the name of a slice. */
  parent(pod: Pod): string {
    const qos = qosClass(pod).toLowerCase();
    const uid = pod.metadata.uid ?? '';
    if (this.#options.driver === 'systemd') {
      const base = this.#options.root.replace(/^\/+/, '').replaceAll('/', '-');
      const name = qos === 'guaranteed' ? base : `${base}-${qos}`;
      return `${name}-pod${uid.replaceAll('-', '_')}.slice`;
    }
    return join(this.#options.root, qos === 'guaranteed' ? '' : qos, `pod${uid}`);
  }

  /** Makes the pod's group with its shares and limits. Where the kernel refuses one, the containers' own still hold. */
  async create(pod: Pod): Promise<void> {
    if (this.#options.driver === 'systemd') return;
    const path = this.parent(pod);
    const { cpuShares, cpuQuota, memoryLimitBytes } = podCgroup(pod);
    for (const controller of this.#controllers()) await mkdir(join(controller, path), { recursive: true });
    const quota = cpuQuota === undefined || cpuQuota === 0 ? undefined : cpuQuota;
    if (this.v2) {
      await this.#enableControllers(path);
      await this.#write(join(ROOT, path, 'cpu.weight'), cpuWeight(cpuShares));
      if (quota) await this.#write(join(ROOT, path, 'cpu.max'), `${quota} ${QUOTA_PERIOD_US}`);
      if (memoryLimitBytes) await this.#write(join(ROOT, path, 'memory.max'), memoryLimitBytes);
      return;
    }
    await this.#write(join(ROOT, 'cpu', path, 'cpu.shares'), cpuShares);
    if (quota) {
      await this.#write(join(ROOT, 'cpu', path, 'cpu.cfs_period_us'), QUOTA_PERIOD_US);
      await this.#write(join(ROOT, 'cpu', path, 'cpu.cfs_quota_us'), quota);
    }
    if (memoryLimitBytes) await this.#write(join(ROOT, 'memory', path, 'memory.limit_in_bytes'), memoryLimitBytes);
  }

  /** What the kernel has of the pod's group; undefined where there is none of the kubelet's making. */
  async state(pod: Pod): Promise<PodCgroupState | undefined> {
    if (this.#options.driver === 'systemd') return undefined;
    const path = this.parent(pod);
    if (this.v2) {
      const weight = await this.#read(join(ROOT, path, 'cpu.weight'));
      const max = await this.#read(join(ROOT, path, 'cpu.max'));
      const memory = await this.#read(join(ROOT, path, 'memory.max'));
      if (weight === undefined || max === undefined || memory === undefined) return undefined;
      const [quota = 'max', period] = max.split(' ');
      const { cpuShares } = podCgroup(pod);
      return {
        // Many shares have the same weight: where it is the right one, so are the shares.
        cpuShares: cpuWeight(cpuShares) === Number(weight) ? cpuShares : sharesOfWeight(Number(weight)),
        cpuQuota: quota === 'max' ? Number.POSITIVE_INFINITY : (Number(quota) * QUOTA_PERIOD_US) / Number(period),
        memoryLimitBytes: memory === 'max' ? Number.POSITIVE_INFINITY : Number(memory),
      };
    }
    const shares = await this.#read(join(ROOT, 'cpu', path, 'cpu.shares'));
    const quota = await this.#read(join(ROOT, 'cpu', path, 'cpu.cfs_quota_us'));
    const memory = await this.#read(join(ROOT, 'memory', path, 'memory.limit_in_bytes'));
    if (shares === undefined || quota === undefined || memory === undefined) return undefined;
    const limit = Number(memory);
    return {
      cpuShares: Number(shares),
      cpuQuota: Number(quota) > 0 ? Number(quota) : Number.POSITIVE_INFINITY,
      memoryLimitBytes: limit >= V1_UNLIMITED ? Number.POSITIVE_INFINITY : limit,
    };
  }

  /** Bytes that the pod's processes and its page cache take. */
  async memoryUsage(pod: Pod): Promise<number | undefined> {
    if (this.#options.driver === 'systemd') return undefined;
    const path = this.parent(pod);
    const file = this.v2 ? join(ROOT, path, 'memory.current') : join(ROOT, 'memory', path, 'memory.usage_in_bytes');
    const text = await this.#read(file);
    return text === undefined ? undefined : Number(text);
  }

  /** Changes one setting of a pod's group that runs. Throws when the kernel refuses. */
  async change(pod: Pod, setting: PodSetting, value: number): Promise<void> {
    const path = this.parent(pod);
    const [file, text] = this.v2 ? v2Setting(setting, value) : v1Setting(setting, value);
    const group = this.v2 ? path : join(setting === 'memoryLimitBytes' ? 'memory' : 'cpu', path);
    await writeFile(join(ROOT, group, file), text);
  }

  /** Divides the CPU between the QoS classes: Burstable pods together weigh what they ask for, BestEffort next to nothing. */
  async balance(pods: readonly Pod[]): Promise<void> {
    if (this.#options.driver === 'systemd') return;
    const shares = { burstable: burstableShares(pods), besteffort: 2 };
    for (const [qos, value] of Object.entries(shares)) {
      const path = join(this.#options.root, qos);
      const file = this.v2 ? join(ROOT, path, 'cpu.weight') : join(ROOT, 'cpu', path, 'cpu.shares');
      await this.#write(file, this.v2 ? cpuWeight(value) : value);
    }
  }

  /** Removes a pod's group, once nothing runs in it. */
  async remove(pod: Pod): Promise<void> {
    if (this.#options.driver !== 'systemd') await this.#removeTree(this.parent(pod));
  }

  /** Removes the group of a pod of which only the uid is known. */
  async removeByUid(uid: string): Promise<void> {
    if (this.#options.driver === 'systemd') return;
    for (const qos of ['', 'burstable', 'besteffort']) {
      await this.#removeTree(join(this.#options.root, qos, `pod${uid}`));
    }
  }

  /** Removes the whole hierarchy, when the kubelet leaves the machine for good. */
  async removeAll(): Promise<void> {
    if (this.#options.driver !== 'systemd') await this.#removeTree(this.#options.root);
  }

  async #removeTree(path: string): Promise<void> {
    for (const controller of this.#controllers()) await removeGroups(join(controller, path));
  }

  #controllers(): readonly string[] {
    if (this.v2) return [ROOT];
    const names = ['cpu', 'cpuacct', 'cpuset', 'memory', 'pids', 'devices', 'freezer', 'blkio', 'net_cls', 'net_prio'];
    const more = ['perf_event', 'hugetlb', 'rdma', 'misc', 'systemd', 'unified'];
    return [...names, ...more].map((name) => join(ROOT, name)).filter((path) => existsSync(path));
  }

  async #enableControllers(path: string): Promise<void> {
    let at = ROOT;
    for (const part of path.split('/').filter((p) => p !== '')) {
      for (const name of ['cpu', 'memory', 'pids']) await this.#write(join(at, 'cgroup.subtree_control'), `+${name}`);
      at = join(at, part);
    }
  }

  async #read(file: string): Promise<string | undefined> {
    return (await readFile(file, 'utf8').catch(() => undefined))?.trim();
  }

  /** A setting that the kernel does not take (no such controller, no permission) is left out. */
  async #write(file: string, value: string | number): Promise<void> {
    await writeFile(file, String(value)).catch(() => undefined);
  }
}

function v1Setting(setting: PodSetting, value: number): readonly [file: string, text: string] {
  if (setting === 'memoryLimitBytes') return ['memory.limit_in_bytes', String(value)];
  return [setting === 'cpuShares' ? 'cpu.shares' : 'cpu.cfs_quota_us', String(value)];
}

function v2Setting(setting: PodSetting, value: number): readonly [file: string, text: string] {
  if (setting === 'memoryLimitBytes') return ['memory.max', String(value)];
  return setting === 'cpuShares'
    ? ['cpu.weight', String(cpuWeight(value))]
    : ['cpu.max', `${value} ${QUOTA_PERIOD_US}`];
}

/** Removes a group and those below it, as far as they are empty. */
async function removeGroups(path: string): Promise<void> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) await removeGroups(join(path, entry.name));
  await rmdir(path).catch(() => undefined);
}
