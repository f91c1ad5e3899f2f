// The garbage collector: deletes what has lost all its owners, orphans what is to stay, and lets owners in foreground
// deletion go once their dependents are gone. Absence is always verified by a live read before anything is deleted.
import type { OwnerReference } from '../api/generated/types.ts';
import type { KubeObject } from '../api/object.ts';
import type { ResourceClient } from '../client/contract.ts';
import { sleep } from '../lib/clock.ts';
import { hasFinalizer, isTerminating } from '../machinery/meta.ts';
import { isReason } from '../machinery/status.ts';
import { decideForeground, decideOwned, type GarbageStep, type OwnerState } from './garbage-decision.ts';
import {
  type GraphNode,
  type GraphWork,
  ORPHAN,
  OwnerGraph,
  waitsForDependents,
  waitsForOrphaning,
} from './garbage-graph.ts';
import { GarbageMonitors } from './garbage-monitors.ts';
import { type Controller, type ControllerContext, type Enqueue, NotYetError, type Requeue, watch } from './runtime.ts';

export interface GarbageCollectorOptions {
  /** Between looks at what resources are served; a changed CustomResourceDefinition is noticed at once. Default: 30 s. */
  readonly discoveryPeriodMs?: number;
}

const DISCOVERY_PERIOD_MS = 30_000;

/** Dependents orphaned at once. */
const PARALLEL = 10;

/** Uids of owners known to be gone: uids never come back. Beyond this many the oldest are forgotten, and looked up again. */
const ABSENT_OWNERS = 5_000;

export function garbageCollector(options: GarbageCollectorOptions = {}): Controller {
  const collector = new Collector(options.discoveryPeriodMs ?? DISCOVERY_PERIOD_MS);
  return {
    name: 'garbage-collector-controller',
    account: 'generic-garbage-collector',
    workers: 20,
    watches: () => [watch('customresourcedefinitions.apiextensions.k8s.io', { keys: () => [DISCOVER] })],
    run: (ctx, enqueue, signal) => collector.run(ctx, enqueue, signal),
    reconcile: (ctx, key, signal) => collector.reconcile(ctx, key, signal),
  };
}

/** The key that asks for discovery; all others are "attempt/<uid>" and "orphan/<uid>". */
const DISCOVER = 'discover';

class Collector {
  readonly #graph = new OwnerGraph();
  readonly #absent = new Set<string>();
  readonly #discoveryPeriodMs: number;
  #monitors: GarbageMonitors | undefined;
  #enqueue: Enqueue = () => undefined;

  constructor(discoveryPeriodMs: number) {
    this.#discoveryPeriodMs = discoveryPeriodMs;
  }

