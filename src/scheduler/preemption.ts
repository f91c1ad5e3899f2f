// Preemption: which pods of lower priority to evict, and where, so that a pod finds room (upstream's DefaultPreemption).
import type { Pod, PodDisruptionBudget } from '../api/generated/types.ts';
import { selectorOf } from './affinity-term.ts';
import { checkNode } from './decide.ts';
import { fitError } from './fit-error.ts';
import type { Cycle, Diagnosis, Profile } from './framework.ts';
import type { NominatedPods } from './nominated-pods.ts';
import type { PodInfo } from './pod-info.ts';

const NOT_HELPFUL = 'Preemption is not helpful for scheduling';
const NO_VICTIMS = 'No preemption victims found for incoming pod';
const MIN_CANDIDATES = 100;
const MIN_CANDIDATES_PERCENTAGE = 10;
/** Added to every priority of a sum, so that few pods of negative priority do not weigh more than many. */
const PRIORITY_SHIFT = 2 ** 31;

export interface Candidate {
  readonly nodeName: string;
  /** Most important first. */
  readonly victims: readonly PodInfo[];
  readonly violations: number;
}

export interface PreemptionOptions {
  readonly profile: Profile;
  readonly nominated: NominatedPods;
  readonly random: () => number;
  /** Awaited after every node: gives the event loop its turn when it is due. */
  readonly pause: () => Promise<void>;
}

export type PreemptionResult =
  | { readonly kind: 'candidate'; readonly candidate: Candidate }
  /** Nothing can be done; an earlier nomination is void. */
  | { readonly kind: 'none'; readonly message: string }
  /** The pod may not preempt now; an earlier nomination stands. */
  | { readonly kind: 'ineligible'; readonly message: string };

export async function findCandidate(
  cycle: Cycle,
  diagnosis: Diagnosis,
  options: PreemptionOptions,
): Promise<PreemptionResult> {
  const message = ineligible(cycle, options.nominated);
  if (message !== undefined) return { kind: 'ineligible', message };
  const { columns } = cycle;
  const names = diagnosis.resolvable.map((slot) => columns.names[slot]!);
  const reasons = new Map<string, number>();
  const candidates: Candidate[] = [];
  const wanted = candidatesToFind(names.length);
  const offset = Math.floor(options.random() * names.length);
  for (let i = 0; i < names.length; i++) {
    const name = names[(offset + i) % names.length]!;
    const slot = columns.slots.get(name);
    if (slot === undefined) continue;
    const found = tryNode(cycle, options, slot);
    if ('reasons' in found) for (const reason of found.reasons) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    else candidates.push(found);
    if (candidates.length >= wanted && candidates.some((c) => c.violations === 0)) break;
    await options.pause();
  }
  if (candidates.length > 0) return { kind: 'candidate', candidate: pickCandidate(candidates) };
  const others = diagnosis.nodeCount - names.length;
  if (others > 0) reasons.set(NOT_HELPFUL, others);
  return { kind: 'none', message: fitError({ ...diagnosis, preFilterMessage: '', reasons }) };
}

function candidatesToFind(nodes: number): number {
  const share = Math.trunc((nodes * MIN_CANDIDATES_PERCENTAGE) / 100);
  return Math.min(nodes, Math.max(share, MIN_CANDIDATES));
}

/** Why the pod may not preempt: its policy, or victims of an earlier preemption are still on their way out. */
function ineligible({ info, columns }: Cycle, nominated: NominatedPods): string | undefined {
  if (info.pod.spec.preemptionPolicy === 'Never') return 'not eligible due to preemptionPolicy=Never.';
  const name = nominated.nodeOf(info.key) ?? info.pod.status?.nominatedNodeName;
  const slot = name ? columns.slots.get(name) : undefined;
  if (slot === undefined) return undefined;
  for (const pod of columns.pods[slot]!.values()) {
    if (pod.priority < info.priority && pod.terminating && isPreempted(pod.pod)) {
      return 'not eligible due to a terminating pod on the nominated node.';
    }
  }
  return undefined;
}

