// The extension points of scheduling, as upstream's framework names them, over whole columns of nodes instead of one node
// at a time. A plugin hands back an object that holds what it worked out for this pod; nothing is kept between cycles.
import type {
  PersistentVolume,
  PersistentVolumeClaim,
  PodDisruptionBudget,
  StorageClass,
} from '../api/generated/types.ts';
import type { Selector } from '../machinery/selector.ts';
import type { NamespaceLabels } from './affinity-term.ts';
import type { EventInterest } from './cluster-events.ts';
import type { Columns } from './columns.ts';
import type { PodInfo } from './pod-info.ts';

export const MAX_NODE_SCORE = 100;

/** Cluster facts beside nodes and pods that plugins read. Everything comes from informers and is readonly. */
export interface Listers {
  readonly namespaceLabels: NamespaceLabels;
  /** The selectors of the services and of the controller that a pod belongs to; undefined when it belongs to none. */
  readonly spreadSelector: (info: PodInfo) => { readonly key: string; readonly selector: Selector } | undefined;
  readonly claim: (namespace: string, name: string) => PersistentVolumeClaim | undefined;
  readonly volume: (name: string) => PersistentVolume | undefined;
  readonly volumes: () => readonly PersistentVolume[];
  readonly storageClass: (name: string) => StorageClass | undefined;
  readonly budgets: (namespace: string) => readonly PodDisruptionBudget[];
}

/** What one cycle is about: the pod, and the cluster as it stands. */
export interface Cycle {
  readonly info: PodInfo;
  readonly columns: Columns;
  readonly listers: Listers;
}

/** Why a node (or every node) does not do. `resolvable`: taking pods off the node might help. */
export interface Rejection {
  readonly reasons: readonly string[];
  readonly resolvable: boolean;
}

export interface NodeFilter {
  /** Keeps the slots that pass at the front of `nodes`, in their order, and returns how many there are. */
  keep(nodes: Int32Array, count: number): number;
  /** Why `keep` dropped this slot. */
  explain(slot: number): Rejection;
}

export type PreFilterResult =
  /** Every node passes: the filter need not run. */
  | { readonly kind: 'skip' }
  | { readonly kind: 'filter'; readonly filter: NodeFilter; readonly onlyNodes?: ReadonlySet<string> }
  /** No node can pass. */
  | { readonly kind: 'reject'; readonly rejection: Rejection };

export const SKIP: PreFilterResult = { kind: 'skip' };

/** The feasible nodes: the first `count` of `nodes`, with their totals. `scratch` is for the scorer that has its turn. */
export interface Candidates {
  readonly nodes: Int32Array;
  readonly count: number;
  readonly totals: Float64Array;
  readonly scratch: Float64Array;
}

export interface NodeScorer {
  /** Adds `weight` times a score from 0 to MAX_NODE_SCORE, already normalized, to the total of each of the slots. */
  add(candidates: Candidates, weight: number): void;
}

export interface Plugin {
  readonly name: string;
  /** The events that may make schedulable a pod that this plugin turned down. */
  readonly interests?: readonly EventInterest[];
}

export interface QueueSortPlugin extends Plugin {
  /** Negative when `a` goes first. */
  compare(a: QueueOrder, b: QueueOrder): number;
}

/** What queue sorting may look at. */
export interface QueueOrder {
  readonly info: PodInfo;
  readonly enteredAtMs: number;
}

export interface PreEnqueuePlugin extends Plugin {
  /** The reason why the pod may not be scheduled yet. */
  preEnqueue(info: PodInfo): string | undefined;
}

export interface FilterPlugin extends Plugin {
  preFilter(cycle: Cycle): PreFilterResult;
}

export interface ScorePlugin extends Plugin {
  /** Undefined when the score would be the same for all nodes. */
  preScore(cycle: Cycle, nodes: Int32Array, count: number): NodeScorer | undefined;
}

export interface ReservePlugin extends Plugin {
  reserve(info: PodInfo, nodeName: string): void;
  /** Undoes reserve; must do no harm when repeated. */
  unreserve(info: PodInfo, nodeName: string): void;
}

export interface PreBindPlugin extends Plugin {
  preBind(info: PodInfo, nodeName: string, signal: AbortSignal): Promise<void>;
}

export interface BindPlugin extends Plugin {
  bind(info: PodInfo, nodeName: string, signal: AbortSignal): Promise<void>;
}

export interface Diagnosis {
  readonly nodeCount: number;
  /** Set when a PreFilter turned the pod down for every node. */
  readonly preFilterMessage?: string;
  /** Reason → number of nodes. */
  readonly reasons: ReadonlyMap<string, number>;
  /** The plugins that turned nodes down. */
  readonly plugins: ReadonlySet<string>;
  /** Slots where taking pods away might help. */
  readonly resolvable: readonly number[];
}

export interface PostFilterResult {
  readonly message: string;
  /** The node to nominate; '' clears an earlier nomination; undefined keeps it. */
  readonly nominatedNodeName?: string;
}

export interface PostFilterPlugin extends Plugin {
  postFilter(cycle: Cycle, diagnosis: Diagnosis, signal: AbortSignal): Promise<PostFilterResult>;
}

export interface ScoreWeight {
  readonly plugin: ScorePlugin;
  readonly weight: number;
}

/** A profile: the plugins that serve one scheduler name, in order. */
export interface Profile {
  readonly schedulerName: string;
  readonly queueSort: QueueSortPlugin;
  readonly preEnqueue: readonly PreEnqueuePlugin[];
  readonly filters: readonly FilterPlugin[];
  readonly postFilters: readonly PostFilterPlugin[];
  readonly scores: readonly ScoreWeight[];
  readonly reserves: readonly ReservePlugin[];
  readonly preBinds: readonly PreBindPlugin[];
  readonly bind: BindPlugin;
}
