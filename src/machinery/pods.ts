// What is asked of pods everywhere: readiness, phase, effective resource requests (component-helpers/resource), QoS class.
import type { Container, Pod, PodCondition } from '../api/generated/types.ts';
import { findCondition, isTerminating } from './meta.ts';
import {
  addQuantities,
  compareQuantities,
  formatQuantity,
  milliValue,
  parseQuantity,
  type Quantity,
  quantityValue,
} from './quantity.ts';
import { timeMs } from './time.ts';

/** Resource name → quantity text. */
export interface ResourceList {
  readonly [resource: string]: string;
}

export function podCondition(pod: Pod, type: string): PodCondition | undefined {
  return findCondition(pod.status?.conditions, type);
}

export function isPodReady(pod: Pod): boolean {
  return podCondition(pod, 'Ready')?.status === 'True';
}

/** Ready for at least `minReadySeconds`. */
export function isPodAvailable(pod: Pod, minReadySeconds: number, nowMs: number): boolean {
  const ready = podCondition(pod, 'Ready');
  if (ready?.status !== 'True') return false;
  const since = timeMs(ready.lastTransitionTime);
  return minReadySeconds === 0 || (since !== undefined && since + minReadySeconds * 1000 <= nowMs);
}

/** Succeeded or Failed: it will not run again. */
export function isTerminal(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

/** Neither ended nor being deleted: it counts as a replica. */
export function isPodActive(pod: Pod): boolean {
  return !isTerminal(pod) && !isTerminating(pod);
}

/** A sidecar: an init container that keeps running. */
export function isSidecar(container: Pick<Container, 'restartPolicy'>): boolean {
  return container.restartPolicy === 'Always';
}

/** Resources that may be given for the pod as a whole. */
export function isPodLevelResource(name: string): boolean {
  return name === 'cpu' || name === 'memory' || name.startsWith('hugepages-');
}

/** How quantities are represented while they are summed: exactly, or as numbers. */
interface Arithmetic<T> {
  readonly read: (resource: string, text: string) => T;
  readonly add: (a: T, b: T) => T;
  readonly max: (a: T, b: T) => T;
}

const EXACT: Arithmetic<Quantity> = {
  read: (_resource, text) => parseQuantity(text),
  add: addQuantities,
  max: (a, b) => (compareQuantities(a, b) >= 0 ? a : b),
};

/** CPU in thousandths, everything else in units. */
const NUMBERS: Arithmetic<number> = {
  read: (resource, text) => (resource === 'cpu' ? milliValue(text) : quantityValue(text)),
  add: (a, b) => a + b,
  max: Math.max,
};

function addList<T>(sum: Map<string, T>, list: ResourceList | null | undefined, by: Arithmetic<T>): void {
  for (const resource in list) {
    const value = by.read(resource, list[resource]!);
    const before = sum.get(resource);
    sum.set(resource, before === undefined ? value : by.add(before, value));
  }
}

function maxMap<T>(into: Map<string, T>, other: ReadonlyMap<string, T>, by: Arithmetic<T>): void {
  for (const [resource, value] of other) {
    const before = into.get(resource);
    into.set(resource, before === undefined ? value : by.max(before, value));
  }
}

/** The resource lists of a container of which, resource by resource, the largest counts. */
type ListsOf = (container: Container, which: Which) => readonly (ResourceList | null | undefined)[];
type Which = 'requests' | 'limits';

const asSpecified: ListsOf = (container, which) => [container.resources?.[which]];

/** The node has said that it can never give the pod what is asked for it now. */
export function isResizeInfeasible(pod: Pod): boolean {
  const pending = podCondition(pod, 'PodResizePending');
  return pending?.status === 'True' && pending.reason === 'Infeasible';
}

/**
 * While a resize is under way the larger of what is asked for, what the node has set aside and what the container has counts
 * (KEP-1287); what the node cannot give does not count.
 */
function asHeld(pod: Pod): ListsOf {
  const statuses = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])];
  const infeasible = isResizeInfeasible(pod);
  return (container, which) => {
    const status = statuses.find((s) => s.name === container.name);
    if (!status) return asSpecified(container, which);
    const held = [status.resources?.[which], which === 'requests' ? status.allocatedResources : undefined];
    const known = held.some((list) => list !== undefined && list !== null);
    return infeasible && known ? held : [container.resources?.[which], ...held];
  };
}

function largest(lists: readonly (ResourceList | null | undefined)[], by: Arithmetic<unknown>): ResourceList {
  const found: { [resource: string]: string } = {};
  for (const list of lists) {
    for (const resource in list) {
      const text = list[resource]!;
      const known = found[resource];
      const value = by.read(resource, text);
      if (known === undefined || by.max(by.read(resource, known), value) === value) found[resource] = text;
    }
  }
  return found;
}

/**
 * Containers and sidecars run together, so they are summed; an init container runs alone with the sidecars before it, so
 * the pod needs the larger of the two.
 */
