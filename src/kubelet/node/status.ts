// The node's status. Pure.
import type { Node, NodeCondition, NodeStatus } from '../../api/generated/types.ts';
import { findCondition } from '../../machinery/meta.ts';
import { formatQuantity, parseQuantity, subtractQuantities } from '../../machinery/quantity.ts';
import { formatTime } from '../../machinery/time.ts';
import type { Image, RuntimeHandler } from '../cri/types.ts';
import type { MachineInfo, Pressure } from './machine.ts';

export interface NodeFacts {
  readonly machine: MachineInfo;
  readonly pressure: Pressure;
  readonly maxPods: number;
  /** Resources kept from pods, by name. */
  readonly reserved: { readonly [resource: string]: string };
  readonly addresses: readonly string[];
  readonly nodeName: string;
  readonly port: number;
  readonly version: string;
  readonly runtimeVersion: string;
  readonly images: readonly Image[];
  readonly handlers: readonly RuntimeHandler[];
  readonly supplementalGroupsPolicy: boolean;
  /** Why the runtime is not ready; none: it is. */
  readonly runtimeProblems: readonly string[];
  readonly previous: Node | undefined;
  readonly nowMs: number;
}

const MAX_IMAGES = 50;
const MAX_NAMES_PER_IMAGE = 5;
/** Thresholds of the pressure conditions: upstream's hard eviction defaults. */
const MEMORY_MINIMUM_BYTES = 100 * 1024 * 1024;
const DISK_MINIMUM_SHARE = 0.1;
const INODES_MINIMUM_SHARE = 0.05;
const PROCESSES_MINIMUM_SHARE = 0.1;

export function nodeStatus(facts: NodeFacts): NodeStatus {
  const { machine } = facts;
  const capacity = capacityOf(facts);
  return {
    capacity,
    allocatable: allocatableOf(capacity, facts.reserved),
    conditions: conditions(facts),
    addresses: [
      ...facts.addresses.map((address) => ({ type: 'InternalIP', address })),
      { type: 'Hostname', address: facts.nodeName },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: facts.port } },
    nodeInfo: {
      machineID: machine.machineID,
      systemUUID: machine.systemUUID,
      bootID: machine.bootID,
      kernelVersion: machine.kernelVersion,
      osImage: machine.osImage,
      containerRuntimeVersion: facts.runtimeVersion,
      kubeletVersion: facts.version,
      kubeProxyVersion: '',
      operatingSystem: 'linux',
      architecture: machine.architecture,
    },
    images: imageList(facts.images),
    runtimeHandlers: facts.handlers.map(({ name, features }) => ({
      name,
      features: {
        recursiveReadOnlyMounts: features?.recursiveReadOnlyMounts ?? false,
        userNamespaces: features?.userNamespaces ?? false,
      },
    })),
    features: { supplementalGroupsPolicy: facts.supplementalGroupsPolicy },
  };
}

export type Resources = { readonly [resource: string]: string };

function capacityOf({ machine, pressure, maxPods }: NodeFacts): Resources {
  const cpu = machine.milliCpu % 1000 === 0 ? String(machine.milliCpu / 1000) : `${machine.milliCpu}m`;
  return {
    cpu,
    memory: `${Math.floor(machine.memoryBytes / 1024)}Ki`,
    'ephemeral-storage': `${Math.floor(pressure.diskCapacityBytes / 1024)}Ki`,
    pods: String(maxPods),
  };
}

function allocatableOf(capacity: Resources, reserved: Resources): Resources {
  const rows = Object.entries(capacity).map(([name, text]) => {
    const kept = reserved[name];
    if (kept === undefined) return [name, text];
    const left = subtractQuantities(parseQuantity(text), parseQuantity(kept));
    return [name, left.unscaled < 0n ? '0' : formatQuantity(left)];
  });
  return Object.fromEntries(rows);
}

function imageList(images: readonly Image[]): NonNullable<NodeStatus['images']> {
  return images
    .toSorted((a, b) => Number(b.size) - Number(a.size))
    .slice(0, MAX_IMAGES)
    .map((image) => ({
      names: [...image.repoDigests, ...image.repoTags].slice(0, MAX_NAMES_PER_IMAGE),
      sizeBytes: Number(image.size),
    }));
}

