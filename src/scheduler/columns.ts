// The cluster as columns of numbers: one slot a node, one typed array an attribute. Scheduling reads arrays, not objects.
import type { Node, Taint } from '../api/generated/types.ts';
import type { NodeMatcher } from '../machinery/node-selector.ts';
import { Interner } from './interner.ts';
import { LabelColumn, MatchColumn, UsageColumn } from './label-columns.ts';
import { PodGroups } from './pod-groups.ts';
import type { HostPort, PodInfo } from './pod-info.ts';
import { amountOf, parse } from './resources.ts';

export const CPU = 0;
export const MEMORY = 1;
const INITIAL_CAPACITY = 64;
const MATCH_COLUMN_LIMIT = 512;
/** Every placement writes to each of these: few, for the templates in use. */
const USAGE_COLUMN_LIMIT = 64;
/** Topology keys are the pods' to choose: the column longest unused goes. */
export const LABEL_COLUMN_LIMIT = 256;
/** Resource names and taint sets are others' to choose: from this many on, numbers that nobody uses are given again. */
export const REUSED_FROM = 64;
const BASE_RESOURCES = ['cpu', 'memory', 'ephemeral-storage'];
const ZONE_LABEL = 'topology.kubernetes.io/zone';
const REGION_LABEL = 'topology.kubernetes.io/region';

export interface ImageColumn {
  readonly sizes: Float64Array;
  nodes: number;
}

/**
 * Nodes and the pods placed on them. Written by the cache between scheduling cycles; preemption takes pods out and puts
 * them back within one synchronous stretch. A slot is a node's place in every column; it is used again after removal.
 */
export class Columns {
  readonly resources = new Interner(BASE_RESOURCES);
  readonly slots = new Map<string, number>();
  readonly groups = new PodGroups(INITIAL_CAPACITY);
  readonly images = new Map<string, ImageColumn>();
  /** By number of the taint set; set 0 is empty. */
  readonly taintSets: (readonly Taint[])[] = [[]];
  names: string[] = [];
  nodes: (Node | undefined)[] = [];
  pods: Map<string, PodInfo>[] = [];
  hostPorts: (Map<string, readonly HostPort[]> | undefined)[] = [];
  allocatable: Float64Array[] = [];
  requested: Float64Array[] = [];
  nonZeroMilliCpu = new Float64Array(INITIAL_CAPACITY);
  nonZeroMemory = new Float64Array(INITIAL_CAPACITY);
  allowedPods = new Int32Array(INITIAL_CAPACITY);
  podCount = new Int32Array(INITIAL_CAPACITY);
  taintSet = new Int32Array(INITIAL_CAPACITY);
  unschedulable = new Uint8Array(INITIAL_CAPACITY);
  /** How many nodes are unschedulable, are tainted, have pods with host ports: plugins with nothing to do skip. */
  unschedulableNodes = 0;
  taintedNodes = 0;
  podsWithHostPorts = 0;
  #capacity = INITIAL_CAPACITY;
  #free: number[] = [];
  #taintSetIds = new Interner(['']);
  #labels = new Map<string, LabelColumn>();
  #matches = new Map<string, MatchColumn>();
  #usages = new Map<string, UsageColumn>();
  #order = new Int32Array(0);
  #orderStale = false;

  constructor() {
    for (let r = 0; r < this.resources.size; r++) this.#addResourceColumn();
  }

  get nodeCount(): number {
    return this.slots.size;
  }

