import type { Pod } from '../../api/generated/types.ts';
import type { Environment } from '../../lib/environment.ts';
import type { Allocations } from '../allocation/allocations.ts';
import type { FailureBackoff } from '../backoff.ts';
import type { PodEvents } from '../events.ts';
import type { ReferencedObjects } from '../objects.ts';
import type { ProbeManager } from '../probes/manager.ts';
import type { Cgroups } from '../runtime/cgroups.ts';
import type { PodObserver } from '../runtime/observe.ts';
import type { PodRuntime } from '../runtime/pod-runtime.ts';
import type { PodResizer } from '../runtime/resize.ts';
import type { StatusManager } from '../status-manager.ts';
import type { VolumeManager } from '../volumes/manager.ts';
import type { PodFailure } from './status.ts';

/** What the workers of a node's pods share. */
export interface WorkerTools {
  readonly env: Environment;
  readonly runtime: PodRuntime;
  readonly observer: PodObserver;
  readonly statuses: StatusManager;
  readonly volumes: VolumeManager;
  readonly objects: ReferencedObjects;
  readonly probes: ProbeManager;
  readonly events: PodEvents;
  readonly cgroups: Cgroups;
  readonly allocations: Allocations;
  readonly resizer: PodResizer;
  /** Crashing containers, by pod uid, container name and hash. */
  readonly crashes: FailureBackoff;
  readonly nodeName: string;
  readonly hostIPs: readonly string[];
  /** Whether the node takes the pod; asked once, before anything of it runs. */
  readonly admit: (pod: Pod) => PodFailure | undefined;
  /** Decides about all pods that ask for other resources than they have: their workers are told (`judged`). */
  readonly judgeResizes: () => void;
  /** Learns the node as the API has it now. */
  readonly refreshNode: (signal: AbortSignal) => Promise<void>;
  /** The pod is gone from API and node. */
  readonly done: (uid: string) => void;
}
