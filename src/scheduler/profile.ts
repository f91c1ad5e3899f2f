import type { BindPlugin, Plugin, PostFilterPlugin, PreBindPlugin, Profile } from './framework.ts';
import { balancedAllocation } from './plugins/balanced-allocation.ts';
import { dynamicResources } from './plugins/dynamic-resources.ts';
import { imageLocality } from './plugins/image-locality.ts';
import { interPodAffinity } from './plugins/inter-pod-affinity.ts';
import { nodeAffinity } from './plugins/node-affinity.ts';
import { nodeName } from './plugins/node-name.ts';
import { nodePorts } from './plugins/node-ports.ts';
import { nodeResourcesFit } from './plugins/node-resources-fit.ts';
import { nodeUnschedulable } from './plugins/node-unschedulable.ts';
import { podTopologySpread } from './plugins/pod-topology-spread.ts';
import { prioritySort } from './plugins/queue-sort.ts';
import { schedulingGates } from './plugins/scheduling-gates.ts';
import { taintToleration } from './plugins/taint-toleration.ts';
import { volumeBinding } from './plugins/volume-binding.ts';

export interface ActingPlugins {
  readonly bind: BindPlugin;
  readonly preBinds?: readonly PreBindPlugin[];
  readonly postFilters?: readonly PostFilterPlugin[];
}

/** Upstream's default plugins in their order, with their weights. Those that act on the cluster are handed in. */
export function defaultProfile(schedulerName: string, acting: ActingPlugins): Profile {
  return {
    schedulerName,
    queueSort: prioritySort,
    preEnqueue: [schedulingGates],
    filters: [
      nodeUnschedulable,
      nodeName,
      taintToleration,
      nodeAffinity,
      nodePorts,
      nodeResourcesFit,
      volumeBinding,
      podTopologySpread,
      interPodAffinity,
      dynamicResources,
    ],
    postFilters: [dynamicResources, ...(acting.postFilters ?? [])],
    scores: [
      { plugin: taintToleration, weight: 3 },
      { plugin: nodeAffinity, weight: 2 },
      { plugin: nodeResourcesFit, weight: 1 },
      { plugin: podTopologySpread, weight: 2 },
      { plugin: interPodAffinity, weight: 2 },
      { plugin: balancedAllocation, weight: 1 },
      { plugin: imageLocality, weight: 1 },
    ],
    reserves: [],
    preBinds: acting.preBinds ?? [],
    bind: acting.bind,
  };
}

/** Every plugin of a profile, each once. */
export function pluginsOf(profile: Profile): Plugin[] {
  const scores = profile.scores.map(({ plugin }) => plugin);
  const acting = [...profile.reserves, ...profile.preBinds, profile.bind];
  return [
    ...new Set<Plugin>([...profile.preEnqueue, ...profile.filters, ...profile.postFilters, ...scores, ...acting]),
  ];
}
