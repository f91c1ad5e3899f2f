// Pods: what may change after creation, graceful deletion, and what the server fills in.
import type { Pod, PodSpec, Toleration } from '../../api/generated/types.ts';
import type { Draft } from '../../api/object.ts';
import { qosClass } from '../../machinery/pods.ts';
import type { FieldError } from '../../machinery/status.ts';
import { sameMeaning } from './equality.ts';
import { forbiddenField, invalidValue } from './field-errors.ts';
import { keepMetadata, podResize } from './pod-resize.ts';
import { defineStrategy, type StrategyScope } from './strategy.ts';

const MUTABLE_FIELDS =
  '`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,' +
  '`spec.tolerations` (only additions to existing tolerations),' +
  '`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';

function prepareForCreate(pod: Draft<Pod>, scope: StrategyScope): void {
  pod.status = { phase: 'Pending', qosClass: qosClass(pod as Pod) };
  if ((pod.spec.schedulingGates ?? []).length === 0) return;
  pod.status.conditions = [
    {
      type: 'PodScheduled',
      status: 'False',
      reason: 'SchedulingGated',
      message: 'Scheduling is blocked due to non-empty scheduling gates',
      lastTransitionTime: scope.now,
    } as Draft<NonNullable<NonNullable<Pod['status']>['conditions']>[number]>,
  ];
}

function validateCreate(pod: Pod): FieldError[] {
  const errors: FieldError[] = [];
  if ((pod.spec.ephemeralContainers ?? []).length > 0) {
    errors.push(forbiddenField('spec.ephemeralContainers', 'cannot be set on create'));
  }
  if (pod.spec.nodeName && (pod.spec.schedulingGates ?? []).length > 0) {
    errors.push(forbiddenField('spec.nodeName', 'cannot be set until all schedulingGates have been cleared'));
  }
  return errors;
}

/** Tolerations may only be added; of an old one only tolerationSeconds may change. */
function validateTolerationsUpdate(now: readonly Toleration[], old: readonly Toleration[]): FieldError[] {
  const kept = (a: Toleration, b: Toleration): boolean =>
    sameMeaning({ ...a, tolerationSeconds: undefined }, { ...b, tolerationSeconds: undefined });
  if (old.every((o) => now.some((n) => kept(n, o)))) return [];
  return [forbiddenField('spec.tolerations', 'existing toleration can not be modified except its tolerationSeconds')];
}

function validateDeadline(now: number | undefined, old: number | undefined): FieldError[] {
  const at = 'spec.activeDeadlineSeconds';
  if (now === undefined) {
    return old === undefined ? [] : [invalidValue(at, null, 'must not update from a positive integer to nil value')];
  }
  if (now < 0 || now > 2147483647) return [invalidValue(at, now, 'must be between 0 and 2147483647, inclusive')];
  return old !== undefined && old < now ? [invalidValue(at, now, 'must be less than or equal to previous value')] : [];
}

/** The old spec with everything that may change taken from the new one. */
function withMutableFields(spec: PodSpec, old: PodSpec): PodSpec {
  const gated = (old.schedulingGates ?? []).length > 0;
  const images = (now: PodSpec['containers'] | undefined, before: PodSpec['containers'] | undefined) =>
    before?.map((container, i) => ({ ...container, image: now?.[i]?.image }));
  const lifted = old.terminationGracePeriodSeconds !== undefined && old.terminationGracePeriodSeconds < 0;
  const gates = (old.schedulingGates ?? []).filter((gate) => spec.schedulingGates?.some((g) => g.name === gate.name));
  return {
    ...old,
    containers: images(spec.containers, old.containers) as PodSpec['containers'],
    initContainers: images(spec.initContainers, old.initContainers),
    activeDeadlineSeconds: spec.activeDeadlineSeconds,
    tolerations: spec.tolerations,
    terminationGracePeriodSeconds: lifted ? spec.terminationGracePeriodSeconds : old.terminationGracePeriodSeconds,
    schedulingGates: gates,
    ...(gated && { nodeSelector: spec.nodeSelector, affinity: spec.affinity }),
  } as PodSpec;
}

function validateUpdate(pod: Pod, old: Pod): FieldError[] {
  const counts = (['containers', 'initContainers'] as const).filter(
    (list) => (pod.spec[list] ?? []).length !== (old.spec[list] ?? []).length,
  );
  if (counts.length > 0) {
    return counts.map((list) => forbiddenField(`spec.${list}`, 'pod updates may not add or remove containers'));
  }
  const errors: FieldError[] = [];
  errors.push(...validateDeadline(pod.spec.activeDeadlineSeconds, old.spec.activeDeadlineSeconds));
  errors.push(...validateTolerationsUpdate(pod.spec.tolerations ?? [], old.spec.tolerations ?? []));
  const added = (pod.spec.schedulingGates ?? []).filter(
    (g) => !old.spec.schedulingGates?.some((o) => o.name === g.name),
  );
  if (added.length > 0)
    errors.push(forbiddenField('spec.schedulingGates', 'only deletion is allowed, but found new scheduling gates'));
  if (errors.length > 0) return errors;
  const allowed = withMutableFields(pod.spec, old.spec);
  if (sameMeaning(pod.spec, allowed)) return [];
  const changed = changedFields(pod.spec, allowed);
  return [forbiddenField('spec', `pod updates may not change fields other than ${MUTABLE_FIELDS}\n${changed}`)];
}

