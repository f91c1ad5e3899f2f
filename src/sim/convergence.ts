// Whether the cluster is as it was declared to be: judged on the stored objects alone.
import type {
  DaemonSet,
  Deployment,
  EndpointSlice,
  Job,
  Namespace,
  Node,
  Pod,
  PodDisruptionBudget,
  ReplicaSet,
  Service,
  StatefulSet,
} from '../api/generated/types.ts';
import { type KubeObject, keyOf } from '../api/object.ts';
import { isPodReady, isTerminal } from '../machinery/pods.ts';
import { labelSelectorFromObject } from '../machinery/selector-parse.ts';
import type { History } from './history.ts';

/** What is not yet as declared, in words; empty: everything is. */
export function unsettled(history: History): string[] {
  const state = new State(history);
  return [
    ...nodes(state),
    ...namespaces(state),
    ...pods(state),
    ...workloads(state),
    ...sets(state),
    ...daemonSets(state),
    ...jobs(state),
    ...budgets(state),
    ...endpoints(state),
    ...orphans(state),
  ];
}

class State {
  readonly #history: History;
  readonly pods: readonly Pod[];

  constructor(history: History) {
    this.#history = history;
    this.pods = this.all<Pod>('pods');
  }

  all<T extends KubeObject>(resource: string): T[] {
    return [...this.#history.list<T>(`/registry/${resource}/`)];
  }

  everything(): KubeObject[] {
    return [...this.#history.list('/registry/')];
  }

  /** Pods that an object controls and that are not over. */
  controlled(owner: KubeObject): Pod[] {
    return this.pods.filter((pod) => !isTerminal(pod) && controllerOf(pod) === owner.metadata.uid);
  }
}

const controllerOf = (object: KubeObject): string | undefined =>
  object.metadata.ownerReferences?.find(({ controller }) => controller)?.uid;

function* nodes(state: State): Generator<string> {
  for (const node of state.all<Node>('minions')) {
    const ready = node.status?.conditions?.find(({ type }) => type === 'Ready')?.status === 'True';
    if (!ready) yield `node ${node.metadata.name} is not ready`;
    for (const { key } of node.spec?.taints ?? []) yield `node ${node.metadata.name} has taint ${key}`;
  }
}

function* namespaces(state: State): Generator<string> {
  for (const namespace of state.all<Namespace>('namespaces')) {
    if (namespace.status?.phase !== 'Active')
      yield `namespace ${namespace.metadata.name} is ${namespace.status?.phase}`;
  }
}

function* pods(state: State): Generator<string> {
  for (const pod of state.pods) {
    if (pod.metadata.deletionTimestamp) yield `pod ${keyOf(pod)} is terminating`;
    else if (!isTerminal(pod) && !isPodReady(pod)) yield `pod ${keyOf(pod)} is not ready (${pod.status?.phase})`;
  }
}

function* workloads(state: State): Generator<string> {
  const sets = state.all<ReplicaSet>('replicasets');
  for (const one of state.all<Deployment>('deployments')) {
    const wanted = one.spec?.replicas ?? 1;
    const { observedGeneration, replicas = 0, updatedReplicas = 0, availableReplicas = 0 } = one.status ?? {};
    const counts = [replicas, updatedReplicas, availableReplicas];
    if (observedGeneration !== one.metadata.generation) yield `Deployment ${keyOf(one)} is not observed`;
    if (counts.some((n) => n !== wanted)) yield `Deployment ${keyOf(one)} has ${counts.join('/')} of ${wanted}`;
    const images = sets
      .filter((set) => controllerOf(set) === one.metadata.uid)
      .flatMap((set) => state.controlled(set))
      .map((pod) => pod.spec.containers[0]!.image);
    const right = images.filter((image) => image === one.spec?.template.spec?.containers[0]?.image).length;
    if (images.length !== wanted || right !== wanted) {
      yield `Deployment ${keyOf(one)} has ${images.length} pods, ${right} of the right image, of ${wanted}`;
    }
  }
  for (const set of sets) {
    const wanted = set.spec?.replicas ?? 1;
    const { replicas = 0, readyReplicas = 0 } = set.status ?? {};
    const there = state.controlled(set).length;
    const wrong = [replicas, readyReplicas, there].some((n) => n !== wanted);
    if (wrong) yield `ReplicaSet ${keyOf(set)} has ${there} pods, status ${replicas}/${readyReplicas}, of ${wanted}`;
  }
}

function* sets(state: State): Generator<string> {
  for (const set of state.all<StatefulSet>('statefulsets')) {
    const { replicas: wanted = 1 } = set.spec ?? {};
    const names = state
      .controlled(set)
      .map(({ metadata }) => metadata.name)
      .sort();
    const expected = Array.from({ length: wanted }, (_, i) => `${set.metadata.name}-${i}`).sort();
    if (names.join() !== expected.join()) yield `StatefulSet ${keyOf(set)} has ${names.join(', ')}, of ${wanted}`;
    const { readyReplicas = 0, replicas = 0 } = set.status ?? {};
    if (readyReplicas !== wanted || replicas !== wanted) {
      yield `StatefulSet ${keyOf(set)} has status ${replicas}/${readyReplicas} of ${wanted}`;
    }
  }
}

function* daemonSets(state: State): Generator<string> {
  const wanted = state.all<Node>('minions').length;
  for (const set of state.all<DaemonSet>('daemonsets')) {
    const onNodes = state.controlled(set).map((pod) => pod.spec.nodeName);
    if (onNodes.length !== wanted || new Set(onNodes).size !== wanted) {
      yield `DaemonSet ${keyOf(set)} has ${onNodes.length} pods on ${new Set(onNodes).size} of ${wanted} nodes`;
    }
    if (set.status?.numberReady !== wanted) yield `DaemonSet ${keyOf(set)} has ${set.status?.numberReady} ready`;
  }
}

function* jobs(state: State): Generator<string> {
  for (const job of state.all<Job>('jobs')) {
    const done = job.status?.conditions?.some(({ type, status }) => type === 'Complete' && status === 'True');
    if (!done) yield `Job ${keyOf(job)} is not complete`;
    else if (job.spec?.completions !== job.status?.succeeded) yield `Job ${keyOf(job)} counts ${job.status?.succeeded}`;
  }
}

function* budgets(state: State): Generator<string> {
  for (const budget of state.all<PodDisruptionBudget>('poddisruptionbudgets')) {
    const { selector } = budget.spec ?? {};
    const matches = labelSelectorFromObject(selector ?? {});
    const healthy = state.pods.filter(
      (pod) =>
        pod.metadata.namespace === budget.metadata.namespace && isPodReady(pod) && matches.matches(pod.metadata.labels),
    ).length;
    const counted = budget.status?.currentHealthy;
    if (counted !== healthy) yield `budget ${keyOf(budget)} counts ${counted} healthy pods of ${healthy}`;
    const waiting = Object.keys(budget.status?.disruptedPods ?? {});
    if (waiting.length > 0) yield `budget ${keyOf(budget)} waits for ${waiting.join(', ')}`;
  }
}

function* endpoints(state: State): Generator<string> {
  const slices = state.all<EndpointSlice>('endpointslices');
  for (const service of state.all<Service>('services/specs')) {
    const { selector } = service.spec ?? {};
    if (!selector) continue;
    const { namespace, name } = service.metadata;
    const wanted = state.pods
      .filter((pod) => pod.metadata.namespace === namespace && isPodReady(pod))
      .filter((pod) => Object.entries(selector).every(([key, value]) => pod.metadata.labels?.[key] === value))
      .map((pod) => pod.status?.podIP ?? '');
    const found = slices
      .filter(({ metadata }) => metadata.namespace === namespace)
      .filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === name)
      .flatMap((slice) => slice.endpoints ?? [])
      .filter((endpoint) => endpoint.conditions?.ready)
      .flatMap((endpoint) => endpoint.addresses);
    const same = [...wanted].sort().join() === [...found].sort().join();
    if (!same) yield `Service ${keyOf(service)} leads to ${found.length} ready endpoints of ${wanted.length}`;
  }
}

/** What names owners that are all gone should have been collected. */
function* orphans(state: State): Generator<string> {
  const everything = state.everything();
  const uids = new Set(everything.map(({ metadata }) => metadata?.uid));
  for (const { kind, metadata } of everything) {
    const owners = metadata?.ownerReferences ?? [];
    if (owners.length > 0 && !owners.some(({ uid }) => uids.has(uid)))
      yield `${kind} ${metadata.name} has lost its owner`;
  }
}
