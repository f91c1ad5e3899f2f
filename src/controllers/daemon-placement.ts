// Where a DaemonSet's pods belong, and how a pod is bound to its node. Pure.
import type { DaemonSet, Node, Pod, PodSpec, Taint, Toleration } from '../api/generated/types.ts';
import { nodeNamesOf, requiredNodeMatcher } from '../machinery/node-selector.ts';
import { REVISION_HASH } from './controller-history.ts';
import { podFromTemplate } from './pod-ownership.ts';
import { tolerates } from './tolerations.ts';

export const DAEMON_SET = { apiVersion: 'apps/v1', kind: 'DaemonSet' } as const;

const on = (condition: string, effect: 'NoExecute' | 'NoSchedule'): Toleration => ({
  key: `node.kubernetes.io/${condition}`,
  operator: 'Exists',
  effect,
});

/** What every daemon pod tolerates (kubernetes.io/docs, "DaemonSet", taints and tolerations). */
const TOLERATIONS: readonly Toleration[] = [
  on('not-ready', 'NoExecute'),
  on('unreachable', 'NoExecute'),
  on('disk-pressure', 'NoSchedule'),
  on('memory-pressure', 'NoSchedule'),
  on('pid-pressure', 'NoSchedule'),
  on('unschedulable', 'NoSchedule'),
];
const HOST_NETWORK_TOLERATION = on('network-unavailable', 'NoSchedule');

/** The declared tolerations with those of daemons; one that is declared alike is replaced. */
export function daemonTolerations(spec: PodSpec): readonly Toleration[] {
  const added = spec.hostNetwork ? [...TOLERATIONS, HOST_NETWORK_TOLERATION] : TOLERATIONS;
  const same = (a: Toleration, b: Toleration): boolean =>
    a.key === b.key && a.effect === b.effect && a.operator === b.operator && (a.value ?? '') === (b.value ?? '');
  const declared = (spec.tolerations ?? []).filter((one) => !added.some((other) => same(one, other)));
  return [...declared, ...added];
}

export interface Placement {
  /** A pod belongs on the node. */
  readonly shouldRun: boolean;
  /** A pod that is there already may stay. */
  readonly mayStay: boolean;
}

/** Whether the DaemonSet wants a pod on the node: node name, selector, required affinity and taints decide. */
export function placementOn(daemonSet: DaemonSet): (node: Node) => Placement {
  const spec = daemonSet.spec.template.spec!;
  const matcher = requiredNodeMatcher({ metadata: { name: '' }, spec });
  const tolerations = daemonTolerations(spec);
  const tolerated = (taint: Taint): boolean => tolerations.some((one) => tolerates(one, taint));
  return (node) => {
    const named = !spec.nodeName || spec.nodeName === node.metadata.name;
    if (!named || (matcher && !matcher.matches(node))) return { shouldRun: false, mayStay: false };
    const effects = (node.spec?.taints ?? []).filter((taint) => !tolerated(taint)).map((taint) => taint.effect);
    const evicting = effects.includes('NoExecute');
    return { shouldRun: !evicting && !effects.includes('NoSchedule'), mayStay: !evicting };
  };
}

/** The node that a pod is on or is meant for. */
export function targetNode(pod: Pod): string | undefined {
  if (pod.spec.nodeName) return pod.spec.nodeName;
  const names = nodeNamesOf(pod);
  return names?.size === 1 ? [...names][0] : undefined;
}

/** The pod for one node: the scheduler can place it nowhere else. */
export function daemonPod(daemonSet: DaemonSet, hash: string, nodeName: string): Pod {
  const pod = podFromTemplate(DAEMON_SET, daemonSet, daemonSet.spec.template);
  const { affinity } = pod.spec;
  const terms = [{ matchFields: [{ key: 'metadata.name', operator: 'In' as const, values: [nodeName] }] }];
  const required = { nodeSelectorTerms: terms };
  const nodeAffinity = { ...affinity?.nodeAffinity, requiredDuringSchedulingIgnoredDuringExecution: required };
  return {
    ...pod,
    metadata: { ...pod.metadata, labels: { ...pod.metadata.labels, [REVISION_HASH]: hash } },
    spec: { ...pod.spec, tolerations: daemonTolerations(pod.spec), affinity: { ...affinity, nodeAffinity } },
  };
}
