import type { PodInfo } from './pod-info.ts';

const NONE: readonly PodInfo[] = [];

/** Pods that preemption made room for, by the node promised to them, until they are placed or the promise is withdrawn. */
export class NominatedPods {
  readonly #nodeByPod = new Map<string, string>();
  readonly #podsByNode = new Map<string, Map<string, PodInfo>>();

  get size(): number {
    return this.#nodeByPod.size;
  }

  set(info: PodInfo, nodeName: string): void {
    this.delete(info.key);
    this.#nodeByPod.set(info.key, nodeName);
    const pods = this.#podsByNode.get(nodeName);
    if (pods) pods.set(info.key, info);
    else this.#podsByNode.set(nodeName, new Map([[info.key, info]]));
  }

  delete(key: string): void {
    const nodeName = this.#nodeByPod.get(key);
    if (nodeName === undefined) return;
    this.#nodeByPod.delete(key);
    const pods = this.#podsByNode.get(nodeName)!;
    pods.delete(key);
    if (pods.size === 0) this.#podsByNode.delete(nodeName);
  }

  nodeOf(key: string): string | undefined {
    return this.#nodeByPod.get(key);
  }

  on(nodeName: string): readonly PodInfo[] {
    const pods = this.#podsByNode.get(nodeName);
    return pods ? [...pods.values()] : NONE;
  }
}
