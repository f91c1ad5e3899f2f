// The package as a library. Beside main.ts the only place where the real clock, randomness and output come in.
import { startEmbeddedCluster } from './cluster/embedded-cluster.ts';
import type { ClusterOptions, EmbeddedCluster } from './cluster/embedded-contract.ts';
import { realEnvironment } from './platform/environment.ts';

export type * from './api/generated/types.ts';
export { type Draft, draft, type KubeObject } from './api/object.ts';
export type {
  DeleteQuery,
  DiscoveredResource,
  Listed,
  ListQuery,
  ObjectReference,
  Patch,
  ResourceClient,
  ResourceCoordinates,
  WatchEvent,
  WatchQuery,
  WriteQuery,
} from './client/contract.ts';
export {
  type ClusterClient,
  type ClusterFaults,
  type ClusterNodes,
  type ClusterOptions,
  type ClusterUser,
  type EmbeddedCluster,
  type FaultInForce,
  type NodesOptions,
  type ObjectOf,
  type ResourceKey,
  type WaitOptions,
  WaitTimeoutError,
} from './cluster/embedded-contract.ts';
export type { WaitCondition } from './cluster/wait-condition.ts';
export { isReason, StatusError } from './machinery/status.ts';

export interface StartOptions extends ClusterOptions {
  /** What the control plane says of itself goes to standard error from this level on. Default "silent". */
  readonly log?: 'silent' | 'error' | 'warn' | 'info' | 'debug';
}

/**
 * Starts a Kubernetes control plane with simulated nodes in this process, on a free port of 127.0.0.1, with its data in memory.
 * Any number may run side by side. Dispose of it: `await using cluster = await startCluster()`, or `finally { await cluster.dispose() }`.
 */
export function startCluster(options: StartOptions = {}): Promise<EmbeddedCluster> {
  const { log = 'silent', ...others } = options;
  return startEmbeddedCluster(realEnvironment(log), others);
}
