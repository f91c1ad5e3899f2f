// The identity of a StatefulSet's pods: names, labels and claims by ordinal (kubernetes.io/docs, "StatefulSet"). Pure.
import type {
  OwnerReference,
  PersistentVolumeClaim,
  Pod,
  PodTemplateSpec,
  StatefulSet,
} from '../api/generated/types.ts';
import { ownerReference } from '../machinery/meta.ts';
import { REVISION_HASH } from './controller-history.ts';
import { podFromTemplate } from './pod-ownership.ts';

export const STATEFUL_SET = { apiVersion: 'apps/v1', kind: 'StatefulSet' } as const;

const POD_NAME = 'statefulset.kubernetes.io/pod-name';
const POD_INDEX = 'apps.kubernetes.io/pod-index';

export const podName = (set: StatefulSet, ordinal: number): string => `${set.metadata.name}-${ordinal}`;

/** The ordinal in the pod's name; undefined when the name is none of this set's. */
export function ordinalOf(set: StatefulSet, pod: Pod): number | undefined {
  const match = /^(.*)-(0|[1-9][0-9]*)$/.exec(pod.metadata.name);
  return match?.[1] === set.metadata.name ? Number(match[2]) : undefined;
}

/** Labels that tell one pod from the others. */
export function identityLabels(set: StatefulSet, ordinal: number): { readonly [label: string]: string } {
  return { [POD_NAME]: podName(set, ordinal), [POD_INDEX]: String(ordinal) };
}

/** Whether the labels say who the pod is. */
export function hasIdentity(set: StatefulSet, pod: Pod): boolean {
  const ordinal = ordinalOf(set, pod);
  const wanted = ordinal === undefined ? {} : identityLabels(set, ordinal);
  return Object.entries(wanted).every(([label, value]) => pod.metadata.labels?.[label] === value);
}

/** The pod of an ordinal, of this template and revision. */
export function statefulPod(
  set: StatefulSet,
  ordinal: number,
  { template, revision }: { readonly template: PodTemplateSpec; readonly revision: string },
): Pod {
  const { metadata, spec, ...rest } = podFromTemplate(STATEFUL_SET, set, template);
  const { generateName: _, ...named } = metadata;
  const name = podName(set, ordinal);
  const claims = claimsOf(set, ordinal);
  const claimed = claims.map((claim, i) => ({
    name: set.spec.volumeClaimTemplates![i]!.metadata.name,
    persistentVolumeClaim: { claimName: claim.metadata.name },
  }));
  const others = (spec.volumes ?? []).filter((volume) => !claimed.some((one) => one.name === volume.name));
  const volumes = [...claimed, ...others];
  return {
    ...rest,
    metadata: {
      ...named,
      name,
      labels: { ...named.labels, ...identityLabels(set, ordinal), [REVISION_HASH]: revision },
    },
    spec: {
      ...spec,
      hostname: name,
      ...(set.spec.serviceName && { subdomain: set.spec.serviceName }),
      ...(volumes.length > 0 && { volumes }),
    },
  };
}

/** The claims of an ordinal, one a template, in their order. Owners are not among them yet. */
export function claimsOf(set: StatefulSet, ordinal: number): readonly PersistentVolumeClaim[] {
  return (set.spec.volumeClaimTemplates ?? []).map((template) => ({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      ...(template.metadata.annotations && { annotations: template.metadata.annotations }),
      name: `${template.metadata.name}-${podName(set, ordinal)}`,
      namespace: set.metadata.namespace!,
      labels: { ...template.metadata.labels, ...set.spec.selector.matchLabels },
    },
    spec: template.spec,
  }));
}

/** Whether the ordinal lies outside of what is declared, so that its pod has to go. */
export function isCondemned(set: StatefulSet, ordinal: number): boolean {
  const start = set.spec.ordinals?.start ?? 0;
  return start > ordinal || ordinal >= start + (set.spec.replicas ?? 1);
}

/** A claim that belongs to an earlier pod of the name, and goes with it: a new pod waits for another. */
export function isStale(claim: PersistentVolumeClaim, name: string): boolean {
  return claim.metadata.ownerReferences?.some((one) => one.kind === 'Pod' && one.name === name) ?? false;
}

/**
 * The owners that the claim should have by the retention policy; undefined when it has them. What the set owns goes with the
 * set; what a condemned pod owns goes with that pod. References of others stay.
 */
export function claimOwners(
  set: StatefulSet,
  ordinal: number,
  pod: Pod | undefined,
  claim: PersistentVolumeClaim,
): readonly OwnerReference[] | undefined {
  const { whenDeleted, whenScaled } = set.spec.persistentVolumeClaimRetentionPolicy ?? {};
  const goes = whenScaled === 'Delete' && isCondemned(set, ordinal);
  const present = claim.metadata.ownerReferences ?? [];
  const wanted: OwnerReference[] = [];
  if (goes && pod) wanted.push(ownerReference(pod, { apiVersion: 'v1', kind: 'Pod' }));
  if (!goes && whenDeleted === 'Delete') wanted.push(ownerReference(set, STATEFUL_SET));
  const name = podName(set, ordinal);
  const ours = (one: OwnerReference): boolean =>
    one.uid === set.metadata.uid || (one.kind === 'Pod' && one.name === name && one.uid === pod?.metadata.uid);
  const kept = present.filter((one) => !ours(one));
  const before = present.filter(ours).map((one) => one.uid);
  const same = before.length === wanted.length && wanted.every((one) => before.includes(one.uid));
  return same ? undefined : [...kept, ...wanted];
}
