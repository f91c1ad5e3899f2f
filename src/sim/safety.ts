// What must hold after every single write, checked on the store's history.
import type { Lease, Node, Pod, PodDisruptionBudget } from '../api/generated/types.ts';
import { type KubeObject, keyOf } from '../api/object.ts';
import type { Clock } from '../lib/clock.ts';
import { isPodReady, isTerminal, podRequestNumbers } from '../machinery/pods.ts';
import { milliValue, quantityValue } from '../machinery/quantity.ts';
import { labelSelectorFromObject } from '../machinery/selector-parse.ts';
import type { Change, History } from './history.ts';
import type { Violations } from './violations.ts';

const PODS = '/registry/pods/';
const NODES = '/registry/minions/';
const BUDGETS = '/registry/poddisruptionbudgets/';
const TERM = (lease: string): string => `/registry/leases/kube-system/${lease}.term`;
/** Written by whoever leads or not: elections, and what happened. */
const UNFENCED = ['/registry/leases/', '/registry/events/'];
const PROPAGATION = ['orphan', 'foregroundDeletion'];
/** What the disruption controller may not know yet. */
const BUDGET_LAG_MS = 30_000;
/** Pods of the scenario with this label have required anti-affinity over host names. */
export const APART_LABEL = 'simulation/apart';

/** The elected Lease that a process's writes depend on, by the beginning of its name; what it stands as is the process's name. */
const LEASE_OF: readonly (readonly [prefix: string, lease: string])[] = [
  ['controllers-', 'kube-controller-manager'],
  ['scheduler-', 'kube-scheduler'],
];

export class Safety {
  readonly #history: History;
  readonly #violations: Violations;
  readonly #clock: Clock;
  readonly #uids = new Map<string, KubeObject>();
  readonly #podsByNode = new Map<string, Map<string, Pod>>();
  /** Pods that ceased to be ready without an eviction, with the time. */
  #unready: { readonly pod: Pod; readonly atMs: number }[] = [];
  #evictions = 0;
  #fencedWrites = 0;

  constructor(history: History, violations: Violations, clock: Clock) {
    this.#history = history;
    this.#violations = violations;
    this.#clock = clock;
    history.observe((change) => this.#take(change));
  }

  get evictions(): number {
    return this.#evictions;
  }

  /** Writes of leaders that were compared with the term. */
  get fencedWrites(): number {
    return this.#fencedWrites;
  }

  #take(change: Change): void {
    this.#fencing(change);
    this.#ownership(change);
    this.#finalizers(change);
    if (change.key.startsWith(PODS)) this.#pod(change);
    const { object, previous } = change;
    const before = previous?.metadata.uid;
    if (before !== undefined && before !== object?.metadata.uid) this.#uids.delete(before);
    if (!object?.metadata.uid) return;
    const other = this.#uids.get(object.metadata.uid);
    if (other && (other.kind !== object.kind || keyOf(other) !== keyOf(object))) {
      this.#violations.add('one object a uid', `${change.key} has the uid of ${other.kind} ${keyOf(other)}`);
    }
    this.#uids.set(object.metadata.uid, object);
  }