/** The spec's fields that differ, for people. */
function changedFields(spec: PodSpec, allowed: PodSpec): string {
  const now = spec as unknown as Record<string, unknown>;
  const old = allowed as unknown as Record<string, unknown>;
  return [...new Set([...Object.keys(now), ...Object.keys(old)])]
    .filter((key) => !sameMeaning(now[key], old[key]))
    .map((key) => `  ${key}: ${JSON.stringify(old[key]) ?? 'nil'} -> ${JSON.stringify(now[key]) ?? 'nil'}`)
    .join('\n');
}

function prepareForUpdate(pod: Draft<Pod>, old: Pod): void {
  pod.status = structuredClone(old.status) as Draft<Pod>['status'];
  // Ephemeral containers change through their own endpoint only.
  pod.spec.ephemeralContainers = structuredClone(old.spec.ephemeralContainers) as Draft<PodSpec>['ephemeralContainers'];
}

function prepareStatusUpdate(pod: Draft<Pod>, old: Pod): void {
  pod.spec = structuredClone(old.spec) as Draft<PodSpec>;
  pod.metadata.deletionTimestamp = old.metadata.deletionTimestamp;
  pod.metadata.ownerReferences = structuredClone(
    old.metadata.ownerReferences,
  ) as Draft<Pod>['metadata']['ownerReferences'];
  pod.status ??= {};
  // The class never changes once it is set; a kubelet that leaves it out means no change.
  pod.status.qosClass = old.status?.qosClass ?? qosClass(old);
}

/** Only spec.ephemeralContainers may change, and only by adding. */
function prepareEphemeralUpdate(pod: Draft<Pod>, old: Pod): void {
  const added = pod.spec.ephemeralContainers;
  pod.spec = structuredClone(old.spec) as Draft<PodSpec>;
  pod.spec.ephemeralContainers = added;
  pod.status = structuredClone(old.status) as Draft<Pod>['status'];
  keepMetadata(pod, old);
}

function validateEphemeralUpdate(pod: Pod, old: Pod): FieldError[] {
  const now = pod.spec.ephemeralContainers ?? [];
  const errors: FieldError[] = [];
  for (const before of old.spec.ephemeralContainers ?? []) {
    const same = now.find((c) => c.name === before.name);
    if (!same) {
      const text = `existing ephemeral containers ${JSON.stringify(before.name)} may not be removed\n`;
      errors.push(forbiddenField('spec.ephemeralContainers', text));
    } else if (!sameMeaning(same, before)) {
      const text = `existing ephemeral containers ${JSON.stringify(before.name)} may not be changed\n`;
      errors.push(forbiddenField('spec.ephemeralContainers', text));
    }
  }
  return errors;
}

function gracePeriodSeconds(pod: Pod, asked: number | undefined): number {
  const period = asked ?? pod.spec.terminationGracePeriodSeconds ?? 0;
  const finished = pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
  if (!pod.spec.nodeName || finished) return 0;
  return period < 0 ? 1 : period;
}

export const podStrategy = defineStrategy<Pod>({
  returnsDeleted: true,
  countsGenerations: true,
  keepsStatusOnCreate: true,
  selectable: {
    'spec.nodeName': (pod) => pod.spec.nodeName ?? '',
    'spec.restartPolicy': (pod) => pod.spec.restartPolicy ?? '',
    'spec.schedulerName': (pod) => pod.spec.schedulerName ?? '',
    'spec.serviceAccountName': (pod) => pod.spec.serviceAccountName ?? '',
    'spec.hostNetwork': (pod) => String(pod.spec.hostNetwork ?? false),
    'status.phase': (pod) => pod.status?.phase ?? '',
    'status.podIP': (pod) => pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP ?? '',
    'status.podIPs': (pod) => (pod.status?.podIPs ?? []).map((ip) => ip.ip).join(','),
    'status.nominatedNodeName': (pod) => pod.status?.nominatedNodeName ?? '',
  },
  prepareForCreate,
  validate: validateCreate,
  prepareForUpdate,
  validateUpdate,
  resetFields: {
    '': ['status'],
    status: ['spec', 'metadata.deletionTimestamp', 'metadata.ownerReferences'],
    ephemeralcontainers: ['status', 'metadata'],
    // Upstream's: the resources of the pod as a whole stay whose they were.
    resize: ['status', 'metadata', 'spec.resources'],
  },
  endpoints: {
    status: { prepareForUpdate: prepareStatusUpdate, validateUpdate: validateStatusUpdate },
    ephemeralcontainers: {
      prepareForUpdate: prepareEphemeralUpdate,
      managesOnlyTaken: true,
      validateUpdate: validateEphemeralUpdate,
    },
    resize: podResize,
  },
  gracePeriodSeconds,
});

/** A container that has ended for good must not run again: its terminated state may not be taken back. */
function validateStatusUpdate(pod: Pod, old: Pod): FieldError[] {
  const errors: FieldError[] = [];
  if (old.spec.restartPolicy === 'Always') return errors;
  for (const before of old.status?.containerStatuses ?? []) {
    if (!before.state?.terminated) continue;
    if (old.spec.restartPolicy === 'OnFailure' && before.state.terminated.exitCode !== 0) continue;
    const i = (pod.status?.containerStatuses ?? []).findIndex((s) => s.name === before.name);
    if (i >= 0 && !pod.status?.containerStatuses?.[i]?.state?.terminated && !hasRestartRules(old.spec, before.name)) {
      errors.push(
        forbiddenField(`status.containerStatuses[${i}].state`, 'may not be transitioned to non-terminated state'),
      );
    }
  }
  return errors;
}

function hasRestartRules(spec: PodSpec, name: string): boolean {
  const container = spec.containers.find((c) => c.name === name);
  return container?.restartPolicy !== undefined;
}
