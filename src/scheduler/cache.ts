// The scheduler's view of the cluster: what informers say, plus the pods that it has placed and not yet seen placed.
import type { Node } from '../api/generated/types.ts';
import { Columns } from './columns.ts';
import { NominatedPods } from './nominated-pods.ts';
import type { PodInfo } from './pod-info.ts';

interface Placed {
  readonly info: PodInfo;
  readonly nodeName: string;
  /** Placed by us, not yet seen through the informer. */
  readonly assumed: boolean;
}

export class ClusterCache {
  readonly columns = new Columns();
  readonly nominated = new NominatedPods();
  readonly #placed = new Map<string, Placed>();
  /** Pods that say they are on a node that we do not know (yet). */
  readonly #homeless = new Map<string, Set<string>>();
  #assumed = 0;

  sizes(): { nodes: number; pods: number; assumed_pods: number } {
    return { nodes: this.columns.nodeCount, pods: this.#placed.size, assumed_pods: this.#assumed };
  }

  setNode(node: Node): void {
    const { name } = node.metadata;
    const slot = this.columns.setNode(node);
    const waiting = this.#homeless.get(name);
    if (!waiting) return;
    this.#homeless.delete(name);
    for (const key of waiting) this.columns.addPod(this.#placed.get(key)!.info, slot);
  }

  removeNode(name: string): void {
    const slot = this.columns.slots.get(name);
    if (slot === undefined) return;
    const keys = [...this.columns.pods[slot]!.keys()];
    this.columns.removeNode(name);
    if (keys.length > 0) this.#homeless.set(name, new Set(keys));
  }

  /** The informer shows the pod on a node. */
  setPod(info: PodInfo, nodeName: string): void {
    this.#remove(info.key);
    this.#place({ info, nodeName, assumed: false });
  }

  /** We have chosen a node and are about to bind. */
  assume(info: PodInfo, nodeName: string): void {
    this.#remove(info.key);
    this.#place({ info, nodeName, assumed: true });
  }

  /** Binding failed. Does nothing once the informer has shown the pod on a node. */
  forget(key: string): void {
    if (this.#placed.get(key)?.assumed) this.#remove(key);
  }

  removePod(key: string): void {
    this.#remove(key);
  }

  get(key: string): PodInfo | undefined {
    return this.#placed.get(key)?.info;
  }

  isAssumed(key: string): boolean {
    return this.#placed.get(key)?.assumed ?? false;
  }

  #place(placed: Placed): void {
    const { info, nodeName } = placed;
    this.#placed.set(info.key, placed);
    if (placed.assumed) this.#assumed++;
    this.nominated.delete(info.key);
    const slot = this.columns.slots.get(nodeName);
    const homeless = this.#homeless.get(nodeName);
    if (slot !== undefined) this.columns.addPod(info, slot);
    else if (homeless) homeless.add(info.key);
    else this.#homeless.set(nodeName, new Set([info.key]));
  }

  #remove(key: string): void {
    const placed = this.#placed.get(key);
    if (!placed) return;
    this.#placed.delete(key);
    if (placed.assumed) this.#assumed--;
    const slot = this.columns.slots.get(placed.nodeName);
    if (slot !== undefined) this.columns.removePod(placed.info, slot);
    const homeless = this.#homeless.get(placed.nodeName);
    homeless?.delete(key);
    if (homeless?.size === 0) this.#homeless.delete(placed.nodeName);
  }
}