  async run(ctx: ControllerContext, enqueue: Enqueue, signal: AbortSignal): Promise<void> {
    this.#enqueue = enqueue;
    this.#monitors = new GarbageMonitors(ctx, {
      observed: (resource, object) => this.#take(ctx, object, this.#graph.observe(resource, object)),
      deleted: (object) => {
        if (object.metadata.uid) this.#markAbsent(object.metadata.uid, object.metadata.namespace);
        this.#take(ctx, object, this.#graph.forget(object));
      },
    });
    for (;;) {
      enqueue(DISCOVER);
      await sleep(ctx.env.clock, this.#discoveryPeriodMs, signal);
    }
  }

  async reconcile(ctx: ControllerContext, key: string, signal: AbortSignal): Promise<Requeue | undefined> {
    if (key === DISCOVER) {
      await this.#monitors?.discover(signal);
      return undefined;
    }
    const slash = key.indexOf('/');
    const node = this.#graph.get(key.slice(slash + 1));
    if (!node) return undefined;
    if (key.startsWith('orphan/')) await this.#orphan(ctx, node, signal);
    else await this.#attempt(ctx, node, signal);
    return undefined;
  }

  /** Queues what a change of the graph asks for. */
  #take(ctx: ControllerContext, object: KubeObject, work: GraphWork): void {
    for (const uid of work.attempt) this.#enqueue(`attempt/${uid}`);
    for (const uid of work.orphan) this.#enqueue(`orphan/${uid}`);
    for (const owner of work.wrongNamespace) {
      const { namespace = '' } = object.metadata;
      const { apiVersion, kind, name, uid } = owner;
      const identity = `[${apiVersion}/${kind}, namespace: ${namespace}, name: ${name}, uid: ${uid}]`;
      const message = `ownerRef ${identity} does not exist in namespace "${namespace}"`;
      ctx.events.event(object, 'Warning', 'OwnerRefInvalidNamespace', message);
    }
  }

  async #attempt(ctx: ControllerContext, node: GraphNode, signal: AbortSignal): Promise<void> {
    // On its way already, and nothing waits for it.
    if (isTerminating(node.object) && !waitsForDependents(node.object)) return;
    // The common case at start, without a request: every owner is known and stays.
    if (!waitsForDependents(node.object) && this.#graph.ownersAreSolid(node)) return;
    const api = ctx.client.dynamic(node.resource);
    const object = await this.#live(api, node, signal);
    if (!object) {
      this.#take(ctx, node.object, this.#graph.forget(node.object));
      return;
    }
    const dependents = this.#graph.dependents(node.uid);
    if (waitsForDependents(object)) {
      await this.#apply(api, object, decideForeground(object, dependents), signal);
      return;
    }
    const states = new Map<string, OwnerState>();
    for (const owner of object.metadata.ownerReferences ?? []) {
      const state = await this.#ownerState(ctx, object, { owner, namespaced: node.resource.namespaced, signal });
      if (!state) return;
      states.set(owner.uid, state);
    }
    await this.#apply(api, object, decideOwned(object, states, dependents), signal);
  }

  /** The object as it is on the server; undefined when it is gone, or another has taken its name. */
  async #live(
    api: ResourceClient<KubeObject>,
    { uid, object }: GraphNode,
    signal: AbortSignal,
  ): Promise<KubeObject | undefined> {
    try {
      const found = await api.get(object.metadata, signal);
      return found.metadata.uid === uid ? found : undefined;
    } catch (error) {
      if (isReason(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  /** Undefined: the reference is not allowed (a cluster-scoped object cannot have a namespaced owner), so nothing follows from it. */
  async #ownerState(
    ctx: ControllerContext,
    object: KubeObject,
    { owner, namespaced, signal }: { owner: OwnerReference; namespaced: boolean; signal: AbortSignal },
  ): Promise<OwnerState | undefined> {
    const { namespace } = object.metadata;
    if (this.#absent.has(absentKey(owner.uid, namespace))) return 'dangling';
    const resource = this.#monitors?.resourceOf(owner.apiVersion, owner.kind);
    if (!resource) throw new NotYetError(`no matches for kind "${owner.kind}" in version "${owner.apiVersion}"`);
    if (resource.namespaced && !namespaced) return undefined;
    const known = this.#graph.get(owner.uid);
    const place = resource.namespaced ? namespace : undefined;
    // What the cache still has is not yet gone, or its event will come; only absence needs proof.
    if (known && known.object.metadata.namespace === place && known.object.metadata.name === owner.name) {
      return waitsForDependents(known.object) ? 'waiting' : 'solid';
    }
    try {
      const ref = { name: owner.name, ...(place !== undefined && { namespace: place }) };
      const found = await ctx.client.dynamic(resource).get(ref, signal);
      if (found.metadata.uid === owner.uid) return waitsForDependents(found) ? 'waiting' : 'solid';
    } catch (error) {
      if (!isReason(error, 'NotFound')) throw error;
    }
    this.#markAbsent(owner.uid, namespace);
    return 'dangling';
  }

  async #apply(
    api: ResourceClient<KubeObject>,
    object: KubeObject,
    step: GarbageStep,
    signal: AbortSignal,
  ): Promise<void> {
    const { uid, resourceVersion, ownerReferences = [] } = object.metadata;
    switch (step.kind) {
      case 'nothing':
        return;
      case 'wait':
        for (const one of step.attempt) this.#enqueue(`attempt/${one}`);
        return;
      case 'removeFinalizer':
        return removeFinalizer(api, object, step.finalizer, signal);
      case 'removeOwners': {
        const kept = ownerReferences.filter((owner) => !step.uids.includes(owner.uid));
        return patchMetadata(api, object, { ownerReferences: kept }, signal);
      }
      case 'delete': {
        if (step.unblock) {
          const unblocked = ownerReferences.map((owner) => ({ ...owner, blockOwnerDeletion: false }));
          await patchMetadata(api, object, { ownerReferences: unblocked }, signal);
        }
        const preconditions = {
          ...(uid !== undefined && { uid }),
          // The decision rests on these very owners.
          ...(!step.unblock && resourceVersion !== undefined && { resourceVersion }),
        };
        const query = { propagationPolicy: step.propagation, preconditions, signal };
        await api.delete(object.metadata, query).catch(ignoreNotFound);
      }
    }
  }

  async #orphan(ctx: ControllerContext, node: GraphNode, signal: AbortSignal): Promise<void> {
    if (!waitsForOrphaning(node.object)) return;
    const left = [...this.#graph.dependents(node.uid)];
    const worker = async (): Promise<void> => {
      for (let one = left.shift(); one; one = left.shift()) await this.#disown(ctx, one, node.uid, signal);
    };
    await Promise.all(Array.from({ length: PARALLEL }, worker));
    const api = ctx.client.dynamic(node.resource);
    const object = await this.#live(api, node, signal);
    if (object) await removeFinalizer(api, object, ORPHAN, signal);
  }

  /** Removes the references to one owner from a dependent. */
  async #disown(ctx: ControllerContext, dependent: GraphNode, owner: string, signal: AbortSignal): Promise<void> {
    const api = ctx.client.dynamic(dependent.resource);
    const object = await this.#live(api, dependent, signal);
    const owners = object?.metadata.ownerReferences ?? [];
    if (!object || !owners.some(({ uid }) => uid === owner)) return;
    const kept = owners.filter(({ uid }) => uid !== owner);
    await patchMetadata(api, object, { ownerReferences: kept }, signal).catch(ignoreNotFound);
  }

  #markAbsent(uid: string, namespace: string | undefined): void {
    this.#absent.add(absentKey(uid, namespace));
    if (this.#absent.size <= ABSENT_OWNERS) return;
    for (const oldest of this.#absent) {
      this.#absent.delete(oldest);
      return;
    }
  }
}

/** An owner is absent as seen from a namespace: the same uid may live in another one. */
function absentKey(uid: string, namespace: string | undefined): string {
  return `${uid}/${namespace ?? ''}`;
}

async function removeFinalizer(
  api: ResourceClient<KubeObject>,
  object: KubeObject,
  finalizer: string,
  signal: AbortSignal,
): Promise<void> {
  if (!hasFinalizer(object, finalizer)) return;
  const finalizers = (object.metadata.finalizers ?? []).filter((one) => one !== finalizer);
  await patchMetadata(api, object, { finalizers }, signal).catch(ignoreNotFound);
}

/** Replaces lists in the metadata of exactly this version of the object; a conflict is for the queue's back-off. */
async function patchMetadata(
  api: ResourceClient<KubeObject>,
  object: KubeObject,
  metadata: { readonly ownerReferences?: readonly OwnerReference[]; readonly finalizers?: readonly string[] },
  signal: AbortSignal,
): Promise<void> {
  const { uid, resourceVersion } = object.metadata;
  const body = { metadata: { uid, resourceVersion, ...metadata } };
  await api.patch(object.metadata, { type: 'merge', body }, { signal });
}

function ignoreNotFound(error: unknown): void {
  if (!isReason(error, 'NotFound')) throw error;
}
