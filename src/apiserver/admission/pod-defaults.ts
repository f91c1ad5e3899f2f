// What pods get from the cluster: tolerations, priority, the overhead of their runtime class.
import type { Pod, PriorityClass, RuntimeClass, Toleration } from '../../api/generated/types.ts';
import type { Draft } from '../../api/object.ts';
import { forbidden } from '../../machinery/status.ts';
import { sameMeaning } from '../strategies/equality.ts';
import type { AdmissionPlugin, AdmissionWorld } from './plugin.ts';

const PODS = { group: '', resource: 'pods' };
/** How long pods that say nothing stay on a node that is not ready, or that cannot be reached. */
export interface TolerationSeconds {
  readonly notReadyTolerationSeconds: number;
  readonly unreachableTolerationSeconds: number;
}

function tolerates(toleration: Toleration, key: string): boolean {
  const sameKey = !toleration.key || toleration.key === key;
  return sameKey && (!toleration.effect || toleration.effect === 'NoExecute');
}

/** Pods stay for a while on a node that is not ready or cannot be reached, unless they say otherwise. */
export const defaultTolerationSeconds = (seconds: TolerationSeconds): AdmissionPlugin => ({
  name: 'DefaultTolerationSeconds',
  operations: ['CREATE', 'UPDATE'],
  resources: ['pods'],
  admit(_world, _request, object) {
    const pod = object as unknown as Draft<Pod>;
    const tolerations = pod.spec.tolerations ?? [];
    const outages: readonly (readonly [key: string, seconds: number])[] = [
      ['node.kubernetes.io/not-ready', seconds.notReadyTolerationSeconds],
      ['node.kubernetes.io/unreachable', seconds.unreachableTolerationSeconds],
    ];
    for (const [key, tolerationSeconds] of outages) {
      if (tolerations.some((t) => tolerates(t as Toleration, key))) continue;
      tolerations.push({ key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds });
    }
    pod.spec.tolerations = tolerations;
  },
});

const SYSTEM_CRITICAL: { readonly [name: string]: number } = {
  'system-cluster-critical': 2_000_000_000,
  'system-node-critical': 2_000_001_000,
};

function defaultClass(world: AdmissionWorld): PriorityClass | undefined {
  const defaults = (world.list('scheduling.k8s.io', 'priorityclasses') as readonly PriorityClass[]).filter(
    (pc) => pc.globalDefault,
  );
  return defaults.toSorted((a, b) => (a.value ?? 0) - (b.value ?? 0))[0];
}

/** Turns a priority class's name into its number. */
export const priority: AdmissionPlugin = {
  name: 'Priority',
  operations: ['CREATE', 'UPDATE'],
  resources: ['pods'],
  async admit(world, request, object) {
    const pod = object as unknown as Draft<Pod>;
    if (request.operation === 'UPDATE') {
      // Priority is settled at creation: what an update leaves out stays.
      const old = request.old as Pod;
      if (old.spec.priority !== undefined) pod.spec.priority ??= old.spec.priority;
      if (old.spec.preemptionPolicy !== undefined) pod.spec.preemptionPolicy ??= old.spec.preemptionPolicy;
      return;
    }
    const name = pod.spec.priorityClassName;
    const found = name ? await classOf(world, pod.metadata.name, name) : defaultClass(world);
    if (found && !name) pod.spec.priorityClassName = found.metadata.name;
    const value = found?.value ?? 0;
    if (pod.spec.priority !== undefined && pod.spec.priority !== value) {
      const why =
        `the integer value of priority (${pod.spec.priority}) must not be provided in pod spec; ` +
        `priority admission controller computed ${value} from the given PriorityClass name`;
      throw forbidden(PODS, pod.metadata.name, why);
    }
    const preemption = found?.preemptionPolicy ?? 'PreemptLowerPriority';
    if (pod.spec.preemptionPolicy !== undefined && pod.spec.preemptionPolicy !== preemption) {
      const why =
        `the string value of PreemptionPolicy (${pod.spec.preemptionPolicy}) must not be provided in pod spec; ` +
        `priority admission controller computed ${preemption} from the given PriorityClass name`;
      throw forbidden(PODS, pod.metadata.name, why);
    }
    pod.spec.priority = value;
    pod.spec.preemptionPolicy = preemption as 'Never';
  },
};

type ClassValue = Pick<PriorityClass, 'value' | 'preemptionPolicy' | 'metadata'>;

async function classOf(world: AdmissionWorld, podName: string, name: string): Promise<ClassValue> {
  const group = 'scheduling.k8s.io';
  const found =
    world.get(group, 'priorityclasses', undefined, name) ??
    (await world.present(group, 'priorityclasses', undefined, name));
  if (found) return found as PriorityClass;
  const value = SYSTEM_CRITICAL[name];
  if (value !== undefined) return { value, metadata: { name } };
  throw forbidden(PODS, podName, `no PriorityClass with name ${name} was found`);
}

/** Only one priority class may be the default. */
export const oneDefaultPriority: AdmissionPlugin = {
  name: 'Priority',
  operations: ['CREATE', 'UPDATE'],
  resources: ['priorityclasses.scheduling.k8s.io'],
  validate(world, { row }, object) {
    const pc = object as PriorityClass;
    if (!pc.globalDefault) return;
    const other = defaultClass(world);
    if (!other || other.metadata.name === pc.metadata.name) return;
    const why = `PriorityClass ${other.metadata.name} is already marked as default. Only one default can exist`;
    throw forbidden(row, pc.metadata.name, why);
  },
};

/** A pod of a runtime class carries the class's overhead and goes only to nodes that have it. */
export const runtimeClass: AdmissionPlugin = {
  name: 'RuntimeClass',
  operations: ['CREATE'],
  resources: ['pods'],
  admit(world, _request, object) {
    const pod = object as unknown as Draft<Pod>;
    const name = pod.spec.runtimeClassName;
    if (!name) return;
    const found = world.get('node.k8s.io', 'runtimeclasses', undefined, name) as RuntimeClass | undefined;
    if (!found)
      throw forbidden(PODS, pod.metadata.name, `pod rejected: RuntimeClass ${JSON.stringify(name)} not found`);
    const overhead = found.overhead?.podFixed;
    if (pod.spec.overhead && !sameMeaning(pod.spec.overhead, overhead)) {
      const why = `pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead`;
      throw forbidden(PODS, pod.metadata.name, why);
    }
    if (overhead) pod.spec.overhead = { ...overhead };
    const { nodeSelector, tolerations } = found.scheduling ?? {};
    for (const [key, value] of Object.entries(nodeSelector ?? {})) {
      const own = pod.spec.nodeSelector?.[key];
      if (own !== undefined && own !== value) {
        const why = `pod rejected: conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${own}`;
        throw forbidden(PODS, pod.metadata.name, why);
      }
      pod.spec.nodeSelector = { ...pod.spec.nodeSelector, [key]: value };
    }
    for (const toleration of tolerations ?? []) {
      if (pod.spec.tolerations?.some((t) => sameMeaning(t, toleration))) continue;
      pod.spec.tolerations = [...(pod.spec.tolerations ?? []), { ...toleration }];
    }
  },
};
