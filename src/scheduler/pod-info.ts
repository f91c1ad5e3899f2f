import type { Pod } from '../api/generated/types.ts';
import { keyOf } from '../api/object.ts';
import { type NodeMatcher, requiredNodeMatcher } from '../machinery/node-selector.ts';
import { type PodTerms, podTerms } from './affinity-term.ts';
import { type Amounts, DEFAULT_MEMORY_REQUEST, DEFAULT_MILLI_CPU_REQUEST, podAmounts } from './resources.ts';

export interface HostPort {
  readonly ip: string;
  readonly protocol: string;
  readonly port: number;
}

/** What scheduling needs to know of a pod, worked out once for every version of it. */
export interface PodInfo {
  readonly pod: Pod;
  readonly key: string;
  readonly uid: string;
  readonly namespace: string;
  readonly priority: number;
  readonly amounts: Amounts;
  /** cpu and memory as spreading sees them: containers that ask for nothing count with the defaults. */
  readonly nonZeroMilliCpu: number;
  readonly nonZeroMemory: number;
  readonly hostPorts: readonly HostPort[];
  readonly terms: PodTerms | undefined;
  readonly nodeMatcher: NodeMatcher | undefined;
  /** Namespace, labels and whether it is being deleted: pods with equal group keys are alike to every selector. */
  readonly groupKey: string;
  readonly terminating: boolean;
}

const NO_PORTS: readonly HostPort[] = [];

export function podInfo(pod: Pod): PodInfo {
  const amounts = podAmounts(pod);
  const complete = pod.spec.containers.every((c) => c.resources?.requests?.cpu && c.resources.requests.memory);
  const nonZero = complete && !pod.spec.initContainers?.length ? amounts : podAmounts(pod, true);
  const namespace = pod.metadata.namespace ?? '';
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  return {
    pod,
    key: keyOf(pod),
    uid: pod.metadata.uid ?? '',
    namespace,
    priority: pod.spec.priority ?? 0,
    amounts,
    nonZeroMilliCpu: nonZero.get('cpu') ?? DEFAULT_MILLI_CPU_REQUEST,
    nonZeroMemory: nonZero.get('memory') ?? DEFAULT_MEMORY_REQUEST,
    hostPorts: hostPorts(pod),
    terms: podTerms(pod),
    nodeMatcher: requiredNodeMatcher(pod),
    groupKey: `${namespace}\n${terminating ? 'terminating' : ''}\n${labelsKey(pod.metadata.labels)}`,
    terminating,
  };
}

function labelsKey(labels: { readonly [key: string]: string } | undefined): string {
  if (!labels) return '';
  let key = '';
  for (const name of Object.keys(labels).sort()) key += `${name}=${labels[name]},`;
  return key;
}

function hostPorts(pod: Pod): readonly HostPort[] {
  let ports: HostPort[] | undefined;
  const sidecars = pod.spec.initContainers?.filter((c) => c.restartPolicy === 'Always') ?? [];
  for (const container of sidecars.length > 0 ? [...pod.spec.containers, ...sidecars] : pod.spec.containers) {
    for (const { hostPort, hostIP, protocol } of container.ports ?? []) {
      if (!hostPort || hostPort <= 0) continue;
      ports ??= [];
      ports.push({ ip: hostIP || '0.0.0.0', protocol: protocol || 'TCP', port: hostPort });
    }
  }
  return ports ?? NO_PORTS;
}

/** Two pods want the same port of a node: the wildcard address meets every address. */
export function portsConflict(wanted: readonly HostPort[], taken: readonly HostPort[]): boolean {
  return wanted.some((w) =>
    taken.some(
      (t) =>
        w.port === t.port && w.protocol === t.protocol && (w.ip === t.ip || w.ip === '0.0.0.0' || t.ip === '0.0.0.0'),
    ),
  );
}