  /** Never two leaders' writes for one term: who writes as a leader holds the term at that very revision. */
  #fencing({ key, revision, origin }: Change): void {
    const lease = LEASE_OF.find(([prefix]) => origin?.program.startsWith(prefix))?.[1];
    if (!lease || !origin || UNFENCED.some((prefix) => key.startsWith(prefix))) return;
    this.#fencedWrites++;
    const term = this.#history.get(TERM(lease)) as Lease | undefined;
    const holder = term?.spec.holderIdentity;
    if (holder === origin.program) return;
    const who = `${origin.program} (${origin.user}) wrote ${key} at revision ${revision}`;
    this.#violations.add('fencing', `${who}, in a term of ${holder ?? 'nobody'}`);
  }

  /** The garbage collector deletes what has lost its owners, and nothing else. */
  #ownership({ key, object, previous, origin }: Change): void {
    if (!origin?.user.endsWith(':generic-garbage-collector') || !previous) return;
    const begins = previous.metadata.deletionTimestamp === undefined;
    if (!begins || (object && object.metadata.deletionTimestamp === undefined)) return;
    const owners = previous.metadata.ownerReferences ?? [];
    const solid = owners.filter(({ uid }) => {
      const owner = this.#uids.get(uid);
      return owner && !owner.metadata.finalizers?.includes('foregroundDeletion');
    });
    if (owners.length === 0) this.#violations.add('garbage', `${key} was collected and had no owner`);
    for (const { kind, name } of solid) {
      this.#violations.add('garbage', `${key} was collected and its owner ${kind} ${name} is there`);
    }
  }

  /** What somebody has put a finalizer on stays until that has been taken off. */
  #finalizers({ key, object, previous, origin }: Change): void {
    if (object || !previous || origin?.verb !== 'delete') return;
    // A delete takes off itself what tells how dependents are to be treated.
    const held = (previous.metadata.finalizers ?? []).filter((name) => !PROPAGATION.includes(name));
    if (held.length > 0) this.#violations.add('finalizers', `${key} was removed with finalizers ${held.join(', ')}`);
  }

  #pod(change: Change): void {
    const pod = change.object as Pod | undefined;
    const previous = change.previous as Pod | undefined;
    const same = pod !== undefined && previous !== undefined && pod.metadata.uid === previous.metadata.uid;
    if (same && previous.spec.nodeName && pod.spec.nodeName !== previous.spec.nodeName) {
      const to = `from ${previous.spec.nodeName} to ${pod.spec.nodeName}`;
      this.#violations.add('one node a pod', `${change.key} moved ${to}`);
    }
    if (previous && (!same || (stopped(pod) && !stopped(previous)))) this.#removed(change, previous);
    this.#budget(change, pod, previous);
    const node = (pod ?? previous)!.spec.nodeName;
    if (!node) return;
    const there = this.#podsByNode.get(node) ?? new Map<string, Pod>();
    this.#podsByNode.set(node, there);
    if (pod && !isTerminal(pod)) there.set(change.key, pod);
    else there.delete(change.key);
    if (pod && !previous?.spec.nodeName) this.#placed(node, pod, there);
  }

  /** A pod whose containers may still run is taken away by its own node only, or when the node is gone. */
  #removed({ key, origin }: Change, pod: Pod): void {
    const { nodeName } = pod.spec;
    if (!nodeName || isTerminal(pod) || stopped(pod) || origin?.program === 'nodes') return;
    if (!this.#history.get(NODES + nodeName)) return;
    this.#violations.add('one node a pod', `${key} was removed by ${origin?.user} while node ${nodeName} may run it`);
  }

  #placed(node: string, pod: Pod, there: ReadonlyMap<string, Pod>): void {
    const { allocatable = {} } = (this.#history.get(NODES + node) as Node | undefined)?.status ?? {};
    const asked = { cpu: 0, memory: 0, pods: there.size };
    for (const one of there.values()) {
      const requests = podRequestNumbers(one);
      asked.cpu += requests.get('cpu') ?? 0;
      asked.memory += requests.get('memory') ?? 0;
    }
    const limits = {
      cpu: milliValue(allocatable.cpu ?? '0'),
      memory: quantityValue(allocatable.memory ?? '0'),
      pods: quantityValue(allocatable.pods ?? '0'),
    };
    for (const resource of ['cpu', 'memory', 'pods'] as const) {
      if (asked[resource] <= limits[resource]) continue;
      const how = `${asked[resource]} of ${limits[resource]} ${resource}`;
      this.#violations.add('node capacity', `${node} holds ${how} with ${keyOf(pod)}`);
    }
    const apart = pod.metadata.labels?.[APART_LABEL];
    if (apart === undefined) return;
    const near = [...there.values()].filter(
      (one) => one.metadata.uid !== pod.metadata.uid && one.metadata.labels?.[APART_LABEL] === apart,
    );
    if (near.length > 0) {
      this.#violations.add('anti-affinity', `${keyOf(pod)} is on ${node} beside ${near.map(keyOf).join(', ')}`);
    }
  }

  /** An eviction leaves as many healthy pods as the budget asks for, but for what has just broken by itself. */
  #budget({ key, origin }: Change, pod: Pod | undefined, previous: Pod | undefined): void {
    if (!previous || !isHealthy(previous) || (pod && isHealthy(pod))) return;
    const nowMs = this.#clock.monotonic();
    this.#unready = this.#unready.filter(({ atMs }) => nowMs - atMs <= BUDGET_LAG_MS);
    if (origin?.subresource !== 'eviction') {
      this.#unready.push({ pod: previous, atMs: nowMs });
      return;
    }
    this.#evictions++;
    const { namespace, labels } = previous.metadata;
    for (const budget of this.#history.list<PodDisruptionBudget>(`${BUDGETS}${namespace}/`)) {
      const selector = budget.spec.selector && labelSelectorFromObject(budget.spec.selector);
      if (!selector?.matches(labels)) continue;
      let healthy = 0;
      for (const one of this.#history.list<Pod>(`${PODS}${namespace}/`)) {
        if (isHealthy(one) && selector.matches(one.metadata.labels)) healthy++;
      }
      const excused = this.#unready.filter(({ pod: one }) => selector.matches(one.metadata.labels)).length;
      const desired = budget.status?.desiredHealthy ?? 0;
      if (healthy + excused >= desired) continue;
      this.#violations.add('disruption budget', `${key} was evicted: ${healthy} of ${desired} are healthy`);
    }
  }
}

/** The node has said that nothing of it runs any more; finalizers may hold the object. */
function stopped(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp !== undefined && pod.metadata.deletionGracePeriodSeconds === 0;
}

function isHealthy(pod: Pod): boolean {
  return isPodReady(pod) && pod.metadata.deletionTimestamp === undefined;
}
