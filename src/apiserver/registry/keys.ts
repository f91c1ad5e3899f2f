// Where objects lie in the store: /registry/<prefix>/[<namespace>/]<name>, as upstream lays them out in etcd.
import type { Resource } from '../../api/tables.ts';
import { invariant } from '../../lib/assert.ts';
import { REGISTRY_ROOT } from '../cache/keys.ts';

/** The prefix of all objects of a stored resource; ends with a slash. */
export function prefixOf(resource: Resource): string {
  invariant(resource.etcdPrefix !== undefined, `${resource.resource} is not stored`);
  return `${REGISTRY_ROOT}${resource.etcdPrefix}/`;
}

/** The prefix of what a list covers: one namespace, or all. */
export function listPrefix(resource: Resource, namespace: string | undefined): string {
  const prefix = prefixOf(resource);
  return resource.namespaced && namespace ? `${prefix}${namespace}/` : prefix;
}

export function storeKey(resource: Resource, namespace: string | undefined, name: string): string {
  return `${listPrefix(resource, namespace)}${name}`;
}
