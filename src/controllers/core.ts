// The controllers that every cluster has, whatever runs on it.

import { clusterRoleAggregationController } from './cluster-role-aggregation.ts';
import { forcedDetachController } from './forced-detach.ts';
import { garbageCollector } from './garbage-collector.ts';
import { type NamespaceOptions, namespaceController } from './namespace.ts';
import { type NodeIpamOptions, nodeIpamController } from './node-ipam.ts';
import { type NodeLifecycleOptions, nodeLifecycleController } from './node-lifecycle.ts';
import { type PodGcOptions, podGarbageCollector } from './pod-gc.ts';
import { rootCaPublisher } from './root-ca-publisher.ts';
import type { Controller } from './runtime.ts';
import { serviceAccountController } from './service-account.ts';
import { taintEvictionController } from './taint-eviction.ts';

export interface CoreControllersOptions {
  /** The bundle that verifies the API servers, in PEM. Absent: it is not published. */
  readonly rootCa?: string;
  /** Absent: nodes get no pod ranges. */
  readonly nodeIpam?: NodeIpamOptions;
  readonly namespace?: NamespaceOptions;
  readonly podGc?: PodGcOptions;
  readonly nodeLifecycle?: NodeLifecycleOptions;
}

/** Fresh controllers for one run. */
export function coreControllers(options: CoreControllersOptions = {}): Controller[] {
  const { rootCa, nodeIpam, namespace, podGc, nodeLifecycle } = options;
  return [
    namespaceController(namespace),
    serviceAccountController(),
    ...(rootCa === undefined ? [] : [rootCaPublisher({ rootCa })]),
    garbageCollector(),
    clusterRoleAggregationController(),
    podGarbageCollector(podGc),
    forcedDetachController(),
    nodeLifecycleController(nodeLifecycle),
    taintEvictionController(),
    ...(nodeIpam ? [nodeIpamController(nodeIpam)] : []),
  ];
}