  /** All slots in use, zones taking turns, so that a sample of nodes holds every zone. */
  get order(): Int32Array {
    if (this.#orderStale) this.#order = this.#interleaveZones();
    this.#orderStale = false;
    return this.#order;
  }

  setNode(node: Node): number {
    const known = this.slots.get(node.metadata.name);
    const slot = known ?? this.#takeSlot(node.metadata.name);
    const previous = this.nodes[slot];
    this.nodes[slot] = node;
    this.#setAllocatable(slot, node);
    this.#setTaints(slot, node.spec.taints ?? []);
    const unschedulable = node.spec.unschedulable ? 1 : 0;
    this.unschedulableNodes += unschedulable - this.unschedulable[slot]!;
    this.unschedulable[slot] = unschedulable;
    this.#setImages(slot, previous, node);
    if (!previous || !sameLabels(previous.metadata.labels, node.metadata.labels)) {
      for (const column of this.#labels.values()) column.set(slot, node);
      for (const column of this.#matches.values()) column.forget(slot);
      if (!previous || zoneOf(previous) !== zoneOf(node)) this.#orderStale = true;
    }
    return slot;
  }

  /** The pods on the node go with it; the caller keeps them if it wants them back. */
  removeNode(name: string): void {
    const slot = this.slots.get(name);
    if (slot === undefined) return;
    for (const info of [...this.pods[slot]!.values()]) this.removePod(info, slot);
    const node = this.nodes[slot];
    this.#setTaints(slot, []);
    this.unschedulableNodes -= this.unschedulable[slot]!;
    this.unschedulable[slot] = 0;
    this.#setImages(slot, node, undefined);
    for (const column of this.allocatable) column[slot] = 0;
    for (const column of this.#labels.values()) column.set(slot, undefined);
    for (const column of this.#matches.values()) column.forget(slot);
    this.allowedPods[slot] = 0;
    for (const column of this.#usages.values()) column.forget(slot);
    this.nodes[slot] = undefined;
    this.names[slot] = '';
    this.slots.delete(name);
    this.#free.push(slot);
    this.#orderStale = true;
  }

  addPod(info: PodInfo, slot: number): void {
    this.pods[slot]!.set(info.key, info);
    this.#account(info, slot, 1);
    this.groups.add(info, slot);
    if (info.hostPorts.length === 0) return;
    this.podsWithHostPorts++;
    this.hostPorts[slot] ??= new Map();
    this.hostPorts[slot].set(info.key, info.hostPorts);
  }

  removePod(info: PodInfo, slot: number): void {
    if (!this.pods[slot]!.delete(info.key)) return;
    this.#account(info, slot, -1);
    this.groups.remove(info, slot);
    if (info.hostPorts.length === 0) return;
    this.podsWithHostPorts--;
    this.hostPorts[slot]?.delete(info.key);
    if (this.hostPorts[slot]?.size === 0) this.hostPorts[slot] = undefined;
  }

  /** The number of a resource that some node has or some placed pod asks for; undefined: no node has any of it. */
  resource(name: string): number | undefined {
    return this.resources.known(name);
  }

  /** The number of a resource, with columns for it. New names come between scheduling cycles only. */
  #resource(name: string): number {
    const known = this.resources.known(name);
    if (known !== undefined) return known;
    const unused = this.resources.size < REUSED_FROM ? -1 : this.allocatable.findIndex((_, id) => this.#isUnused(id));
    if (unused >= 0) {
      this.resources.reuse(unused, name);
      return unused;
    }
    this.#addResourceColumn();
    return this.resources.id(name);
  }

  #isUnused(id: number): boolean {
    const isZero = (amount: number): boolean => amount === 0;
    return id >= BASE_RESOURCES.length && this.allocatable[id]!.every(isZero) && this.requested[id]!.every(isZero);
  }

  /** A label's values as numbers, node by node; made on first use and kept up to date while it is used. */
  label(key: string): LabelColumn {
    return useOf(this.#labels, key, LABEL_COLUMN_LIMIT, () => {
      const column = new LabelColumn(key, this.#capacity);
      for (const slot of this.slots.values()) column.set(slot, this.nodes[slot]);
      return column;
    });
  }

  /** A predicate's verdict on every node, worked out once for every version of a node's labels. */
  matching(matcher: NodeMatcher): MatchColumn {
    return useOf(this.#matches, matcher.key, MATCH_COLUMN_LIMIT, () => new MatchColumn(matcher, this.#capacity));
  }

  /** What is known of every node's usage under this key; equal keys must mean equal functions of capacity and usage. */
  usage(key: string): UsageColumn {
    return useOf(this.#usages, key, USAGE_COLUMN_LIMIT, () => new UsageColumn(this.#capacity));
  }

  #account(info: PodInfo, slot: number, sign: 1 | -1): void {
    for (const [name, amount] of info.amounts) this.requested[this.#resource(name)]![slot]! += sign * amount;
    this.nonZeroMilliCpu[slot]! += sign * info.nonZeroMilliCpu;
    this.nonZeroMemory[slot]! += sign * info.nonZeroMemory;
    this.podCount[slot]! += sign;
    for (const column of this.#usages.values()) column.forget(slot);
  }

  #setAllocatable(slot: number, node: Node): void {
    for (const column of this.allocatable) column[slot] = 0;
    for (const [name, amount] of parse(node.status?.allocatable)) {
      if (name === 'pods') continue;
      const id = this.#resource(name);
      this.allocatable[id]![slot] = amount;
    }
    this.allowedPods[slot] = amountOf('pods', node.status?.allocatable?.pods ?? '0');
    for (const column of this.#usages.values()) column.forget(slot);
  }

  #setTaints(slot: number, taints: readonly Taint[]): void {
    const key = taints.map((t) => `${t.key}=${t.value ?? ''}:${t.effect}`).join();
    let id = this.#taintSetIds.known(key);
    if (id === undefined) {
      id = this.#newTaintSet(key);
      this.taintSets[id] = taints;
    }
    this.taintedNodes += (id === 0 ? 0 : 1) - (this.taintSet[slot] === 0 ? 0 : 1);
    this.taintSet[slot] = id;
  }

  #newTaintSet(key: string): number {
    if (this.taintSets.length < REUSED_FROM) return this.#taintSetIds.id(key);
    const used = new Set(this.taintSet);
    const unused = this.taintSets.findIndex((_, id) => id > 0 && !used.has(id));
    if (unused < 0) return this.#taintSetIds.id(key);
    this.#taintSetIds.reuse(unused, key);
    return unused;
  }

  #setImages(slot: number, previous: Node | undefined, node: Node | undefined): void {
    if (previous?.status?.images === node?.status?.images) return;
    for (const image of previous?.status?.images ?? []) {
      for (const name of image.names ?? []) {
        const column = this.images.get(name);
        if (!column || column.sizes[slot] === 0) continue;
        column.sizes[slot] = 0;
        if (--column.nodes === 0) this.images.delete(name);
      }
    }
    for (const image of node?.status?.images ?? []) {
      for (const name of image.names ?? []) this.#setImage(slot, name, image.sizeBytes ?? 0);
    }
  }

  #setImage(slot: number, name: string, size: number): void {
    if (size <= 0) return;
    let column = this.images.get(name);
    if (!column) {
      column = { sizes: new Float64Array(this.#capacity), nodes: 0 };
      this.images.set(name, column);
    }
    if (column.sizes[slot] === 0) column.nodes++;
    column.sizes[slot] = size;
  }

  #takeSlot(name: string): number {
    const slot = this.#free.pop() ?? this.slots.size;
    if (slot >= this.#capacity) this.#grow();
    this.slots.set(name, slot);
    this.names[slot] = name;
    this.pods[slot] = new Map();
    this.hostPorts[slot] = undefined;
    this.#orderStale = true;
    return slot;
  }

  #addResourceColumn(): void {
    this.allocatable.push(new Float64Array(this.#capacity));
    this.requested.push(new Float64Array(this.#capacity));
  }

  #grow(): void {
    this.#capacity *= 2;
    const floats = (column: Float64Array): Float64Array<ArrayBuffer> =>
      copyInto(new Float64Array(this.#capacity), column);
    const integers = (column: Int32Array): Int32Array<ArrayBuffer> => copyInto(new Int32Array(this.#capacity), column);
    this.allocatable = this.allocatable.map(floats);
    this.requested = this.requested.map(floats);
    this.nonZeroMilliCpu = floats(this.nonZeroMilliCpu);
    this.nonZeroMemory = floats(this.nonZeroMemory);
    this.allowedPods = integers(this.allowedPods);
    this.podCount = integers(this.podCount);
    this.taintSet = integers(this.taintSet);
    this.unschedulable = copyInto(new Uint8Array(this.#capacity), this.unschedulable);
    for (const [name, image] of this.images) this.images.set(name, { ...image, sizes: floats(image.sizes) });
    for (const column of this.#labels.values()) column.grow(this.#capacity);
    for (const column of this.#matches.values()) column.grow(this.#capacity);
    for (const column of this.#usages.values()) column.grow(this.#capacity);
    this.groups.grow(this.#capacity);
  }

  #interleaveZones(): Int32Array<ArrayBuffer> {
    const zones = new Map<string, number[]>();
    for (const slot of this.slots.values()) {
      const zone = zoneOf(this.nodes[slot]!);
      const list = zones.get(zone);
      if (list) list.push(slot);
      else zones.set(zone, [slot]);
    }
    const order = new Int32Array(this.slots.size);
    const lists = [...zones.values()];
    for (let turn = 0, filled = 0; filled < order.length; turn++) {
      for (const list of lists) if (turn < list.length) order[filled++] = list[turn]!;
    }
    return order;
  }
}

/** The value under `key`, made if need be; beyond the limit the one longest unused is dropped. */
function useOf<T>(map: Map<string, T>, key: string, limit: number, make: () => T): T {
  const value = map.get(key) ?? make();
  map.delete(key);
  if (map.size >= limit) {
    const oldest = map.keys().next().value!;
    const dropped = map.get(oldest);
    if (dropped instanceof LabelColumn) dropped.retire();
    map.delete(oldest);
  }
  map.set(key, value);
  return value;
}

function copyInto<T extends { set(from: ArrayLike<number>): void }>(target: T, from: ArrayLike<number>): T {
  target.set(from);
  return target;
}

function zoneOf(node: Node): string {
  return `${node.metadata.labels?.[REGION_LABEL] ?? ''}:${node.metadata.labels?.[ZONE_LABEL] ?? ''}`;
}

function sameLabels(a: Node['metadata']['labels'], b: Node['metadata']['labels']): boolean {
  if (a === b) return true;
  const keys = Object.keys(a ?? {});
  return keys.length === Object.keys(b ?? {}).length && keys.every((key) => a?.[key] === b?.[key]);
}
