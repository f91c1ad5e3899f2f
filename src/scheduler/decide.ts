// The core: a pod and the cluster in, a node or a diagnosis out. No clock, no waiting; randomness is handed in.
import type { Columns } from './columns.ts';
import type { Cycle, Diagnosis, FilterPlugin, NodeFilter, Profile, Rejection } from './framework.ts';
import type { NominatedPods } from './nominated-pods.ts';

export interface DecideOptions {
  readonly profile: Profile;
  readonly nominated: NominatedPods;
  /** Where in the order of nodes to begin; the decision says where the next one begins. */
  readonly start: number;
  /** Share of nodes after which the search may stop; 0 adapts it to the number of nodes. */
  readonly percentageOfNodesToScore: number;
  /** A number in [0, 1): picks among the best. */
  readonly random: () => number;
}

export type Decision =
  | {
      readonly kind: 'node';
      readonly slot: number;
      readonly evaluated: number;
      readonly feasible: number;
      readonly next: number;
    }
  | { readonly kind: 'unschedulable'; readonly diagnosis: Diagnosis; readonly next: number };

const MIN_FEASIBLE_NODES = 100;
const MIN_PERCENTAGE = 5;

/** How many feasible nodes are enough (upstream's numFeasibleNodesToFind). */
export function feasibleNodesToFind(nodeCount: number, percentage: number): number {
  if (nodeCount < MIN_FEASIBLE_NODES) return nodeCount;
  let share = percentage;
  if (share === 0) share = Math.max(MIN_PERCENTAGE, 50 - Math.trunc(nodeCount / 125));
  return Math.max(MIN_FEASIBLE_NODES, Math.trunc((nodeCount * share) / 100));
}

interface Prepared {
  readonly filters: readonly { readonly plugin: FilterPlugin; readonly filter: NodeFilter }[];
  readonly onlyNodes: ReadonlySet<string> | undefined;
  readonly onlyNodesBy: readonly string[];
}

interface Refused {
  readonly plugin: string;
  readonly rejection: Rejection;
}

/** Runs PreFilter of every filter plugin. */
export function prepareFilters(cycle: Cycle, plugins: readonly FilterPlugin[]): Prepared | Refused {
  const filters: { plugin: FilterPlugin; filter: NodeFilter }[] = [];
  let onlyNodes: ReadonlySet<string> | undefined;
  const onlyNodesBy: string[] = [];
  for (const plugin of plugins) {
    const result = plugin.preFilter(cycle);
    if (result.kind === 'reject') return { plugin: plugin.name, rejection: result.rejection };
    if (result.kind === 'skip') continue;
    filters.push({ plugin, filter: result.filter });
    if (!result.onlyNodes) continue;
    onlyNodes = onlyNodes ? onlyNodes.intersection(result.onlyNodes) : result.onlyNodes;
    onlyNodesBy.push(plugin.name);
  }
  return { filters, onlyNodes, onlyNodesBy };
}

export function decide(cycle: Cycle, options: DecideOptions): Decision {
  const { columns } = cycle;
  const prepared = prepareFilters(cycle, options.profile.filters);
  if ('rejection' in prepared) {
    return { kind: 'unschedulable', diagnosis: refusedByPreFilter(columns, prepared), next: options.start };
  }
  const nominee = nominatedSlot(cycle, options.nominated);
  if (nominee !== undefined) {
    const only = Int32Array.of(nominee);
    if (keepAll(cycle, options, prepared, only, 1) === 1) {
      return { kind: 'node', slot: nominee, evaluated: 1, feasible: 1, next: options.start };
    }
  }
  const found = findFeasible(cycle, options, prepared);
  if (found.count === 0) {
    return { kind: 'unschedulable', diagnosis: diagnose(cycle, options, prepared), next: found.next };
  }
  const slot = found.count === 1 ? found.nodes[0]! : selectNode(cycle, options, found.nodes, found.count);
  return { kind: 'node', slot, evaluated: found.evaluated, feasible: found.count, next: found.next };
}

/** The node that an earlier preemption made room on is tried before all others. */
function nominatedSlot({ info, columns }: Cycle, nominated: NominatedPods): number | undefined {
  const name = nominated.nodeOf(info.key) ?? info.pod.status?.nominatedNodeName;
  return name ? columns.slots.get(name) : undefined;
}

interface Feasible {
  readonly nodes: Int32Array;
  readonly count: number;
  readonly evaluated: number;
  readonly next: number;
}

function findFeasible(cycle: Cycle, options: DecideOptions, prepared: Prepared): Feasible {
  const { columns } = cycle;
  const pool = prepared.onlyNodes ? slotsOf(columns, prepared.onlyNodes) : columns.order;
  const total = pool.length;
  if (total === 0) return { nodes: pool, count: 0, evaluated: 0, next: 0 };
  const wanted = feasibleNodesToFind(total, options.percentageOfNodesToScore);
  const nodes = new Int32Array(wanted);
  let count = 0;
  let evaluated = 0;
  let at = options.start % total;
  while (evaluated < total && count < wanted) {
    const chunk = Math.min(wanted - count, total - evaluated, total - at);
    const candidates = nodes.subarray(count, count + chunk);
    candidates.set(pool.subarray(at, at + chunk));
    count += keepAll(cycle, options, prepared, candidates, chunk);
    evaluated += chunk;
    at = (at + chunk) % total;
  }
  return { nodes, count, evaluated, next: at };
}

