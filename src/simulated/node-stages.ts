// The life of a simulated node, as data.
import type { Node, NodeCondition } from '../api/generated/types.ts';
import { rfc3339 } from '../lib/clock.ts';
import type { Stage } from './stage.ts';

export interface NodeShape {
  readonly name: string;
  readonly capacity: { readonly [resource: string]: string };
  readonly labels: { readonly [key: string]: string };
  readonly internalIP: string;
}

export interface NodeFacts {
  readonly nowMs: number;
  readonly shape: NodeShape;
}

/** What tells a simulated node from a real one. */
const SIMULATED_NODE_ANNOTATION = 'simulated.tsukube.dev/node';

/** Why nobody can ask such a node for logs or run a command there; undefined for real nodes. */
export function simulatedNodeRefusal(node: Node): string | undefined {
  if (node.metadata.annotations?.[SIMULATED_NODE_ANNOTATION] !== 'true') return undefined;
  return `node ${node.metadata.name} is simulated: its pods have no containers`;
}

/** As a kubelet reports its status when nothing changes. */
const REPORT_EVERY_MS = 300_000;

const CONDITIONS: readonly Pick<NodeCondition, 'type' | 'status' | 'reason' | 'message'>[] = [
  {
    type: 'MemoryPressure',
    status: 'False',
    reason: 'KubeletHasSufficientMemory',
    message: 'kubelet has sufficient memory available',
  },
  {
    type: 'DiskPressure',
    status: 'False',
    reason: 'KubeletHasNoDiskPressure',
    message: 'kubelet has no disk pressure',
  },
  {
    type: 'PIDPressure',
    status: 'False',
    reason: 'KubeletHasSufficientPID',
    message: 'kubelet has sufficient PID available',
  },
  { type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'kubelet is posting ready status' },
];

/** What the node registers itself with. */
export function newNode({ nowMs, shape }: NodeFacts): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: shape.name,
      labels: {
        'beta.kubernetes.io/arch': 'amd64',
        'beta.kubernetes.io/os': 'linux',
        'kubernetes.io/arch': 'amd64',
        'kubernetes.io/os': 'linux',
        'kubernetes.io/hostname': shape.name,
        ...shape.labels,
      },
      annotations: { 'node.alpha.kubernetes.io/ttl': '0', [SIMULATED_NODE_ANNOTATION]: 'true' },
    },
    spec: {},
    status: {
      capacity: shape.capacity,
      allocatable: shape.capacity,
      conditions: reported(undefined, nowMs),
      addresses: [
        { type: 'InternalIP', address: shape.internalIP },
        { type: 'Hostname', address: shape.name },
      ],
      nodeInfo: {
        machineID: shape.name,
        systemUUID: shape.name,
        bootID: shape.name,
        kernelVersion: '6.1.0-simulated',
        osImage: 'Simulated node',
        containerRuntimeVersion: 'simulated://1.0',
        kubeletVersion: 'v1.36.0',
        kubeProxyVersion: '',
        operatingSystem: 'linux',
        architecture: 'amd64',
      },
    },
  };
}

function reported(node: Node | undefined, nowMs: number): NodeCondition[] {
  const now = rfc3339(nowMs);
  return CONDITIONS.map((condition) => {
    const known = node?.status?.conditions?.find((c) => c.type === condition.type);
    const lastTransitionTime = known?.status === condition.status ? (known.lastTransitionTime ?? now) : now;
    return { ...condition, lastHeartbeatTime: now, lastTransitionTime };
  });
}

function isReady(node: Node): boolean {
  return CONDITIONS.every(
    ({ type, status }) => node.status?.conditions?.find((condition) => condition.type === type)?.status === status,
  );
}

/** Resources that somebody added to the capacity from outside, or changed there. */
function unallocated(node: Node): { [name: string]: string } {
  const { capacity = {}, allocatable = {} } = node.status ?? {};
  return Object.fromEntries(
    Object.entries(capacity).filter(([name, amount]) => name.includes('/') && allocatable[name] !== amount),
  );
}

/** Extended resources that went from the capacity. */
function withdrawn(node: Node): { [name: string]: null } {
  const { capacity = {}, allocatable = {} } = node.status ?? {};
  const gone = Object.keys(allocatable).filter((name) => name.includes('/') && capacity[name] === undefined);
  return Object.fromEntries(gone.map((name) => [name, null]));
}

function lastHeartbeatMs(node: Node): number {
  const time = node.status?.conditions?.find((condition) => condition.type === 'Ready')?.lastHeartbeatTime;
  return time ? Date.parse(time) : 0;
}

export const NODE_STAGES: readonly Stage<Node, NodeFacts>[] = [
  {
    name: 'report-status',
    when: (node) => !isReady(node) || !node.status?.nodeInfo?.kubeletVersion || !node.status.allocatable,
    next: (node, facts) => {
      const { capacity, addresses, nodeInfo } = newNode(facts).status!;
      const merged = { ...capacity, ...node.status?.capacity };
      const conditions = reported(node, facts.nowMs);
      return { status: { capacity: merged, allocatable: merged, conditions, addresses, nodeInfo } };
    },
  },
  {
    name: 'allocate-extended-resources',
    when: (node) => Object.keys({ ...unallocated(node), ...withdrawn(node) }).length > 0,
    next: (node) => ({ status: { allocatable: { ...unallocated(node), ...withdrawn(node) } } }),
  },
  {
    name: 'heartbeat',
    when: () => true,
    afterMs: (node, { nowMs }) => Math.max(0, lastHeartbeatMs(node) + REPORT_EVERY_MS - nowMs),
    next: (node, facts) => ({ status: { conditions: reported(node, facts.nowMs) } }),
  },
];
