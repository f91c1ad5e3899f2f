// Nodes without machines: they register, renew their leases, and their pods "run". One driver serves all of them.
import type { Node, Pod } from '../api/generated/types.ts';
import type { Client, Informers } from '../client/contract.ts';
import type { EventRecorder } from '../client/event-recorder.ts';
import { recordEvents } from '../client/events.ts';
import type { Environment } from '../lib/environment.ts';
import { judgeResize, type ResizeRefusal } from '../machinery/pod-resize.ts';
import { isTerminal } from '../machinery/pods.ts';
import { isReason } from '../machinery/status.ts';
import { DEFAULT_LEASE_SECONDS, type LeaseHolder, renewLease, renewLeases } from './lease-renewal.ts';
import { LifecycleDriver } from './lifecycle-driver.ts';
import { NODE_STAGES, type NodeFacts, type NodeShape, newNode } from './node-stages.ts';
import { nodeAddress, PodAddresses } from './pod-addresses.ts';
import { POD_STAGES, type PodFacts } from './pod-stages.ts';
import { asHeld, holds } from './resize-stages.ts';
import type { StageOutcome } from './stage.ts';

export interface SimulatedNodesContext {
  readonly client: Client;
  readonly informers: Informers;
  readonly env: Environment;
}

export interface SimulatedNodesOptions {
  readonly count: number;
  /** Nodes are called PREFIX-0, PREFIX-1 ... Default "node". */
  readonly namePrefix?: string;
  /** Default: 8 cpu, 32Gi memory, 100Gi ephemeral-storage, 110 pods. */
  readonly capacity?: { readonly [resource: string]: string };
  readonly labels?: { readonly [key: string]: string };
  /** Nodes take turns in these zones. */
  readonly zones?: readonly string[];
  /** How long images take to pull and containers to start, and to stop after SIGTERM. Default 100 and 50. */
  readonly startMs?: number;
  readonly stopMs?: number;
  /** Of their Leases, renewed four times within it. Default 40. */
  readonly leaseDurationSeconds?: number;
  /** Whether to record what a kubelet records about containers. Default true. */
  readonly events?: boolean;
}

export interface SimulatedNodes {
  names(): readonly string[];
  /** Registers one more node; its name is the next free one unless given. */
  add(node?: { readonly name?: string; readonly labels?: { readonly [key: string]: string } }): Promise<string>;
  /** Takes the node out of service and deletes its Node object. */
  remove(name: string): Promise<void>;
  /** The node falls silent: no lease, no status, its pods stand still. */
  fail(name: string): void;
  recover(name: string): void;
  /** Resolves after the signal aborted, when nothing is under way any more. */
  readonly done: Promise<void>;
}

const DEFAULT_CAPACITY = { cpu: '8', memory: '32Gi', 'ephemeral-storage': '100Gi', pods: '110' };
const DEFAULT_START_MS = 100;
const DEFAULT_STOP_MS = 50;
const REGISTRATIONS_AT_ONCE = 32;
const ZONE_LABEL = 'topology.kubernetes.io/zone';

/** Registers the nodes and keeps them alive until the signal aborts. Resolves when all are registered. */
export async function runSimulatedNodes(
  context: SimulatedNodesContext,
  options: SimulatedNodesOptions,
  signal: AbortSignal,
): Promise<SimulatedNodes> {
  const nodes = new Fleet(context, options, signal);
  await nodes.start();
  return nodes;
}

interface Member {
  readonly shape: NodeShape;
  readonly index: number;
  failed: boolean;
  uid: string;
}

class Fleet implements SimulatedNodes {
  readonly #context: SimulatedNodesContext;
  readonly #options: SimulatedNodesOptions;
  readonly #signal: AbortSignal;
  readonly #members = new Map<string, Member>();
  readonly #addresses = new PodAddresses();
  /** Pods, as they asked, that were given what they asked for and whose status does not show it yet; by uid. */
  readonly #granted = new Map<string, Pod>();
  readonly #events: EventRecorder | undefined;
  #nextIndex = 0;
  #pods: LifecycleDriver<Pod, PodFacts> | undefined;
  #nodes: LifecycleDriver<Node, NodeFacts> | undefined;
  done: Promise<void> = Promise.resolve();