function aggregate<T>(pod: Pod, which: Which, by: Arithmetic<T>, listsOf: ListsOf = asSpecified): Map<string, T> {
  const of = (container: Container): ResourceList | null | undefined => {
    const lists = listsOf(container, which);
    return lists.length === 1 ? lists[0] : largest(lists, by as Arithmetic<unknown>);
  };
  const sum = new Map<string, T>();
  for (const container of pod.spec?.containers ?? []) addList(sum, of(container), by);
  const init = pod.spec?.initContainers;
  if (!init?.length) return sum;
  const sidecars = new Map<string, T>();
  const peak = new Map<string, T>();
  for (const container of init) {
    const resources = of(container);
    if (isSidecar(container)) {
      addList(sum, resources, by);
      addList(sidecars, resources, by);
      maxMap(peak, sidecars, by);
    } else {
      const alone = new Map(sidecars);
      addList(alone, resources, by);
      maxMap(peak, alone, by);
    }
  }
  maxMap(sum, peak, by);
  return sum;
}

function effective<T>(pod: Pod, which: Which, by: Arithmetic<T>, held = false): Map<string, T> {
  const sum = aggregate(pod, which, by, held ? asHeld(pod) : asSpecified);
  const own = held ? podLevelHeld(pod, which, by) : pod.spec?.resources?.[which];
  for (const resource in own) if (isPodLevelResource(resource)) sum.set(resource, by.read(resource, own[resource]!));
  const overhead = pod.spec?.overhead;
  if (which === 'requests') addList(sum, overhead, by);
  else {
    // Overhead adds to limits that exist; it does not make one.
    for (const resource in overhead) {
      const limit = sum.get(resource);
      if (limit !== undefined) sum.set(resource, by.add(limit, by.read(resource, overhead[resource]!)));
    }
  }
  return sum;
}

function podLevelHeld<T>(pod: Pod, which: Which, by: Arithmetic<T>): ResourceList | undefined {
  const { spec, status } = pod;
  const asked = spec?.resources?.[which];
  if (asked === undefined || asked === null) return undefined;
  const held = [status?.resources?.[which], which === 'requests' ? status?.allocatedResources : undefined];
  const known = held.some((list) => list !== undefined && list !== null);
  return largest(isResizeInfeasible(pod) && known ? held : [asked, ...held], by as Arithmetic<unknown>);
}

function asTexts(map: ReadonlyMap<string, Quantity>): ResourceList {
  return Object.fromEntries([...map].map(([resource, q]) => [resource, formatQuantity(q)]));
}

/** What the pod asks of a node: containers, init containers, sidecars, pod-level resources and overhead. */
export function podRequests(pod: Pod): ResourceList {
  return asTexts(effective(pod, 'requests', EXACT));
}

export function podLimits(pod: Pod): ResourceList {
  return asTexts(effective(pod, 'limits', EXACT));
}

/** What a quota counts of the pod: while it is being resized, also what it still holds. */
export function heldRequests(pod: Pod): ResourceList {
  return asTexts(effective(pod, 'requests', EXACT, true));
}

export function heldLimits(pod: Pod): ResourceList {
  return asTexts(effective(pod, 'limits', EXACT, true));
}

/** podRequests as numbers (CPU in thousandths, everything else in units): for the scheduler. */
export function podRequestNumbers(pod: Pod): Map<string, number> {
  return effective(pod, 'requests', NUMBERS);
}

/** The sum of the containers' requests or limits, without pod-level resources and overhead. */
export function aggregateContainerResources(pod: Pod, which: Which): ResourceList {
  return asTexts(aggregate(pod, which, EXACT));
}

export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort';

const COMPUTE = ['cpu', 'memory'] as const;

/**
 * Guaranteed: every container limits CPU and memory and asks for as much; BestEffort: nobody asks for either; else
 * Burstable. Pod-level resources, where given, decide alone.
 */
export function qosClass(pod: Pod): QosClass {
  const own = pod.spec?.resources;
  const podLevel = own && COMPUTE.some((r) => own.requests?.[r] !== undefined || own.limits?.[r] !== undefined);
  const parts = podLevel
    ? [own]
    : [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].map((c) => c.resources);
  const set = (list: ResourceList | undefined, resource: string): boolean => milliValue(list?.[resource] ?? '0') > 0;
  const anything = parts.some((p) => COMPUTE.some((r) => set(p?.requests, r) || set(p?.limits, r)));
  if (!anything) return 'BestEffort';
  const guaranteed = parts.every((p) =>
    COMPUTE.every((r) => {
      const limit = p?.limits?.[r];
      if (limit === undefined || !set(p?.limits, r)) return false;
      const request = p?.requests?.[r] ?? limit;
      return compareQuantities(parseQuantity(request), parseQuantity(limit)) === 0;
    }),
  );
  return guaranteed ? 'Guaranteed' : 'Burstable';
}
