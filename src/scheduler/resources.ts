// What a pod asks of a node, as numbers (KEP-753 sidecars, KEP-2837 pod-level resources, KEP-1287 in-place resize).
import type { Container, ContainerStatus, Pod } from '../api/generated/types.ts';
import { isResizeInfeasible } from '../machinery/pods.ts';
import { milliValue, quantityValue } from '../machinery/quantity.ts';

/** Resource name → amount: milli-cores for cpu, whole units for all else. */
export type Amounts = Map<string, number>;
type QuantityMap = { readonly [name: string]: string } | undefined;

/** What scoring assumes of a container that requests nothing, so that such pods do not all land on one node. */
export const DEFAULT_MILLI_CPU_REQUEST = 100;
export const DEFAULT_MEMORY_REQUEST = 200 * 1024 * 1024;

const PARSED_LIMIT = 4096;
const parsed = new Map<string, number>();

/** The amount that a quantity stands for. Remembered: pods of a cluster use few distinct texts. */
export function amountOf(resource: string, text: string): number {
  const milli = resource === 'cpu';
  const key = milli ? `m${text}` : text;
  const known = parsed.get(key);
  if (known !== undefined) return known;
  const amount = milli ? milliValue(text) : quantityValue(text);
  if (parsed.size >= PARSED_LIMIT) parsed.clear();
  parsed.set(key, amount);
  return amount;
}

/** Requests of a whole pod; what it still holds while it is being resized counts too. With `nonZero`, containers without a cpu or memory request count with the defaults. */
export function podAmounts(pod: Pod, nonZero = false): Amounts {
  const statuses = pod.status?.containerStatuses;
  const infeasible = isResizeInfeasible(pod);
  const total: Amounts = new Map();
  for (const container of pod.spec.containers) {
    add(
      total,
      containerAmounts(
        container,
        statuses?.find((s) => s.name === container.name),
        { nonZero, infeasible },
      ),
    );
  }
  const inits = pod.spec.initContainers;
  if (inits && inits.length > 0) addInitContainers(total, pod, inits, { nonZero, infeasible });
  if (pod.spec.resources?.requests) setPodLevel(total, pod, infeasible);
  for (const [name, text] of Object.entries(pod.spec.overhead ?? {})) {
    total.set(name, (total.get(name) ?? 0) + amountOf(name, text));
  }
  return total;
}

/** Restartable init containers run beside the rest; the others one at a time, beside the restartable ones before them. */
function addInitContainers(total: Amounts, pod: Pod, inits: readonly Container[], how: Counting): void {
  const sidecars: Amounts = new Map();
  const peak: Amounts = new Map();
  for (const container of inits) {
    const status = pod.status?.initContainerStatuses?.find((s) => s.name === container.name);
    const amounts = containerAmounts(container, status, how);
    if (container.restartPolicy === 'Always') {
      add(sidecars, amounts);
      raise(peak, sidecars);
    } else {
      const during = new Map(sidecars);
      add(during, amounts);
      raise(peak, during);
    }
  }
  add(total, sidecars);
  raise(total, peak);
}

interface Counting {
  /** Containers without a cpu or memory request count with the defaults. */
  readonly nonZero: boolean;
  /** The node can never give what is asked for now: only what it holds counts. */
  readonly infeasible: boolean;
}

/** Resources given for the pod as a whole take the place of the containers' sum. */
function setPodLevel(total: Amounts, { spec, status }: Pod, infeasible: boolean): void {
  const held = parse(status?.resources?.requests);
  raise(held, parse(status?.allocatedResources));
  const amounts = infeasible && held.size > 0 ? held : parse(spec.resources?.requests);
  raise(amounts, held);
  for (const [name, amount] of amounts) total.set(name, amount);
}

/** While a resize is under way the larger of what is asked for and what the node holds counts. */
function containerAmounts(
  container: Container,
  status: ContainerStatus | undefined,
  { nonZero, infeasible }: Counting,
): Amounts {
  const held = infeasible && (status?.resources ?? status?.allocatedResources) !== undefined;
  const amounts = held ? new Map<string, number>() : parse(container.resources?.requests);
  if (status?.resources) raise(amounts, parse(status.resources.requests));
  if (status?.allocatedResources) raise(amounts, parse(status.allocatedResources));
  if (nonZero) {
    if (!amounts.has('cpu')) amounts.set('cpu', DEFAULT_MILLI_CPU_REQUEST);
    if (!amounts.has('memory')) amounts.set('memory', DEFAULT_MEMORY_REQUEST);
  }
  return amounts;
}

export function parse(quantities: QuantityMap): Amounts {
  const amounts: Amounts = new Map();
  for (const name in quantities) amounts.set(name, amountOf(name, quantities[name]!));
  return amounts;
}

function add(to: Amounts, from: Amounts): void {
  for (const [name, amount] of from) to.set(name, (to.get(name) ?? 0) + amount);
}

function raise(to: Amounts, from: Amounts): void {
  for (const [name, amount] of from) if (amount > (to.get(name) ?? 0)) to.set(name, amount);
}