function slotsOf(columns: Columns, names: ReadonlySet<string>): Int32Array {
  const slots: number[] = [];
  for (const name of names) {
    const slot = columns.slots.get(name);
    if (slot !== undefined) slots.push(slot);
  }
  return Int32Array.from(slots);
}

function keepAll(cycle: Cycle, options: DecideOptions, prepared: Prepared, nodes: Int32Array, count: number): number {
  let kept = count;
  for (let f = 0; f < prepared.filters.length && kept > 0; f++) kept = prepared.filters[f]!.filter.keep(nodes, kept);
  if (kept === 0 || options.nominated.size === 0) return kept;
  return keepBesideNominated(cycle, options, nodes, kept);
}

/** A node must also do when the pods that are promised to it, and that go before this one, were there already. */
function keepBesideNominated(cycle: Cycle, options: DecideOptions, nodes: Int32Array, count: number): number {
  let kept = 0;
  for (let i = 0; i < count; i++) {
    const slot = nodes[i]!;
    if (fitsBesideNominated(cycle, options, slot)) nodes[kept++] = slot;
  }
  return kept;
}

function fitsBesideNominated(cycle: Cycle, options: DecideOptions, slot: number): boolean {
  return failureBesideNominated(cycle, options, slot) === undefined;
}

function firstFailure(prepared: Prepared, slot: number, scratch: Int32Array): Refused | undefined {
  for (const { plugin, filter } of prepared.filters) {
    scratch[0] = slot;
    if (filter.keep(scratch, 1) === 0) return { plugin: plugin.name, rejection: filter.explain(slot) };
  }
  return undefined;
}

/** The weighted sum of all scores of each of the slots. Scores that would be the same for all may be left out. */
export function scoreNodes(cycle: Cycle, { scores }: Profile, nodes: Int32Array, count: number): Float64Array {
  const totals = new Float64Array(count);
  const candidates = { nodes, count, totals, scratch: new Float64Array(count) };
  for (const { plugin, weight } of scores) plugin.preScore(cycle, nodes, count)?.add(candidates, weight);
  return totals;
}

function selectNode(cycle: Cycle, options: DecideOptions, nodes: Int32Array, count: number): number {
  const totals = scoreNodes(cycle, options.profile, nodes, count);
  let best = Number.NEGATIVE_INFINITY;
  let ties = 0;
  for (let i = 0; i < count; i++) {
    if (totals[i]! > best) {
      best = totals[i]!;
      ties = 0;
    }
    if (totals[i] === best) ties++;
  }
  let pick = Math.floor(options.random() * ties);
  for (let i = 0; i < count; i++) if (totals[i] === best && pick-- === 0) return nodes[i]!;
  return nodes[0]!;
}

function refusedByPreFilter(columns: Columns, { plugin, rejection }: Refused): Diagnosis {
  return {
    nodeCount: columns.nodeCount,
    preFilterMessage: rejection.reasons.join(', '),
    reasons: new Map(),
    plugins: new Set([plugin]),
    resolvable: rejection.resolvable ? [...columns.order] : [],
  };
}

/** Asks every node again, one by one, for its reasons: only pods that fit nowhere pay for this. */
function diagnose(cycle: Cycle, options: DecideOptions, prepared: Prepared): Diagnosis {
  const { columns } = cycle;
  const reasons = new Map<string, number>();
  const plugins = new Set<string>();
  const resolvable: number[] = [];
  const scratch = new Int32Array(1);
  const count = (reason: string): void => void reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  for (const slot of columns.order) {
    if (prepared.onlyNodes && !prepared.onlyNodes.has(columns.names[slot]!)) {
      count(`node(s) didn't satisfy plugin(s) [${prepared.onlyNodesBy.join(' ')}]`);
      for (const plugin of prepared.onlyNodesBy) plugins.add(plugin);
      continue;
    }
    const failure = firstFailure(prepared, slot, scratch) ?? failureBesideNominated(cycle, options, slot);
    if (!failure) continue;
    plugins.add(failure.plugin);
    for (const reason of failure.rejection.reasons) count(reason);
    if (failure.rejection.resolvable) resolvable.push(slot);
  }
  return { nodeCount: columns.nodeCount, reasons, plugins, resolvable };
}

type Promises = Pick<DecideOptions, 'profile' | 'nominated'>;

function failureBesideNominated(cycle: Cycle, { profile, nominated }: Promises, slot: number): Refused | undefined {
  const { columns, info } = cycle;
  const placed = columns.pods[slot]!;
  const before = nominated
    .on(columns.names[slot]!)
    .filter((p) => p.key !== info.key && p.priority >= info.priority && !placed.has(p.key));
  if (before.length === 0) return undefined;
  for (const pod of before) columns.addPod(pod, slot);
  const failure = failureOn(cycle, profile.filters, slot);
  for (const pod of before) columns.removePod(pod, slot);
  return failure;
}

function failureOn(cycle: Cycle, plugins: readonly FilterPlugin[], slot: number): Refused | undefined {
  const prepared = prepareFilters(cycle, plugins);
  return 'rejection' in prepared ? prepared : firstFailure(prepared, slot, new Int32Array(1));
}

/** All filters afresh for one node as the columns stand, promised pods included: what preemption asks again and again. */
export function checkNode(cycle: Cycle, promises: Promises, slot: number): Rejection | undefined {
  const failure = failureOn(cycle, promises.profile.filters, slot) ?? failureBesideNominated(cycle, promises, slot);
  return failure?.rejection;
}
