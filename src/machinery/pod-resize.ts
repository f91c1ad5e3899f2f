// In-place resize as a node decides it (KEP-1287, KEP-5419): what is set aside for a pod, whether more can be, in which order
// pods are asked about, and what is told of it. Pure: kubelets and simulated nodes share it.
import type { Container, Pod, PodSpec, ResourceRequirements } from '../api/generated/types.ts';
import { isSidecar, podCondition, podRequestNumbers, qosClass, type ResourceList } from './pods.ts';
import { compareQuantities, milliValue, parseQuantity, quantityValue } from './quantity.ts';

/** What a node has set aside for a pod: of every container that can be resized, and of the pod as a whole. */
export interface Allocation {
  readonly containers: { readonly [name: string]: ResourceRequirements };
  readonly pod?: ResourceRequirements;
}

/** Init containers that are no sidecars keep what they were made with. */
export function isResizable(pod: Pod, container: Container): boolean {
  return pod.spec.containers.includes(container) || isSidecar(container);
}

function resizable(pod: Pod): readonly Container[] {
  return [...(pod.spec.initContainers ?? []).filter(isSidecar), ...pod.spec.containers];
}

export function allocationOf(pod: Pod): Allocation {
  const containers = Object.fromEntries(resizable(pod).map((c) => [c.name, c.resources ?? {}]));
  return { containers, ...(pod.spec.resources && { pod: pod.spec.resources }) };
}

/** The pod with what is set aside for it in the place of what is asked for; the same object when that is the same. */
export function withAllocation(pod: Pod, allocation: Allocation): Pod {
  if (!isResized(pod, allocation)) return pod;
  const lay = (container: Container): Container => {
    const resources = allocation.containers[container.name];
    return resources && isResizable(pod, container) ? { ...container, resources } : container;
  };
  const { resources: _, ...others } = pod.spec;
  const spec: PodSpec = {
    ...others,
    containers: pod.spec.containers.map(lay),
    ...(pod.spec.initContainers && { initContainers: pod.spec.initContainers.map(lay) }),
    ...(allocation.pod && { resources: allocation.pod }),
  };
  return { ...pod, spec };
}

/** Whether other resources are asked for than are set aside. */
export function isResized(pod: Pod, { containers, pod: whole }: Allocation): boolean {
  if (!sameRequirements(pod.spec.resources, whole)) return true;
  return resizable(pod).some(
    (c) => containers[c.name] !== undefined && !sameRequirements(c.resources, containers[c.name]),
  );
}

export function sameRequirements(a: ResourceRequirements = {}, b: ResourceRequirements = {}): boolean {
  return sameAmounts(a.requests, b.requests) && sameAmounts(a.limits, b.limits);
}

function sameAmounts(a: ResourceList = {}, b: ResourceList = {}): boolean {
  const names = Object.keys(a);
  if (names.length !== Object.keys(b).length) return false;
  return names.every((name) => {
    const [left, right] = [a[name]!, b[name]];
    return (
      right !== undefined && (left === right || compareQuantities(parseQuantity(left), parseQuantity(right)) === 0)
    );
  });
}

/** A resource of which the node has too little left, in thousandths of CPUs, bytes, or pieces. */
export interface Shortage {
  readonly name: string;
  readonly requested: number;
  readonly used: number;
  readonly capacity: number;
}

/** The first resource that does not suffice for the pod beside the others on a node. */
export function shortage(pod: Pod, others: readonly Pod[], allocatable: ResourceList): Shortage | undefined {
  const maxPods = quantityValue(allocatable.pods ?? '110');
  if (others.length + 1 > maxPods) return { name: 'pods', requested: 1, used: others.length, capacity: maxPods };
  const used = new Map<string, number>();
  for (const other of others) {
    for (const [name, value] of podRequestNumbers(other)) used.set(name, (used.get(name) ?? 0) + value);
  }
  for (const [name, requested] of podRequestNumbers(pod)) {
    if (requested === 0) continue;
    const text = allocatable[name];
    // What the node does not know at all cannot be had from it, except for what it learns of later (extended resources).
    if (text === undefined) continue;
    const capacity = name === 'cpu' ? milliValue(text) : quantityValue(text);
    const taken = used.get(name) ?? 0;
    if (taken + requested > capacity) return { name, requested, used: taken, capacity };
  }
  return undefined;
}