  constructor(context: SimulatedNodesContext, options: SimulatedNodesOptions, signal: AbortSignal) {
    this.#context = context;
    this.#options = options;
    this.#signal = signal;
    const { client, env } = context;
    if (options.events !== false) this.#events = recordEvents({ client, env, component: 'kubelet' }, signal);
  }

  async start(): Promise<void> {
    const { informers, client, env } = this.#context;
    const pods = informers.for('pods');
    const nodes = informers.for('nodes');
    await informers.start(this.#signal);
    const all = Array.from({ length: this.#options.count }, () => this.#enlist());
    for (let i = 0; i < all.length; i += REGISTRATIONS_AT_ONCE) {
      await Promise.all(all.slice(i, i + REGISTRATIONS_AT_ONCE).map((member) => this.#register(member)));
    }
    this.#nodes = new LifecycleDriver(
      {
        name: 'simulated node',
        env,
        informer: nodes,
        stages: NODE_STAGES,
        factsOf: (node) => this.#nodeFacts(node),
        perform: (node, outcome, signal) => this.#write('nodes', node, outcome, signal),
      },
      this.#signal,
    );
    this.#pods = new LifecycleDriver(
      {
        name: 'simulated pod',
        env,
        informer: pods,
        stages: POD_STAGES,
        factsOf: (pod) => this.#podFacts(pod),
        perform: (pod, outcome, signal) => this.#performPod(pod, outcome, signal),
        gone: (pod) => this.#forget(pod),
      },
      this.#signal,
    );
    const renewal = renewLeases(client, env, () => this.#alive(), this.#leaseSeconds, this.#signal);
    this.done = renewal.then(async () => {
      await Promise.all([this.#pods?.drained(), this.#nodes?.drained()]);
    });
  }

  names(): readonly string[] {
    return [...this.#members.keys()];
  }

  async add(
    node: { readonly name?: string; readonly labels?: { readonly [key: string]: string } } = {},
  ): Promise<string> {
    const member = this.#enlist(node.name, node.labels);
    await this.#register(member);
    this.#reconsider(member.shape.name);
    return member.shape.name;
  }

  async remove(name: string): Promise<void> {
    if (!this.#members.delete(name)) return;
    const { client } = this.#context;
    const signal = this.#signal;
    for (const deletion of [
      () => client.resource('nodes').delete({ name }, { signal }),
      () => client.resource('leases.coordination.k8s.io').delete({ namespace: 'kube-node-lease', name }, { signal }),
    ]) {
      await deletion().catch((error: unknown) => {
        if (!isReason(error, 'NotFound')) throw error;
      });
    }
  }

  fail(name: string): void {
    const member = this.#members.get(name);
    if (member) member.failed = true;
  }

  recover(name: string): void {
    const member = this.#members.get(name);
    if (!member) return;
    member.failed = false;
    this.#reconsider(name);
    const { client, env } = this.#context;
    void renewLease(client, env, this.#holder(member), this.#signal).catch(() => undefined);
  }

  #enlist(wanted?: string, labels: { readonly [key: string]: string } = {}): Member {
    const index = this.#nextIndex++;
    const { namePrefix = 'node', zones, capacity } = this.#options;
    const name = wanted ?? `${namePrefix}-${index}`;
    const shape: NodeShape = {
      name,
      capacity: capacity ?? DEFAULT_CAPACITY,
      labels: { ...(zones && { [ZONE_LABEL]: zones[index % zones.length]! }), ...this.#options.labels, ...labels },
      internalIP: nodeAddress(index + 2),
    };
    const member = { shape, index, failed: false, uid: '' };
    this.#members.set(name, member);
    return member;
  }

  /** A node that is there already (after a restart) is taken over as it is. */
  async #register(member: Member): Promise<void> {
    const { client, env } = this.#context;
    const nodes = client.resource('nodes');
    const { name } = member.shape;
    let node: Node;
    try {
      node = await nodes.create(newNode({ nowMs: env.clock.now(), shape: member.shape }), { signal: this.#signal });
    } catch (error) {
      if (!isReason(error, 'AlreadyExists')) throw error;
      node = await nodes.get({ name }, this.#signal);
    }
    member.uid = node.metadata.uid ?? '';
    await renewLease(client, env, this.#holder(member), this.#signal);
  }

  get #leaseSeconds(): number {
    return this.#options.leaseDurationSeconds ?? DEFAULT_LEASE_SECONDS;
  }

  #holder({ shape, uid }: Member): LeaseHolder {
    return { name: shape.name, uid, leaseDurationSeconds: this.#leaseSeconds };
  }

  #alive(): LeaseHolder[] {
    return [...this.#members.values()].filter((member) => !member.failed).map((member) => this.#holder(member));
  }

  /** After a node came (back): its own state and its pods are looked at again. */
  #reconsider(name: string): void {
    const { informers } = this.#context;
    const node = informers.for('nodes').get(name);
    if (node) this.#nodes?.consider(node);
    for (const pod of informers.for('pods').list()) if (pod.spec.nodeName === name) this.#pods?.consider(pod);
  }

  #member(name: string | undefined): Member | undefined {
    const member = name === undefined ? undefined : this.#members.get(name);
    return member && !member.failed ? member : undefined;
  }

  #nodeFacts(node: Node): NodeFacts | undefined {
    const member = this.#member(node.metadata.name);
    return member && { nowMs: this.#context.env.clock.now(), shape: member.shape };
  }

  #podFacts(pod: Pod): PodFacts | undefined {
    const member = this.#member(pod.spec.nodeName);
    if (!member) return undefined;
    const { startMs = DEFAULT_START_MS, stopMs = DEFAULT_STOP_MS } = this.#options;
    const { uid = '' } = pod.metadata;
    const podIP = this.#addresses.allocate(uid, member.shape.name, member.index, pod.status?.podIP);
    if (podIP === undefined) return undefined;
    return {
      ...{ nowMs: this.#context.env.clock.now(), hostIP: member.shape.internalIP, podIP, startMs, stopMs },
      judge: (asked, allocated) => this.#judge(asked, allocated),
    };
  }

  /** Looks at every pod: resizes are rare. What one pod gets the next one finds taken, though nobody can see it yet. */
  #judge(pod: Pod, allocated: Pod): ResizeRefusal | undefined {
    const { informers } = this.#context;
    const { nodeName = '' } = pod.spec;
    const { uid = '' } = pod.metadata;
    const there = informers.for('pods').list();
    const others = there.filter(
      (other) => other.spec.nodeName === nodeName && other.metadata.uid !== uid && !isTerminal(other),
    );
    const allocatable = informers.for('nodes').get(nodeName)?.status?.allocatable ?? {};
    const held = others.map((other) => this.#held(other));
    const refusal = judgeResize({ pod, allocated, others: held, allocatable });
    if (refusal) this.#granted.delete(uid);
    else this.#granted.set(uid, pod);
    return refusal;
  }

  #held(pod: Pod): Pod {
    const { uid = '' } = pod.metadata;
    const granted = this.#granted.get(uid);
    if (!granted) return asHeld(pod);
    // What was granted to an older wish may never have been written.
    const isOld = (pod.metadata.generation ?? 0) > (granted.metadata.generation ?? 0);
    if (!isOld && !holds(pod, granted)) return granted;
    this.#granted.delete(uid);
    return asHeld(pod);
  }

  #forget({ metadata: { uid = '' } }: Pod): void {
    this.#addresses.release(uid);
    this.#granted.delete(uid);
  }

  async #performPod(pod: Pod, outcome: StageOutcome, signal: AbortSignal): Promise<void> {
    const { namespace, name, uid } = pod.metadata;
    if (outcome.remove) {
      const preconditions = uid === undefined ? {} : { uid };
      const query = { gracePeriodSeconds: 0, preconditions, signal };
      return this.#context.client.resource('pods').delete({ namespace, name }, query);
    }
    await this.#write('pods', pod, outcome, signal);
    const subject = { apiVersion: 'v1', kind: 'Pod', name, ...(namespace && { namespace }), ...(uid && { uid }) };
    for (const { type, reason, message } of outcome.events ?? []) this.#events?.event(subject, type, reason, message);
  }

  /** The uid in the patch keeps it from meeting another object of the same name. */
  async #write(
    resource: 'pods' | 'nodes',
    object: Pod | Node,
    outcome: StageOutcome,
    signal: AbortSignal,
  ): Promise<void> {
    const { namespace, name, uid } = object.metadata;
    const body = { metadata: { uid }, status: outcome.status };
    const query = { subresource: 'status', signal };
    await this.#context.client.resource(resource).patch({ namespace, name }, { type: 'strategic', body }, query);
  }
}
