// LimitRanges: defaults for containers, and bounds for containers, pods and claims.
import type { Container, LimitRange, LimitRangeItem, PersistentVolumeClaim, Pod } from '../../api/generated/types.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import { podLimits, podRequests } from '../../machinery/pods.ts';
import { compareQuantities, parseQuantity } from '../../machinery/quantity.ts';
import { forbidden } from '../../machinery/status.ts';
import type { AdmissionPlugin, AdmissionRequest, AdmissionWorld } from './plugin.ts';

const ANNOTATION = 'kubernetes.io/limit-ranger';

type Amounts = { readonly [resource: string]: string } | undefined;

function itemsOf(world: AdmissionWorld, request: AdmissionRequest, type: string): readonly LimitRangeItem[] {
  const ranges = world.list('', 'limitranges', request.target.namespace ?? '') as readonly LimitRange[];
  return ranges.flatMap((range) => (range.spec?.limits ?? []).filter((item) => item.type === type));
}

export const limitRangerDefaults: AdmissionPlugin = {
  name: 'LimitRanger',
  operations: ['CREATE'],
  resources: ['pods'],
  admit(world, request, object) {
    const items = itemsOf(world, request, 'Container');
    if (items.length === 0) return;
    const pod = object as unknown as Draft<Pod>;
    const notes: string[] = [];
    for (const item of items) {
      for (const container of pod.spec.containers) notes.push(...fill(container, item, 'container'));
      for (const container of pod.spec.initContainers ?? []) notes.push(...fill(container, item, 'init container'));
    }
    if (notes.length === 0) return;
    const text = `LimitRanger plugin set: ${notes.join('; ')}`;
    pod.metadata.annotations = { ...pod.metadata.annotations, [ANNOTATION]: text };
  },
};

/** Fills in what a container does not say; returns what was done, for the annotation. */
function fill(container: Draft<Container>, item: LimitRangeItem, what: string): string[] {
  const notes: string[] = [];
  const resources = container.resources ?? {};
  container.resources = resources;
  const set = (field: 'requests' | 'limits', defaults: Amounts, name: string): void => {
    const added: string[] = [];
    for (const [resource, quantity] of Object.entries(defaults ?? {})) {
      if (resources[field]?.[resource] !== undefined) continue;
      resources[field] = { ...resources[field], [resource]: quantity };
      added.push(resource);
    }
    if (added.length > 0) notes.push(`${added.sort().join(', ')} ${name} for ${what} ${container.name}`);
  };
  set('requests', item.defaultRequest, 'request');
  set('limits', item.default, 'limit');
  return notes;
}

const more = (a: string, b: string): boolean => compareQuantities(parseQuantity(a), parseQuantity(b)) > 0;

/** Why amounts break one LimitRange item. */
function violations(item: LimitRangeItem, requests: Amounts, limits: Amounts): string[] {
  const found: string[] = [];
  for (const [resource, min] of Object.entries(item.min ?? {})) {
    const asked = requests?.[resource];
    if (asked === undefined)
      found.push(`minimum ${resource} usage per ${item.type} is ${min}.  No request is specified`);
    else if (more(min, asked))
      found.push(`minimum ${resource} usage per ${item.type} is ${min}, but request is ${asked}`);
  }
  for (const [resource, max] of Object.entries(item.max ?? {})) {
    const limit = limits?.[resource];
    const asked = requests?.[resource];
    if (limit === undefined) found.push(`maximum ${resource} usage per ${item.type} is ${max}.  No limit is specified`);
    else if (more(limit, max))
      found.push(`maximum ${resource} usage per ${item.type} is ${max}, but limit is ${limit}`);
    else if (asked !== undefined && more(asked, max)) {
      found.push(`maximum ${resource} usage per ${item.type} is ${max}, but request is ${asked}`);
    }
  }
  return found;
}

function refuse(request: AdmissionRequest, object: KubeObject, found: readonly string[]): void {
  if (found.length === 0) return;
  const text = found.length === 1 ? found[0]! : `[${found.join(', ')}]`;
  throw forbidden(request.row, object.metadata.name, text);
}

export const limitRangerBounds: AdmissionPlugin = {
  name: 'LimitRanger',
  operations: ['CREATE'],
  resources: ['pods'],
  validate(world, request, object) {
    const pod = object as Pod;
    const found: string[] = [];
    for (const item of itemsOf(world, request, 'Container')) {
      for (const c of [...pod.spec.containers, ...(pod.spec.initContainers ?? [])]) {
        found.push(...violations(item, c.resources?.requests, c.resources?.limits));
      }
    }
    for (const item of itemsOf(world, request, 'Pod'))
      found.push(...violations(item, podRequests(pod), podLimits(pod)));
    refuse(request, pod, found);
  },
};

/** A resized pod keeps to the bounds of a new one. */
export const limitRangerResize: AdmissionPlugin = {
  ...limitRangerBounds,
  operations: ['UPDATE'],
  resources: ['pods/resize'],
};

export const limitRangerClaims: AdmissionPlugin = {
  name: 'LimitRanger',
  operations: ['CREATE'],
  resources: ['persistentvolumeclaims'],
  validate(world, request, object) {
    const claim = object as PersistentVolumeClaim;
    const asked = claim.spec.resources?.requests;
    const found = itemsOf(world, request, 'PersistentVolumeClaim').flatMap((item) => violations(item, asked, asked));
    refuse(request, claim, found);
  },
};
