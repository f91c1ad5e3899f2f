// The endpoint pods/resize: the only way in which what a pod's containers ask for changes after the pod was made (KEP-1287,
// KEP-5419).
import type { Container, Pod, PodSpec, ResourceRequirements } from '../../api/generated/types.ts';
import type { Draft } from '../../api/object.ts';
import { isSidecar, qosClass } from '../../machinery/pods.ts';
import type { FieldError } from '../../machinery/status.ts';
import { sameMeaning } from './equality.ts';
import { forbiddenField, invalidValue } from './field-errors.ts';
import type { UpdateRules } from './strategy.ts';

const MIRROR_ANNOTATION = 'kubernetes.io/config.mirror';

/** Everything but the resources and resize policies of containers, and the pod's own resources, stays as it was. */
function prepareForUpdate(pod: Draft<Pod>, old: Pod): void {
  const sent = pod.spec;
  pod.spec = structuredClone(old.spec) as Draft<PodSpec>;
  pod.status = structuredClone(old.status) as Draft<Pod>['status'];
  keepMetadata(pod, old);
  pod.spec.containers = resized(sent.containers, pod.spec.containers) ?? [];
  const init = resized(sent.initContainers, pod.spec.initContainers);
  if (init) pod.spec.initContainers = init;
  else delete pod.spec.initContainers;
  if (sent.resources) pod.spec.resources = sent.resources;
  else delete pod.spec.resources;
}

type Containers = Draft<Container>[] | undefined;

/** Containers that were added, removed, renamed or reordered are left as they were sent: validation refuses them. */
function resized(sent: Containers, kept: Containers): Containers {
  if (!sent || !kept || sent.length !== kept.length || sent.some((c, i) => c.name !== kept[i]!.name)) return sent;
  for (const [i, container] of kept.entries()) {
    const { resources, resizePolicy } = sent[i]!;
    if (resources) container.resources = resources;
    else delete container.resources;
    if (resizePolicy) container.resizePolicy = resizePolicy;
    else delete container.resizePolicy;
  }
  return kept;
}

/** As with a status, of the metadata only the managed fields are the writer's. */
export function keepMetadata(pod: Draft<Pod>, old: Pod): void {
  const { managedFields, resourceVersion } = pod.metadata;
  pod.metadata = structuredClone(old.metadata) as Draft<Pod>['metadata'];
  if (managedFields === undefined) delete pod.metadata.managedFields;
  else pod.metadata.managedFields = managedFields;
  if (resourceVersion !== undefined) pod.metadata.resourceVersion = resourceVersion;
}

function validateUpdate(pod: Pod, old: Pod): FieldError[] {
  if (old.metadata.annotations?.[MIRROR_ANNOTATION] !== undefined) {
    return [forbiddenField('', 'static pods cannot be resized')];
  }
  if (old.spec.os?.name === 'windows') return [forbiddenField('', 'windows pods cannot be resized')];
  const misplaced = [...order(pod, old, 'containers'), ...order(pod, old, 'initContainers')];
  if (misplaced.length > 0) return misplaced;
  const errors: FieldError[] = [];
  const before = old.status?.qosClass ?? qosClass(old);
  if (qosClass(pod) !== before) {
    errors.push(invalidValue('spec', before, 'Pod QOS Class may not change as a result of resizing'));
  }
  if (!reportsResources(old)) {
    errors.push(forbiddenField('spec', 'Pod running on node without support for resize'));
  }
  errors.push(...removed(pod.spec.resources, old.spec.resources, 'spec.resources'));
  for (const list of ['initContainers', 'containers'] as const) {
    for (const [i, container] of (pod.spec[list] ?? []).entries()) {
      errors.push(...validateContainer(container, old.spec[list]![i]!, list, `spec.${list}[${i}].resources`));
    }
  }
  if (!sameMeaning(others(pod.spec.resources), others(old.spec.resources))) {
    errors.push(forbiddenField('spec', 'only cpu and memory resources are mutable'));
  }
  return errors;
}

function order(pod: Pod, old: Pod, list: 'containers' | 'initContainers'): FieldError[] {
  const now = pod.spec[list] ?? [];
  const before = old.spec[list] ?? [];
  if (now.length !== before.length) {
    return [forbiddenField(`spec.${list}`, 'containers may not be added or removed on resize')];
  }
  const text = 'containers may not be renamed or reordered on resize';
  return now.flatMap(({ name }, i) =>
    name === before[i]!.name ? [] : [forbiddenField(`spec.${list}[${i}].name`, text)],
  );
}

function validateContainer(
  now: Container,
  before: Container,
  list: 'containers' | 'initContainers',
  at: string,
): FieldError[] {
  if (list === 'initContainers' && !isSidecar(before)) {
    if (sameMeaning(now, before)) return [];
    return [forbiddenField('spec', 'resources for non-sidecar init containers are immutable')];
  }
  const errors = removed(now.resources, before.resources, at);
  const rest = (c: Container): unknown => ({ ...c, resources: others(c.resources) });
  if (!sameMeaning(rest(now), rest(before))) {
    const which = list === 'containers' ? 'resources' : 'resources for sidecar containers';
    errors.push(forbiddenField('spec', `only cpu and memory ${which} are mutable`));
  }
  return errors;
}

/** What is said once may change, but not be taken back. */
function removed(
  now: ResourceRequirements | undefined,
  before: ResourceRequirements | undefined,
  at: string,
): FieldError[] {
  return (['requests', 'limits'] as const).flatMap((field) => {
    const kept = Object.keys(before?.[field] ?? {}).every((name) => now?.[field]?.[name] !== undefined);
    return kept ? [] : [forbiddenField(`${at}.${field}`, `resource ${field} cannot be removed`)];
  });
}

/** What of the requirements cannot be resized. */
function others(resources: ResourceRequirements | undefined): unknown {
  const rest = (list: { readonly [name: string]: string } = {}): object => {
    const { cpu: _cpu, memory: _memory, ...more } = list;
    return more;
  };
  return { ...resources, requests: rest(resources?.requests), limits: rest(resources?.limits) };
}

/** A kubelet that can resize says what its running containers have. */
function reportsResources(pod: Pod): boolean {
  const running = pod.status?.containerStatuses?.find((status) => status.state?.running);
  return running === undefined || running.resources !== undefined;
}

export const podResize: UpdateRules<Pod> = { prepareForUpdate, managesOnlyTaken: true, validateUpdate };