function isPreempted(pod: Pod): boolean {
  return (pod.status?.conditions ?? []).some(
    (c) => c.type === 'DisruptionTarget' && c.status === 'True' && c.reason === 'PreemptionByScheduler',
  );
}

/** Takes pods off the node and puts back all that can stay; the columns are as before when it returns. */
function tryNode(
  cycle: Cycle,
  options: PreemptionOptions,
  slot: number,
): Candidate | { readonly reasons: readonly string[] } {
  const { columns, info, listers } = cycle;
  const lower = [...columns.pods[slot]!.values()].filter((p) => p.priority < info.priority);
  if (lower.length === 0) return { reasons: [NO_VICTIMS] };
  for (const pod of lower) columns.removePod(pod, slot);
  const away = new Set(lower);
  try {
    const rejection = checkNode(cycle, options, slot);
    if (rejection) return { reasons: rejection.reasons };
    const { violating, others } = splitByBudget(lower.sort(byImportance), listers.budgets);
    const victims: PodInfo[] = [];
    let violations = 0;
    for (const pod of [...violating, ...others]) {
      columns.addPod(pod, slot);
      away.delete(pod);
      if (!checkNode(cycle, options, slot)) continue;
      columns.removePod(pod, slot);
      away.add(pod);
      victims.push(pod);
      if (violating.includes(pod)) violations++;
    }
    return { nodeName: columns.names[slot]!, victims: victims.sort(byImportance), violations };
  } finally {
    for (const pod of away) columns.addPod(pod, slot);
  }
}

/** Higher priority first, then the one that has run longer. */
function byImportance(a: PodInfo, b: PodInfo): number {
  return b.priority - a.priority || startTime(a) - startTime(b);
}

function startTime({ pod }: PodInfo): number {
  const time = pod.status?.startTime;
  return time ? Date.parse(time) : Number.MAX_SAFE_INTEGER;
}

/** Pods whose eviction would break a budget, counting the evictions before them. */
export function splitByBudget(
  pods: readonly PodInfo[],
  budgetsOf: (namespace: string) => readonly PodDisruptionBudget[],
): { violating: PodInfo[]; others: PodInfo[] } {
  const left = new Map<PodDisruptionBudget, number>();
  const violating: PodInfo[] = [];
  const others: PodInfo[] = [];
  for (const info of pods) {
    let violates = false;
    for (const budget of budgetsOf(info.namespace)) {
      if (!budget.spec.selector || !info.pod.metadata.labels) continue;
      const selector = selectorOf(budget.spec.selector);
      if (selector.empty || !selector.matches(info.pod.metadata.labels)) continue;
      if (budget.status?.disruptedPods?.[info.pod.metadata.name]) continue;
      const allowed = (left.get(budget) ?? budget.status?.disruptionsAllowed ?? 0) - 1;
      left.set(budget, allowed);
      if (allowed < 0) violates = true;
    }
    (violates ? violating : others).push(info);
  }
  return { violating, others };
}

/** Each measure breaks the ties of those before it; the smallest wins. */
const MEASURES: readonly ((candidate: Candidate) => number)[] = [
  (c) => c.violations,
  (c) => c.victims[0]?.priority ?? Number.NEGATIVE_INFINITY,
  (c) => c.victims.reduce((sum, p) => sum + p.priority + PRIORITY_SHIFT, 0),
  (c) => c.victims.length,
  (c) => -earliestStart(c),
];

function earliestStart({ victims }: Candidate): number {
  const highest = victims[0]?.priority;
  return Math.min(...victims.filter((p) => p.priority === highest).map(startTime));
}

export function pickCandidate(candidates: readonly Candidate[]): Candidate {
  let left = candidates;
  for (const measure of MEASURES) {
    if (left.length === 1) break;
    const values = left.map(measure);
    const least = Math.min(...values);
    left = left.filter((_, i) => values[i] === least);
  }
  return left[0]!;
}