interface Verdict {
  readonly type: string;
  readonly bad: boolean;
  readonly reasons: readonly [bad: string, good: string];
  readonly messages: readonly [bad: string, good: string];
}

function conditions(facts: NodeFacts): readonly NodeCondition[] {
  const p = facts.pressure;
  const lowDisk =
    p.diskAvailableBytes < p.diskCapacityBytes * DISK_MINIMUM_SHARE || p.inodesFree < p.inodes * INODES_MINIMUM_SHARE;
  const verdicts: readonly Verdict[] = [
    {
      type: 'MemoryPressure',
      bad: p.memoryAvailableBytes < MEMORY_MINIMUM_BYTES,
      reasons: ['KubeletHasInsufficientMemory', 'KubeletHasSufficientMemory'],
      messages: ['kubelet has insufficient memory available', 'kubelet has sufficient memory available'],
    },
    {
      type: 'DiskPressure',
      bad: lowDisk,
      reasons: ['KubeletHasDiskPressure', 'KubeletHasNoDiskPressure'],
      messages: ['kubelet has disk pressure', 'kubelet has no disk pressure'],
    },
    {
      type: 'PIDPressure',
      bad: p.maxProcesses - p.processes < p.maxProcesses * PROCESSES_MINIMUM_SHARE,
      reasons: ['KubeletHasInsufficientPID', 'KubeletHasSufficientPID'],
      messages: ['kubelet has insufficient PID available', 'kubelet has sufficient PID available'],
    },
  ];
  const pressures = verdicts.map(({ type, bad, reasons, messages }) => {
    return { type, status: bad ? 'True' : 'False', reason: reasons[bad ? 0 : 1], message: messages[bad ? 0 : 1] };
  });
  const problems = facts.runtimeProblems;
  const message = problems.length === 1 ? problems[0]! : `[${problems.join(', ')}]`;
  const ready =
    problems.length === 0
      ? { type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'kubelet is posting ready status' }
      : { type: 'Ready', status: 'False', reason: 'KubeletNotReady', message };
  return [...pressures, ready].map((condition) => stamped(condition, facts));
}

function stamped(condition: NodeCondition, { previous, nowMs }: NodeFacts): NodeCondition {
  const before = findCondition(previous?.status?.conditions, condition.type);
  const since = before?.status === condition.status ? before.lastTransitionTime : undefined;
  const now = formatTime(nowMs);
  return { ...condition, lastHeartbeatTime: now, lastTransitionTime: since ?? now };
}

/** Whether a status says anything new, the heartbeat aside. */
export function nodeStatusChanged(before: NodeStatus | undefined, after: NodeStatus): boolean {
  const text = (status: NodeStatus | undefined): string => {
    const list = (status?.conditions ?? []).filter((c) => OWN_CONDITIONS.has(c.type));
    const rows = list.map(({ type, status: s, reason, message }) => [type, s, reason, message]).sort();
    const { capacity, allocatable, addresses, daemonEndpoints, nodeInfo, images, runtimeHandlers } = status ?? {};
    const sorted = (map: Resources | undefined): unknown => Object.entries(map ?? {}).sort();
    const info = Object.entries(nodeInfo ?? {}).sort();
    const handlers = runtimeHandlers ?? [];
    return JSON.stringify([
      rows,
      sorted(capacity),
      sorted(allocatable),
      addresses,
      daemonEndpoints,
      info,
      images ?? [],
      handlers,
    ]);
  };
  return text(before) !== text(after);
}

export const OWN_CONDITIONS: ReadonlySet<string> = new Set(['MemoryPressure', 'DiskPressure', 'PIDPressure', 'Ready']);

/** The labels that a kubelet gives its node. */
export function nodeLabels(machine: MachineInfo, nodeName: string, own: Resources): Resources {
  return {
    'beta.kubernetes.io/arch': machine.architecture,
    'beta.kubernetes.io/os': 'linux',
    'kubernetes.io/arch': machine.architecture,
    'kubernetes.io/hostname': nodeName,
    'kubernetes.io/os': 'linux',
    ...own,
  };
}