export function shortageMessage({ name, requested, used, capacity }: Shortage): string {
  return `Node didn't have enough resource: ${name}, requested: ${requested}, used: ${used}, capacity: ${capacity}`;
}

export interface ResizeRefusal {
  /** Deferred: not now, but when others have given something back; Infeasible: never on this node. */
  readonly reason: 'Deferred' | 'Infeasible';
  readonly message: string;
}

export interface ResizeQuestion {
  /** As it is asked for, and as it is now. */
  readonly pod: Pod;
  readonly allocated: Pod;
  /** The other pods of the node, with what is set aside for them. */
  readonly others: readonly Pod[];
  readonly allocatable: ResourceList;
}

/** Why the node cannot set aside what is asked for; undefined: it can. */
export function judgeResize({ pod, allocated, others, allocatable }: ResizeQuestion): ResizeRefusal | undefined {
  if (pod.metadata.annotations?.['kubernetes.io/config.source'] === 'file') {
    return { reason: 'Infeasible', message: 'In-place resize of static-pods is not supported' };
  }
  // What gives something back is never in anybody's way.
  if (!growsRequests(pod, allocated)) return undefined;
  const requested = podRequestNumbers(pod);
  for (const name of ['memory', 'cpu'] as const) {
    const text = allocatable[name];
    const asked = requested.get(name) ?? 0;
    if (text === undefined) continue;
    const capacity = name === 'cpu' ? milliValue(text) : quantityValue(text);
    if (asked <= capacity) continue;
    const message = `Node didn't have enough capacity: ${name}, requested: ${asked}, capacity: ${capacity}`;
    return { reason: 'Infeasible', message };
  }
  const short = shortage(pod, others, allocatable);
  return short && { reason: 'Deferred', message: shortageMessage(short) };
}

function growsRequests(pod: Pod, allocated: Pod): boolean {
  const [now, before] = [podRequestNumbers(pod), podRequestNumbers(allocated)];
  return ['cpu', 'memory'].some((name) => (now.get(name) ?? 0) > (before.get(name) ?? 0));
}

/** A pod that asks for other resources than it has. */
export interface Waiting {
  readonly pod: Pod;
  readonly allocated: Pod;
}

const QOS = ['Guaranteed', 'Burstable', 'BestEffort'];

/** First those that give back, then by priority, by class, and by how long they wait. */
export function resizeOrder(a: Waiting, b: Waiting): number {
  const grows = ({ pod, allocated }: Waiting): number => Number(growsRequests(pod, allocated));
  const rank = ({ pod }: Waiting): number => QOS.indexOf(qosClass(pod));
  const since = ({ pod }: Waiting): string => podCondition(pod, 'PodResizePending')?.lastTransitionTime ?? '9';
  return (
    grows(a) - grows(b) ||
    (b.pod.spec.priority ?? 0) - (a.pod.spec.priority ?? 0) ||
    rank(a) - rank(b) ||
    (since(a) < since(b) ? -1 : since(a) > since(b) ? 1 : 0)
  );
}

/** What an event says of a resize: upstream's words, with the resources of all containers as JSON. */
export function resizeMessage(prefix: string, pod: Pod, generation: number, error = ''): string {
  const summary = ({ name, resources = {} }: Container): object => {
    const { limits, requests } = resources;
    return {
      name,
      resources: { ...(limits && { limits: sorted(limits) }), ...(requests && { requests: sorted(requests) }) },
    };
  };
  const { initContainers = [], containers } = pod.spec;
  const details = {
    ...(initContainers.length > 0 && { initContainers: initContainers.map(summary) }),
    containers: containers.map(summary),
    generation,
    ...(error !== '' && { error }),
  };
  return `${prefix}: ${JSON.stringify(details)}`;
}

function sorted(list: ResourceList): ResourceList {
  return Object.fromEntries(Object.entries(list).sort(([a], [b]) => (a < b ? -1 : 1)));
}
